#!/bin/sh
# test_advrun.sh: advrun as people use it: messages, exit codes, what goes to stdout, run folders, stop and resume.
#   tests/tools/test_advrun.sh PATH-OF-ADVC PATH-OF-ADVRUN
set -u

here=$(cd "$(dirname "$0")" && pwd)
. "$here/programs.sh"

# expect CODE TEXT ARGS...: of advrun.
expect() {
  expect_code=$1
  expect_text=$2
  shift 2
  says "$expect_code" "$expect_text" "$advrun" --threads=1 "$@"
}

data='
data synthetic {
  train = 512
  test = 256
  classes = 2
  shape = [2]
  batch = 64
  y = id - 2*floor(id/2)
  x = clip(0.35 + 0.3*y + 0.1*normal(like = x), 0, 1)
}
'
cat >small.adv <<END
adv 1
use std.nets
use std.attacks
param rate = 0.005 in 0 .. 1
$data
model f = mlp(width = 16, classes = 2)
step {
  x_adv = pgd(z => ce(f.eval(z), y), x, 0.05, size = 0.02, steps = 3)
  robust = ce(f(x_adv), y)
  minimize robust over f
}
optim f = adam(lr = rate)
train { epochs = 3; seed = 1 }
eval final { on = test; attacks = [clean, fgsm: fgsm_eval(eps = 0.1)] }
END
cat >broken.adv <<END
adv 1
use std.nets
use std.attacks
$data
model f = mlp(width = 16, classes = 2)
step {
  odd = log(id - 100)
  minimize ce(f(x), y) + odd over f
}
optim f = adam(lr = 0.005)
train { epochs = 1; seed = 1 }
eval final { on = test; attacks = [clean] }
END
ok 'advc small' "$advc" -o small.plan small.adv
ok 'advc broken' "$advc" -o broken.plan broken.adv

# ---- command line
expect 0 'advrun [options] recipe.adv' --help
expect 64 'advrun [options] out.plan'
expect 64 'no option' --nonsense small.plan
expect 64 "the seed is the recipe's" --seed=3 small.plan
expect 64 'advc --set rate=1' --set rate=1 small.plan
expect 64 '`--check` is one of' --check=all small.plan
expect 64 'needs the weights' --eval=final small.plan
expect 64 'whole number' --save-every=-1 small.plan
expect 64 'given twice' --threads=2 small.plan
expect 66 'nothing.plan' nothing.plan
expect 66 'cannot read `libnone.so`' --plugin=libnone.so small.plan
expect 64 'no option `--thread=2`; did you mean `--threads`?' --thread=2 small.plan
expect 66 '`.` is no folder of a run' --resume=.
expect 64 'which `--set` cannot change' --resume=. --set=rate=1
expect 74 'cannot write `none/trace.json`: No such file' --trace=none/trace.json small.plan
ok 'a run that cannot be traced does not begin' test ! -e runs
expect 69 'there are `auto`, `cuda`, `cpu`, `ref` and `null`' --backend=tpu small.plan
expect 69 'no part for target `ref64`' --target=ref64 small.plan
expect 69 '`advc list targets` prints what there is' --target=ref64 small.plan
head -c 2000 small.plan >cut.plan
expect 65 'cut.plan' cut.plan
expect 65 'ADV' small.adv --set rate=2
expect 66 'there is no checkpoint' --resume=nowhere small.plan

