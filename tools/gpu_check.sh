#!/usr/bin/env bash
# gpu_check.sh: is the cuda back end right on this machine, and how fast? Runs on a machine with a GPU from what tools/gpu_pack.sh
# packed; needs bash, tar, xz, python3, the driver, and cuBLAS, cuDNN and NVRTC: those of Python's nvidia packages, or those that the back end
# finds by itself.
#
#   tools/gpu_check.sh [--trial] [--peer=FILE.py] [KIT [STAGE...]]      KIT: folder of the pieces (default gpu-kit)
#
#   kit           the programs load; which libraries there are
#   device        a recipe from start to end
#   ops           every case of tests/ops: each kernel against the op's definition; convolutions in each way of ours
#   ref           one step of every recipe, each instruction against its definition (--check=ref), large networks replaced
#   parity        20 steps in f32 against back end cpu
#   gate          a network attacked in f32 and in bf16: signs of gradients, PGD accuracy within 0.3 points (tools/bench/gate.c)
#   resume        a run that was stopped and resumed, the cache deleted, ends with the bytes of one that was not
#   determinism   two runs with `deterministic = 1` end with the same bytes
#   plugin        plugins with a CUDA kernel and with an elementwise op: `advplugin test --backend=cuda`, and a recipe (recipes/plugins)
#   sanitizer     compute-sanitizer (memcheck, racecheck, initcheck) over op cases of the own kernels
#   bench         images a second, memory, time to open, ADES beside PGD-AT, kernels beside copies; where Python has PyTorch, the same
#                 networks by tools/bench/torch_gpu.py (or another peer, named by --peer), one after the other
#   train         ResNet-18 on CIFAR-10 from start to end, in as many calls as it takes: the run lies in KIT/train,
#                 its cache in KIT/train-cache; by name only
#   choose        cases of convolutions as in `ops`, each way of computing them timed, the fastest taken; by name only
#
# Each stage prints a line for each thing it looks at, with PASS, FAIL or SKIP, and for a failure the last lines of its log. It goes on
# after failures; what takes too long or hangs is ended or left behind. The table comes last, then `N passed, N failed`.
#
#   ALL_SECONDS=570     after this what is left is skipped by name, so that a machine lent for ten minutes prints its table
#   LIBRARIES=A:B       folders with cuBLAS, cuDNN and NVRTC; `system`: what the back end finds by itself
#   LOGS=FOLDER         keeps all logs there, as logs.tar.xz
#
# --peer=FILE.py: a program that takes --model rn18|wrn34-10 --bs N --steps N --modes NAME, and --method trades|trades_hoisted where one is
# wanted, and prints JSON lines with "img_s".
# --trial: small cases of every stage, for a kit whose adv_cuda.so is the fake one:
#   MODULE=BUILD/tests/cuda/adv_cuda.so DATA=mnist tools/gpu_pack.sh BUILD KIT && tools/gpu_check.sh --trial KIT
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
trial=
peer=$root/tools/bench/torch_gpu.py
while [ $# -gt 0 ]; do
  case $1 in
  --trial) trial=1 ;;
  --peer=*) peer=$(realpath "${1#*=}") ;;
  -*) echo "gpu_check: no option $1 (the first lines of $0 say which there are)"; exit 64 ;;
  *) break ;;
  esac
  shift
