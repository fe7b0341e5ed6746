#!/usr/bin/env bash
# gpu_pack.sh: what tools/gpu_check.sh needs on a machine with a GPU that has no re2c, lemon, jansson, oneDNN or network: the
# built programs and tests, adv_cuda.so, the shared libraries they need, and data sets, in pieces that are small enough to be
# carried.
#
#   tools/gpu_pack.sh BUILD [KIT]      BUILD: a release build with adv_cuda.so; KIT: folder of the pieces (default gpu-kit)
# The plugins of recipes/plugins are compiled here: those with a CUDA kernel by nvcc, or for the fake device by cc. Where there is no nvcc the
# kit lacks them, and gpu_check.sh says so.
#
#   MODULE=FILE DATA=NAMES             another adv_cuda.so, such as the fake one of BUILD/tests/cuda; other data sets than mnist, which is
#                                      all that gpu_check.sh looks at
#
# Writes KIT/programs.tar.xz and KIT/data-NAME.tar.xz.PART (parts of at most 48 MiB) for the data sets that are in $ADV_DATA. Prints the
# pieces with their sizes. gpu_check.sh unpacks whatever pieces it finds.
set -eu

build=$(realpath "$1")
cd "$(dirname "$0")/.."
kit=${2:-gpu-kit}
PIECE=48M
NEEDED="tools/advc tools/advplugin tools/advrun tools/bench_gpu tools/gate tests/cuda/test_cuda_recipes tests/cuda/test_ops_cuda tests/test_cuda_conv"
module=${MODULE:-$build/ops/cuda/adv_cuda.so}

[ -f "$module" ] || { echo "gpu_pack: $module is not there: meson setup -Dbuildtype=release with nvcc on PATH"; exit 66; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$kit" "$work/kit/bin" "$work/kit/lib" "$work/kit/cuda"
for program in $NEEDED; do
  [ -x "$build/$program" ] || { echo "gpu_pack: $build/$program is not built"; exit 66; }
  cp "$build/$program" "$work/kit/bin/"
done
cp "$module" "$work/kit/cuda/"
mkdir "$work/kit/plugins"
${CC:-cc} -shared -fPIC -fno-plt -O3 -I. recipes/plugins/margin.c -o "$work/kit/plugins/libmargin.so" -lm
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
momentum="-DWITH_CUDA -I. recipes/plugins/momentum.c -o $work/kit/plugins/libmomentum.so"
if nm -D "$module" | grep -q adv_fake_launch; then
  ${CC:-cc} -shared -fPIC -O2 $momentum tests/cuda/fake_momentum.c "-L$work/kit/cuda" -l:adv_cuda.so '-Wl,-rpath,$ORIGIN/../cuda' -lm
elif [ -x "$nvcc" ]; then
  "$nvcc" -shared -O3 -Xcompiler=-fPIC,-ffp-contract=off -gencode=arch=compute_80,code=sm_80 '-gencode=arch=compute_90,code=[sm_90,compute_90]' \
    $momentum recipes/plugins/momentum_kernel.cu -Xlinker=--exclude-libs=ALL
else
  echo 'SKIP the plugin with a CUDA kernel: there is no nvcc'
fi
# Every library but those of the compilers and the C library: the machine's own are as new, and what else runs there needs them.
ldd "$work/kit/bin/"* "$module" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
  grep -vE '/(libc|libm|libdl|librt|libpthread|libstdc[+][+]|libgcc_s|ld-linux[^/]*)\.so' | while read -r lib; do cp -L "$lib" "$work/kit/lib/"; done
strip --strip-debug "$work/kit/bin/"* "$work/kit/lib/"* 2>/dev/null || true
tar -C "$work" -cf - kit | xz -1 > "$kit/programs.tar.xz"
for name in ${DATA-mnist}; do
  file=${ADV_DATA:-/nonexistent}/$name.safetensors
  [ -f "$file" ] || { echo "SKIP data $name: not in ADV_DATA"; continue; }
  rm -f "$kit/data-$name".tar.xz.*
  tar -C "$(dirname "$file")" -cf - "$name.safetensors" | xz -1 | split -b $PIECE -d -a 2 - "$kit/data-$name.tar.xz."
done
ls -l "$kit" | awk 'NR > 1 { printf "%8.1f MB  %s\n", $5 / 1e6, $NF }'