# ---- a run
"$advrun" --threads=1 small.plan >out.txt 2>err.txt
ok 'run: exit code' test $? -eq 0
ok 'run: results on stdout' grep -q '^final *fgsm *last *3 *256 *0.1000' out.txt
ok 'run: the norm of a distance' grep -q '^final *fgsm.* 0.1000 linf *[0-9.]*%$' out.txt
ok 'run: and in the file' grep -q '"attack":"fgsm".*"eps":0.1,"norm":"linf","dist_mean"' runs/small/eval-final.json
ok 'run: nothing else on stdout' test "$(grep -c epoch\ 1 out.txt)" -eq 0
ok 'run: first screen' grep -q '^back end      cpu' err.txt
ok 'run: no carriage return in a pipe' test "$(tr -cd '\r' <err.txt | wc -c)" -eq 0
ok 'run: folder named' grep -q '^run folder: runs/small$' out.txt
for f in recipe.adv plan env.json events.jsonl eval-final.json LATEST; do ok "run: $f" test -s "runs/small/$f"; done
ok 'run: the plan is kept' cmp -s small.plan runs/small/plan
ok 'run: the recipe is kept' cmp -s small.adv runs/small/recipe.adv
expect 0 'this run is finished' --resume small.plan
expect 0 'final      fgsm' --resume=runs/small
expect 64 'holds a run already' --run-dir=runs/small small.plan
expect 0 'run folder: runs/small-2' small.adv
expect 0 'final      clean' --eval=final --weights="runs/small/$(cat runs/small/LATEST)" small.plan
"$advrun" --threads=1 --progress=none --eval=final --weights="runs/small/$(cat runs/small/LATEST)" small.plan >file.txt
ok 'the epoch of a file is not known' grep -qE '^final +clean +last +256 ' file.txt
expect 64 'no evaluation `quick`' --eval=quick --weights="runs/small/$(cat runs/small/LATEST)" small.plan
expect 0 'nothing was computed' --dry-run small.plan
ok 'dry run: no folder' test ! -e runs/small-3
expect 0 'run folder: own' --run-dir=own --check=ref --progress=none small.plan
expect 0 'costliest lines' --run-dir=timed --profile --progress=none small.plan
expect 0 '"kind":"epoch"' --run-dir=js --progress=json small.plan

# ---- the digest of a checkpoint: equal for equal runs, whatever the clock and the folder; other for another step, weight or kept weight
digest() { "$advrun" --digest="$1"; }
newest() { printf '%s/%s' "$1" "$(cat "$1/LATEST")"; }
ok 'digest: 32 digits' sh -c "printf %s '$(digest runs/small)' | grep -qxE '[0-9a-f]{32}'"
ok 'digest: of a run or its newest checkpoint' test "$(digest runs/small)" = "$(digest "$(newest runs/small)")"
ok 'digest: an equal run has the same' test "$(digest runs/small)" = "$(digest runs/small-2)"
ok 'digest: a way of running is no part of it' test "$(digest runs/small)" = "$(digest own)"
expect 0 'run folder: often' --run-dir=often --save-steps=4 small.plan
ok 'digest: how often it was saved is no part of it' test "$(digest runs/small)" = "$(digest often)"
ok 'digest: an older checkpoint has another' test "$(digest "$(ls -d often/ckpt-* | head -n 1)")" != "$(digest often)"
sed 's/^train.*/train { epochs = 3; seed = 1; keep = best(final.fgsm) }/; s/^eval final {/& every = 1;/' small.adv >kept.adv
expect 0 'run folder: kept' --run-dir=kept kept.adv
expect 0 'run folder: kept-2' --run-dir=kept-2 kept.adv
ok 'digest: kept weights too' test "$(digest kept)" = "$(digest kept-2)"
rm -rf kept-2/best-*
expect 66 'best-' --digest=kept-2
expect 66 'state.safetensors' --digest=nowhere
expect 64 'runs nothing' --digest=runs/small small.plan
mkdir odd && cp "$(ls -d kept/best-* | head -n 1)/state.safetensors" odd/
expect 65 'is no checkpoint' --digest=odd
printf x >>odd/state.safetensors
expect 65 'ADV5' --digest=odd

# ---- another plan, damage
"$advc" -o other.plan --set rate=0.01 small.adv
sed 's/width = 16/width = 8/' small.adv >narrow.adv
"$advc" -o narrow.plan narrow.adv
expect 65 '`f.fc1.weight` is f32[16,2] there, and f32[8,2] in the plan' --eval=final \
  --weights="runs/small/$(cat runs/small/LATEST)" narrow.plan