done
kit=$(realpath -m "${1:-$root/gpu-kit}")
[ $# -gt 0 ] && shift
stages=${*:-kit device ops ref parity gate resume determinism plugin sanitizer bench}
slow=${trial:+3} # times that a step may take on the fake device
all=${ALL_SECONDS:-$((570 * ${slow:-1}))}
work=$(mktemp -d)
logs=$work/logs
n_jobs=$(nproc)
[ "$n_jobs" -gt 16 ] && n_jobs=16 # programs at once: each takes device memory of its own
n_good=0
n_bad=0
n_skipped=0
table=
SECONDS=0
cd "$root" || exit 66
mkdir -p "$logs" "$work/data" "$work/cache"

finish() {
  if [ -n "${LOGS:-}" ]; then mkdir -p "$LOGS" && tar -C "$work" -cJf "$LOGS/logs.tar.xz" logs; fi
  rm -rf "$work"
}
trap finish EXIT

[ -f "$kit/programs.tar.xz" ] || { echo "gpu_check: no $kit/programs.tar.xz (tools/gpu_pack.sh makes it)"; exit 66; }
# xz or what Python has of it.
unxz_stream() {
  if command -v xz >/dev/null; then xz -dc; else python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer)'; fi
}
unxz_stream <"$kit/programs.tar.xz" | tar -C "$work" -xf - || { echo "gpu_check: $kit/programs.tar.xz is damaged"; exit 65; }
for first in "$kit"/data-*.tar.xz.00; do
  [ -f "$first" ] && { cat "${first%.00}".* | unxz_stream | tar -C "$work/data" -xf - || echo "SKIP data of $first: a piece is missing"; }
done
bin=$work/kit/bin
device="--backend=cuda --backend-dir=$work/kit/cuda --progress=plain"
cuda="$device --cache=$work/cache"
[ -n "$trial" ] && export ADV_FAKE_CACHE=${ADV_FAKE_CACHE:-$work/fake}
export ADV_DATA=$work/data ADV_SOURCE_ROOT=$root ADV_TEST_CACHE=$work/cache PATH=$PATH:/usr/local/cuda/bin

# Folders of the libraries that came with the Python packages of PyTorch.
of_python() {
  timeout 20 python3 -c 'import glob, sysconfig; print(":".join(glob.glob(sysconfig.get_path("purelib") + "/nvidia/*/lib")))' 2>/dev/null
}
libraries=${LIBRARIES:-$(of_python)}
[ "$libraries" = system ] && libraries=
of_kit="env LD_LIBRARY_PATH=$work/kit/lib${libraries:+:$libraries}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" # before programs of the kit alone

# ---- running and telling -------------------------------------------------------------------------------------------------

# row NAME PASS|FAIL|SKIP TEXT: a line now, and one of the table.
row() {
  printf '%s  %-28s %s\n' "$2" "$1" "$3"
  table+=$(printf '%s  %-28s %s' "$2" "$1" "$3")$'\n'
  case $2 in
  PASS) n_good=$((n_good + 1)) ;;
  FAIL) n_bad=$((n_bad + 1)) ;;
  *) n_skipped=$((n_skipped + 1)) ;;
  esac
}

# tail_of NAME [LINES]: the end of a log, moved to the right; of a longer one also the first lines that sound like a cause, since a device that
# died once makes everything fail that comes behind.
tail_of() {
  [ "$(wc -l <"$logs/$1.log")" -le "${2:-8}" ] || grep -m 3 -nEi 'fail|error|illegal' "$logs/$1.log" | cut -c1-300 | sed 's/^/      line /'
  tail -n "${2:-8}" "$logs/$1.log" | cut -c1-300 | sed 's/^/      /'
}

# limited SECONDS COMMAND...: its exit status; 124 when it had to be ended; 125 when it cannot be ended either and is left behind; 123 when
# it was not begun or had to be ended because the time of all stages was over.
limited() {
  local limit=$(($1 * ${slow:-1})) left=$((all - SECONDS)) end pid rc=0 over=124
  shift
  [ "$limit" -gt "$left" ] && limit=$left over=123
  [ "$limit" -lt 1 ] && return 123
  timeout -k 5 "$limit" "$@" &
  pid=$!
  end=$((SECONDS + limit + 15))
  while kill -0 $pid 2>/dev/null; do
    [ $SECONDS -ge $end ] && return 125
    sleep 0.1
  done
  wait $pid || rc=$?
  [ $rc -eq 124 ] || [ $rc -eq 137 ] && rc=$over
  return $rc
}

