#!/usr/bin/env bash
# analyze.sh: static analysis of all C code of the tree; ends with `N passed, N failed`.
#
#   tools/analyze.sh BUILD [tidy] [cppcheck] [gcc] [clang]      default: all four
#
#   tidy      clang-tidy with the checks of .clang-tidy, but the path-sensitive ones; seconds
#   cppcheck  warnings, performance and portability; seconds
#   gcc       gcc -fanalyzer; a minute on two cores
#   clang     the path-sensitive checks clang-analyzer-*, of everything but the tests; ten minutes on two cores
#
# BUILD is a folder in which meson has set up and ninja has built the project: the analysers read its compile_commands.json
# and the sources that were generated there. Each file that a tool finds nothing in counts as passed, each finding as failed.
# Findings that are mistaken stand in tools/analyze.txt, each with its reason; one that no longer occurs there is a failure too.
# tools/test.sh runs the first three.
set -eu

cd "$(dirname "$0")/.."
build=$(realpath "$1")
shift
tools=${*:-tidy cppcheck gcc clang}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n_jobs=$(nproc)
n_passed=0
n_failed=0

# One line a file of the tree: its name, a tab, how gcc is called for it, less what writes files. For clang-tidy the same commands,
# each file once: a second one, of the shared library, would be analysed, too, and wrongly (see run_clang).
python3 - "$build" "$work" >"$work/commands" <<'END'
import json, os, re, sys
build, work, root, seen, once = sys.argv[1], sys.argv[2], os.getcwd() + "/", set(), []
for entry in json.load(open(build + "/compile_commands.json")):
    path = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
    if not path.startswith(root) or path.startswith(build) or path in seen or not path.endswith(".c"):
        continue
    seen.add(path)
    words = entry["command"].split()
    words = words[next(i for i, w in enumerate(words) if w.startswith("-")):]
    once.append({**entry, "command": " ".join(["cc"] + words)})
    flags = re.sub(r"(-M[QF]|-o|-c) \S+|-MD|-Werror|-O\d|-g |-fdiagnostics-color=\S+|-fsanitize\S+|--coverage", "", " ".join(words))
    print(path[len(root):], flags, sep="\t")
json.dump(once, open(work + "/compile_commands.json", "w"))
END
cut -f1 "$work/commands" >"$work/files"

# clang_tidy CHECKS FILES-AT-A-TIME: of the files named on standard input.
clang_tidy() {
  command -v clang-tidy >/dev/null || return 127
  xargs -P "$n_jobs" -n "$2" clang-tidy --quiet -p "$work" --checks="$1" --extra-arg=-Wno-unknown-warning-option \
    --extra-arg=-Qunused-arguments 2>/dev/null || true
}

run_tidy() { clang_tidy '-clang-analyzer-*' 4 <"$work/files"; }

# One file at a time: with several the analyser of clang 14 takes every va_list but the first for uninitialized.
run_clang() {
  local off='-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-clang-analyzer-optin.performance.Padding'
  grep -v '^tests/' "$work/files" | clang_tidy "-*,clang-analyzer-*,$off" 1
}

run_cppcheck() {
  command -v cppcheck >/dev/null || return 127
  # the two macros of jansson, whose header it does not read
  cat >"$work/jansson.h" <<'END'
#define json_array_foreach(a, i, v) for (i = 0; i < json_array_size(a) && (v = json_array_get(a, i)); i++)
#define json_object_foreach(o, k, v) for (k = json_object_iter_key(json_object_iter(o)); k && (v = json_object_get(o, k));)
END
  # uninitvar: it takes arrays that a function fills for uninitialized; compilers and gcc -fanalyzer watch those better
  cppcheck -q -j "$n_jobs" --enable=warning,performance,portability --suppress=uninitvar --suppress=legacyUninitvar --std=c11 \
    --max-configs=1 -D__GNUC__=12 -I . -I "$build/dsl" --include="$work/jansson.h" \
    --template='{file}:{line}:{column}: warning: {message} [{id}]' --file-list="$work/files" 2>&1 || true
}

# use-of-uninitialized-value: of arrays that a loop fills gcc 12 says it always; clang-analyzer and sanitizers look for the same.
run_gcc() {
  command -v gcc >/dev/null || return 127
  local options='-O0 -fanalyzer -Wno-analyzer-use-of-uninitialized-value -fdiagnostics-path-format=none -fdiagnostics-plain-output'
  (
    cd "$build"
    while IFS=$'\t' read -r file flags; do
      printf 'gcc %s %s -o /dev/null -c %s\n' "$flags" "$options" "$OLDPWD/$file"
    done <"$work/commands" | xargs -P "$n_jobs" -d '\n' -n 1 sh -c 2>&1 | grep -e '-Wanalyzer' || true
  )
}

# findings: what a tool said, on standard input, as lines `file:line: check: message`, each once. Only files of the tree.
findings() {
  sed -nE 's/^([^ :]+):([0-9]+):[0-9]+: (warning|error): (.*) \[-?W?([A-Za-z0-9_.,=-]+)\]$/\1\t\2\t\5\t\4/p' |
    while IFS=$'\t' read -r file line check message; do
      case $file in /*) ;; *) file=$(cd "$build" && realpath -m "$file") ;; esac
      [ -f "$file" ] || file=$PWD/${file#"$build/"}
      file=$(realpath -m "$file")
      case $file in "$build"/*) ;; "$PWD"/*) printf '%s:%s: %s: %s\n' "${file#"$PWD/"}" "$line" "$check" "$message" ;; esac
    done | sort -u
}

# judge TOOL: counts findings that tools/analyze.txt does not excuse.
judge() {
  local tool=$1
  sed -nE "s/^$tool +//p" tools/analyze.txt >"$work/excused"
  findings <"$work/$tool.out" | awk -v tool="$tool" -v out="$work/$tool.bad" '
    function excused(file, check,    key, f) { # the line of tools/analyze.txt that covers it: a file, or a folder and `*`
      for (key in excuse) {
        split(key, f, " ")
        if (f[2] == check && (f[1] == file || (sub(/[*]$/, "", f[1]) && index(file, f[1]) == 1))) return key
      }
      return ""
    }
    FILENAME == ARGV[1] { sub(/:$/, "", $2); excuse[$1 " " $2] = 1; next }
    {
      split($1, place, ":")
      check = $2; sub(/:$/, "", check)
      key = excused(place[1], check)
      if (key != "") used[key] = 1
      else { print; bad[place[1]] = 1; n++ }
    }
    END {
      for (key in excuse) if (!(key in used)) { print "tools/analyze.txt: " tool " says this no longer: " key; n++ }
      for (f in bad) print f >out
      exit n > 0
    }' "$work/excused" - >"$work/$tool.said" || true
  touch "$work/$tool.bad"
  sed "s/^/$tool: /" "$work/$tool.said"
  n_failed=$((n_failed + $(wc -l <"$work/$tool.said")))
  n_passed=$((n_passed + $(grep -vxFc -f "$work/$tool.bad" "$work/files" || true)))
}

for tool in $tools; do
  case $tool in
  tidy | cppcheck | gcc | clang) ;;
  *)
    sed -n '/^#   /s/^# *//p' "$0" >&2
    exit 64
    ;;
  esac
  if "run_$tool" >"$work/$tool.out"; then judge "$tool"; else echo "SKIP $tool: it is not installed (tools/deps.sh test)"; fi
done
echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ]
