#!/bin/sh
# grammar_doc.sh: the grammar as the language reference shows it, made from the rules of dsl/gram.y and the spellings in
# dsl/lex.re, so that the reference cannot say anything else.
#
#   tools/grammar_doc.sh            prints it
#   tools/grammar_doc.sh --write    puts it into dsl/README.md, between the lines that say so
#   tools/grammar_doc.sh --check    fails, with the difference, if dsl/README.md holds another one
#
# ADV_SOURCE_ROOT names the source tree when the script is not run from inside it.
set -eu

root=${ADV_SOURCE_ROOT:-$(cd "$(dirname "$0")/.." && pwd)}
readme=$root/dsl/README.md
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Token names and their spellings: "->" { R(TK_ARROW); }
grep -oE '"[^"]+" +\{ R\(TK_[A-Z]+\); \}' "$root/dsl/lex.re" | sed -E 's/^"([^"]+)" +\{ R\(TK_([A-Z]+)\); \}$/\2 \1/' > "$tmp/spellings"
lemon -g "$root/dsl/gram.y" | grep -E '^[a-z_]+ ::=' | grep -v 'BAD' > "$tmp/rules"

awk '
  FNR == NR { spelt[$1] = $2; next }
  function show(sym,   part, n, i, out) {
    n = split(sym, part, "|")
    for (i = 1; i <= n; i++) {
      if (part[i] == "END" || part[i] == "ID") out = part[i]
      else if (part[i] == "NUM") out = "NUMBER"
      else if (part[i] == "STR") out = "STRING"
      else if (part[i] in spelt) out = "\"" spelt[part[i]] "\""
      else out = part[i]
      list = i == 1 ? out : list " | " out
    }
    return n > 1 ? "( " list " )" : list
  }
  {
    sub(/\.$/, "")
    lhs = $1
    text = ""
    for (k = 3; k <= NF; k++) text = text (k > 3 ? " " : "") show($k)
    if (text == "") text = "/* nothing */"
    if (!(lhs in rule)) { order[++n_rules] = lhs; rule[lhs] = text }
    else rule[lhs] = rule[lhs] "\n" sprintf("%13s", "| ") text
  }
  END { for (i = 1; i <= n_rules; i++) printf "%-10s = %s ;\n", order[i], rule[order[i]] }
' "$tmp/spellings" "$tmp/rules" | sed 's/ *$//' > "$tmp/grammar"

begin='<!-- grammar: written by tools/grammar_doc.sh -->'
end='<!-- end of grammar -->'
case ${1:-} in
  '') cat "$tmp/grammar" ;;
  --write|--check)
    awk -v begin="$begin" -v end="$end" -v file="$tmp/grammar" '
      $0 == begin { print; print "```ebnf"; while ((getline line < file) > 0) print line; print "```"; skip = 1; found++ }
      $0 == end { skip = 0; found++ }
      !skip { print }
      END { exit found != 2 }
    ' "$readme" > "$tmp/readme" || { echo "$readme: the two lines around the grammar are missing" >&2; exit 1; }
    if [ "$1" = --write ]; then cp "$tmp/readme" "$readme"
    elif diff -u "$readme" "$tmp/readme"; then echo "1 passed, 0 failed"
    else echo "0 passed, 1 failed: run tools/grammar_doc.sh --write"; exit 1
    fi ;;
  *) echo "usage: tools/grammar_doc.sh [--write | --check]" >&2; exit 64 ;;
esac
