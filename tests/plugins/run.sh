#!/bin/sh
# run.sh ADVC ADVRUN ADVPLUGIN SOURCE [FAKE]: plugins as people make and use them, outside the source tree, with nothing of it but the
# headers: the examples of recipes/plugins, the starter, and bad plugins, each with one mistake. FAKE is the folder of an adv_cuda.so on
# the fake device. Prints `N passed, N failed`.
set -u
advc=$(realpath "$1") advrun=$(realpath "$2") advplugin=$(realpath "$3") src=$(realpath "$4") fake=${5:-}
cc=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export XDG_CACHE_HOME="$work/cache" # code that the fake device compiled for this build is of no use to another
n_good=0
n_bad=0

# What is installed for plugins, and nothing else.
mkdir -p include/ops include/runtime
cp "$src"/ops/adv_op.h "$src"/ops/adv_elem.h "$src"/ops/adv_row.h "$src"/ops/rng.h include/ops/
cp "$src"/runtime/adv_types.h include/runtime/
cp "$src"/recipes/plugins/* "$src"/tests/plugins/*.c* .

# ends CODE TEXT COMMAND...: does it end with this exit code, and say this?
ends() {
  want=$1 text=$2
  shift 2
  "$@" >log 2>&1
  got=$?
  if [ "$got" -eq "$want" ] && { [ -z "$text" ] || grep -qF -- "$text" log; }; then
    n_good=$((n_good + 1))
    return
  fi
  n_bad=$((n_bad + 1))
  echo "exit code $got, expected $want and \`$text\`: $*"
  sed 's/^/  /' log
}

build() { # build OUTPUT ARGUMENTS...
  to=$1
  shift
  ends 0 '' $cc -std=c11 -Wall -Wextra -Wpedantic -Werror -O2 -shared -fPIC -Iinclude "$@" -o "$to" -lm
}

# ---- the examples ----

for name in margin focal momentum; do
  build "lib$name.so" $name.c
  ends 0 ' 0 failed' "$advplugin" test "lib$name.so"
  ends 0 '' "$advc" --set train.epochs=1 $name.adv -o $name.plan
  ends 0 'clean' "$advrun" --progress=none --run-dir=run-$name $name.plan
  ends 0 'clean' "$advrun" --check=ref --progress=none --run-dir=check-$name --set train.epochs=1 $name.adv
done

# ---- with CUDA: compiled and tested on the CPU; its kernels run where there is a device ----

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
if [ -x "$nvcc" ]; then
  ends 0 '' "$nvcc" -shared -O1 -Xcompiler=-fPIC,-Wall,-Wextra,-Werror,-ffp-contract=off -gencode=arch=compute_80,code=sm_80 \
    '-gencode=arch=compute_90,code=[sm_90,compute_90]' -DWITH_CUDA -Iinclude momentum.c momentum_kernel.cu -Xlinker=--exclude-libs=ALL -o libcuda_momentum.so
  ends 0 '1 CUDA kernel (sm_80 sm_90 compute_90): ' "$advplugin" test libcuda_momentum.so
  ends 0 ' 0 failed' "$advplugin" test libcuda_momentum.so
else
  echo 'SKIP the plugin with a CUDA kernel: there is no nvcc'
fi

# ---- pages, another place, another file ----

ends 0 'Probability of the label' "$advc" doc t_margin --plugin=libmargin.so
ends 0 'squash' "$advc" list ops --plugin=libmargin.so
ends 64 'a plugin has ops and nothing else' "$advc" list lints --plugin=libmargin.so
mkdir elsewhere
mv libmargin.so elsewhere/
ends 66 'there is no plugin' "$advc" margin.adv
ends 66 'margin.adv:19' "$advrun" margin.plan
ends 0 '' "$advc" --plugin=elsewhere/libmargin.so margin.adv
ends 0 'clean' "$advrun" --plugin=elsewhere/libmargin.so --progress=none --run-dir=moved margin.plan
cp libfocal.so libmargin.so
ends 65 'is not the plugin that the plan was made with' "$advrun" --progress=none margin.plan
cp elsewhere/libmargin.so .
printf x >>libmargin.so
ends 65 'is not the plugin that the plan was made with' "$advrun" --progress=none margin.plan
mv elsewhere/libmargin.so .
sed 's/temperature = 2/heat = 2/' margin.adv >heat.adv
ends 65 'has no argument `heat`' "$advc" check heat.adv
sed 's/temperature = 2/temperature = 2, temperature = 3/' margin.adv >again.adv
ends 65 'argument `temperature` of `t_margin` is given twice' "$advc" check again.adv
sed 's/temperature = 2/temperature = 0/' margin.adv >cold.adv
ends 65 'needs `temperature` within 0.001 and 1000, got 0' "$advc" check cold.adv
sed 's/my.t_margin(f.eval(x), y,/my.t_margin(f.eval(x),/' margin.adv >bare.adv
ends 65 'needs the argument `y`' "$advc" check bare.adv
sed 's/my.t_margin(/my.margin(/' margin.adv >name.adv
ends 65 '`my` has no `margin`' "$advc" check name.adv

# ---- a reader of data and an augmentation ----

build libdata.so data.c
ends 0 ' 0 failed' "$advplugin" test libdata.so
sed -e 's/libmargin/libdata/' -e 's/  x = clip.*/  x = my.points(id)/' -e '/^signal/d' -e '/^budget/,/^}/d' -e 's/x, eps,/x, 0.05,/' margin.adv >reader.adv
ends 0 'clean' "$advrun" --progress=none --run-dir=run-reader reader.adv
cat >augment.adv <<'RECIPE'
adv 1
use std.nets
use plugin "libdata.so" as my
data mnist { batch = 100; augment = [pad_crop(pad = 2), my.shake(by = 0.02)] }
model f = mlp()
step { minimize ce(f(x), y) over f }
optim f = sgd(lr = 0.1)
train { epochs = 1; seed = 1 }
RECIPE
ends 0 ' = shake ' "$advc" check --dump=graph augment.adv
sed 's/my.shake(by = 0.02)/my.points/' augment.adv >flat.adv
ends 65 'gives images of the same shape, but `points` gives' "$advc" check flat.adv

