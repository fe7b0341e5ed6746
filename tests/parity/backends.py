"""Runs the first step of each case of the comparison on two back ends, in f32 on the same inputs, and compares every state.

  backends.py ADVC RUN_STEPS [CASE...]

`cpu` runs the target cpu with its own kernels, `ref` runs the very same instructions by definition, rounding to f32 where
something is stored. So what differs is the order of sums. The tolerance is that of the longest sum in a case (batch x height x
width), relative to the largest element of a tensor. Where a recipe steps along signs of gradients, a sign may
turn where the gradient is tiny: there a state is only asked to agree but for one element in a thousand, and what was
computed from it by a tolerance of its own. A ReLU may turn as well, where its input is within a rounding of 0, and takes a part of
the gradient with it: this happens on few inputs and a wrong kernel is wrong on all, so what differs is tried once more on others.
Ends with "N passed, N failed", one a case.
"""
import sys
import tempfile

import numpy as np
import torch

from parity import CASES, batches, compile_recipe, run_engine, seed_of

AFTER_SIGNS = 1e-2
MAX_TURNED = 1e-3


def difference(a, b, tolerance):
    """Share of elements that differ by more than the tolerance, and the largest difference, both relative."""
    d = np.abs(a - b) / max(float(np.max(np.abs(a))), 1e-30)
    return float(np.mean(~(d <= tolerance))), float(np.max(d))


def compare(make, advc, run_steps, seed):
    """The step on both back ends: a line about it, and sentences about what differs."""
    got = {}
    with tempfile.TemporaryDirectory() as work:
        plan, draws = compile_recipe(advc, make, work, "cpu")
        torch.manual_seed(seed)
        case = make(draws)
        run, first = case.runs()[0], case.states()
        x, y, ids = batches(case, seed)
        case.advance(run, *(torch.from_numpy(a[ids[0]]) for a in (x, y)), torch.from_numpy(ids[0]))
        has_signs = case.signs.n_all > 0
        for backend in ("ref", "cpu"):
            got[backend] = run_engine(run_steps, plan, backend, "cpu", work, [run], first, x, y, ids)[0]
    wrong, largest, tolerance = [], 0.0, 2.0 ** -23 * case.batch * case.shape[1] * case.shape[2]
    for name, a in got["ref"].items():
        share, d = difference(a, got["cpu"][name], tolerance)
        largest = max(largest, d)
        fits = share <= MAX_TURNED or d <= AFTER_SIGNS if has_signs else share == 0
        if not fits:
            wrong.append("`%s` differs by %.3g of its largest element, %.3g of it beyond the tolerance" % (name, d, share))
    return "%s: %d states, largest difference %.2g, tolerance %.2g%s" % (case.title(), len(got["ref"]), largest, tolerance,
                                                                        " (signs)" if has_signs else ""), wrong


def run_case(make, advc, run_steps):
    line, wrong = compare(make, advc, run_steps, seed_of(make))
    if wrong:
        print("     turned: %s, so other inputs are tried" % line)
        line, wrong = compare(make, advc, run_steps, seed_of(make) + 1)
    print("\n     ".join(["%s %s" % ("FAIL" if wrong else "ok  ", line)] + wrong[:10]))
    sys.stdout.flush()
    return not wrong


def main():
    advc, run_steps, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    results = [run_case(m, advc, run_steps) for m in CASES if (m.recipe in names if names else m.in_f32)]
    print("%d passed, %d failed" % (sum(results), len(results) - sum(results)))
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
