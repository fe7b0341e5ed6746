#!/bin/sh
# check_calls.sh: calls that a library must not make. dsl/, compiler/, runtime/ and ops/ are linked into other people's
# programs: they never end the process, never write to its standard streams, never read its environment or locale, and use
# no call that cannot be told the size of its buffer. The programs in tools/ may.
#
#   tools/check_calls.sh [FOLDER]
#
# Prints each offence and `N passed, N failed` (one a file checked).
set -eu

CALLS='exit|_exit|_Exit|quick_exit|abort|printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|getenv|secure_getenv|setenv|putenv|setlocale|strcpy|strcat|stpcpy|sprintf|vsprintf|gets|strtok|system|popen|signal|rand|srand'

root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
cd "$root"
files=$(find dsl compiler runtime ops -type f \( -name '*.[chy]' -o -name '*.re' -o -name '*.cu' -o -name '*.cuh' \) | sort)
n_files=$(printf '%s\n' "$files" | grep -c .)
n_bad=0
for file in $files; do
  if hits=$(grep -nE "(^|[^_a-zA-Z0-9.>])($CALLS)[[:space:]]*\(" "$file"); then
    printf '%s\n' "$hits" | sed "s|^|$file:|"
    n_bad=$((n_bad + 1))
  fi
done
echo "$((n_files - n_bad)) passed, $n_bad failed"
[ "$n_bad" -eq 0 ]
