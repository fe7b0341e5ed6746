"""Trains the same networks in the engine and in PyTorch, in double, and compares every state after every step.

  parity.py ADVC RUN_STEPS [CASE...]

For each case: the recipe beside this file is compiled for target ref64; weights and batches are made here and given to both;
after each step all weights, running statistics, moments and kept values may differ by 1e-8 of the largest of their tensor.
Steps along a sign are only comparable where the gradient is not tiny: how many elements were at most 1e-6 of the largest
is printed, and more than one in a thousand fails the case. Ends with "N passed, N failed", one a case.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

import st
from cases import BATCH, CASES, CHANNELS, CLASSES, N_TRAIN, SIZE

TOLERANCE = 1e-8
MAX_SMALL = 1e-3
HERE = os.path.dirname(os.path.abspath(__file__))


def batches(n_steps, seed):
    """The data set, and for each step the rows of its batch: a permutation an epoch."""
    rng = np.random.RandomState(seed)
    x = rng.rand(N_TRAIN, CHANNELS, SIZE, SIZE)
    y = rng.randint(0, CLASSES, N_TRAIN)
    ids = np.concatenate([rng.permutation(N_TRAIN) for _ in range(n_steps * BATCH // N_TRAIN + 1)])
    return x, y, [ids[k * BATCH:(k + 1) * BATCH] for k in range(n_steps)]


def expected(case, x, y, ids):
    """Runs PyTorch; first states, and the states after each step."""
    first = case.states()
    after = []
    for rows in ids:
        case.step(torch.from_numpy(x[rows]), torch.from_numpy(y[rows]), torch.from_numpy(rows))
        after.append(case.states())
    return first, after


def compile_recipe(advc, case, work, targets):
    """The path of the plan."""
    plan = os.path.join(work, "plan")
    subprocess.run([advc, "--target=" + targets, "-o", plan, os.path.join(HERE, case.recipe + ".adv")], check=True)
    return plan


def run_engine(run_steps, plan, backend, target, work, first, x, y, ids):
    """What the engine holds after each step."""
    fixture = os.path.join(work, "fixture.safetensors")
    blobs = {"state." + n: a.astype(np.float64) for n, a in first.items()}
    for k, rows in enumerate(ids):
        blobs["step.%d.x" % k] = x[rows]
        blobs["step.%d.y" % k] = y[rows].astype(np.int32)
        blobs["step.%d.ids" % k] = rows.astype(np.int64)
    st.save(fixture, blobs)
    subprocess.run([run_steps, plan, fixture, work, backend, target, "step.main"], check=True)
    return [st.load(os.path.join(work, "step-%d.safetensors" % k)) for k in range(len(ids))]


def is_model_state(name, case):
    return name.split(".")[0] in case.models


def compare(case, after, got):
    """Sentences about what differs; and the largest difference."""
    wrong, largest = [], 0.0
    for k, (want, have) in enumerate(zip(after, got)):
        for name, a in want.items():
            if name not in have:
                return ["the plan has no state `%s`" % name], largest
            b = have[name].reshape(a.shape) if have[name].size == a.size else have[name]
            if a.shape != b.shape:
                return ["`%s` is %s, not %s" % (name, have[name].shape, a.shape)], largest
            d = float(np.max(np.abs(a - b))) / max(float(np.max(np.abs(a))), 1e-30)
            largest = max(largest, d) if d == d else d
            if not d <= TOLERANCE:
                wrong.append("step %d: `%s` differs by %.3g of its largest element" % (k + 1, name, d))
        for name in have:
            if is_model_state(name, case) and name not in want:
                return ["the plan has a state `%s` that PyTorch has not" % name], largest
        if wrong:
            break
    return wrong, largest


def run_case(make, advc, run_steps, seed):
    torch.manual_seed(seed)
    case = make()
    x, y, ids = batches(case.steps, seed)
    first, after = expected(case, x, y, ids)
    with tempfile.TemporaryDirectory() as work:
        try:
            plan = compile_recipe(advc, case, work, "ref64")
            got = run_engine(run_steps, plan, "ref", "ref64", work, first, x, y, ids)
        except subprocess.CalledProcessError as e:
            print("FAIL %s: %s ended with code %d" % (case.recipe, os.path.basename(e.cmd[0]), e.returncode))
            return False
    wrong, largest = compare(case, after, got)
    share = case.signs.n_small / max(case.signs.n_all, 1)
    if share > MAX_SMALL:
        wrong.append("%.2g of all signs are of tiny gradients" % share)
    print("%s %s: %d steps, %d states, largest difference %.2g; signs of tiny gradients: %d of %d" %
          ("FAIL" if wrong else "ok  ", case.recipe, case.steps, len(after[-1]), largest, case.signs.n_small, case.signs.n_all))
    for w in wrong[:10]:
        print("     " + w)
    return not wrong


def main():
    advc, run_steps, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    n_good = n_bad = 0
    for seed, make in enumerate(CASES, 1):
        if names and make.recipe not in names:
            continue
        if run_case(make, advc, run_steps, seed):
            n_good += 1
        else:
            n_bad += 1
        sys.stdout.flush()
    print("%d passed, %d failed" % (n_good, n_bad))
    return 1 if n_bad or not n_good else 0


if __name__ == "__main__":
    sys.exit(main())
