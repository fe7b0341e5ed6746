#!/usr/bin/env bash
# run.sh ADVC ADVRUN RECIPES_DIR [PART/OF]: every recipe (or every OF-th, from the PART-th on) is compiled and run, on the cpu back
# end with --strict, so that no instruction of any recipe falls back to the reference.
#
#   same bytes   compiling twice gives the same plan
#   a loss       is among what it logs: what people watch while it trains
#   dry run      the whole program on back end null, with the kernels of cpu chosen under --strict
#   one epoch    recipes that make their own data: one epoch and their evaluations; also the target cuda, run on ref
#   real data    those on MNIST, and one on CIFAR-10, if the data set is in $ADV_DATA: SIGTERM after $RECIPE_SECONDS (1) must end
#                it with a checkpoint and 75 (or it has come to its end: 0), and --resume must take that run up and end likewise
#
# Prints `N passed, N failed`, one for each of these and recipe.
set -eu

advc=$(realpath "$1")
advrun=$(realpath "$2")
recipes=$(realpath "$3")
part=${4:-1/1}
seconds=${RECIPE_SECONDS:-1}
QUICK='natural natural_cifar pgd_at_cifar trades_cifar mart_cifar ades_cifar ades_literal_cifar' # of those on larger images: one step in seconds on one core
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
n_good=0
n_bad=0
export OMP_NUM_THREADS=1

good() { n_good=$((n_good + 1)); }
bad() {
  echo "FAIL $1"
  tail -n 15 "$work/log"
  n_bad=$((n_bad + 1))
}

# expect NAME CODE COMMAND...: runs the command quietly; good if it ends with CODE.
expect() {
  local name=$1 want=$2 code=0
  shift 2
  "$@" >"$work/log" 2>&1 || code=$?
  if [ "$code" -eq "$want" ]; then good; else bad "$name: ended with $code, not $want"; fi
}

# The data set a recipe names, or "synthetic".
data_of() { sed -nE 's/^data +([a-z0-9]+).*/\1/p' "$1" | head -n 1; }

# one_epoch NAME RECIPE: the recipe's own data.
one_epoch() {
  "$advc" --set=train.epochs=1 "$2" -o "$work/short.plan" >"$work/log" 2>&1 || { bad "$1: compiling with one epoch"; return; }
  expect "$1: one epoch" 0 "$advrun" --strict --backend=cpu --threads=1 --progress=plain --run-dir="$work/runs/$1" "$work/short.plan"
  if grep -q '^final .*%' "$work/log"; then good; else bad "$1: no table of the final evaluation"; fi
  if ls "$work/runs/$1"/ckpt-* >/dev/null 2>&1; then good; else bad "$1: no checkpoint in the run folder"; fi
  expect "$1: target cuda on ref" 0 "$advrun" --backend=ref --target=cuda --progress=none --run-dir="$work/runs/$1-cuda" "$work/short.plan"
}

# stopped NAME WHAT ADVRUN-ARGUMENT...: runs for $seconds, then SIGTERM: a checkpoint and 75, or the end and 0.
stopped() {
  local name=$1 what=$2 code=0
  shift 2
  timeout --preserve-status -s TERM -k 60 "$seconds" "$advrun" --strict --backend=cpu --progress=plain "$@" >"$work/log" 2>&1 || code=$?
  case $code in
  0) good ;;
  75) if ls "$work/runs/$name"/ckpt-* >/dev/null 2>&1; then good; else bad "$name: $what: stopped without a checkpoint"; fi ;;
  *) bad "$name: $what: ended with $code, not 75 or 0" ;;
  esac
}

# real NAME: the plan of a recipe on a real data set.
real() {
  stopped "$1" "real data" --run-dir="$work/runs/$1" "$work/a.plan"
  stopped "$1" "resumed" --resume="$work/runs/$1"
}

n_recipes=0
slow=
for recipe in "$recipes"/*.adv; do
  n_recipes=$((n_recipes + 1))
  [ $(((n_recipes - ${part%/*}) % ${part#*/})) -eq 0 ] || continue
  name=$(basename "$recipe" .adv)
  mkdir -p "$work/runs"
  expect "$name: compiling" 0 "$advc" "$recipe" -o "$work/a.plan"
  [ -f "$work/a.plan" ] || continue
  "$advc" "$recipe" -o "$work/b.plan" >"$work/log" 2>&1 || true
  if cmp -s "$work/a.plan" "$work/b.plan"; then good; else bad "$name: compiled twice, and the plans differ"; fi
  if grep -aqE '"metric\.(loss|robust)"' "$work/a.plan"; then good; else bad "$name: logs no loss"; fi
  expect "$name: dry run" 0 "$advrun" --strict --backend=cpu --dry-run --progress=none "$work/a.plan"
  data=$(data_of "$recipe")
  if [ "$data" = synthetic ]; then
    one_epoch "$name" "$recipe"
  elif [ ! -f "${ADV_DATA:-/nonexistent}/$data.safetensors" ]; then
    echo "SKIP $name on real data: $data is not in ADV_DATA (advdata fetch $data)"
  elif [ "$data" != mnist ] && ! case " $QUICK " in *" $name "*) true ;; *) false ;; esac; then
    slow="$slow $name"
  else
    real "$name"
  fi
  rm -rf "$work"/*.plan "$work/runs"
done
[ -z "$slow" ] || echo "SKIP on real data, because a step of theirs takes from half a minute to several on a CPU (their dry runs are above):$slow"
echo "$n_good passed, $n_bad failed"
[ "$n_bad" -eq 0 ]