why_of() {
  case $1 in
  124 | 137) echo "took longer than it may ($2 s)" ;;
  125) echo "hangs and cannot be ended" ;;
  *) echo "ended with $1" ;;
  esac
}

# step NAME SECONDS COMMAND...: one line; passes if the command ends with 0 in time. The text is the last line of what it printed.
step() {
  local name=$1 limit=$2 t0=$SECONDS rc=0
  shift 2
  limited "$limit" "$@" >"$logs/$name.log" 2>&1 || rc=$?
  if [ $rc -eq 0 ]; then row "$name" PASS "$((SECONDS - t0)) s, $(tail -n 1 "$logs/$name.log" | cut -c1-90)"; return 0; fi
  if [ $rc -eq 123 ]; then row "$name" SKIP "$((SECONDS - t0)) s, then the time of all stages was over"; return 1; fi
  row "$name" FAIL "$((SECONDS - t0)) s, $(why_of $rc "$limit")"
  tail_of "$name"
  return 1
}

# one NAME COMMAND...: for xargs; leaves NAME.log and NAME.rc.
one() {
  local name=$1
  shift
  timeout --foreground -k 5 "$((each * ${slow:-1}))" "$@" >"$logs/$name.log" 2>&1 # in the group that is ended when time is over
  echo $? >"$logs/$name.rc"
}
export -f one

# fan NAME SECONDS EACH JOBS: lines `NAME COMMAND...` from stdin, JOBS at a time, each for at most EACH seconds; one line for all, and
# one with the end of the log for each of the first five that fail.
fan() {
  local name=$1 limit=$2 t0=$SECONDS n_ok=0 n=0 failed= missing=0 rc item end=0
  each=$3
  export each logs slow
  cat >"$work/list"
  [ -s "$work/list" ] || { row "$name" FAIL 'nothing to run'; return 1; }
  limited "$limit" xargs -a "$work/list" -P "$4" -L 1 bash -c 'one "$@"' _ || end=$?
  for item in $(cut -d' ' -f1 "$work/list"); do
    n=$((n + 1))
    rc=$(cat "$logs/$item.rc" 2>/dev/null || echo $((end == 123 ? 123 : 124)))
    case $rc in
    0) n_ok=$((n_ok + 1)) ;;
    123) missing=$((missing + 1)) ;;
    *) failed+=" $item:$rc" ;;
    esac
  done
  if [ $missing -gt 0 ] && [ -z "$failed" ]; then row "$name" SKIP "$((SECONDS - t0)) s, $n_ok of $n, then the time of all stages was over"; return 1; fi
  if [ -z "$failed" ]; then row "$name" PASS "$((SECONDS - t0)) s, all $n"; return 0; fi
  row "$name" FAIL "$((SECONDS - t0)) s, $n_ok of $n; not:$failed"
  n=0
  for item in $failed; do
    n=$((n + 1))
    [ $n -gt 5 ] && break
    echo "    ${item%:*}: $(why_of "${item#*:}" "$3")"
    [ -f "$logs/${item%:*}.log" ] && tail_of "${item%:*}" 6
  done
  return 1
}

# recipe NAME [SED-EXPRESSION]: a recipe's path; in a trial one with little data.
recipe() {
  local small= to=$work/$(basename "$1").adv
  [ -n "$trial" ] && small='s/^  train = .*/  train = 64/; s/^  test = .*/  test = 8/; s/^  batch = .*/  batch = 8/; s/steps = 10/steps = 1/; s/pgd[12]0(/fgsm_eval(/'
  sed "$small; ${2:-}" "recipes/$1.adv" >"$to"
  echo "$to"
}

# ---- stages ----------------------------------------------------------------------------------------------------------------