# ---- the starter ----

ends 64 'is no name for an op' "$advplugin" new 9lives
ends 0 'mine/mine.c' "$advplugin" new mine
ends 74 'cannot make the folder' "$advplugin" new mine
build libmine.so mine/mine.c
ends 0 ' 0 failed' "$advplugin" test libmine.so
ends 0 '' "$advc" --plugin=libmine.so --set train.epochs=1 mine/mine.adv -o mine.plan
ends 0 'clean' "$advrun" --progress=none --run-dir=run-mine mine.plan
if [ -x "$nvcc" ]; then # with a CUDA kernel, by its own meson.build
  ends 0 'gpu/gpu_kernel.cu' "$advplugin" new --cuda gpu
  ends 0 '' env PATH="$(dirname "$advplugin"):$PATH:/usr/local/cuda/bin" meson setup "-Dc_args=-I$PWD/include" gpu/build gpu
  ends 0 '' ninja -C gpu/build
  ends 0 '1 CUDA kernel (' "$advplugin" test gpu/build/libgpu.so
  ends 0 ' 0 failed' "$advplugin" test gpu/build/libgpu.so
fi

# ---- the tutorial: what docs/plugins.md says to write, written ----

block() { awk -v want="$2" -v kind='```'"$1" '$0 == kind { n++; on = n == want; next } /^```/ { on = 0 } on' "$src/docs/plugins.md"; }
ends 0 'brier/brier.adv' "$advplugin" new brier
{
  echo '#include "ops/adv_op.h"'
  for n in 1 2 3 4; do block c $n; done
} >brier.c
build libbrier.so brier.c
ends 0 ' 0 failed' "$advplugin" test libbrier.so
sed 's/adv_val_number(b, 2, /adv_val_number(b, 3, /' brier.c >three.c
build libthree.so three.c
ends 1 'but differences give' "$advplugin" test libthree.so
block adv 2 >step
sed -e '/^step {/r step' -e '/^step {/,/^}/d' brier/brier.adv >brier.adv
ends 0 'clean' "$advrun" --progress=none --run-dir=run-brier brier.adv

