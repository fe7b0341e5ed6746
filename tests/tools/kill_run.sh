#!/usr/bin/env bash
# kill_run.sh: a real run of advrun, killed again and again at random moments (SIGKILL, so nothing can tidy up) and resumed.
#
#   tests/tools/kill_run.sh PATH-OF-ADVC PATH-OF-ADVRUN [KILLS [RECIPE [SECONDS [SEED]]]]
#
# After each kill every checkpoint that was whole before still has the same bytes, or is one of those that newer ones replace;
# the newest that LATEST names is whole; and no progress is lost that was saved. When a run has come to its end, its last checkpoint, its
# events and its evaluations are those of an undisturbed run, bit for bit; then the next run begins, until there were KILLS kills
# (12). Each comes at a random moment within SECONDS (0.25) of the start. Without a recipe it makes a small one with its own data;
# recipes on data sets read $ADV_DATA. The test run does the short form; docs/reliability.md has the result of 200 on MNIST.
set -u

advc=$(realpath "$1")
advrun=$(realpath "$2")
kills=${3:-12}
recipe=${4:+$(realpath "$4")}
seconds=${5:-0.25}
RANDOM=${6:-1}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export OMP_NUM_THREADS=1
cd "$dir" || exit 1
n_passed=0
n_failed=0

ok() {
  local name=$1
  shift
  if "$@"; then n_passed=$((n_passed + 1)); else n_failed=$((n_failed + 1)); echo "FAIL kill $n_kills: $name"; fi
}

if [ -z "$recipe" ]; then
  recipe=$dir/small.adv
  cat >"$recipe" <<'END'
adv 1
use std.nets
use std.attacks
data synthetic {
  train = 512; test = 128; classes = 2; shape = [2]; batch = 16
  y = id - 2*floor(id/2)
  x = clip(0.35 + 0.3*y + 0.1*normal(like = x), 0, 1)
}
model f = mlp(width = 16, classes = 2)
step {
  x_adv = pgd(z => ce(f.eval(z), y), x, 0.05, size = 0.02, steps = 3)
  minimize ce(f(x_adv), y) over f
}
optim f = adam(lr = 0.005)
train { epochs = 3; seed = 1 }
eval quick { on = test; every = 1; attacks = [clean] }
eval final { on = test; attacks = [clean, fgsm: fgsm_eval(eps = 0.05)] }
END
fi

# go ARGUMENT...: advrun with a checkpoint after every fifth step.
go() { exec "$advrun" --threads=1 --progress=none --save-steps=5 "$@"; }

# What is on disk: one line a whole checkpoint, its name and the digest of its files.
whole() {
  local d
  for d in run/ckpt-* run/best-*; do
    [ -f "$d/MANIFEST.json" ] && printf '%s %s\n' "$d" "$(cat "$d"/* | sha256sum | cut -d' ' -f1)"
  done
}

# older_intact: every line of `before` is in `after`, unless a newer whole one of its kind took its place.
older_intact() {
  local d digest now
  while read -r d digest; do
    now=$(sed -n "s|^$d ||p" after)
    [ "$now" = "$digest" ] && continue
    [ -n "$now" ] && { echo "$d has other bytes"; return 1; }
    awk -v d="$d" -v kind="${d%%-*}" 'index($1, kind) == 1 && $1 > d { n++ } END { exit !n }' after || { echo "$d is gone"; return 1; }
  done <before
}

# latest_whole: what LATEST names has a manifest, and its file has the size that the manifest says.
latest_whole() {
  local d want
  [ -f run/LATEST ] || { [ ! -s before ]; return; }
  d=run/$(cat run/LATEST)
  want=$(sed -nE 's/.*"bytes": ([0-9]+).*/\1/p' "$d/MANIFEST.json")
  [ "$want" = "$(stat -c %s "$d/state.safetensors")" ]
}

# step_of: the step of the newest checkpoint, 0 if there is none.
step_of() { if [ -f run/LATEST ]; then sed -nE 's/.*"step": ([0-9]+).*/\1/p' "run/$(cat run/LATEST)/MANIFEST.json"; else echo 0; fi; }

# states RUN: the digest of its newest checkpoint.
states() { "$advrun" --digest="$1"; }

# same_end: the run in `run` ended as the one in `want`.
same_end() {
  local f
  [ "$(states run)" = "$want" ] || { echo "states are $(states run), not $want"; return 1; }
  for f in want/eval-*.json; do cmp "$f" "run/${f#want/}" || return 1; done
  sed 's/"t":[0-9.]*//' want/events.jsonl >a
  sed 's/"t":[0-9.]*//' run/events.jsonl >b
  cmp a b
}

n_kills=0
n_ends=0
"$advc" -o a.plan "$recipe" || exit 1
(go --run-dir=want a.plan) >log 2>&1 || { cat log; echo 'the undisturbed run failed'; exit 1; }
want=$(states want)
while [ "$n_kills" -lt "$kills" ] || [ -d run ]; do
  whole >before
  step=$(step_of)
  how=--run-dir=run
  if [ -f run/LATEST ]; then how=--resume=run; else rm -rf run; fi
  (go "$how" a.plan) >log 2>&1 &
  pid=$!
  if [ "$n_kills" -lt "$kills" ]; then
    sleep "$(awk -v s="$seconds" -v r="$RANDOM" 'BEGIN { printf "%.3f", s * r / 32767 }')"
    kill -KILL $pid 2>/dev/null
  fi
  wait $pid 2>/dev/null
  code=$?
  if [ $code -eq 137 ]; then
    n_kills=$((n_kills + 1))
    whole >after
    ok 'older checkpoints are intact' older_intact
    ok 'the newest is whole' latest_whole
    ok 'nothing saved is lost' test "$(step_of)" -ge "$step"
  elif [ $code -eq 0 ]; then
    n_ends=$((n_ends + 1))
    ok 'the end is that of an undisturbed run' same_end
    rm -rf run
  else
    ok "exit code $code" false
    cat log
    break
  fi
done
echo "$n_kills kills, $n_ends runs to their end; the states of an undisturbed run are $want"
ok 'a run came to its end' test "$n_ends" -ge 1
echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ]
