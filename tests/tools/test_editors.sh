#!/bin/sh
# test_editors.sh: the grammars in tools/editors know exactly the words that dsl/lex.re knows, and colour tests/tools/scopes.adv right.
#   tests/tools/test_editors.sh     (ADV_SOURCE_ROOT: the source tree, when not run from inside it)
# Without vim or python3 their part is named as skipped. Prints `N passed, N failed`.
set -eu

root=${ADV_SOURCE_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n_passed=0
n_failed=0

# result NAME STATUS
result() {
  if [ "$2" -eq 0 ]; then n_passed=$((n_passed + 1)); else n_failed=$((n_failed + 1)); echo "FAIL $1"; fi
}

grep -oE '"[a-z]+" +\{ R\(TK_' "$root/dsl/lex.re" | sed -E 's/^"([a-z]+)".*/\1/' | sort -u >"$work/lexer"
# The alternatives of its word rules: (a|b|c) in TextMate, \(a\|b\|c\) and `syn keyword` in Vim.
grep -oE '\([a-z]+(\|[a-z]+)+\)' "$root/tools/editors/adv.tmLanguage.json" | tr -d '()' | tr '|' '\n' | sort -u >"$work/textmate"
{
  grep -oE '\\\([a-z]+(\\\|[a-z]+)+\\\)' "$root/tools/editors/adv.vim" | sed 's/\\[()]//g; s/\\|/\n/g'
  sed -n 's/^syn keyword advWord //p' "$root/tools/editors/adv.vim" | tr ' ' '\n'
} | sort -u >"$work/vim"
[ "$(wc -l <"$work/lexer")" -gt 30 ] || { echo "found too few keywords in dsl/lex.re"; exit 1; }
for editor in textmate vim; do
  status=0
  diff -u "$work/lexer" "$work/$editor" || status=1
  result "keywords of $editor" $status
done

if command -v python3 >/dev/null 2>&1; then
  status=0
  python3 "$root/tests/tools/test_editors.py" "$root" || status=1
  result 'scopes of the TextMate grammar' $status
else
  echo 'SKIP scopes of the TextMate grammar: no python3'
fi

# vim_group LINE TEXT WANT: the highlight group of the first character of TEXT.
vim_group() {
  printf '%s\n' "call cursor($1, 1)" "call search('\\V\\<$2\\>', 'c', $1)" \
    "let group = synIDattr(synID(line('.'), col('.'), 1), 'name')" \
    "call add(g:out, group ==# '$3' ? 'ok' : '$1 $2: ' . group . ', expected $3')" >>"$work/script"
}
if command -v vim >/dev/null 2>&1 && vim --version | grep -q '+syntax'; then
  printf '%s\n' 'let g:out = []' 'syntax on' "source $root/tools/editors/adv.vim" >"$work/script"
  vim_group 1 adv advImport
  vim_group 2 as advWord
  vim_group 2 comment advComment
  vim_group 3 param advDeclaration
  vim_group 3 255 advNumber
  vim_group 4 data advSection
  vim_group 4 batch ''
  vim_group 6 norm2 advCall
  vim_group 7 step advSection
  vim_group 8 steps ''
  vim_group 9 minimize advStatement
  vim_group 9 over advWord
  vim_group 11 with ''
  vim_group 11 then advWord
  vim_group 11 no advString
  printf '%s\n' "call writefile(g:out, '$work/groups')" 'qa!' >>"$work/script"
  timeout 20 vim -u NONE -N -es -S "$work/script" "$root/tests/tools/scopes.adv" </dev/null >/dev/null 2>&1 || true
  status=0
  [ -s "$work/groups" ] || { echo 'vim wrote nothing'; status=1; }
  if [ -s "$work/groups" ] && grep -v '^ok$' "$work/groups"; then status=1; fi
  result 'groups of the Vim syntax' $status
else
  echo 'SKIP groups of the Vim syntax: no vim with syntax'
fi
echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ]