# ---- one mistake each ----

cat >bad.adv <<'RECIPE'
adv 1
use std.nets
use std.attacks
use plugin "libbad.so" as my
data synthetic {
  train = 64
  test = 64
  classes = 2
  shape = [2]
  batch = 32
  y = id - 2*floor(id/2)
  x = clip(0.35 + 0.3*y + 0.1*normal(like = x), 0, 1)
}
model f = mlp(width = 4, classes = 2)
step {
  loss = my.twice(ce(f(x), y))
  minimize loss over f
}
optim f = sgd(lr = 0.1)
train { epochs = 1; seed = 1 }
RECIPE

bad() { # bad NAME: builds libbad.so with this mistake
  rm -f libbad.so
  build libbad.so -DBAD="$1" bad.c
}
refused() { # refused TEXT: both programs say so, with the recipe's line
  ends 65 "$1" "$advc" bad.adv
  ends 65 'bad.adv:16' "$advc" bad.adv
  ends 65 "$1" "$advplugin" test libbad.so
}

bad NOTHING
ends 0 ' 0 failed' "$advplugin" test libbad.so
ends 0 '' "$advc" bad.adv -o bad.plan
bad MAJOR
refused 'was built for plugin interface 2.0, but this program has 1.0'
bad MINOR
refused 'was built for plugin interface 1.9, but this program has 1.0'
bad NO_NOTE
refused 'has no note of ours'
bad CUT_NOTE
refused 'has a note that is cut short'
bad NO_OP
refused 'promises op `thrice`, which its table lacks'
bad NO_DOC
refused '`twice` has no doc'
bad NOTHING
printf '\267' | dd of=libbad.so bs=1 seek=18 conv=notrunc 2>/dev/null # e_machine of aarch64
case $(uname -m) in
x86_64) refused 'is made for aarch64, but this program runs on x86-64' ;;
*) echo "SKIP the plugin for another processor: this one is $(uname -m)" ;;
esac
bad NOTHING
head -c 700 libbad.so >cut && mv cut libbad.so
refused 'cut short'
echo 'no object at all' >libbad.so
refused 'is no shared object'
rm -f libbad.so
ends 66 'there is no plugin' "$advc" bad.adv
ends 66 'bad.adv:16' "$advc" bad.adv
ends 66 'there is no plugin' "$advplugin" test libbad.so
bad SHAPE
ends 65 'should be one for each of the 32 samples' "$advc" bad.adv
ends 1 'result 0 has not 3 elements' "$advplugin" test libbad.so
bad KIND
ends 65 'the shape rule of `twice` makes `y` i32, which its port says it is not' "$advc" bad.adv
ends 1 'makes `y` i32' "$advplugin" test libbad.so
bad GRADIENT
ends 1 'but differences give' "$advplugin" test libbad.so
bad BOUNDS
ends 1 'writes around result 0' "$advplugin" test libbad.so
bad RANDOM
ends 1 'other bits when run again' "$advplugin" test libbad.so
# What ends the process is the plugin's doing, also where the programs are built with sanitizers, which would end it otherwise.
export ASAN_OPTIONS=handle_segv=0:detect_leaks=0
bad EXIT
ends 1 'ended the process with exit code 3: kernels, in case' "$advplugin" test libbad.so
bad ENDLESS
ends 1 'did not return within 2 s: kernels, in case' "$advplugin" test --seconds=2 libbad.so
cp log said
ends 0 'checks of ops that did not return were left out' cat said
bad SEGV
ends 1 'died of signal 11' "$advplugin" test libbad.so
bad INFER
ends 1 'definition and gradient, in case `twice x=3{1,2,-3} want={2,4,-6}`' "$advplugin" test libbad.so
if command -v g++ >/dev/null 2>&1; then
  g++ -fPIC -c throw.cpp -o throw.o
  build libbad.so -DBAD=THROW bad.c throw.o -lstdc++
  ends 1 'died of signal 6' "$advplugin" test libbad.so
