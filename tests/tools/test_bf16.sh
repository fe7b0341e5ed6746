#!/bin/sh
# test_bf16.sh: 16 bits on the CPU: when a plan has them, what happens where the processor lacks them, and the gate on real data.
#   tests/tools/test_bf16.sh PATH-OF-ADVC PATH-OF-ADVRUN PATH-OF-GATE SOURCE-FOLDER
set -u

advc=$(realpath "$1")
advrun=$(realpath "$2")
gate=$(realpath "$3")
source=$(realpath "$4")
data=${ADV_DATA:-}/mnist.safetensors
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export OMP_NUM_THREADS=1
n_passed=0
n_failed=0

# expect NAME CODE TEXT COMMAND...: the command's exit code, and TEXT in what it says; `out` keeps that.
expect() {
  name=$1
  code=$2
  text=$3
  shift 3
  out=$("$@" 2>&1)
  got=$?
  case $out in
  *"$text"*) [ "$got" -eq "$code" ] && n_passed=$((n_passed + 1)) && return ;;
  esac
  n_failed=$((n_failed + 1))
  echo "FAIL $name: exit code $got, expected $code; output, expected to contain \`$text\`:"
  printf '%s\n' "$out" | tail -20 | sed 's/^/  | /'
}

cat >small.adv <<'END'
adv 1
use std.nets
data synthetic {
  train = 64; test = 32; classes = 2; shape = [3, 8, 8]; batch = 16
  y = id - 2*floor(id/2)
  x = clip(0.3 + 0.4*y + 0.1*normal(like = x), 0, 1)
}
model f = small_cnn(classes = 2)
step { minimize ce(f(x), y) over f }
optim f = sgd(lr = 0.1)
train { epochs = 1; seed = 1 }
eval final { on = test; attacks = [clean] }
END

# lows NAME SET...: how many casts to bf16 the part for the CPU has.
lows() {
  name=$1
  shift
  "$advc" --allow=all --target=cpu "$@" plan --explain small.adv | grep -c ' bf16 '
}

if [ "$(lows plain)" -eq 0 ] && [ "$(lows 'no device' --set run.precision=bf16)" -eq 0 ] && [ "$(lows both --set run.precision=bf16 --set run.device=cpu)" -gt 0 ]; then
  n_passed=$((n_passed + 1))
else
  n_failed=$((n_failed + 1))
  echo "FAIL the part for the CPU has 16 bits exactly where precision and device ask for them"
fi

"$advc" --allow=all --set run.precision=bf16 --set run.device=cpu small.adv -o small.plan
expect 'a processor without the instructions' 69 'this processor has no instructions for bfloat16' \
  env ONEDNN_MAX_CPU_ISA=AVX512_CORE "$advrun" --progress=none --run-dir=none small.plan
expect '... says what to do' 69 'advc --set run.precision=f32' env ONEDNN_MAX_CPU_ISA=AVX512_CORE "$advrun" --progress=none --run-dir=none small.plan

if ! grep -qw avx512_bf16 /proc/cpuinfo; then
  echo "SKIP training and the gate in bf16: this processor has no instructions for bfloat16"
else
  expect 'training in 16 bits, no instruction on ref' 0 'clean' "$advrun" --strict --backend=cpu --progress=none --run-dir=run small.plan
  if [ -f "$data" ]; then
    expect 'the gate on MNIST' 0 'the gate is passed' "$gate" --threads=1 --batches=1 "$source/tools/bench/gate.adv" "$data"
  else
    echo "SKIP the gate in bf16: there is no \$ADV_DATA/mnist.safetensors"
  fi
fi

echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ]
