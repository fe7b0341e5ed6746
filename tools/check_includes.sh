#!/bin/sh
# check_includes.sh: who may include whom. The direction of dependencies is a table, and this script reads it.
#
#   tools/check_includes.sh [FOLDER]      checks the tree at FOLDER (default: the one this script is in)
#
# Every `#include "..."` of a .c .h .def .re .y .cu .cuh file is looked up in EDGES: the first line whose left side matches
# the file says which headers it may include (shell patterns; a name without a slash is in the file's own folder).
# LIBRARIES does the same for headers of other projects: the files on the right may include them, nobody else.
# `../` in an include is refused everywhere. Prints each offence and `N passed, N failed` (one a file checked).
set -eu

EDGES='
tools/advdata.c        tools/* runtime/adv.h runtime/adv_types.h runtime/base/*
tools/data/*           tools/* runtime/adv_types.h runtime/base/*
tools/plugin/*         tools/* tests/ops/*.h compiler/embed.h ops/*.h ops/cpu/kernels_cpu.h runtime/module.h runtime/adv_types.h runtime/base/*
tools/*                tools/* compiler/adv_compile.h runtime/adv.h runtime/adv_types.h ops/adv_op.h
dsl/*                  dsl/* runtime/base/* runtime/adv_types.h
compiler/graph/*       compiler/graph/* dsl/* ops/*.h ops/*.def runtime/base/* runtime/adv_types.h runtime/plan.h
compiler/pass/*        compiler/graph/* compiler/pass/* ops/*.h ops/*.def runtime/base/* runtime/adv_types.h runtime/plan.h
compiler/plan/*        compiler/graph/* compiler/pass/* compiler/plan/* ops/*.h ops/*.def runtime/base/* runtime/adv_types.h runtime/plan.h runtime/plan_load.h
compiler/elab/*        compiler/graph/* compiler/elab/* compiler/*.h dsl/* ops/*.h ops/*.def runtime/base/* runtime/adv_types.h
compiler/*             compiler/* dsl/* ops/*.h ops/*.def runtime/base/* runtime/adv_types.h runtime/plan.h runtime/plan_load.h
ops/cuda/*             ops/* runtime/cuda/api.h runtime/cuda/api.def runtime/base/* runtime/adv_types.h
ops/*                  ops/* runtime/base/* runtime/adv_types.h
runtime/base/*         runtime/base/* runtime/adv_types.h
runtime/adv_types.h    -
runtime/*              runtime/* ops/*
tests/*                *
'

LIBRARIES='
dnnl*.h                ops/cpu/dnnl_*
omp.h                  ops/cpu/* runtime/backend_cpu.c
jansson.h              runtime/* compiler/* tools/* tests/*
xxhash.h               runtime/base/* compiler/*
curl/*                 tools/* tests/tools/*
archive*.h             tools/* tests/tools/*
spng.h                 tools/* tests/*
zlib.h                 tools/* tests/*
sha2.h                 tools/*
md5.h                  tools/*
cuda*.h                ops/cuda/* runtime/cuda/*
cublas*.h              ops/cuda/* runtime/cuda/*
cudnn*.h               ops/cuda/* runtime/cuda/*
nvrtc.h                ops/cuda/* runtime/cuda/*
nvtx3/*                runtime/cuda/*
Python.h               -
'

root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
cd "$root"
set -f # patterns of the tables stay patterns

# matches TEXT PATTERN...: does TEXT match one of them?
matches() {
  text=$1
  shift
  for pattern in "$@"; do
    # shellcheck disable=SC2254
    case $text in $pattern) return 0 ;; esac
  done
  return 1
}

# allowed_by TABLE KEY: the right side of the first line whose left side matches KEY, in $allowed.
allowed_by() {
  allowed=
  while read -r left right; do
    [ -n "$left" ] || continue
    # shellcheck disable=SC2254
    case $2 in $left) allowed=$right; return 0 ;; esac
  done <<TABLE
$1
TABLE
  return 1
}

# check_line FILE LINE KIND NAME: KIND is `"` or `<`.
check_line() {
  case $4 in
  *../*) echo "$1:$2: \`$4\`: an include never goes up"; return 1 ;;
  esac
  if [ "$3" = '<' ]; then
    allowed_by "$LIBRARIES" "$4" || return 0 # the C library
    # shellcheck disable=SC2086
    matches "$1" $allowed && return 0
    echo "$1:$2: <$4> may be included by \`$allowed\` only"
    return 1
  fi
  case $4 in */*) name=$4 ;; *) name=${1%/*}/$4 ;; esac
  allowed_by "$EDGES" "$1" || { echo "$1:$2: no line of the table covers this file"; return 1; }
  # shellcheck disable=SC2086
  matches "$name" $allowed && return 0
  echo "$1:$2: includes \`$4\`, but may include only: $allowed"
  return 1
}

files=$(find dsl compiler runtime ops tools tests -type f \
  \( -name '*.[chy]' -o -name '*.def' -o -name '*.re' -o -name '*.cu' -o -name '*.cuh' \) | sort)
n_files=$(printf '%s\n' "$files" | grep -c .)
lines=$(printf '%s\n' "$files" | xargs grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' /dev/null |
  sed -E 's/^([^:]+):([0-9]+):[^"<]*(["<])([^">]+).*/\1 \2 \3 \4/')
bad=
while read -r file line kind name; do
  [ -n "$file" ] || continue
  check_line "$file" "$line" "$kind" "$name" || bad="$bad
$file"
done <<LINES
$lines
LINES
n_bad=$(printf '%s\n' "$bad" | sort -u | grep -c . || true)
echo "$((n_files - n_bad)) passed, $n_bad failed"
[ "$n_bad" -eq 0 ]
