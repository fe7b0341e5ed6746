"""Trains the same networks in the engine and in PyTorch, in double, and compares every state after every step.

  parity.py ADVC RUN_STEPS (blocks | methods | budgets | hosts | CASE...)

For each case: its recipe is compiled for target ref64; weights and batches are made here and given to both; random numbers
inside a step are those of the recipe, computed apart from the engine (draws.py). After each step all weights, running
statistics, moments, tables, slots and logged values may differ by 1e-8 of the largest of their tensor, and there is no state
that is not compared. Steps along a sign are only comparable where the gradient is not tiny: how many elements were at most
1e-6 of the largest is printed, and more than one in a thousand fails the case. Ends with "N passed, N failed", one a case.
"""
import os
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import torch

import blocks
import budgets
import hosts
import methods
import st
from case import BATCH, N_TRAIN
from draws import draws_of

TOLERANCE = 1e-8
MAX_SMALL = 1e-3
SUITES = {"blocks": blocks.CASES, "methods": methods.CASES, "budgets": budgets.CASES, "hosts": hosts.CASES}
CASES = [case for suite in SUITES.values() for case in suite]
GIVEN = ("x", "y", "ids", "run.epoch", "run.step")  # states that the comparison itself writes before a step
RESULTS = ("eval.", "quick.", "final.", "probe.", "again.", "train.")  # of evaluations and controllers, which do not run here


def batches(case, seed):
    """The data set, and for each run the rows of its batch: a permutation an epoch."""
    rng = np.random.RandomState(seed)
    x = rng.rand(N_TRAIN, *case.shape)
    y = rng.randint(0, case.classes, N_TRAIN)
    n = len(case.runs())
    ids = np.concatenate([rng.permutation(N_TRAIN) for _ in range(n * case.batch // N_TRAIN + 1)])
    return x, y, [ids[k * case.batch:(k + 1) * case.batch] for k in range(n)]


def expected(case, x, y, ids):
    """Runs PyTorch; first states, and the states after each run."""
    first, after = case.states(), []
    for run, rows in zip(case.runs(), ids):
        case.advance(run, torch.from_numpy(x[rows]), torch.from_numpy(y[rows]), torch.from_numpy(rows))
        after.append(case.states())
    return first, after


def compile_recipe(advc, case, work, targets):
    """The path of the plan, and the draws of each entry."""
    recipe, plan = case.file(work), os.path.join(work, "plan")
    command = [advc, "--allow=all"] + ["--set=" + s for s in case.settings]
    graph = subprocess.run(command + ["--dump=graph", recipe], check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout
    subprocess.run(command + ["-o", plan, "--target=" + targets, recipe], check=True)
    return plan, draws_of(graph)


def run_engine(run_steps, plan, backend, target, work, runs, first, x, y, ids):
    """What the engine holds after each run."""
    fixture = os.path.join(work, "fixture.safetensors")
    blobs = {"state." + n: a.astype(np.float64) for n, a in first.items()}
    for k, (run, rows) in enumerate(zip(runs, ids)):
        given = {"x": x[rows], "y": y[rows].astype(np.int32), "ids": rows.astype(np.int64), "run.epoch": np.int64(run.epoch),
                 "run.step": np.int64(run.step), **run.write}
        blobs.update({"step.%d.%s" % (k, n): a for n, a in given.items()})
    st.save(fixture, blobs)
    subprocess.run([run_steps, plan, fixture, work, backend, target] + [run.entry for run in runs], check=True)
    return [st.load(os.path.join(work, "step-%d.safetensors" % k)) for k in range(len(runs))]


def difference(want, have):
    """Largest difference of two arrays, relative to the largest element."""
    return float(np.max(np.abs(want - have))) / max(float(np.max(np.abs(want))), 1e-30)


def compare(after, got):
    """Sentences about what differs; and the largest difference."""
    wrong, largest = [], 0.0
    for k, (want, have) in enumerate(zip(after, got)):
        for name in have:
            if name not in want and name not in GIVEN and not name.startswith(RESULTS):
                return ["the plan has a state `%s` that PyTorch has not" % name], largest
        for name, a in want.items():
            if name not in have:
                return ["the plan has no state `%s`" % name], largest
            b = have[name].reshape(a.shape) if have[name].size == a.size else have[name]
            if a.shape != b.shape:
                return ["`%s` is %s, not %s" % (name, have[name].shape, a.shape)], largest
            d = difference(a, b)
            largest = max(largest, d) if d == d else d
            if not d <= TOLERANCE:
                wrong.append("run %d: `%s` differs by %.3g of its largest element" % (k + 1, name, d))
        if wrong:
            break
    return wrong, largest


def seed_of(case):
    return zlib.crc32(case.title().encode()) % 2 ** 31


def run_case(make, advc, run_steps):
    seed = seed_of(make)
    with tempfile.TemporaryDirectory() as work:
        try:
            plan, draws = compile_recipe(advc, make, work, "ref64")
            torch.manual_seed(seed)
            case = make(draws)
            x, y, ids = batches(case, seed)
            first, after = expected(case, x, y, ids)
            got = run_engine(run_steps, plan, "ref", "ref64", work, case.runs(), first, x, y, ids)
        except subprocess.CalledProcessError as e:
            print("FAIL %s: %s ended with code %d" % (make.title(), os.path.basename(e.cmd[0]), e.returncode))
            return False
    wrong, largest = compare(after, got)
    share = case.signs.n_small / max(case.signs.n_all, 1)
    if share > MAX_SMALL:
        wrong.append("%.2g of all signs are of tiny gradients" % share)
    wrong += case.untried()
    print("%s %s: %d runs, %d states, largest difference %.2g; signs of tiny gradients: %d of %d" %
          ("FAIL" if wrong else "ok  ", case.title(), len(got), len(after[-1]), largest, case.signs.n_small, case.signs.n_all))
    for w in wrong[:10]:
        print("     " + w)
    return not wrong


def main():
    advc, run_steps, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    wanted = [m for n in names for m in SUITES.get(n, [m for m in CASES if m.recipe == n])] if names else CASES
    results = []
    for make in wanted:
        results.append(run_case(make, advc, run_steps))
        sys.stdout.flush()
    print("%d passed, %d failed" % (sum(results), len(results) - sum(results)))
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
