#!/bin/sh
# doc.sh: the reference pages that are made of what they describe: docs/ops.md and docs/library.md by advc, docs/api.md of the
# public headers (tools/api_doc.sh).
#
#   tools/doc.sh --write PATH-OF-ADVC     writes them
#   tools/doc.sh --check PATH-OF-ADVC     fails, with the difference, if they hold something else
#
# ADV_SOURCE_ROOT names the source tree when the script is not run from inside it.
set -eu

root=${ADV_SOURCE_ROOT:-$(cd "$(dirname "$0")/.." && pwd)}
[ $# -eq 2 ] || { echo "usage: tools/doc.sh --write | --check PATH-OF-ADVC" >&2; exit 64; }
advc=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

note='<!-- made by tools/doc.sh; change the struct, table or comment that a page comes from instead -->'
{ echo "$note"; "$advc" doc --markdown ops; } >"$work/ops.md"
{ echo "$note"; "$advc" doc --markdown builtins; "$advc" doc --markdown layers; "$advc" doc --markdown std; } >"$work/library.md"
{ echo "$note"; "$root/tools/api_doc.sh" "$root"; } >"$work/api.md"
n_passed=0
n_failed=0
for page in ops library api; do
  case $1 in
    --write) cp "$work/$page.md" "$root/docs/$page.md" ;;
    --check)
      if diff -u "$root/docs/$page.md" "$work/$page.md"; then n_passed=$((n_passed + 1)); else n_failed=$((n_failed + 1)); fi ;;
    *) echo "usage: tools/doc.sh --write | --check PATH-OF-ADVC" >&2; exit 64 ;;
  esac
done
[ "$1" = --write ] && exit 0
echo "$n_passed passed, $n_failed failed$([ $n_failed -eq 0 ] || echo ': run tools/doc.sh --write')"
[ "$n_failed" -eq 0 ]
