# programs.sh: for tests of the programs: a folder of their own, removed at the end, and checks that count. Sourced with the paths
# of advc and advrun as $1 and $2; the test ends with `finish`.
advc=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
advrun=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset ADV_DATA XDG_CACHE_HOME
export HOME="$dir/home" OMP_NUM_THREADS=1
cd "$dir" || exit 1
n_passed=0
n_failed=0

# ok NAME COMMAND...: the command's exit code is 0.
ok() {
  name=$1
  shift
  if "$@"; then n_passed=$((n_passed + 1)); else n_failed=$((n_failed + 1)); echo "FAIL $name"; fi
}

# says CODE TEXT COMMAND...: exit code and TEXT in what it says on either stream.
says() {
  code=$1
  text=$2
  shift 2
  out=$("$@" 2>&1)
  got=$?
  case $out in
  *"$text"*) [ "$got" -eq "$code" ] && n_passed=$((n_passed + 1)) && return ;;
  esac
  n_failed=$((n_failed + 1))
  echo "$*: exit code $got, expected $code; output, expected to contain \`$text\`:"
  printf '%s\n' "$out" | tail -20 | sed 's/^/  | /'
}

finish() {
  echo "$n_passed passed, $n_failed failed"
  [ "$n_failed" -eq 0 ]
}
