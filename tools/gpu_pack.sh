#!/usr/bin/env bash
# gpu_pack.sh: what tools/gpu_check.sh needs on a machine with a GPU that has no re2c, lemon, jansson, oneDNN or network: the
# built programs and tests, adv_cuda.so, the shared libraries they need, and data sets, in pieces that are small enough to be
# carried.
#
#   tools/gpu_pack.sh BUILD [KIT]      BUILD: a release build with adv_cuda.so; KIT: folder of the pieces (default gpu-kit)
#   MODULE=FILE DATA=NAMES             another adv_cuda.so, such as the fake one of BUILD/tests/cuda; other data sets than mnist, which is
#                                      all that gpu_check.sh looks at
#
# Writes KIT/programs.tar.xz and KIT/data-NAME.tar.xz.PART (parts of at most 60 MiB) for the data sets that are in $ADV_DATA. Prints the
# pieces with their sizes. gpu_check.sh unpacks whatever pieces it finds.
set -eu

build=$(realpath "$1")
cd "$(dirname "$0")/.."
kit=${2:-gpu-kit}
PIECE=60M
NEEDED="tools/advc tools/advrun tools/bench_gpu tools/gate tests/cuda/test_cuda_recipes tests/cuda/test_ops_cuda"
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
