#!/usr/bin/env bash
# test.sh: all tests. Installs what is missing, builds four ways, runs every suite, and ends with `N passed, N failed`.
#
#   tools/test.sh                        everything; about 20 minutes on 2 cores (docs/testing.md says what takes how long)
#   FUZZ_SECONDS=3600 tools/test.sh      longer fuzzing: seconds for each fuzzed program (default: 60)
#   FUZZ_SEED=7 tools/test.sh            other inputs: two runs with one seed begin with the same ones (default: 1)
#
#   asan      gcc, -O1, address and undefined-behaviour sanitizers, coverage: unit and op suites, then lines covered, a folder a line
#   release   gcc, -O3, adv_cuda.so by nvcc: the same suites, parity with PyTorch, every recipe, the checks of the source tree,
#             static analysis
#   clang     clang, warnings as errors, sanitizers: the same suites, then libFuzzer on every program of tests/fuzz
#   tsan      gcc, thread sanitizer: sessions in several threads
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

# build NAME COMPILER MESON-OPTION... [-- TARGET...]: configures (again) and compiles build-test/NAME; false, and one failure, if it
# does not.
build() {
  local name=$1 cc=$2 how= targets=()
  shift 2
  local options=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  [ $# -gt 0 ] && targets=("${@:2}")
  say "build $name"
  mkdir -p "$out"
  [ -f "$out/$name/build.ninja" ] && how=--reconfigure
  if ! CC=$cc meson setup $how "$out/$name" "${options[@]}" >"$out/$name.setup.log" 2>&1; then
    tail -n 8 "$out/$name.setup.log"
    rm -rf "${out:?}/$name"
    echo "FAIL build $name: meson setup"
    add 0 1
    return 1
  fi
  if ! ninja -C "$out/$name" "${targets[@]}" >"$out/$name.build.log" 2>&1; then
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

# cover: lines of each part of the tree that the suites of build asan ran; a part below 90% is a failure.
cover() {
  local part pattern counts
  if ! command -v gcovr >/dev/null 2>&1; then
    skip coverage 'gcovr is not installed'
    return
  fi
  say "lines covered by the tests of asan"
  gcovr -r . --csv --gcov-ignore-parse-errors --exclude 'build-test/.*' "$out/asan/dsl" "$out/asan/runtime" "$out/asan/compiler" \
    >"$out/coverage.csv" 2>"$out/coverage.log" || true
  while read -r part pattern; do
    counts=$(awk -F, -v p="$pattern" '
      $1 ~ p { n += $2; ran += $3 }
      END { if (n) printf "%d %d %.1f %d", ran, n, 100 * ran / n, (ran * 10 >= n * 9) }' "$out/coverage.csv")
    # shellcheck disable=SC2086
    set -- ${counts:-0 0 0 0}
    printf '%-24s %6d of %6d lines  %s%%\n' "$part" "$1" "$2" "$3"
    if [ "$4" -eq 1 ]; then add 1 0; else
      echo "FAIL coverage of $part: less than 90% of lines; $out/coverage.csv has the files"
      add 0 1
    fi
  done <<'END'
front-end     ^dsl/.*[.]c$
container     ^runtime/base/.*[.]c$
elaborator    ^compiler/elab/.*[.]c$
planner       ^compiler/(plan|pass|graph)/.*[.]c$
runtime       ^runtime/[a-z_]*[.]c$
END
}

# fuzz_one PROGRAM SECONDS: on what earlier runs found, on texts of the source tree, and on the inputs that once failed
# (tests/fuzz/corpus).
fuzz_one() {
  local name
  name=$(basename "$1")
  mkdir -p "$out/corpus/$name" "$out/fuzz-seeds/$name"
  set -- "$1" "$2" "$out/corpus/$name" "$out/fuzz-seeds/$name"
  [ -d "tests/fuzz/corpus/$name" ] && set -- "$@" "tests/fuzz/corpus/$name"
  "$1" -seed="${FUZZ_SEED:-1}" -max_total_time="$2" -timeout=60 -rss_limit_mb=2048 -artifact_prefix="$out/$name-" "${@:3}" \
    >"$out/$name.log" 2>&1
}

# fuzz: every program of tests/fuzz, one a core at a time.
fuzz() {
  local programs program name seconds=${FUZZ_SECONDS:-60}
  programs=$(find "$out/clang/tests" -type f -perm -u+x -name 'fuzz_*' 2>/dev/null | sort)
  if [ -z "$programs" ]; then
    skip fuzz 'there is no program tests/fuzz/fuzz_*'
    return
  fi
  tests/fuzz/make_corpus.sh "$out/fuzz-seeds"
  say "fuzzing, $seconds s a program"
  for program in $programs; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do sleep 0.2; done
    rm -f "$out/$(basename "$program").failed"
    { fuzz_one "$program" "$seconds" || touch "$out/$(basename "$program").failed"; } &
  done
  wait
  for program in $programs; do
    name=$(basename "$program")
    if [ -e "$out/$name.failed" ]; then
      tail -n 30 "$out/$name.log"
      echo "FAIL $name: see build-test/$name.log; the input is build-test/$name-*"
      add 0 1
    else
      echo "$name: $(grep -a 'DONE' "$out/$name.log" | tail -n 1)"
      add 1 0
    fi
  done
}

# analyze: what tools/analyze.sh says of the sources of build release.
analyze() {
  local counts
  say "static analysis"
  counts=$(tools/analyze.sh "$out/release" tidy cppcheck gcc || true)
  printf '%s\n' "$counts"
  n_skipped=$((n_skipped + $(printf '%s\n' "$counts" | grep -c '^SKIP' || true)))
  # shellcheck disable=SC2046
  add $(printf '%s\n' "$counts" | tail -n 1 | tr -cd '0-9 \n')
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

unit='--no-suite tree --no-suite parity --no-suite recipes'
# -g1: lines for reports, and no more. gcc counts lines with locked instructions where threads are linked, which takes longer than
# the tests.
counted='-g1 -fprofile-update=single'
# shellcheck disable=SC2086
if build asan gcc -Dcuda=disabled -Dlibraries=false -Dbuildtype=debug -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false \
  -Db_coverage=true "-Dc_args=$counted" "-Dcpp_args=$counted"; then
  find "$out/asan" -name '*.gcda' -delete
  suites asan $unit
  cover
fi
if build release gcc -Dbuildtype=release; then
  [ -f "$out/release/ops/cuda/adv_cuda.so" ] ||
    skip adv_cuda.so 'there is no nvcc, or not all of the headers of CUDA, cuBLAS, cuDNN and NVRTC'
  fetch
  suites release
  analyze
fi
threads='test_runtime_threads test_runtime_session api_threads api_cancel'
# shellcheck disable=SC2086
if build tsan gcc -Dcuda=disabled -Dlibraries=false -Dbuildtype=debug -Doptimization=1 -Db_sanitize=thread -Db_lundef=false \
  -- $(printf 'tests/%s ' $threads); then
  suites tsan $threads
fi
if ! command -v clang >/dev/null 2>&1; then
  skip clang 'clang is not installed'
  skip fuzz 'clang is not installed'
elif build clang clang -Dcuda=disabled -Dlibraries=false -Dbuildtype=debugoptimized -Dfuzz=true \
  -Db_sanitize=address,undefined -Db_lundef=false \
  -Dc_args=-g1; then
  # shellcheck disable=SC2086
  suites clang $unit --no-suite cuda --no-suite tools --no-suite api
  fuzz
fi

if [ "$n_skipped" -gt 0 ]; then echo "$n_skipped left out, named above"; fi
echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ]
