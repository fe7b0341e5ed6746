# count.awk: reads meson's testlog.txt and prints a line a test that did not pass or left something out, then
# "N passed, N failed, N skipped". A program that ends with its own "N passed, N failed" counts as those; another counts as one.
# Lines that begin with SKIP are repeated, because what is left out is always named, and the last lines that a failed program wrote.

function fail(   i) {
    print "FAIL " name
    for (i = n_lines > 12 ? n_lines - 11 : 1; i <= n_lines; i++) print "  " lines[i]
}

function close_test() {
    if (name == "") return
    if (code == 77) {
        skipped++
        print "SKIP " name ": " (last == "" ? "it gave no reason" : last)
    } else if (has_counts) {
        passed += good
        failed += bad
        if (bad > 0 || code != 0) fail()
        if (bad == 0 && code != 0) failed++
    } else if (code == 0) passed++
    else { failed++; fail() }
    name = ""
}

/^=+ [0-9]+\/[0-9]+ =+$/ { close_test(); has_counts = n_lines = 0; code = -1; last = ""; next }
/^test: +/ && code == -1 { name = $0; sub(/^test: +/, "", name); next }
/^result: +/ && code == -1 { code = 1; if (match($0, /exit status [0-9]+/)) code = substr($0, RSTART + 12, RLENGTH - 12) + 0; next }
/^(start time|duration|command): / { next }
/^-+ (stdout|stderr) -+$/ { next }
/^=+$/ { next }
/^SKIP / { print name ": " $0; next }
/^[0-9]+ passed, [0-9]+ failed/ { has_counts = 1; good = $1 + 0; bad = $3 + 0 }
NF { last = lines[++n_lines] = $0 }
END { close_test(); print passed + 0 " passed, " failed + 0 " failed, " skipped + 0 " skipped" }
