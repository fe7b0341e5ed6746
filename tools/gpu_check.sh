#!/usr/bin/env bash
# gpu_check.sh: is the cuda back end right on this machine, and how fast? Runs on a machine with a GPU from what tools/gpu_pack.sh
# packed; needs bash, tar, xz, the driver, and cuBLAS, cuDNN and NVRTC somewhere the back end looks (--library-dirs of advrun).
#
#   tools/gpu_check.sh [KIT [STAGE...]]      KIT: folder of the pieces (default gpu-kit); stages in order (default: all):
#
#   device        which GPU, driver and libraries
#   ops           every case of tests/ops: each kernel against the op's definition
#   ref           one step of every recipe, each instruction against its definition (--check=ref), networks as they are
#   parity        20 steps in f32 against back end cpu, networks made small
#   gate          the same trained weights, attacked in bf16 and in f32: PGD accuracy within 0.3 points
#   resume        a run that was stopped and resumed, the cache deleted, ends with the bytes of one that was not
#   determinism   two runs with `deterministic = 1` end with the same bytes
#   sanitizer     compute-sanitizer (memcheck, racecheck, initcheck) over the op cases of the own kernels
#   bench         images a second, memory, time to open; last, and worth reading only if all before it passed
#
# A stage that lacks something is named as SKIP with the reason. Ends with `N passed, N failed`. Each stage may take $STAGE_SECONDS
# (100) and the whole $ALL_SECONDS (480), after which what is left is skipped by name.
set -u

cd "$(dirname "$0")/.."
root=$PWD
kit=${1:-gpu-kit}
[ $# -gt 0 ] && shift
stages=${*:-device ops ref parity gate resume determinism sanitizer bench}
each=${STAGE_SECONDS:-100}
all=${ALL_SECONDS:-480}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n_good=0
n_bad=0
SECONDS=0

for piece in "$kit"/programs.tar.xz; do [ -f "$piece" ] && tar -C "$work" -xJf "$piece"; done
[ -x "$work/kit/bin/advrun" ] || { echo "gpu_check: no $kit/programs.tar.xz (tools/gpu_pack.sh makes it)"; exit 66; }
mkdir -p "$work/data"
for first in "$kit"/data-*.tar.xz.00; do
  [ -f "$first" ] && cat "${first%.00}".* | tar -C "$work/data" -xJf -
done
bin=$work/kit/bin
export LD_LIBRARY_PATH="$work/kit/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" ADV_DATA="$work/data" ADV_SOURCE_ROOT="$root" XDG_CACHE_HOME="$work/cache"
export PATH="$PATH:/usr/local/cuda/bin"
cuda="--backend=cuda --backend-dir=$work/kit/cuda --progress=plain"

good() { echo "ok   $1"; n_good=$((n_good + 1)); }
bad() { echo "FAIL $1"; n_bad=$((n_bad + 1)); }
skip() { echo "SKIP $1: $2"; }

# step NAME COMMAND...: passes if the command ends with 0 in time; shows the end of its output.
step() {
  local name=$1 rc=0
  shift
  timeout "$each" "$@" >"$work/log" 2>&1 || rc=$?
  tail -n "${LINES_SHOWN:-6}" "$work/log" | sed 's/^/     /'
  if [ $rc -eq 0 ]; then good "$name"; else bad "$name (ended with $rc)"; fi
  return $rc
}

stage_device() {
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || skip device 'no nvidia-smi'
  "$bin/advc" recipes/toy-gaussians.adv --set train.epochs=1 -o "$work/toy.plan" 2>"$work/log" || cat "$work/log"
  LINES_SHOWN=14 step "a recipe on the device" "$bin/advrun" $cuda --run-dir="$work/toy" "$work/toy.plan"
}

stage_ops() { step "cases of tests/ops" "$bin/test_ops_cuda" "$work/kit/cuda"; }
stage_ref() { step "a step of every recipe against definitions" "$bin/test_cuda_recipes" "$work/kit/cuda" small; }
stage_parity() { step "20 steps in f32 against cpu" "$bin/test_cuda_recipes" "$work/kit/cuda" parity toy mnist; }

# accuracy FILE ATTACK: the percentage in the table of results.
accuracy() { awk -v a="$2" '$0 ~ a { for (i = 1; i <= NF; i++) if ($i ~ /%$/) { sub(/%/, "", $i); print $i; exit } }' "$1"; }

stage_gate() {
  [ -f "$work/data/mnist.safetensors" ] || { skip gate 'mnist is not in the kit'; return; }
  local p a b
  for p in f32 bf16; do "$bin/advc" recipes/quickstart.adv --set run.precision=$p -o "$work/gate-$p.plan" 2>"$work/log" || { cat "$work/log"; bad "gate: compiling in $p"; return; }; done
  step "gate: training" "$bin/advrun" $cuda --run-dir="$work/gate" "$work/gate-f32.plan" || return
  for p in f32 bf16; do
    timeout "$each" "$bin/advrun" $cuda --eval=final --weights="$work/gate/$(cat "$work/gate/LATEST")" --run-dir="$work/eval-$p" "$work/gate-$p.plan" \
      >"$work/out-$p" 2>"$work/log" || { cat "$work/log"; bad "gate: evaluation in $p"; return; }
    cat "$work/out-$p"
  done
  a=$(accuracy "$work/out-f32" pgd20)
  b=$(accuracy "$work/out-bf16" pgd20)
  if awk -v a="$a" -v b="$b" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d <= 0.3 && d >= -0.3) }'; then good "gate: PGD-20 $a% in f32, $b% in bf16"
  else bad "gate: PGD-20 $a% in f32, $b% in bf16, more than 0.3 points apart"; fi
}

