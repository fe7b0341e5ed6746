#!/bin/sh
# abi.sh: the binary interfaces of libadv and libadvc, compared with the recorded ones, so that a change is a decision.
#
#   tools/abi.sh --check BUILD     fails, with what changed, if a library of this build has another interface than recorded
#   tools/abi.sh --write BUILD     records the interfaces of this build: tests/api/libadv.abi, tests/api/libadvc.abi
#
# Programs that were linked before must go on to work: functions stay, fields and constants are only appended. What a change
# of that kind adds is recorded with --write; anything else needs another soname. Needs abidw and abidiff (abigail-tools).
set -eu

[ $# -eq 2 ] || { echo "usage: tools/abi.sh --check | --write BUILD" >&2; exit 64; }
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(realpath "$2")
if ! command -v abidw >/dev/null 2>&1; then
  echo 'SKIP abi: abidw and abidiff (abigail-tools) are not installed'
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/headers"
cp "$root"/runtime/adv*.h "$root/compiler/adv_compile.h" "$work/headers"
n_passed=0
n_failed=0
for lib in runtime/libadv compiler/libadvc; do
  name=$(basename $lib)
  # places in files are no part of an interface, nor is where the sources lie
  abidw --exported-interfaces-only --drop-private-types --headers-dir "$work/headers" --no-corpus-path --no-comp-dir-path --no-elf-needed \
    "$build/$lib.so" | sed -E "s/ (filepath|line|column)='[^']*'//g; s#( path=')[^']*/(compiler|dsl|ops|runtime)/#\1\2/#" >"$work/$name.abi"
  case $1 in
  --write) cp "$work/$name.abi" "$root/tests/api/$name.abi" ;;
  --check)
    if abidiff "$root/tests/api/$name.abi" "$work/$name.abi" >"$work/diff"; then n_passed=$((n_passed + 1)); else
      n_failed=$((n_failed + 1))
      echo "the interface of $name is not the recorded one:"
      cat "$work/diff"
    fi ;;
  *) echo "usage: tools/abi.sh --check | --write BUILD" >&2; exit 64 ;;
  esac
done
[ "$1" = --write ] && exit 0
echo "$n_passed passed, $n_failed failed$([ $n_failed -eq 0 ] || echo ': if old programs still run, record it with tools/abi.sh --write')"
[ "$n_failed" -eq 0 ]
