#!/bin/sh
# Texts of headers as C, so that the module carries what generated code includes: embed.sh ROOT FILE... prints
#   const AdvCudaHeader adv_cuda_headers[] = { {"ops/cuda/device.cuh", lines}, ... {0, 0} };   lines are ended by a null pointer
# A line is one string, so that no string literal grows beyond what compilers promise to take.
set -eu
root=$1
shift
printf '/* made by embed.sh */\n#include "ops/cuda/headers.h"\n'
k=0
for f in "$@"; do
  printf 'static const char *const text_%d[] = {\n' $k
  sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$/\\n",/' "$root/$f"
  printf '0};\n'
  k=$((k + 1))
done
printf 'const AdvCudaHeader adv_cuda_headers[] = {\n'
k=0
for f in "$@"; do
  printf '  {"%s", text_%d},\n' "$f" $k
  k=$((k + 1))
done
printf '  {0, 0},\n};\n'
