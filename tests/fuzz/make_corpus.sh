#!/bin/sh
# make_corpus.sh: the texts that fuzzing begins with: recipes, graphs, modules of the source tree, each program's in a folder of
# its name. Programs that read binary files make their first inputs themselves.
#   tests/fuzz/make_corpus.sh FOLDER
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
out=$1

# take PROGRAM FILE...: copies of small files, under their names with the folder in front. Deep networks become shallow ones:
# the same text to the parser, and a hundred times as many tries a second.
take() {
  to=$out/$1
  shift
  mkdir -p "$to"
  for file in "$@"; do
    [ -f "$file" ] || continue
    [ "$(wc -c <"$file")" -le 20000 ] || continue
    name=${file#"$root"/}
    sed 's/depth = 34, k = 10/depth = 10, k = 1/; s/resnet18(/wrn(depth = 10, k = 1, /' "$file" >"$to/$(printf '%s' "$name" | tr / _)"
  done
}

for program in fuzz_recipe fuzz_format; do
  take "$program" "$root"/recipes/*.adv "$root"/tests/recipes/*.adv "$root"/tests/parity/*.adv "$root"/tests/dsl/good/*.adv \
    "$root"/tests/dsl/bad/*.adv "$root"/models/*.adv
done
take fuzz_graph_text "$root"/tests/ir/*.advg
