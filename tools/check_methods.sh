#!/bin/sh
# check_methods.sh: nothing about a training method is built in. Attacks, losses, budgets and methods exist as .adv text;
# an op may be named after the step it fuses. So outside ops/, models/, recipes/, tests/ and docs/ no source file may say
# the name of one, be it in an identifier or in a comment.
#
#   tools/check_methods.sh [FOLDER]
#
# A name counts where no letter stands beside it: `pgd`, `PGD-20` and `pgd_step` are found, `upgdate` is not.
# Prints each offence and `N passed, N failed` (one a file checked).
set -eu

METHODS='pgd|apgd|fgsm|bim|mifgsm|trades|mart|ades|daat|mwpb|mail|mma|gairat|awp|free_at|free-at|freeat|fat|cfa|iaat|wat|st_at|st-at|cw|cw20|dlr|autoattack|spsa|madry|carlini'

root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
cd "$root"
files=$(find dsl compiler runtime tools -type f \( -name '*.[chy]' -o -name '*.re' -o -name '*.def' -o -name '*.cu' -o -name '*.cuh' \) | sort)
n_files=$(printf '%s\n' "$files" | grep -c .)
n_bad=0
for file in $files; do
  if hits=$(grep -niE "(^|[^a-z])($METHODS)([^a-z]|\$)" "$file"); then
    printf '%s\n' "$hits" | sed "s|^|$file:|"
    n_bad=$((n_bad + 1))
  fi
done
echo "$((n_files - n_bad)) passed, $n_bad failed"
[ "$n_bad" -eq 0 ]
