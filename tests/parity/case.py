"""What a case of the comparison is: models, optimisers and one training step in PyTorch, and the recipe that says the same.

A case of this folder names a recipe beside this file. A case of `recipes/` (Published) takes the recipe that users run and
replaces in its text what makes it large, the data set and the networks; attack, budget, loss, states and schedules stay.
"""
import os

import torch

import nets
from draws import N_DRAWS
from train import Signs, grads_of

CHANNELS, SIZE, CLASSES, BATCH, N_TRAIN = 3, 8, 4, 6, 24
N_IN = CHANNELS * SIZE * SIZE
STEPS_AN_EPOCH = N_TRAIN // BATCH
HERE = os.path.dirname(os.path.abspath(__file__))
DATA = "data synthetic { train = 30; val = 6; test = 6; classes = 4; shape = [3, 8, 8]; batch = 6; y = id - 4*floor(id/4); x = 0.5 }\n"


class Run:
    """One run of an entry: which, in which epoch, as which step of it; and states to write before (in both implementations)."""

    def __init__(self, entry="step.main", epoch=1, step=0, write=None):
        self.entry, self.epoch, self.step, self.write = entry, epoch, step, write or {}


class Case:
    steps = 20
    shape, classes, batch = (CHANNELS, SIZE, SIZE), CLASSES, BATCH
    settings = []  # of --set
    in_f32 = True  # compared in f32, too, by backends.py

    def __init__(self, draws):
        self.models, self.optims, self.extra, self.signs, self.draws = {}, [], {}, Signs(), draws
        self.make()

    @classmethod
    def file(cls, work):
        """The path of the recipe, which may lie in `work`."""
        return os.path.join(HERE, cls.recipe + ".adv")

    @classmethod
    def title(cls):
        return " ".join([cls.recipe] + cls.settings)

    @classmethod
    def runs(cls):
        """What is run, in order: 20 steps of epoch 1, unless the case says otherwise."""
        return [Run(step=k) for k in range(cls.steps)]

    def advance(self, run, x, y, ids):
        """One run of an entry; `extra` holds what the recipe keeps beside models and optimisers, under the names of its states."""
        self.run, self.ids = run, ids
        self.extra.update({n: torch.as_tensor(a) for n, a in run.write.items()})
        if run.entry.startswith("step."):
            self.step(x, y, ids)
        else:
            self.after_epoch()

    def optim(self, kind, models, **args):
        o = kind({n: self.models[n] for n in models}, **args)
        self.optims.append(o)
        return o

    def update(self, optim, e, models, sign=1.0, name="loss"):
        """Minimises e over the models, and logs it."""
        self.extra["metric." + name] = e.detach().mean()
        optim.step(grads_of(e, {n: self.models[n] for n in models}, sign))

    def noise(self, law, at=0, draw=0, turn=0, shared=False):
        """The at-th of the entry's draws of this law; for the turn of a loop, or the number of a draw, given. shared: by the samples."""
        d = [d for d in self.draws[self.run.entry] if d.law == law][at]
        numbers = d.numbers(self.run.epoch, [self.run.step] if shared else self.ids, draw + N_DRAWS * turn)
        return torch.as_tensor(numbers[0] if shared else numbers)

    def uniform(self, lo, hi, **which):
        return lo + (hi - lo) * self.noise("uniform", **which)

    def untried(self):
        """Sentences about what the steps should have met and have not; a case with branches says which."""
        return []

    def states(self):
        """Every state to compare: {name: array}."""
        out = {}
        for f, m in self.models.items():
            for part in (m.weights, m.stats):
                out.update({"%s.%s" % (f, n): t for n, t in part.items()})
        for o in self.optims:
            out.update(o.moments())
        out.update(self.extra)
        return {n: t.detach().numpy().copy() for n, t in out.items()}


class Published(Case):
    """A recipe of recipes/. `edits` are replacements of its text, each of which must fit exactly one place."""
    edits = []
    epochs = [1]  # the steps are spread over these evenly

    @classmethod
    def file(cls, work):
        with open(os.path.join(HERE, "..", "..", "recipes", cls.recipe + ".adv")) as f:
            text = "".join(DATA if line.startswith("data ") else line for line in f)
        for old, new in cls.edits:
            if text.count(old) != 1:
                raise SystemExit("%s.adv holds `%s` %d times, not once" % (cls.recipe, old, text.count(old)))
            text = text.replace(old, new)
        path = os.path.join(work, cls.recipe + ".adv")
        with open(path, "w") as f:
            f.write(text + nets.TINY_TEXT)
        return path

    @classmethod
    def runs(cls):
        each = cls.steps // len(cls.epochs)
        return [Run(cls.entry_in(e), e, k % STEPS_AN_EPOCH) for e in cls.epochs for k in range(each)]

    @staticmethod
    def entry_in(epoch):
        return "step.main"

    @property
    def epoch(self):
        return self.run.epoch

    def progress(self, n_epochs, turn=0.0):
        """Share of the run that is done; turn: the share of the present step."""
        return (self.run.epoch - 1 + (self.run.step + turn) / STEPS_AN_EPOCH) / n_epochs