stage_kit() {
  local missing
  missing=$($of_kit ldd "$bin"/* "$work"/kit/cuda/*.so 2>&1 | grep 'not found' | sort -u)
  if [ -z "$missing" ]; then row kit-loads PASS "$(ls "$work/kit/lib" | wc -l) libraries carried"; else row kit-loads FAIL "$missing"; fi
  echo "    $( (nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || echo 'no nvidia-smi') 2>/dev/null | head -n 1)"
  echo "    $(uname -r), glibc $(ldd --version | sed -n '1s/.* //p'), $(nproc) processors; data: $(ls "$work/data" | tr '\n' ' ')"
  echo "    cuDNN known to the loader: $(ldconfig -p 2>/dev/null | sed -n 's/.*libcudnn[.]so[.]9 .*=> //p' | head -n 1)"
  echo "    of Python's packages: ${libraries:-none, or not wanted}"
}

stage_device() {
  nvidia-smi --query-gpu=name --format=csv,noheader >/dev/null 2>&1 || [ -n "$trial" ] || row device-smi SKIP 'no nvidia-smi'
  step device-toy 90 $of_kit "$bin/advrun" $cuda --set=train.epochs=1 --run-dir="$work/toy" "$(recipe pgd_at_toy)"
  grep -E '^(back end|memory|instructions)' "$logs/device-toy.log" | sed 's/^/    /'
  # the first convolutions, by themselves: cuDNN and NVRTC are found, and what is refused is said
  [ -n "$trial" ] || step device-cudnn 90 $of_kit "$bin/test_cuda_recipes" "$work/kit/cuda" small recipes/natural_mnist.adv
}

# Cases in parts, one a processor: opening is most of the time.
cases() {
  local k parts=$n_jobs every=$n_jobs
  [ -n "$trial" ] && parts=1 every=60
  for ((k = 0; k < parts; k++)); do echo "$1$k env ADV_TEST_EVERY=$every ADV_TEST_PART=$k ${2:-} $of_kit $bin/test_ops_cuda $work/kit/cuda"; done
}

stage_ops() {
  fan ops 170 160 "$n_jobs" < <(cases ops-)
  cat "$logs"/ops-*.log | awk '/kernel runs/ { runs += $1 } / passed, / { good += $1; bad += $3 } END { printf "    %d cases passed, %d failed, %d kernel runs\n", good, bad, runs }'
  grep -hE '^warning' "$logs"/ops-*.log | sort | uniq -c | head -n 5
  step ops-ways 150 $of_kit "$bin/test_cuda_conv" "$work/kit/cuda"
  sed -n 's/^own .* cases$/    &/p' "$logs/ops-ways.log"
}

stage_choose() { fan choose 400 390 "$n_jobs" < <(cases choose- ADV_TEST_CHOOSE=1); }

# recipes PREFIX MODE PATTERN: a line a recipe, the largest first.
recipes() {
  local path name
  for path in $(ls -S recipes/*.adv | grep -E "$3"); do
    name=$(basename "$path" .adv)
    echo "$1$name $of_kit $bin/test_cuda_recipes $work/kit/cuda $2 $path"
  done
}

stage_ref() {
  local which=.
  [ -n "$trial" ] && which='/(natural|pgd_at)_toy'
  fan ref 200 190 "$n_jobs" < <(recipes ref- small "$which")
}

stage_parity() {
  local which='toy|mnist'
  [ -n "$trial" ] && which=/natural_toy
  fan parity 120 110 "$n_jobs" < <(recipes parity- parity "$which")
  echo "    logged numbers off by, relative to them: $(sed -nE 's/^(ok  |FAIL).*off by (.*)/\2/p' "$logs"/parity-*.log | sort -g | tail -n 1)"
}

stage_gate() {
  local data=$work/data/mnist.safetensors small=
  [ -f "$data" ] || { row gate SKIP 'mnist is not in the kit'; return; }
  [ -n "$trial" ] && small='s/mnist_cnn()/mlp()/; s/steps = 7/steps = 1/; s/first(4000)/first(16)/; s/pgd20(/fgsm_eval(/; s/batch = 128/batch = 8/'
  sed "$small" tools/bench/gate.adv >"$work/gate.adv"
  step gate 120 $of_kit "$bin/gate" --backend-dir="$work/kit/cuda" ${trial:+--steps=2 --batches=1} "$work/gate.adv" "$data"
  tail_of gate 6
}

# same NAME FOLDER FOLDER: do two runs end with the same bytes?
same() {
  local a b
  a=$($of_kit "$bin/advrun" --digest="$2" 2>&1)
  b=$($of_kit "$bin/advrun" --digest="$3" 2>&1)
  if [[ $a =~ ^[0-9a-f]{32}$ && $a = "$b" ]]; then row "$1" PASS "$a"; else row "$1" FAIL "the last checkpoints are $a and $b"; fi
}

# resumed NAME RECIPE OPTION...: a run in one go and one that is stopped at its first checkpoint, the cache deleted, and resumed.
resumed() {
  local name=$1 file=$2 pid rc=0 k every=50
  shift 2
  [ -n "$trial" ] && every=5
  step "$name-whole" 60 $of_kit "$bin/advrun" $cuda "$@" --save-steps=$every --run-dir="$work/$name-whole" "$file" || return
  $of_kit timeout -k 5 60 "$bin/advrun" $cuda "$@" --save-steps=$every --run-dir="$work/$name-cut" "$file" >"$logs/$name-cut.log" 2>&1 &
  pid=$!
  for ((k = 0; k < 3000; k++)); do
    [ -f "$work/$name-cut/LATEST" ] && break
    kill -0 $pid 2>/dev/null || break
    sleep 0.02
  done
  kill -TERM $pid 2>/dev/null
  wait $pid || rc=$?
  if [ $rc -ne 75 ]; then row "$name-cut" FAIL "ended with $rc before it could be stopped"; tail_of "$name-cut"; return; fi
  rm -rf "$work/cache"
  mkdir -p "$work/cache"
  step "$name-rest" 60 $of_kit "$bin/advrun" $cuda --resume="$work/$name-cut" || return
  same "$name-bytes" "$work/$name-whole" "$work/$name-cut"
}

stage_resume() {
  resumed resume-toy "$(recipe ades_toy)" --set=train.epochs=$([ -n "$trial" ] && echo 2 || echo 100)
  [ -n "$trial" ] && return
  if [ -f "$work/data/mnist.safetensors" ]; then resumed resume-mnist "$(recipe pgd_at_mnist)" --set=run.precision=bf16
  else row resume-mnist SKIP 'mnist is not in the kit'; fi
}

# twice NAME RECIPE OPTION...
twice() {
  local name=$1 file=$2 k
  shift 2
  for k in 1 2; do step "$name-$k" 60 $of_kit "$bin/advrun" $cuda --set=run.deterministic=1 "$@" --run-dir="$work/$name-$k" "$file" || return; done
  same "$name-bytes" "$work/$name-1" "$work/$name-2"
}

stage_determinism() {
  twice twice-toy "$(recipe pgd_at_toy)" --set=train.epochs=1
  [ -n "$trial" ] && return
  if [ -f "$work/data/mnist.safetensors" ]; then twice twice-mnist "$(recipe pgd_at_mnist)" --set=run.precision=bf16
  else row twice-mnist SKIP 'mnist is not in the kit'; fi
}

# Every case of a plugin on the device: a CUDA kernel, elementwise ops. Then the recipe of the first, each instruction against its definition.
stage_plugin() {
  local name lib
  for name in momentum margin; do
    lib=$work/kit/plugins/lib$name.so
    [ -f "$lib" ] || { row "plugin-$name" SKIP 'not in the kit: there was no nvcc where it was packed'; continue; }
    step "plugin-$name-test" 90 $of_kit "$bin/advplugin" test --backend=cuda --backend-dir="$work/kit/cuda" "$lib"
    sed -n '/: on /s/^/    /p' "$logs/plugin-$name-test.log"
    [ $name = momentum ] || continue # the op of margin.adv has no CUDA kernel
    step "plugin-$name-run" 60 $of_kit "$bin/advrun" $cuda --plugin="$lib" --check=ref --set=train.epochs=1 --run-dir="$work/plugin" \
      "$(recipe plugins/$name)"
  done
}

# Op cases of the own kernels under each tool, a quarter of them in four parts; in a trial a few without one.
sanitized() {
  local tool k every=16 parts=4 tools='memcheck racecheck initcheck' with='compute-sanitizer --error-exitcode 9 --tool'
  [ -n "$trial" ] && every=60 parts=1 tools=env with=
  for tool in $tools; do
    for ((k = 0; k < parts; k++)); do
      echo "$tool-$k env ADV_TEST_EVERY=$every ADV_TEST_PART=$k ADV_TEST_WITHOUT=cudnn,cublas $of_kit $with $tool $bin/test_ops_cuda $work/kit/cuda"
    done
    [ "$tool" != memcheck ] || echo "$tool-ways $of_kit $with $tool $bin/test_cuda_conv $work/kit/cuda"
  done
}

stage_sanitizer() {
  if [ -z "$trial" ] && ! command -v compute-sanitizer >/dev/null; then row sanitizer SKIP 'compute-sanitizer is not installed'; return; fi
  fan sanitizer 200 190 "$n_jobs" < <(sanitized)
}

# bench_case NAME: rows of the table of images a second.
bench_case() {
  local files="--cases=tools/bench/gpu_cases.txt" steps=
  if [ -n "$trial" ]; then
    echo "$1 | pgd_at_toy.adv | 0 | steps = 10 | steps = 1 | batch=8" >"$work/cases.txt"
    files=--cases=$work/cases.txt
    steps='--warm=3 --steps=2'
  fi
  step "bench-$1" 240 $of_kit "$bin/bench_gpu" --backend-dir="$work/kit/cuda" --cache="$work/bench-cache" $files $steps "$1"
  grep -hE '^warning' "$logs/bench-$1.log" | sort | uniq -c | head -n 3
  bench_head=$(awk '$1 == "case"' "$logs/bench-$1.log")
  bench_rows+=$(awk -v c="$1" '$1 == c' "$logs/bench-$1.log")$'\n'
}

# peer_case NAME MODEL BATCH METHOD: a row of what the peer makes of the same.
peer_case() {
  local ours theirs log=peer-$1-$4
  step "$log" 200 python3 "$peer" --model "$2" --bs "$3" --steps 10 --modes cgraph,graph $([ "$4" = pgd ] || echo --method "$4")
  ours=$(awk -v c="$1" '$1 == c && NF > 8 { print $4 }' "$logs/bench-$1.log")
  theirs=$(sed -nE 's/.*"img_s": ([0-9.]+).*/\1/p' "$logs/$log.log" | sort -g | tail -n 1)
  [ -n "$theirs" ] || row "$log-rate" FAIL 'the peer measured nothing'
  grep -h '"error"' "$logs/$log.log" | cut -c1-200
  bench_rows+=$(awk -v a="${ours:-0}" -v b="${theirs:-0}" -v c="$1" -v m="$4" \
    'BEGIN { if (a > 0 && b > 0) printf "%-14s %30.0f img/s by the peer (%s): %.2f times that", c, b, m, a / b }')$'\n'
}

# What the budget of ADES costs: the published figure is 1.12 times the time of PGD-AT.
ades_ratio() {
  bench_rows+=$(awk '$1 == "pgd20-wrn34" { a = $3 } $1 == "ades20-wrn34" { b = $3 }
    END { if (a && b) printf "ADES takes %.3f times the time of PGD-AT", b / a }' "$logs/bench-pgd20-wrn34.log" "$logs/bench-ades20-wrn34.log")$'\n'
}

stage_bench() {
  local line has_peer=1
  bench_rows=
  bench_head=
  mkdir -p "$work/bench-cache"
  [ -n "$trial" ] || timeout 150 python3 -c 'import torch; torch.zeros(1).cuda()' 2>/dev/null ||
    { row peer SKIP 'Python has no PyTorch that finds the device'; has_peer=; }
  for line in $([ -n "$trial" ] && echo tiny || echo resnet18-128 wrn34-128 resnet18-512 trades-128 pgd20-wrn34 ades20-wrn34 bandwidth); do
    bench_case "$line"
    [ -n "$has_peer" ] || continue
    case $line in # the same by the peer
    resnet18-128) peer_case "$line" rn18 128 pgd ;;
    resnet18-512) peer_case "$line" rn18 512 pgd ;;
    wrn34-128) peer_case "$line" wrn34-10 128 pgd ;;
    trades-128)
      peer_case "$line" rn18 128 trades
      peer_case "$line" rn18 128 trades_hoisted ;;
    esac
  done
  [ -n "$trial" ] || ades_ratio
  line=$(cat "$work"/bench-cache/adv-cuda-choices-*.txt 2>/dev/null | sed -E 's/[0-9]*([.]engine.*)?\t.*//' | sort | uniq -c | tr -s ' \n' ' ')
  bench_rows+="convolutions by way of computing them:${line:- none was chosen by time}"$'\n'
}

