#!/bin/sh
# check_width.sh: no line of C or CUDA is wider than 140 characters, tests included.
#
#   tools/check_width.sh [FOLDER]
#
# Prints each line that is, and `N passed, N failed`.
set -eu

root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
cd "$root"
files=$(find dsl compiler runtime ops tools tests -type f \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.hpp' -o -name '*.cu' -o -name '*.cuh' \
  -o -name '*.re' -o -name '*.y' \) | sort)
# shellcheck disable=SC2086
wide=$(LC_ALL=C.UTF-8 awk 'length($0) > 140 { printf "%s:%d: %d characters\n", FILENAME, FNR, length($0) }' $files)
if [ -z "$wide" ]; then
  echo '1 passed, 0 failed'
  exit 0
fi
printf '%s\n' "$wide"
echo '0 passed, 1 failed'
exit 1
