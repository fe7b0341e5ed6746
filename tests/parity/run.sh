#!/bin/sh
# run.sh SCRIPT ADVC RUN_STEPS [CASE...]: parity.py or backends.py under the Python that has PyTorch; without it the test says
# so and is skipped.
set -eu
python=/usr/bin/python3
if ! "$python" -c 'import torch' 2>/dev/null; then
  echo "$python has no PyTorch (Debian: python3-torch), so nothing is compared with it"
  exit 77
fi
script=$1
shift
exec "$python" -B "$(dirname "$0")/$script" "$@"