# final FOLDER: digest of the states of its newest checkpoint.
final() { sed -nE 's/.*"xxh3_128": "([0-9a-f]+)".*/\1/p' "$1/$(cat "$1/LATEST")/MANIFEST.json"; }

same() {
  if [ -n "$(final "$2" 2>/dev/null)" ] && [ "$(final "$2")" = "$(final "$3")" ]; then good "$1"; else bad "$1: the last checkpoints differ"; fi
}

stage_resume() {
  "$bin/advc" recipes/ades_toy.adv -o "$work/r.plan" 2>"$work/log" || { cat "$work/log"; bad "resume: compiling"; return; }
  step "resume: uninterrupted" "$bin/advrun" $cuda --run-dir="$work/whole" "$work/r.plan" || return
  timeout -s TERM --preserve-status 2 "$bin/advrun" $cuda --run-dir="$work/cut" "$work/r.plan" >"$work/log" 2>&1
  rm -rf "$work/cache"
  step "resume: the rest" "$bin/advrun" $cuda --resume="$work/cut" || return
  same "resume: the same bytes" "$work/whole" "$work/cut"
}

stage_determinism() {
  "$bin/advc" recipes/pgd_at_toy.adv --set run.deterministic=1 -o "$work/d.plan" 2>"$work/log" || { cat "$work/log"; bad "determinism: compiling"; return; }
  for k in 1 2; do step "determinism: run $k" "$bin/advrun" $cuda --run-dir="$work/det$k" "$work/d.plan" || return; done
  same "determinism: the same bytes" "$work/det1" "$work/det2"
}

stage_sanitizer() {
  local tool
  command -v compute-sanitizer >/dev/null || { skip sanitizer 'compute-sanitizer is not installed'; return; }
  for tool in memcheck racecheck initcheck; do
    step "sanitizer: $tool" compute-sanitizer --tool $tool --error-exitcode 9 "$bin/test_ops_cuda" "$work/kit/cuda"
  done
}

stage_bench() { LINES_SHOWN=40 step "bench" "$bin/bench_gpu" --backend-dir="$work/kit/cuda" --cache="$work/bench-cache"; }

for stage in $stages; do
  if [ $SECONDS -ge "$all" ]; then skip "$stage" "$all seconds are over"; continue; fi
  echo "== $stage ($SECONDS s)"
  "stage_$stage"
done
echo "$n_good passed, $n_bad failed"
[ $n_bad -eq 0 ]