# Trains until the time of this call is over, or to the end; then the best weights have to lie where published ones do.
stage_train() {
  local run=$kit/train rc=0 where left=$((all - SECONDS - 30)) file=pgd_at_resnet18 last
  if [ -n "$trial" ]; then file=pgd_at_toy
  elif [ ! -f "$work/data/cifar10.safetensors" ]; then row train SKIP 'cifar10 is not in the kit'; return; fi
  where="--run-dir=$run $(recipe $file)"
  [ -d "$run" ] && where=--resume=$run
  mkdir -p "$kit/train-cache"
  timeout --preserve-status -s TERM -k 30 "$((left > 10 ? left : 10))" $of_kit "$bin/advrun" $device --cache="$kit/train-cache" $where >"$logs/train.log" 2>&1 || rc=$?
  last=$(grep -E '^epoch .* done' "$logs/train.log" | tail -n 1)
  grep -E '^epoch .* done|eval ' "$logs/train.log" | tail -n 4 | sed 's/^/    /'
  case $rc in
  75) row train PASS "stopped after a checkpoint, the same call goes on: $last" ;;
  0)
    if awk '$1 == "final" && $2 == "clean" && $3 == "best" { c = $NF + 0 } $1 == "final" && $2 == "pgd20" && $3 == "best" { p = $NF + 0 }
            END { exit !(c >= 81 && p >= 50) }' "$logs/train.log" || [ -n "$trial" ]; then row train PASS "$last"
    else row train FAIL 'trained to the end, but not to clean 81 and PGD-20 50'; fi
    grep -E '^(eval|final) ' "$logs/train.log" | sed 's/^/    /' ;;
  *) row train FAIL "advrun ended with $rc"; tail_of train ;;
  esac
}

# ---- all of them -----------------------------------------------------------------------------------------------------------

bench_rows=
for stage in $stages; do
  declare -F "stage_$stage" >/dev/null || { echo "gpu_check: no stage $stage"; exit 64; }
  if [ $SECONDS -ge $((all - 5)) ]; then row "$stage" SKIP "$all seconds are over: name it in another call"; continue; fi
  echo "== $stage ($SECONDS s)"
  "stage_$stage"
done
echo "== table ($SECONDS s)"
printf '%s' "$table"
if [ -n "$bench_rows" ]; then printf '%s\n%s\n' "$bench_head" "$bench_rows" | grep -v '^$'; fi
echo "$n_good passed, $n_bad failed, $n_skipped skipped"
[ $n_bad -eq 0 ]
