#!/bin/sh
# api_doc.sh: the reference manual of the C API, from the headers: every comment with the declaration that stands below it.
#
#   tools/api_doc.sh [FOLDER]       prints docs/api.md; fails, naming it, if a declaration has no comment
#
# A comment belongs to what follows it up to the next empty line. `/* ---- words ---- */` is a heading. In a comment, lines that
# are indented are code.
set -eu

HEADERS='runtime/adv.h compiler/adv_compile.h runtime/adv_types.h runtime/adv_dlpack.h ops/adv_op.h'

root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
cd "$root"
echo '# C API'
echo
echo 'What the headers say, a section each: [embedding.md](embedding.md) is the way in, [ops.md](ops.md) the table of ops.'
# shellcheck disable=SC2086
awk '
# A line of a comment without its marks.
function bare(line) {
    sub(/^\/\* ?/, "", line)
    sub(/^\*\* ?/, "", line)
    sub(/ *\*\/$/, "", line)
    return line
}

# Comment text as Markdown: indented lines become code, stars that would mean emphasis are escaped.
function markdown(text,    n, lines, i, out, in_code) {
    sub(/\n+$/, "", text)
    n = split(text, lines, "\n")
    for (i = 1; i <= n; i++) {
        if (lines[i] ~ /^  / && !in_code) { out = out "```c\n"; in_code = 1 }
        else if (lines[i] !~ /^  / && in_code && lines[i] != "") { out = out "```\n\n"; in_code = 0 }
        if (in_code) sub(/^  /, "", lines[i])
        else gsub(/\*/, "\\*", lines[i])
        if (in_code && lines[i] == "") continue
        out = out lines[i] "\n"
    }
    return out (in_code ? "```\n" : "")
}

# The names that a declaration gives.
function names(code,    n, lines, i, line, all) {
    n = split(code, lines, "\n")
    for (i = 1; i <= n; i++) {
        line = lines[i]
        if (line ~ /^[ }]/ && line !~ /^}/) continue
        if (match(line, /adv_[a-z0-9_]+\(/)) line = substr(line, RSTART, RLENGTH - 1)
        else if (line ~ /^typedef struct [A-Za-z]+ \{/) { sub(/^typedef struct /, "", line); sub(/ .*/, "", line) }
        else if (line ~ /^typedef .*\{.*} [A-Za-z]+;/) { sub(/.*} /, "", line); sub(/;.*/, "", line) }
        else if (line ~ /^(typedef enum|typedef struct) .*\{/) continue
        else if (line ~ /^} [A-Za-z0-9_]+;/) { sub(/^} /, "", line); sub(/;.*/, "", line) }
        else if (line ~ /^#define [A-Z_a-z0-9]+/) { sub(/^#define /, "", line); sub(/[ (].*/, "", line) }
        else if (line ~ /^typedef .*;/) {
            if (match(line, /[A-Za-z0-9_]+\(/)) line = substr(line, RSTART, RLENGTH - 1)
            else { sub(/;.*/, "", line); sub(/.* \**/, "", line) }
        }
        else if (line ~ /^struct [A-Za-z]+ \{/) { sub(/^struct /, "", line); sub(/ .*/, "", line) }
        else if (line ~ /^enum/ && match(code, /ADV_[A-Z]+_/)) line = substr(code, RSTART, RLENGTH) "*"
        else continue
        if (index(", " all ", ", ", " line ", ") == 0) all = all (all == "" ? "" : ", ") line
    }
    return all
}

function flush_group(    n) {
    if (code == "" || code ~ /^(struct [A-Za-z]+;\n)+$/) { comment = code = ""; return }
    if (comment == "") {
        n = split(code, first, "\n")
        printf "%s:%d: `%s` has no comment\n", FILENAME, code_at, first[1] > "/dev/stderr"
        failed = 1
    } else if (names(code) != "") {
        printf "\n#### `%s`\n\n```c\n%s```\n\n%s", names(code), code, markdown(comment)
    }
    code = comment = ""
}

FNR == 1 { state = "head"; depth = 0; skip = 0; comment = code = ""; printf "\n## %s\n\n", FILENAME }

state == "head" {
    comment = comment bare($0) "\n"
    if ($0 ~ /\*\/$/) {
        sub(/^[a-z_.]+: /, "", comment)
        printf "%s", markdown(toupper(substr(comment, 1, 1)) substr(comment, 2))
        comment = ""
        state = "out"
    }
    next
}

state == "comment" {
    comment = comment bare($0) "\n"
    if ($0 ~ /\*\/$/) state = "out"
    next
}

depth == 0 && /^\/\* ---- / {
    flush_group()
    sub(/^\/\* -+ /, ""); sub(/ -+ \*\/$/, "")
    printf "\n### %s\n", toupper(substr($0, 1, 1)) substr($0, 2)
    next
}

depth == 0 && /^\/\*/ {
    flush_group()
    comment = bare($0) "\n"
    if ($0 !~ /\*\/$/) state = "comment"
    next
}

depth == 0 && /^$/ { flush_group(); next }
depth == 0 && /^(#if|#else|#endif|#include|extern "C"|}$)/ { if (comment == "") next }
depth == 0 && /^#define [A-Z_]+_H$/ { next }
depth == 0 && /^#define ADV_(MUST_USE|PRINTF|API)/ { next }

{
    if (code == "") code_at = FNR
    code = code $0 "\n"
    line = $0
    gsub(/\/\*[^*]*\*\//, "", line)
    sub(/\/\*.*/, "", line)
    depth += gsub(/\{/, "{", line) - gsub(/\}/, "}", line)
}

END { exit failed }
' $HEADERS
