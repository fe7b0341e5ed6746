#!/bin/sh
# test_docs.sh ADVC SOURCE_ROOT: every complete recipe in a page of the documentation (a block ```adv whose first line is
# `adv 1`) must pass `advc check`, and every file a page links to must be there. Prints `N passed, N failed`.
set -eu
advc=$(realpath "$1")
cd "$2"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n_good=0
n_bad=0

for page in README.md ARCHITECTURE.md docs/*.md; do
  awk -v out="$work/$(basename "$page")" '
    /^```adv$/ { n++; on = 1; next }
    /^```/ { on = 0 }
    on { print > (out "." n ".adv") }' "$page"
  for block in "$work/$(basename "$page")".*.adv; do
    [ -f "$block" ] && [ "$(head -n 1 "$block")" = 'adv 1' ] || continue
    if "$advc" check "$block" >"$work/log" 2>&1; then n_good=$((n_good + 1)); else
      echo "a recipe in $page does not check:"
      cat "$work/log"
      n_bad=$((n_bad + 1))
    fi
  done
  folder=$(dirname "$page")
  for link in $(grep -oE '\]\([^)#:]+\)' "$page" | sed 's/^](//; s/)$//'); do
    if [ -e "$folder/$link" ]; then n_good=$((n_good + 1)); else
      echo "$page links to $link, which is not there"
      n_bad=$((n_bad + 1))
    fi
  done
done
echo "$n_good passed, $n_bad failed"
[ "$n_bad" -eq 0 ]
