#!/bin/sh
# installed.sh BUILD SOURCE_ROOT: the libraries as other people get them. Installs the build into a folder of its own and looks at
# what is there: names exported and imported, libraries needed, size, versions; then builds the examples of this folder against it,
# outside the tree, with nothing but pkg-config, and runs them. Prints `N passed, N failed`.
set -eu
build=$(realpath "$1")
root=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n_good=0
n_bad=0
pass() { n_good=$((n_good + 1)); }
fail() {
  n_bad=$((n_bad + 1))
  echo "$*"
}

# Names that an import of the library may not have: ending the process, its streams, environment, locale, signals, the network.
FORBIDDEN='abort exit _exit _Exit quick_exit atexit __assert_fail printf fprintf vprintf vfprintf puts fputs putchar fputc fwrite perror
  __printf_chk __fprintf_chk stdout stderr stdin getenv secure_getenv setenv putenv setlocale uselocale signal sigaction raise kill
  socket connect bind listen getaddrinfo gethostbyname system popen fork execv execve'

DESTDIR=$work/dest meson install -C "$build" --no-rebuild >"$work/log" 2>&1 || {
  cat "$work/log"
  echo "0 passed, 1 failed"
  exit 1
}
lib=$(dirname "$(find "$work/dest" -name libadv.so)")
include=$(find "$work/dest" -type d -path '*/include/adv')
export PKG_CONFIG_SYSROOT_DIR="$work/dest" PKG_CONFIG_PATH="$lib/pkgconfig" LD_LIBRARY_PATH="$lib" OMP_NUM_THREADS=1

# exports LIBRARY HEADER...: it exports the functions that these headers mark ADV_API, and nothing else.
exports() {
  name=$1
  shift
  nm -D --defined-only "$lib/$name" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$work/has"
  (cd "$include" && cat "$@") | tr '\n' ' ' | grep -oE 'ADV_API [^;{]*\(' | grep -oE 'adv_[a-z0-9_]+ ?\(' | tr -d ' (' |
    sort -u >"$work/says"
  if [ -s "$work/says" ] && diff "$work/says" "$work/has" >"$work/diff"; then pass; else
    fail "$name exports (>) other names than its headers declare (<):"
    cat "$work/diff"
  fi
}

# imports LIBRARY: nothing of the list above.
imports() {
  nm -D --undefined-only "$lib/$1" | awk '{ sub(/@.*/, "", $2); print $2 }' >"$work/needs"
  found=
  for word in $FORBIDDEN; do grep -qx "$word" "$work/needs" && found="$found $word"; done
  if [ -s "$work/needs" ] && [ -z "$found" ]; then pass; else fail "$1 imports$found"; fi
}

# needs LIBRARY PATTERN: the libraries it is linked with.
needs() {
  others=$(readelf -d "$lib/$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE "^($2)\." || true)
  if [ -z "$others" ]; then pass; else fail "$1 needs $others"; fi
}

exports libadv.so runtime/adv.h
exports libadvc.so compiler/adv_compile.h
for name in libadv.so libadvc.so; do
  imports $name
  soname=$(readelf -d "$lib/$name" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
  if [ "$soname" = "$name.1" ] && [ -e "$lib/$soname" ]; then pass; else fail "$name has the soname $soname"; fi
done
needs libadv.so 'libc\.so|libm\.so|libjansson\.so|libxxhash\.so|libdnnl\.so|libgomp\.so|ld-linux-x86-64\.so'
needs libadvc.so 'libc\.so|libm\.so|libjansson\.so|libxxhash\.so|ld-linux-x86-64\.so'
strip -o "$work/stripped" "$lib/libadv.so"
bytes=$(wc -c <"$work/stripped")
if [ "$bytes" -le 1048576 ]; then pass; else fail "libadv.so is $bytes bytes stripped, more than 1 MiB"; fi
version=$(sed -n 's/^#define ADV_VERSION "\(.*\)"$/\1/p' "$include/runtime/adv_types.h")
for name in adv advc; do
  if [ "$(pkg-config --modversion $name)" = "$version" ]; then pass; else
    fail "$name.pc says another version than adv_types.h: $version"
  fi
done

case $(pkg-config --variable=backend_dir adv) in */adv) pass ;; *) fail 'adv.pc does not say where back ends lie' ;; esac

# example FILE COMPILER STANDARD: built in a folder of its own, run in the source tree.
example() {
  name=$(basename "$1")
  mkdir -p "$work/$name"
  cp "$1" "$work/$name"
  # shellcheck disable=SC2046
  if (cd "$work/$name" && $2 -std="$3" -O1 -Wall -Wextra -Wpedantic -Werror "$name" $(pkg-config --cflags --libs advc) -pthread \
    -o example) >"$work/log" 2>&1 && (cd "$root" && "$work/$name/example") >"$work/log" 2>&1; then pass; else
    fail "$name, built against the installed library, fails:"
    cat "$work/log"
  fi
}
mkdir "$work/pages"
awk '/^```c$/ { on = 1; next } /^```/ { on = 0 } on' "$root/README.md" >"$work/pages/README.c"
for file in "$work/pages/README.c" "$root"/tests/api/*.c; do example "$file" "${CC:-cc}" c11; done
if command -v g++ >/dev/null 2>&1; then
  for file in "$root"/tests/api/*.cpp; do example "$file" g++ c++17; done
else
  echo "SKIP examples in C++: g++ is not installed"
fi
if /usr/bin/python3 -c 'import numpy' 2>/dev/null; then
  if /usr/bin/python3 "$root/tests/api/train_numpy.py" "$lib" >"$work/log" 2>&1; then pass; else
    fail 'train_numpy.py fails:'
    cat "$work/log"
  fi
else
  echo 'SKIP train_numpy.py: /usr/bin/python3 has no numpy'
fi
echo "$n_good passed, $n_bad failed"
[ "$n_bad" -eq 0 ]
