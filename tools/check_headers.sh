#!/bin/sh
# check_headers.sh: every public header is enough by itself. Each is compiled alone, twice in one file (its guard works),
# as C11 and as C++17, with gcc and with clang, all warnings being errors.
#
#   tools/check_headers.sh [FOLDER]
#
# A compiler that is not installed is named as skipped. Prints `N passed, N failed` (one a header, language and compiler).
set -eu

HEADERS='runtime/adv_types.h runtime/adv.h runtime/adv_dlpack.h runtime/plan.h ops/adv_op.h compiler/adv_compile.h'
WARNINGS='-Wall -Wextra -Wpedantic -Wshadow -Werror'

root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
cd "$root"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n_good=0
n_bad=0

# one COMPILER LANGUAGE STANDARD HEADER
one() {
  printf '#include "%s"\n#include "%s"\n' "$4" "$4" >"$work/alone.$2"
  # shellcheck disable=SC2086
  if "$1" -std="$3" $WARNINGS -I. -c "$work/alone.$2" -o "$work/alone.o" 2>"$work/log"; then
    n_good=$((n_good + 1))
  else
    echo "$4 does not compile alone with $1 -std=$3:"
    sed 's/^/  /' "$work/log"
    n_bad=$((n_bad + 1))
  fi
}

for pair in 'gcc c c11' 'g++ cc c++17' 'clang c c11' 'clang++ cc c++17'; do
  # shellcheck disable=SC2086
  set -- $pair
  if ! command -v "$1" >/dev/null 2>&1; then
    echo "SKIP headers with $1: it is not installed"
    continue
  fi
  for header in $HEADERS; do one "$1" "$2" "$3" "$header"; done
done
echo "$n_good passed, $n_bad failed"
[ "$n_bad" -eq 0 ]
