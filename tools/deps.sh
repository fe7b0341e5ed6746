#!/bin/sh
# deps.sh: installs what building, testing or running needs, through the system's package manager, and nothing that is
# there already. Says what it does; running it again does nothing.
#
#   tools/deps.sh [build|data|test|all]      default: all
#
#   build   compilers, meson, re2c, lemon and the libraries that advc and advrun link
#   data    what advdata needs to fetch and decode data sets (and the build, since advdata is built with it)
#   test    what the tests compare with: PyTorch for the system's Python, C++ compilers, fuzzing run times, static analysers,
#           coverage
#
# Written for Debian 12 and systems derived from it. Elsewhere it lists what is needed and ends with code 69.
set -eu

BUILD='meson ninja-build re2c lemon pkg-config gcc libc6-dev libjansson-dev libxxhash-dev libdnnl-dev'
DATA='libmd-dev libspng-dev zlib1g-dev libcurl4-openssl-dev libarchive-dev ca-certificates npm'
TEST='clang g++ libclang-rt-dev python3 python3-numpy python3-torch abigail-tools clang-tidy cppcheck gcovr'

case ${1:-all} in
build) wanted=$BUILD ;;
data) wanted="$BUILD $DATA" ;;
test | all) wanted="$BUILD $DATA $TEST" ;;
*)
  echo "usage: tools/deps.sh [build|data|test|all]" >&2
  exit 64
  ;;
esac

if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-query >/dev/null 2>&1; then
  echo "deps: this system has no apt. Please install what these Debian packages hold, then go on by hand" >&2
  echo "deps: (meson setup build && ninja -C build):" >&2
  echo "deps:   $wanted" >&2
  exit 69
fi

missing=
for package in $wanted; do
  case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true) in
  *'install ok installed') ;;
  *)
    # npm is often installed without a package of that name
    if [ "$package" = npm ] && command -v npm >/dev/null 2>&1; then continue; fi
    missing="$missing $package"
    ;;
  esac
done

if [ -z "$missing" ]; then
  echo "deps: all packages are installed"
  exit 0
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null 2>&1 || {
    echo "deps: these packages are missing, and installing them needs root:$missing" >&2
    echo "deps: as root: apt-get install$missing" >&2
    exit 69
  }
  as_root=sudo
fi

echo "deps: installing$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing
echo "deps: done"
