#!/usr/bin/env bash
# test.sh: all tests. Installs what is missing, builds three ways, runs every suite, and ends with `N passed, N failed`.
#
#   tools/test.sh            everything; about 15 minutes on 2 cores
#   FUZZ_SECONDS=600 tools/test.sh      longer fuzzing: seconds for each fuzzed program (default: 240 shared by all)
#
#   asan      gcc, -O1, address and undefined-behaviour sanitizers: unit and op suites
#   release   gcc, -O3, adv_cuda.so by nvcc: the same suites, parity with PyTorch, every recipe, the checks of the source tree
#   clang     clang, warnings as errors: the same suites
#   fuzz      clang, libFuzzer, sanitizers: every program of tests/fuzz
#
# Builds lie in build-test/. A test that is left out is named with its reason (a line that begins with SKIP). Exits 1 if
# anything failed, a build included.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
out=$root/build-test
n_passed=0
n_failed=0
n_skipped=0
[ -d /usr/local/cuda/bin ] && export PATH=$PATH:/usr/local/cuda/bin
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

say() { printf '== %s\n' "$*"; }
add() { n_passed=$((n_passed + $1)); n_failed=$((n_failed + $2)); }
skip() { echo "SKIP $1: $2"; n_skipped=$((n_skipped + 1)); }

# build NAME COMPILER MESON-OPTION...: configures (again) and compiles build-test/NAME; false, and one failure, if it does not.
build() {
  local name=$1 cc=$2 how=
  shift 2
  say "build $name"
  mkdir -p "$out"
  [ -f "$out/$name/build.ninja" ] && how=--reconfigure
  if ! CC=$cc meson setup $how "$out/$name" "$@" >"$out/$name.setup.log" 2>&1; then
    tail -n 8 "$out/$name.setup.log"
    rm -rf "${out:?}/$name"
    echo "FAIL build $name: meson setup"
    add 0 1
    return 1
  fi
  if ! ninja -C "$out/$name" >"$out/$name.build.log" 2>&1; then
    grep -E 'error|warning|FAILED' "$out/$name.build.log" | head -n 30
    echo "FAIL build $name: see build-test/$name.build.log"
    add 0 1
    return 1
  fi
  add 1 0
}

# suites NAME MESON-TEST-ARGUMENT...: runs meson's tests of a build and counts what they counted.
suites() {
  local name=$1 log=$out/$1/meson-logs/testlog.txt counts
  shift
  say "tests of $name"
  rm -f "$log"
  meson test -C "$out/$name" --no-rebuild "$@" >"$out/$name.test.log" 2>&1 || true
  if [ ! -f "$log" ]; then
    tail -n 20 "$out/$name.test.log"
    echo "FAIL tests of $name: meson test did not run"
    add 0 1
    return
  fi
  counts=$(awk -f tests/count.awk "$log")
  printf '%s\n' "$counts"
  # shellcheck disable=SC2046
  set -- $(printf '%s\n' "$counts" | tail -n 1 | tr -cd '0-9 \n')
  add "$1" "$2"
  n_skipped=$((n_skipped + $3))
  if [ "$2" -gt 0 ]; then echo "  details: $log"; fi
}

# fuzz: every program of tests/fuzz for its share of time, on what earlier runs found, on texts of the source tree, and on
# the inputs that once failed (tests/fuzz/corpus).
fuzz() {
  local programs program name corpus seconds
  programs=$(find "$out/fuzz/tests" -type f -perm -u+x -name 'fuzz_*' 2>/dev/null | sort)
  if [ -z "$programs" ]; then
    skip fuzz 'there is no program tests/fuzz/fuzz_*'
    return
  fi
  seconds=${FUZZ_SECONDS:-$((240 / $(printf '%s\n' "$programs" | wc -l)))}
  tests/fuzz/make_corpus.sh "$out/fuzz-seeds"
  for program in $programs; do
    name=$(basename "$program")
    corpus=$out/corpus/$name
    mkdir -p "$corpus" "$out/fuzz-seeds/$name"
    say "$name for $seconds s"
    if "$program" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 -artifact_prefix="$out/$name-" "$corpus" \
      "$out/fuzz-seeds/$name" $([ -d "tests/fuzz/corpus/$name" ] && echo "tests/fuzz/corpus/$name") >"$out/$name.log" 2>&1; then
      tail -n 1 "$out/$name.log"
      add 1 0
    else
      tail -n 30 "$out/$name.log"
      echo "FAIL $name: see build-test/$name.log; the input is build-test/$name-*"
      add 0 1
    fi
  done
}

# fetch: the data sets of the recipes, into build-test/data; what cannot be fetched is named by the recipes it leaves out.
fetch() {
  local name
  export ADV_DATA=$out/data
  mkdir -p "$ADV_DATA"
  for name in mnist cifar10; do
    [ -f "$ADV_DATA/$name.safetensors" ] && continue
    say "fetching $name"
    "$out/release/tools/advdata" fetch "$name" >"$out/fetch-$name.log" 2>&1 || tail -n 3 "$out/fetch-$name.log"
  done
}

tools/deps.sh test || echo "test: going on with what is installed"

if build asan gcc -Dcuda=disabled -Dbuildtype=debug -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false; then
  suites asan --no-suite tree --no-suite parity --no-suite recipes
fi
if build release gcc -Dbuildtype=release; then
  fetch
  suites release
fi
if ! command -v clang >/dev/null 2>&1; then
  skip clang 'clang is not installed'
  skip fuzz 'clang is not installed'
else
  if build clang clang -Dcuda=disabled -Dbuildtype=debugoptimized; then suites clang --no-suite tree --no-suite parity --no-suite recipes; fi
  if build fuzz clang -Dcuda=disabled -Dbuildtype=debugoptimized -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false; then fuzz; fi
fi

if [ "$n_skipped" -gt 0 ]; then echo "$n_skipped left out, named above"; fi
echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ]
