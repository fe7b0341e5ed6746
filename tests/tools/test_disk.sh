#!/bin/sh
# test_disk.sh: the programs on disks that are full or cannot be written (nothing here needs to be, or not to be, the superuser):
# exit code 74, a sentence with the name, what was there before intact, no temporary files left.
#   tests/tools/test_disk.sh PATH-OF-ADVC PATH-OF-ADVRUN
set -u

here=$(cd "$(dirname "$0")" && pwd)
. "$here/programs.sh"

# full BLOCKS COMMAND...: no file grows beyond BLOCKS of 512 bytes: a write then fails, as on a full disk.
full() {
  blocks=$1
  shift
  (
    trap '' XFSZ
    ulimit -f "$blocks"
    exec "$@"
  )
}

cat >small.adv <<END
adv 1
use std.nets
data synthetic {
  train = 512; test = 256; classes = 2; shape = [2]; batch = 64
  y = id - 2*floor(id/2)
  x = clip(0.35 + 0.3*y + 0.1*normal(like = x), 0, 1)
}
model f = mlp(width = 16, classes = 2)
step { minimize ce(f(x), y) over f }
optim f = adam(lr = 0.005)
train { epochs = 3; seed = 1 }
eval final { on = test; attacks = [clean] }
END
ok 'a plan' "$advc" -o small.plan small.adv
cp small.plan before.plan

# ---- writing a plan
says 74 'small.plan' full 4 "$advc" -o small.plan --set train.epochs=4 small.adv
ok 'the older plan is intact' cmp -s small.plan before.plan
says 74 'new.plan' full 0 "$advc" -o new.plan small.adv
ok 'no new plan' test ! -e new.plan
says 74 '/proc/small.plan' "$advc" -o /proc/small.plan small.adv
says 74 'small.adv/x.plan' "$advc" -o small.adv/x.plan small.adv
says 74 'nowhere/x.plan' "$advc" -o nowhere/x.plan small.adv
ok 'no temporary files' test -z "$(find . -name '*.tmp*')"

# ---- a device is written to, not replaced
mkfifo pipe
cat pipe >piped.plan &
"$advc" -o pipe small.adv
wait
ok 'a pipe stays a pipe' test -p pipe
ok 'a plan through a pipe' cmp -s piped.plan small.plan

# ---- a run
says 74 '/proc/run' "$advrun" --threads=1 --progress=none --run-dir=/proc/run small.plan
says 74 'small.adv/run' "$advrun" --threads=1 --progress=none --run-dir=small.adv/run small.plan
says 74 'cannot' full 1 "$advrun" --threads=1 --progress=none --run-dir=full small.plan
"$advrun" --threads=1 --progress=none --run-dir=good small.plan >good.txt 2>&1
ok 'a run' test $? -eq 0
grep '^final' good.txt >want.txt
says 74 'cannot write' full 0 "$advrun" --threads=1 --progress=none --eval=final --weights="good/$(cat good/LATEST)" --run-dir=good2 \
  small.plan
"$advrun" --threads=1 --progress=none --resume=good >again.txt 2>&1
ok 'what was there still is' test $? -eq 0
grep '^final' again.txt >got.txt
ok 'and says the same' cmp -s want.txt got.txt

finish
