#!/usr/bin/env bash
# test_gpu_check.sh BUILD SOURCE_ROOT: packs what a machine with a GPU would get, with the fake device in it, unpacks it and runs the first
# stages. All stages: tools/gpu_check.sh says how (--trial), a few minutes.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
MODULE=$1/tests/cuda/adv_cuda.so DATA= "$2/tools/gpu_pack.sh" "$1" "$work/kit"
"$2/tools/gpu_check.sh" --trial "$work/kit" kit device determinism plugin