expect 66 'have another plan' --resume other.plan
expect 65 'does not belong to this plan' --resume=runs/small other.plan
expect 65 '`advrun --resume=runs/small`, or take its weights alone' --resume=runs/small other.plan
expect 66 'is the folder of a run: name one of the checkpoints in it' --eval=final --weights=runs/small small.plan
cp -r runs/small hurt
for f in hurt/ckpt-*/state.safetensors; do head -c 1000 "$f" >x && mv x "$f"; done
expect 65 'no checkpoint' --resume=hurt
expect 65 'ADV5004' --eval=final --weights=out.txt small.plan
printf 'PK\003\004 what torch.save writes' >saved.pt
expect 65 'safetensors.torch' --eval=final --weights=saved.pt small.plan

# ---- weights that the recipe names
from() { # from FILE [NAME]: a recipe whose model NAME begins with the weights of a file
  sed -e "s|^model f = mlp(.*|model ${2-f} = mlp(width = 16, classes = 2, weights = \"$1\")|" small.adv >from.adv
  [ "${2-f}" = f ] || sed -i -e "s/^step {/model f = mlp(width = 16, classes = 2)\nstep {/" -e "s/ce(f(x_adv), y)/kl($2.eval(x) || f(x_adv))/" \
    -e 's/of = .*;//' -e 's/on = test;/on = test; of = f.eval;/' from.adv
}
from none.safetensors
expect 66 'no file `none.safetensors`' from.adv
expect 66 'from.adv:16:7' from.adv
ok 'no folder of a run that could not begin' [ ! -e runs/from ]
from runs/small
expect 66 'name one of the checkpoints in it' from.adv
from "runs/small/$(cat runs/small/LATEST)" teacher
expect 0 'clean' --progress=none --run-dir=taught from.adv
expect 66 'no data file `mine.safetensors`' --data=mine.safetensors "$here/../../recipes/quickstart.adv"

# ---- numeric failure names the line
expect 80 'odd = log(id - 100)' --run-dir=nan broken.plan
expect 80 'broken.adv:' --run-dir=nan2 broken.plan
expect 80 'step 1 of epoch 1' --run-dir=nan3 broken.plan
sed 's/^eval final.*/attack bad(f, x, y, eps) {\n  return x + eps*(x - x)\/(x - x)\n}\neval final { on = test; attacks = [clean, bad(eps = 0.1)] }/' \
  small.adv >bad.adv
expect 80 '`final.bad` has no result: the image of sample 0' --run-dir=nan4 bad.adv
expect 80 'return x + eps' --run-dir=nan5 bad.adv

# ---- a stop, and going on: the same events and results
"$advc" -o long.plan --set train.epochs=150 small.adv
"$advrun" --threads=1 --run-dir=straight --progress=none long.plan >straight.txt 2>&1
: >stopped.err
"$advrun" --threads=1 --run-dir=stopped --progress=plain long.plan >stopped.txt 2>stopped.err &
pid=$!
while kill -0 $pid 2>/dev/null && ! grep -q 'epoch 2/150 done' stopped.err; do :; done
kill -STOP $pid
expect 64 'is in use by another advrun' --resume=stopped
kill -CONT $pid
kill -TERM $pid 2>/dev/null
wait $pid
got=$?
ok "stop: exit code 75 (or it was done already), not $got" test $got -eq 75 -o $got -eq 0
"$advrun" --threads=1 --resume=stopped --progress=none >resumed.txt 2>&1
ok 'resume: exit code' test $? -eq 0
sed 's/"t":[0-9.]*//' straight/events.jsonl >a
sed 's/"t":[0-9.]*//' stopped/events.jsonl >b
ok 'resume: equal events' cmp -s a b
ok 'resume: equal results' cmp -s straight/eval-final.json stopped/eval-final.json
ok 'resume: equal table' test "$(grep '^final' straight.txt)" = "$(grep '^final' resumed.txt)"

finish