else
  echo 'SKIP the plugin that throws: there is no g++'
fi

# ---- kernels of a device, on the fake one ----

# unopened: the command just run did not open the plugin.
unopened() {
  cp log said
  ends 1 "" grep "code of the plugin" said
}
# device MISTAKE CODE TEXT [ARCHITECTURES]: libdevice.so with this mistake, tested on the fake device.
device() {
  build libdevice.so -DBAD="$1" "-DFAKE=\"$fake/adv_cuda.so\"" "-DARCHS=\"${4-sm_90}\"" device.c -ldl
  ends "$2" "$3" "$advplugin" test "--backend-dir=$fake" --backend=cuda libdevice.so
}
if [ -n "$fake" ]; then
  device NOTHING 0 ' 0 failed'
  ends 0 '1 CUDA kernel (sm_90): on fake device' "$advplugin" test "--backend-dir=$fake" libdevice.so
  ends 0 'SKIP 1 CUDA kernel (sm_90): the CPU was asked for' "$advplugin" test --backend=cpu libdevice.so
  ends 69 'cannot open `/nonexistent/adv_cuda.so`' "$advplugin" test --backend=cuda --backend-dir=/nonexistent libdevice.so
  ends 0 'SKIP 1 CUDA kernel (sm_90): cannot open' "$advplugin" test --backend-dir=/nonexistent libdevice.so
  device WRONG 1 'device:1: on cuda: kernel root.host: result 0, element 1: 1.00999999, definition 1'
  device BOUNDS 1 'kernel root.host writes around result 0'
  device EVEN 1 '(with sizes of 4 made 1)'
  device HIDES 1 'element 0: 0, definition nan'
  device FAILS 1 'kernel root.host: run returns ADV_EUNAVAILABLE'
  device DIES 1 'the fake device was told to fail'
  ends 1 '9 passed, 6 failed' "$advplugin" test "--backend-dir=$fake" libdevice.so
  device SEGV 1 'on CUDA: kernels, in case `root x=4{0,1,-4,9} want={0,1,-2,3}`'
  device NOTHING 1 'has CUDA kernels for no architecture, but the device is sm_90' ''
  # For another device: refused before any of its code runs, by everything that knows the device.
  device LOUD 65 'has CUDA kernels for sm_80, but the device is sm_90' sm_80
  unopened
  ends 0 'code of the plugin runs' "$advplugin" test --backend=cpu libdevice.so
  sed -e 's/libbad/libdevice/' -e 's/my.twice(ce(f(x), y))/my.root(ce(f(x), y))/' -e 's/minimize loss/minimize detach(loss)*ce(f(x), y)/' bad.adv >device.adv
  ends 0 'code of the plugin runs' "$advc" device.adv -o device.plan
  for what in device.adv device.plan; do
    ends 65 'has CUDA kernels for sm_80, but the device is sm_90' "$advrun" "--backend-dir=$fake" --progress=none $what
    unopened
    ends 65 'device.adv:16' "$advrun" "--backend-dir=$fake" --backend=cuda "--plugin=$PWD/libdevice.so" --progress=none $what
    unopened
    ends 0 'code of the plugin runs' "$advrun" "--backend-dir=$fake" --backend=cpu --progress=none $what
  done
  ends 0 '' "$advc" --set run.device=cpu device.adv -o cpu.plan
  ends 0 'code of the plugin runs' "$advrun" "--backend-dir=$fake" --progress=none cpu.plan
  device LOUD 0 ' 0 failed' sm_90
  ends 0 '' "$advc" device.adv -o device.plan
  ends 0 'code of the plugin runs' "$advrun" "--backend-dir=$fake" --backend=cuda --progress=none device.plan
  ends 0 'on fake device' "$advplugin" test "--backend-dir=$fake" libmargin.so
else
  echo 'SKIP CUDA kernels of plugins on the fake device: this build has none'
fi

echo "$n_good passed, $n_bad failed"
[ "$n_bad" -eq 0 ]
