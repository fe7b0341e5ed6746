#!/bin/sh
# test_bf16.sh: 16 bits on the CPU: when a plan has them, what happens where the processor lacks them, and the gate on real data.
#   tests/tools/test_bf16.sh PATH-OF-ADVC PATH-OF-ADVRUN PATH-OF-GATE SOURCE-FOLDER
set -u

here=$(cd "$(dirname "$0")" && pwd)
gate=$(realpath "$3")
source=$(realpath "$4")
data=${ADV_DATA:-}/mnist.safetensors
. "$here/programs.sh"

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

# lows OPTION...: how many casts to bf16 the part for the CPU has.
lows() { "$advc" --allow=all --target=cpu "$@" plan --explain small.adv | grep -c ' bf16 '; }

ok 'f32 where nothing is asked for' [ "$(lows)" -eq 0 ]
ok 'f32 where no device is named' [ "$(lows --set run.precision=bf16)" -eq 0 ]
ok '16 bits where precision and device ask for them' [ "$(lows --set run.precision=bf16 --set run.device=cpu)" -gt 0 ]

"$advc" --allow=all --set run.precision=bf16 --set run.device=cpu small.adv -o small.plan
old_cpu() { ONEDNN_MAX_CPU_ISA=AVX512_CORE "$advrun" --progress=none --run-dir=none small.plan; }
says 69 'this processor has no instructions for bfloat16' old_cpu
says 69 'advc --set run.precision=f32' old_cpu

if ! grep -qw avx512_bf16 /proc/cpuinfo; then
  echo "SKIP training and the gate in bf16: this processor has no instructions for bfloat16"
else
  says 0 'clean' "$advrun" --strict --backend=cpu --progress=none --run-dir=run small.plan # no instruction on ref
  if [ -f "$data" ]; then
    says 0 'the gate is passed' "$gate" --threads=1 --batches=1 "$source/tools/bench/gate.adv" "$data"
  else
    echo "SKIP the gate in bf16: there is no \$ADV_DATA/mnist.safetensors"
  fi
fi

finish
