#!/bin/sh
# test_checks.sh TOOLS_DIR: the checks of the source tree must find what they are for. Builds small trees with one offence each
# and expects it to be named; a tree without one must pass. Prints `N passed, N failed`.
set -eu
tools=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n_good=0
n_bad=0

# A tree in which there is nothing to find.
fresh() {
  rm -rf "$work/tree"
  for folder in dsl compiler runtime/base ops tools tests; do mkdir -p "$work/tree/$folder"; done
  echo 'int x;' >"$work/tree/runtime/base/x.h"
  echo '#include "runtime/base/x.h"' >"$work/tree/dsl/lex.c"
  echo '/* snprintf(a, n, "exit"); upgrade */ void f(void) { adv_exit(); s->abort(); }' >"$work/tree/ops/x.c"
}

# finds CHECK FILE TEXT: with TEXT as a line of FILE, CHECK must fail and name FILE.
finds() {
  fresh
  printf '%s\n' "$3" >"$work/tree/$2"
  if said=$("$tools/$1" "$work/tree"); then
    echo "$1 does not find \`$3\` in $2"
    n_bad=$((n_bad + 1))
  else
    case $said in
    *"$2:1:"*) n_good=$((n_good + 1)) ;;
    *) echo "$1 fails without naming $2: $said"; n_bad=$((n_bad + 1)) ;;
    esac
  fi
}

for check in check_includes.sh check_methods.sh check_calls.sh check_width.sh; do
  fresh
  if "$tools/$check" "$work/tree" >"$work/said"; then n_good=$((n_good + 1)); else
    echo "$check refuses a tree with nothing to find:"
    cat "$work/said"
    n_bad=$((n_bad + 1))
  fi
done

finds check_includes.sh dsl/a.c '#include "ops/adv_op.h"'
finds check_includes.sh dsl/a.c '#include "compiler/graph/graph.h"'
finds check_includes.sh ops/a.c '#include "compiler/graph/graph.h"'
finds check_includes.sh ops/a.c '#include "runtime/session.h"'
finds check_includes.sh runtime/a.c '#include "compiler/graph/graph.h"'
finds check_includes.sh runtime/base/a.c '#include "ops/view.h"'
finds check_includes.sh compiler/a.c '# include "runtime/session.h"'
finds check_includes.sh tools/advc.c '#include "runtime/base/diag.h"'
finds check_includes.sh tests/a.c '#include "../ops/view.h"'
finds check_includes.sh compiler/a.c '#include <dnnl.h>'
finds check_includes.sh runtime/a.c '#include <curl/curl.h>'
finds check_methods.sh compiler/a.c '/* as in PGD-20 */'
finds check_methods.sh runtime/a.h 'int n_trades_steps;'
finds check_methods.sh dsl/a.re '"mart" { return MART; }'
finds check_methods.sh runtime/base/a.def 'DIAG(ades, 1)'
finds check_methods.sh compiler/elab.c 'x = "pgd_linf";'
finds check_calls.sh runtime/a.c 'void f(void) { exit(1); }'
finds check_calls.sh ops/a.c 'void f(void) { printf("x"); }'
finds check_calls.sh compiler/a.c 'char *f(void) { return getenv ("X"); }'
finds check_calls.sh dsl/a.re '  strcpy(a, b);'
finds check_width.sh ops/a.cu "/* $(printf '%0140d' 0) */"
echo "$n_good passed, $n_bad failed"
[ "$n_bad" -eq 0 ]
