"""test_editors.py: what the TextMate grammar says of tests/tools/scopes.adv.

The grammar uses `match` rules only, so the rule of TextMate is short: of all patterns the one that matches earliest wins, of several
at one place the first in the list; then on from its end. Expectations are (line, text, scope), scope "" meaning none.
Usage: test_editors.py ROOT
"""
import json
import re
import sys

EXPECT = [
    (1, "adv", "keyword.control.import"), (1, "1", "constant.numeric"),
    (2, "use", "keyword.control.import"), (2, "as", "keyword.operator.word"), (2, "if", "comment"), (2, "3", "comment"),
    (3, "param", "storage.type"), (3, "lambda", "variable.other.declaration"), (3, "8", "constant.numeric"), (3, "in", "keyword.operator.word"), (3, "..", "keyword.operator"),
    (4, "data", "keyword.other.section"), (4, "mnist", "entity.name.section"), (4, "batch", ""), (4, "128", "constant.numeric"),
    (5, "model", "storage.type"), (5, "mnist_cnn", "support.function"), (5, "0.3", "constant.numeric"),
    (6, "signal", "storage.type"), (6, "step_size", "variable.other.declaration"), (6, "norm2", "support.function"),
    (7, "step", "keyword.other.section"),
    (8, "x_adv", ""), (8, "=>", "keyword.operator"), (8, "ce", "support.function"), (8, "2e-3", "constant.numeric"), (8, "steps", ""),
    (9, "minimize", "keyword.control.statement"), (9, "||", "keyword.operator"), (9, "over", "keyword.operator.word"),
    (11, "fn", "storage.type"), (11, "half", "entity.name.function"), (11, "with", ""), (11, "then", "keyword.operator.word"), (11, '"no # comment"', "string.quoted"),
    (12, "train", "keyword.other.section"), (12, "epochs", ""), (12, "seed", ""),
]


def scopes(rules, line):
    """The scope of each character."""
    out, at = [""] * len(line), 0
    while at < len(line):
        best = None
        for regex, rule in rules:
            m = regex.search(line, at)
            if m and m.end() > m.start() and (best is None or m.start() < best[0].start()):
                best = (m, rule)
        if not best:
            break
        m, rule = best
        for i in range(m.start(), m.end()):
            out[i] = rule.get("name", "")
        for group, capture in rule.get("captures", {}).items():
            for i in range(*m.span(int(group))):
                out[i] = capture["name"]
        at = m.end()
    return out


def main(root):
    grammar = json.load(open(root + "/tools/editors/adv.tmLanguage.json"))
    rules = [(re.compile(r["match"]), r) for r in grammar["patterns"]]
    lines = open(root + "/tests/tools/scopes.adv").read().split("\n")
    n_failed = 0
    for number, text, want in EXPECT:
        line = lines[number - 1]
        start = re.search(r"(?<!\w)" + re.escape(text) + r"(?!\w)", line).start()
        got = set(scopes(rules, line)[start:start + len(text)])
        if not all(g.startswith(want) if want else g == "" for g in got):
            print("scopes.adv:%d: `%s` is %s, expected %s" % (number, text, sorted(got), want or "nothing"))
            n_failed += 1
    print("%d passed, %d failed" % (len(EXPECT) - n_failed, n_failed))
    return n_failed != 0


sys.exit(main(sys.argv[1]))
