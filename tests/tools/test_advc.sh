#!/bin/sh
# test_advc.sh: advc as people use it, and `advrun --explain`: transcripts compared with files in golden/, exit codes included.
#
#   tests/tools/test_advc.sh PATH-OF-ADVC PATH-OF-ADVRUN [--update]
#
# A transcript holds the command, its standard output, standard error and exit code. --update writes the files anew: review the
# difference like code. What is too long or changes often is tested by its properties instead. Prints `N passed, N failed`.
set -u

advc=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
advrun=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
update=${3-}
golden=$(cd "$(dirname "$0")" && pwd)/golden
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset ADV_DATA XDG_CACHE_HOME
export HOME="$work/home" OMP_NUM_THREADS=1 TERM=dumb
cd "$work" || exit 1
cp "$golden"/*.adv .
n_passed=0
n_failed=0

pass() { n_passed=$((n_passed + 1)); }
fail() { n_failed=$((n_failed + 1)); echo "FAIL $1"; }
# ok NAME COMMAND...
ok() {
  name=$1
  shift
  if "$@"; then pass; else fail "$name"; fi
}

# transcript NAME ARGS...: of advc
transcript() {
  name=$1
  shift
  "$advc" "$@" >out 2>err </dev/null
  { code=$?; echo "\$ advc $*"; cat out; echo '--- standard error'; cat err; echo "--- exit code $code"; } >"$name.txt"
  if [ "$update" = --update ]; then cp "$name.txt" "$golden/$name.txt"; fi
  ok "$name" diff -u "$golden/$name.txt" "$name.txt"
}

# ---- transcripts
transcript help --help
transcript no_arguments
transcript unknown_option --sett=a recipe.adv
transcript unknown_verb chek tiny.adv
transcript set_without_recipe --set tiny.adv
transcript unknown_dump --dump=graph,grahp check tiny.adv
transcript unknown_pass --skip=dce,hiost check tiny.adv
transcript unknown_stop --stop-after=everything check tiny.adv
transcript plugin_missing --plugin=libnone.so check tiny.adv
transcript unknown_format --message-format=xml tiny.adv
transcript unknown_list list colours
transcript missing_file check none.adv
transcript missing_file_json --message-format=json check none.adv
transcript missing_file_short --message-format=short check none.adv
transcript broken check broken.adv
transcript broken_short --message-format=short check broken.adv
transcript broken_json --message-format=json expand broken.adv
transcript helps check helps.adv
transcript meant check meant.adv
transcript classes check classes.adv
transcript nowhere check nowhere.adv
transcript names check names.adv
transcript set_without_value --message-format=json --set rate check tiny.adv
transcript set_unknown expand --set speed=1 tiny.adv
transcript set_short check --set epochs=4 tiny.adv
transcript expand expand --set rate=1/4 --set train.seed=7 uses.adv
transcript plan_explain plan --explain --entry=step.main tiny.adv
transcript plan_explain_init plan --explain --entry=init tiny.adv
transcript plan_no_entry plan --explain --entry=step.warm tiny.adv
transcript graph_dot graph --entry=batch tiny.adv
transcript list_datasets list --json datasets
transcript list_targets list targets
transcript doc_text doc conv2d
transcript doc_markdown doc --markdown clip
transcript doc_html doc --html softmax
transcript doc_man doc --man draw
transcript doc_unknown doc conv3d
transcript explain_unknown explain ADV0001
ok 'a lint is explained by its name' sh -c "'$advc' explain call_repeated_after_update | grep -q ADV3"
ok 'list says of what' sh -c "'$advc' list 2>&1 | grep -q 'ops, builtins, layers'"
transcript completion --completion=bash

# ---- fmt
printf 'adv 1\nparam   a=1 # x\n' >loose.adv
ok 'fmt --check says no' sh -c "'$advc' fmt --check loose.adv 2>err; [ \$? -eq 1 ] && grep -q 'loose.adv: not in canonical form' err"
ok 'fmt --check changes nothing' grep -q 'param   a=1' loose.adv
ok 'fmt rewrites' sh -c "'$advc' fmt loose.adv && [ \"\$(cat loose.adv)\" = 'adv 1
param a = 1  # x' ]"
ok 'fmt --check says yes' "$advc" fmt --check loose.adv
ok 'fmt of standard input' sh -c "printf 'adv 1\nparam   a=1\n' | '$advc' fmt - | grep -qx 'param a = 1'"
keeps_what_it_cannot_read() {
  printf 'adv 1\nparam = = 1\n' >bad.adv
  cp bad.adv kept.adv
  "$advc" fmt bad.adv 2>/dev/null
  [ $? -eq 65 ] && cmp bad.adv kept.adv
}
ok 'fmt keeps a file it cannot read' keeps_what_it_cannot_read

cannot_print() {
  "$advc" list ops >/dev/full 2>err
  [ $? -eq 74 ] && grep -q 'cannot write to standard output' err
}
ok 'standard output that takes nothing' cannot_print

# ---- plans
ok 'plan --explain writes no plan' sh -c "'$advc' plan --explain tiny.adv >/dev/null 2>&1 && [ ! -e out.plan ]"
ok 'plan writes one' sh -c "'$advc' plan -o a.plan tiny.adv 2>/dev/null && [ -s a.plan ]"
ok 'a plan is no recipe' sh -c "'$advc' check a.plan 2>err; [ \$? -eq 64 ] && grep -q 'advrun a.plan' err && [ \$(wc -l <err) -eq 2 ]"
same_when_expanded() {
  "$advc" expand uses.adv >whole.adv
  for r in uses whole; do "$advc" --dump=lowered check "$r.adv" >"$r.txt" 2>/dev/null || return 1; done
  [ -s uses.txt ] && cmp uses.txt whole.txt
}
ok 'expand makes the same plan' same_when_expanded
ok 'a recipe from standard input' sh -c "'$advc' -o b.plan - <tiny.adv 2>/dev/null && [ -s b.plan ]"
ok 'a plan that cannot be written' sh -c "'$advc' -o none/b.plan tiny.adv 2>err; [ \$? -eq 74 ] && grep -q 'cannot write' err"

# ---- the numbers of the two tables agree, and every instruction has a kernel
"$advrun" --explain --threads=1 a.plan >kernels 2>err || fail 'advrun --explain'
"$advc" plan --explain tiny.adv >costs 2>/dev/null
numbered() { awk '$1 ~ /^[0-9]+$/ && $2 ~ /^[a-z]/ { print $1, $2 }' "$1"; }
numbered kernels >1
numbered costs | grep -v instructions >2
ok 'both tables name the same ops' cmp 1 2
ok 'there are instructions' [ "$(wc -l <1)" -gt 30 ]
ok 'none runs on ref' grep -q '; 0 of [0-9]* instructions run on ref' kernels
ok 'a refusal has its reason' sh -c "\"$advrun\" --explain --threads=1 a.plan | grep -q 'plain  .*tile: for f32 and bf16 only'"
ok 'advrun --explain ran nothing' [ ! -e runs ]
ok 'on ref nothing is chosen' sh -c "\"$advrun\" --explain --backend=ref a.plan | grep -qE '^ref +[0-9]+$'"

# ---- pictures and data
if command -v dot >/dev/null 2>&1; then
  ok 'Graphviz reads the graph' sh -c "'$advc' graph tiny.adv 2>/dev/null | dot -Tsvg | grep -q '</svg>'"
else
  echo 'SKIP Graphviz reads the graph: dot is not installed'
fi
if command -v python3 >/dev/null 2>&1; then
  # json EXPRESSION: is it true of standard input, t?
  json() { python3 -c "import json, sys; t = sys.stdin.read(); assert $1" 2>/dev/null; }
  graph_is_json() {
    "$advc" graph --format=json tiny.adv 2>/dev/null | json '[e["name"] for e in json.loads(t)["entries"]][:2] == ["batch", "step.main"]'
  }
  list_is_json() { "$advc" list --json "$1" | json 'json.loads(t) and all(o["name"] and o["doc"] for o in json.loads(t))'; }
  list_is_whole() { "$advc" list --json "$1" | json "len(json.loads(t)) == $("$advc" list "$1" | wc -l)"; }
  messages_are_json() {
    "$advc" --message-format=json check broken.adv 2>&1 >/dev/null | json 'any(json.loads(s)["level"] == "error" for s in t.splitlines())'
  }
  ok 'the graph as JSON' graph_is_json
  for kind in ops builtins layers std lints codes datasets passes targets; do
    ok "list --json $kind" list_is_json "$kind"
    ok "list $kind has as many lines" list_is_whole "$kind"
  done
  ok 'messages as JSON' messages_are_json
else
  echo 'SKIP JSON: no python3'
fi
ops_have_pages() {
  for op in $("$advc" list ops | cut -f1); do
    "$advc" doc "$op" | grep -q '^  Facts' || { echo "$op"; return 1; }
  done
}
ok 'every op has a page' ops_have_pages
ok 'std functions have their comments' sh -c "'$advc' doc pgd | grep -q 'projected gradient ascent'"

# ---- files keep their mode, links stay links
mkdir -p kept
cp tiny.adv kept/real.adv && echo >>kept/real.adv && chmod 600 kept/real.adv && ln -s real.adv kept/link.adv
ok 'fmt through a link' "$advc" fmt kept/link.adv
ok 'the link is still one' [ -L kept/link.adv ]
ok 'its target is formatted' cmp -s tiny.adv kept/real.adv
ok 'and has its mode' [ "$(stat -c %a kept/real.adv)" = 600 ]

# ---- completion
if command -v bash >/dev/null 2>&1; then
  cat >complete.bash <<'END'
compopt() { :; }
source ./advc.bash
try() { COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); _advc; echo "${COMPREPLY[*]}"; }
try advc --mess
try advc --message-format = sh
try advc chec
try advc fmt ti
END
  "$advc" --completion=bash >advc.bash
  ok 'completion works in bash' [ "$(bash complete.bash)" = '--message-format=
short
check
tiny.adv' ]
  ok 'completion of advrun' sh -c "\"$advrun\" --completion=bash >r.bash && bash -n r.bash && grep -q -- --resume r.bash"
else
  echo 'SKIP completion: no bash'
fi

# ---- manual pages
for page in 'advc --man' 'advrun --man' 'advc doc --man'; do
  case $page in advrun*) "$advrun" --man >page.1 ;; *doc*) "$advc" doc --man >page.1 ;; *) "$advc" --man >page.1 ;; esac
  ok "$page begins with a title" sh -c "head -1 page.1 | grep -q '^\.TH '"
  if command -v mandoc >/dev/null 2>&1; then ok "$page is sound" mandoc -Tlint -W error page.1
  elif command -v groff >/dev/null 2>&1; then ok "$page is sound" sh -c "[ -z \"\$(groff -man -ww -z page.1 2>&1)\" ]"
  else echo "SKIP $page is sound: neither mandoc nor groff is installed"; fi
done
options_are_on_page() {
  "$advc" --man | sed 's/\\-/-/g' >page.txt
  for o in $("$advc" --help | sed -nE 's/^  --([a-z-]+).*/\1/p'); do
    grep -q -- "--$o" page.txt || { echo "$o"; return 1; }
  done
}
ok 'every option is on the manual page' options_are_on_page

echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ]
