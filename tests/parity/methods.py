"""Published methods with one radius for all: recipes of recipes/ against the methods as published, written here in PyTorch."""
import numpy as np
import torch
import torch.nn.functional as F

import nets
from case import BATCH, CHANNELS, CLASSES, N_TRAIN, SIZE, STEPS_AN_EPOCH, Published, Run
from train import Adam, Sgd, bce_boosted, ce, grads_of, kl, kl_12, linear_at, per_sample, pgd, pick, steps_at


def classifier():
    return nets.tiny(CLASSES)


def normalizing():
    return nets.tiny(CLASSES, "body.", nets.normalized)


def standardizing():
    return nets.tiny(CLASSES, "body.", nets.standardized)


class PgdAt(Published):
    recipe = "pgd_at"
    edits = [("wrn(depth = 34, k = 10, classes = 10)", "tiny(classes = 4)")]
    epochs = [1, 74, 75, 90]

    def make(self):
        self.models = {"f": classifier()}
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=5e-4)

    def step(self, x, y, ids):
        f = self.models["f"]
        self.opt.lr = steps_at({1: 0.1, 75: 0.01, 90: 0.001}, self.epoch)
        x_adv = pgd(lambda z: ce(f(z, "eval"), y), x, 8 / 255, 2 / 255, 20, signs=self.signs)
        self.update(self.opt, ce(f(x_adv), y), ["f"])


class Trades(Published):
    recipe = "trades"
    edits = [("resnet18(classes = 10)", "tiny(classes = 4)")]

    def make(self):
        self.models = {"f": classifier()}
        self.opt = self.optim(Sgd, ["f"], lr=0.1, momentum=0.9, weight_decay=2e-4)

    def step(self, x, y, ids):
        f = self.models["f"]
        clean = f(x, "eval").detach()
        start = x + 0.001 * self.noise("normal")
        x_adv = pgd(lambda z: kl(clean, f(z, "eval")), x, 0.031, 0.007, 10, start=start, signs=self.signs)
        z, z_adv = f(x), f(x_adv)
        f(x)  # the script's third forward
        self.update(self.opt, ce(z, y) + 6 * kl(z, z_adv), ["f"])


class Mart(Published):
    recipe = "mart"
    edits = [("resnet18(classes = 10)", "tiny(classes = 4)")]

    def make(self):
        self.models = {"f": classifier()}
        self.opt = self.optim(Sgd, ["f"], lr=0.01, momentum=0.9, weight_decay=3.5e-3)

    def step(self, x, y, ids):
        f = self.models["f"]
        start = x + 0.001 * self.noise("normal")
        x_adv = pgd(lambda z: ce(f(z, "eval"), y), x, 0.031, 0.007, 10, start=start, signs=self.signs)
        z, z_adv = f(x), f(x_adv)
        e = bce_boosted(z_adv, y) + 5 * kl_12(z, z_adv) * (1.0000001 - pick(F.softmax(z, 1), y))
        self.update(self.opt, e, ["f"])


class FgsmAt(Published):
    """Both forwards in training mode, as the script has it; the rate follows a triangle over the whole run."""
    recipe = "fgsm_at"
    edits = [("preact_resnet18(classes = classes)", "tiny(classes = classes)"), ("normalized(classes = 10)", "normalized(classes = 4)")]
    epochs = [1, 2, 8, 15]

    def make(self):
        self.models = {"f": normalizing()}
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=5e-4)
        self.extra = {"before": torch.tensor(0.0)}

    def step(self, x, y, ids):
        f, eps = self.models["f"], 8 / 255
        self.opt.lr = linear_at({0: 0, 0.5: 0.2, 1: 0}, self.progress(15))
        delta = torch.clamp(x + self.uniform(-eps, eps), 0, 1) - x
        z = (x + delta).requires_grad_(True)
        (g,) = torch.autograd.grad(ce(f(z), y).sum(), z)
        self.signs.see(g)
        delta = torch.clamp(delta + 10 / 255 * torch.sign(g), -eps, eps)
        self.update(self.opt, ce(f(torch.clamp(x + delta, 0, 1)), y), ["f"])


class FgsmAtShort(Published):
    """The short form: Adam at a rate that rises and falls within four epochs."""
    recipe = "fgsm_at_mnist"
    edits = [("mnist_cnn()", "tiny(classes = 4)"), ("test.first(2000)", "test")]
    epochs = [1, 2, 3, 4]

    def make(self):
        self.models = {"f": classifier()}
        self.opt = self.optim(Adam, ["f"])

    def step(self, x, y, ids):
        f = self.models["f"]
        self.opt.lr = linear_at({0: 0.0005, 0.5: 0.004, 1: 0.0005}, self.progress(4))
        z = torch.clamp(x + self.uniform(-0.2, 0.2), 0, 1).requires_grad_(True)
        (g,) = torch.autograd.grad(ce(f(z), y).sum(), z)
        self.signs.see(g)
        with torch.no_grad():
            x_adv = torch.clamp(z + 0.25 * torch.sign(g), 0, 1)
            x_adv = torch.maximum(torch.minimum(x_adv, x + 0.2), x - 0.2)
        self.update(self.opt, ce(f(x_adv), y), ["f"])


class FreeAt(Published):
    """One backward for weights and perturbation, eight times a batch; the perturbation stays for the next batch."""
    recipe = "free_at"
    edits = [("wrn(depth = 34, k = 10, classes = classes)", "tiny(classes = classes)"),
             ("standardized(classes = 10)", "standardized(classes = 4)")]
    epochs = [1, 13, 14, 20]

    def make(self):
        self.models = {"f": standardizing()}
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=2e-4, decays=lambda w: w.dim() > 1)
        self.extra = {"delta": torch.zeros(BATCH, CHANNELS, SIZE, SIZE)}

    def step(self, x, y, ids):
        f, eps = self.models["f"], 8 / 255
        for turn in range(8):
            self.opt.lr = steps_at({0: 0.1, 0.5: 0.01, 0.75: 0.001}, self.progress(26, turn / 8))
            delta = self.extra["delta"].requires_grad_(True)
            e = ce(f(torch.clamp(x + delta, 0, 1)), y)
            (d,) = torch.autograd.grad(e.sum(), delta, retain_graph=True)
            self.signs.see(d)
            grads = grads_of(e, {"f": f})
            self.extra["delta"] = torch.clamp(delta.detach() + eps * torch.sign(d), -eps, eps)
            self.extra["metric.loss"] = e.detach().mean()  # the last turn's stays
            self.opt.step(grads)


class Moved:
    """Adversarial weight perturbation: a proxy with statistics of its own takes one ascending step, each weight tensor is moved along
    its difference, scaled to gamma of its own norm, and goes back after the update, which sees the moved weights."""

    @staticmethod
    def direction(f, loss, gamma, lr):
        """loss: of the proxy, which is `f` with its statistics left alone."""
        grads, out = grads_of(loss, {"f": f})["f"], {}
        for n, w in f.weights.items():
            if w.dim() > 1:
                d = (w + lr * grads[n]) - w
                out[n] = (gamma * w.norm() / (d.norm() + 1e-20) * d).detach()
        return out

    @staticmethod
    def shift(f, v, sign):
        for n in v:
            f.weights[n] = (f.weights[n] + sign * v[n]).detach().requires_grad_(True)


class AtAwp(Published):
    """Everything in training mode: ten turns of the attack, the loss behind them, the update, and a clean forward for the log."""
    recipe = "at_awp"
    edits = [("preact_resnet18(classes = classes)", "tiny(classes = classes)"), ("normalized(classes = 10)", "normalized(classes = 4)")]
    epochs = [1, 100, 101, 151]

    def make(self):
        self.models = {"f": normalizing()}
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=5e-4)

    def step(self, x, y, ids):
        f, eps = self.models["f"], 8 / 255
        self.opt.lr = 0.1 if self.epoch <= 100 else 0.01 if self.epoch <= 150 else 0.001
        start = torch.clamp(x + self.uniform(-eps, eps), 0, 1)
        x_adv = pgd(lambda z: ce(f(z), y), x, eps, 2 / 255, 10, start=start, signs=self.signs)
        f(x_adv)
        v = Moved.direction(f, ce(f(x_adv, "batch"), y), 0.01, 0.01)
        Moved.shift(f, v, 1)
        self.update(self.opt, ce(f(x_adv), y), ["f"])
        Moved.shift(f, v, -1)
        f(x)


class TradesAwp(Published):
    """Nine epochs without a move; adversarial, clean and clean again in training mode."""
    recipe = "trades_awp"
    edits = [("wrn(depth = 34, k = 10, classes = 10)", "tiny(classes = 4)")]
    epochs = [9, 10, 100, 150]

    def make(self):
        self.models = {"f": classifier()}
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=5e-4)

    def objective(self, mode, x, x_adv, y):
        f = self.models["f"]
        z_adv, z = f(x_adv, mode), f(x, mode)
        return ce(z, y) + 6 * kl(z, z_adv)

    def step(self, x, y, ids):
        f = self.models["f"]
        self.opt.lr = steps_at({1: 0.1, 100: 0.01, 150: 0.001}, self.epoch)
        clean = f(x, "eval").detach()
        start = x + 0.001 * self.noise("normal")
        x_adv = pgd(lambda z: kl(clean, f(z, "eval")), x, 8 / 255, 2 / 255, 10, start=start, signs=self.signs)
        v = Moved.direction(f, self.objective("batch", x, x_adv, y), 0.005, 0.1) if self.epoch >= 10 else {}
        Moved.shift(f, v, 1)
        e = self.objective("train", x, x_adv, y)
        f(x)
        self.update(self.opt, e, ["f"])
        Moved.shift(f, v, -1)


class Fat(Published):
    """Each sample on its own: a counter of the turns that it may still go on once it is wrong; at 0 its point is taken."""
    recipe = "fat"
    edits = [("wrn(depth = 34, k = 10, classes = 10)", "tiny(classes = 4)")]
    epochs = [1, 51, 60, 91]
    rates, taus = {1: 0.1, 60: 0.01, 90: 0.001, 110: 0.0005}, {1: 0, 51: 1, 91: 2}

    def make(self):
        self.models = {"f": classifier()}
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=2e-4)
        self.n_stopped, self.n_survived, self.n_late = 0, 0, 0

    def start(self, x):
        return x + self.uniform(-0.031, 0.031)

    def climb(self, f, x, y):
        return lambda z: ce(f(z, "eval"), y)

    def shaken(self, z, turn):
        return z + 0.001 * self.noise("normal", turn=turn)

    def friendly(self, f, x, y, tau):
        z, out = torch.clamp(self.start(x), 0, 1), [None] * len(x)
        left, climb = [tau] * len(x), self.climb(f, x, y)
        for turn in range(10):
            wrong = (f(z, "eval").argmax(1) != y).tolist()
            for i in range(len(x)):
                if out[i] is None and wrong[i] and left[i] == 0:
                    out[i] = z[i].clone()
                    self.n_late += turn > 0
                elif out[i] is None and wrong[i]:
                    left[i] -= 1
            z = z.requires_grad_(True)
            (g,) = torch.autograd.grad(climb(z).sum(), z)
            self.signs.see(g)
            with torch.no_grad():
                z = self.shaken(z + 0.007 * torch.sign(g), turn)
                z = torch.clamp(torch.maximum(torch.minimum(z, x + 0.031), x - 0.031), 0, 1)
        self.n_stopped += sum(o is not None for o in out)
        self.n_survived += sum(o is None for o in out)
        return torch.stack([z[i] if o is None else o for i, o in enumerate(out)])

    def loss(self, f, x, x_adv, y):
        return ce(f(x_adv), y)

    def step(self, x, y, ids):
        f = self.models["f"]
        self.opt.lr = steps_at(self.rates, self.epoch)
        x_adv = self.friendly(f, x, y, steps_at(self.taus, self.epoch))
        self.update(self.opt, self.loss(f, x, x_adv, y), ["f"])

    def untried(self):
        return [] if self.n_stopped and self.n_survived and self.n_late else ["samples never stop, always stop, or stop at once only"]


class Gairat(Published):
    """kappa: how many of the points 0..9 are still right; from epoch 60 on the weights differ."""
    recipe = "gairat"
    edits = [("wrn(depth = 34, k = 10, classes = 10)", "tiny(classes = 4)")]
    epochs = [1, 59, 60, 110]

    def make(self):
        self.models = {"f": classifier()}
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=2e-4)
        self.kappas = set()

    def step(self, x, y, ids):
        f, right = self.models["f"], []
        self.opt.lr = steps_at({1: 0.1, 60: 0.01, 90: 0.001, 110: 0.0005}, self.epoch)

        def climb(z):
            out = f(z, "eval")
            right.append(out.argmax(1) == y)
            return ce(out, y)

        start = torch.clamp(x + self.uniform(-0.031, 0.031), 0, 1)
        x_adv = pgd(climb, x, 0.031, 0.007, 10, start=start, signs=self.signs)
        kappa = torch.stack(right).sum(0)
        self.kappas.update(kappa.tolist())
        if self.epoch < 60:  # lambda is infinite
            w = torch.ones(len(x))
        else:
            w = (1 + torch.tanh(-1 + 5 * (1 - 2 * kappa / 10))) / 2
        w = w * len(x) / w.sum()
        self.extra["metric.weight"] = w
        self.update(self.opt, w * ce(f(x_adv), y), ["f"])

    def untried(self):
        return [] if self.kappas - {0, 10} else ["no sample turns wrong on the way"]


class GairatShort(Published):
    """The short form: the radius grows with the run, and the step with it."""
    recipe = "gairat_mnist"
    edits = [("mnist_cnn()", "tiny(classes = 4)"), ("test.first(2000)", "test")]
    epochs = [1, 2, 3, 4]

    def make(self):
        self.models = {"f": classifier()}
        self.opt = self.optim(Adam, ["f"], lr=0.002)

    def step(self, x, y, ids):
        f, eps, right = self.models["f"], linear_at({0: 0.02, 0.4: 0.2}, self.progress(4)), []

        def climb(z):
            right.append(f(z, "eval").argmax(1) == y)
            return ce(f(z, "eval"), y)

        start = torch.clamp(x + self.uniform(-eps, eps), 0, 1)
        x_adv = pgd(climb, x, eps, eps / 4, 10, start=start, signs=self.signs)
        kappa = torch.stack(right).sum(0)
        w = (1 + torch.tanh(-1 + 5 * (1 - 2 * kappa / 10))) / 2 if self.epoch >= 3 else torch.ones(len(x))
        w = w * len(x) / w.sum()
        self.extra.update({"metric.eps": torch.tensor(eps), "metric.weight": w})
        self.update(self.opt, w * ce(f(x_adv), y), ["f"])


class Mma(Published):
    """The samples with a probability above 1/2 go to the boundary, found by bisection in training mode on these samples alone."""
    recipe = "mma"
    edits = [("wrn(depth = 28, k = 4, classes = classes)", "tiny(classes = classes)"),
             ("standardized(classes = 10)", "standardized(classes = 4)")]
    epochs = [1, 57, 86, 114]

    def make(self):
        self.models = {"f": standardizing()}
        with torch.no_grad():
            self.models["f"].weights["body.linear.weight"].mul_(8)  # sure of itself from the start, and sometimes right
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=2e-4)
        self.extra = {"m_i": torch.full((N_TRAIN,), 0.005)}
        self.n_right, self.n_wrong, self.n_far, self.n_none = 0, 0, 0, 0

    @staticmethod
    def slm(z, y):
        return torch.logsumexp(z.masked_fill(F.one_hot(y, z.shape[1]).bool(), float("-inf")), 1) - pick(z, y)

    def bisect(self, f, x, u, y, c, d_max):
        lo, hi = torch.zeros(len(x)), torch.full((len(x),), 1.05 * d_max)
        for _ in range(10):
            with torch.no_grad():
                inside = self.slm(f(torch.clamp(x + per_sample(c, x) * u, 0, 1)), y) < 0
            lo, hi = torch.where(inside, c, lo), torch.where(inside, hi, c)
            c = (lo + hi) / 2
        f(torch.clamp(x + per_sample(c, x) * u, 0, 1))  # the eleventh
        return c

    def step(self, x, y, ids):
        f, d_max = self.models["f"], 12 / 255
        self.opt.lr = steps_at({0: 0.3, 0.4: 0.09, 0.6: 0.03, 0.8: 0.009}, self.progress(142))
        z = f(x)
        clean = grads_of(ce(z, y), {"f": f})["f"]
        ok = pick(F.softmax(z, 1), y) > 0.5
        xs, ys = x[ok], y[ok]
        mixed, c = x.clone(), torch.zeros(len(x))
        if len(xs):
            r = torch.clamp(self.extra["m_i"][ids], min=0.005)
            start = torch.clamp(x + per_sample(r, x) * self.uniform(-1, 1), 0, 1)[ok]
            r = r[ok]
            x_adv = pgd(lambda v: self.slm(f(v, "eval"), ys), xs, r, 2.5 * r / 10, 10, start=start, signs=self.signs)
            u = (x_adv - xs) / per_sample(r, xs)
            c[ok] = self.bisect(f, xs, u, ys, r, d_max)
            mixed[ok] = xs + per_sample(c[ok], xs) * u
        e = ce(f(mixed), y)
        kept = ~ok | (c < d_max)
        adv = grads_of((e * kept).sum() / len(x), {"f": f})["f"]
        self.opt.step({"f": {n: 2 / 3 * adv[n] + 1 / 3 * clean[n] for n in adv}})
        self.extra["m_i"][ids] = c
        loss = 2 / 3 * e.detach() * kept + 1 / 3 * ce(z, y).detach()
        self.extra.update({"metric.margins": c.clone(), "metric.right": ok.double().mean(), "metric.loss": loss.mean()})
        self.n_right += int(ok.sum())
        self.n_wrong += int((~ok).sum())
        self.n_far += int((~kept).sum())

    def untried(self):
        seen = {"right": self.n_right, "wrong": self.n_wrong, "beyond d_max": self.n_far, "within": self.n_right - self.n_far}
        return ["no sample is " + n for n, k in seen.items() if not k]


class StAt(Published):
    """Of clean, collaborative and adversarial image the two that differ most in the probability of the class are moved apart in the
    attack, and drawn together in the update; on statistics of the batch that only the update's clean and adversarial passes keep."""
    recipe = "st_at"
    edits = [("resnet18(classes = 10)", "tiny(classes = 4)")]
    epochs = [1, 79, 80, 100]

    def make(self):
        self.models = {"f": classifier()}
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=5e-4)
        self.roles = set()

    def ends(self, logits, y):
        """Of three logits, for each sample, which has the lowest and which the highest probability of its class."""
        p = torch.stack([pick(F.softmax(z.detach(), 1), y) for z in logits])
        up, low = p.argmin(0), p.argmax(0)
        self.roles.update(zip(up.tolist(), low.tolist()))
        return up, low

    @staticmethod
    def chosen(of_three, which):
        return torch.stack([of_three[k][i] for i, k in enumerate(which.tolist())])

    def apart(self, logits, up, low):
        a, c = self.chosen(logits, up), self.chosen(logits, low)
        return (kl(c.detach(), a) + kl(a.detach(), c)) / 2

    def step(self, x, y, ids):
        f, eps = self.models["f"], 8 / 255
        self.opt.lr = steps_at({1: 0.1, 80: 0.01, 100: 0.001}, self.epoch)
        adv, col = x + 0.001 * self.noise("normal", 0), x + 0.001 * self.noise("normal", 1)
        for _ in range(10):
            points = [v.detach().requires_grad_(True) for v in (x, col, adv)]
            logits = [f(v, "batch") for v in points]
            up, low = self.ends(logits, y)
            grads = torch.autograd.grad(self.apart(logits, up, low).sum(), points, allow_unused=True)
            grads = [torch.zeros_like(x) if g is None else g for g in grads]
            for g in grads:
                self.signs.see(g)
            moved = []
            for which in (up, low):
                v = self.chosen(points, which).detach() + 2 / 255 * torch.sign(self.chosen(grads, which))
                moved.append(torch.clamp(torch.maximum(torch.minimum(v, x + eps), x - eps), 0, 1))
            adv, col = moved
        logits = [f(x), f(col, "batch"), f(adv)]
        up, low = self.ends(logits, y)
        self.update(self.opt, ce(logits[0], y) + 6 * self.apart(logits, up, low), ["f"])

    def untried(self):
        return [] if {k for pair in self.roles for k in pair} == {0, 1, 2} else ["the clean image is never one of the two"]


class Cat(Published):
    """The batch in k + 1 parts, each attacked apart with as many steps as its number; between epochs k grows, and the weights go back."""
    recipe = "cat"
    edits = [("resnet18(classes = 10)", "tiny(classes = 4)")]
    settings = ["max_k=3", "patience=1", "enough=0"]
    probes = [(0.5, 0.5), (0.4, 0.3), (0.35, 0.35), (0.35, 0.2), (0.1, 0.2), (0.3, 0.3)]  # of each epoch: before, and after going back

    @classmethod
    def runs(cls):
        out = []
        for epoch, (probe, again) in enumerate(cls.probes, 1):
            out += [Run("step.main", epoch, k) for k in range(STEPS_AN_EPOCH)]
            out.append(Run("epoch.again", epoch, STEPS_AN_EPOCH, {"probe.withstood": np.float64(probe)}))
            out.append(Run("epoch.final", epoch, STEPS_AN_EPOCH, {"again.withstood": np.float64(again)}))
        return out

    def make(self):
        self.models = {"f": classifier(), "kept": classifier()}
        self.opt = self.optim(Adam, ["f"], lr=0.0001)
        self.extra = {n: torch.tensor(0.0) for n in ("k", "best", "best_at", "moved_on", "hits", "steps_made")}
        self.ks = []

    def step(self, x, y, ids):
        f, k, eps = self.models["f"], int(self.extra["k"]), 0.032
        self.ks.append(k)
        start, parts = x + self.uniform(-eps, eps, at=3), list(torch.arange(BATCH).split(BATCH // (k + 1)))
        parts[k:] = [torch.cat(parts[k:])]
        mixed = x.clone()
        for i in range(1, k + 1):
            rows = parts[i]
            size = 2 * eps / i * (1 + (10 / i - 1) * float(self.noise("uniform", at=i - 1, shared=True)))
            mixed[rows] = pgd(lambda z: ce(f(z, "eval"), y[rows]), x[rows], eps, size, i, start=start[rows], signs=self.signs)
        z = f(mixed)
        self.update(self.opt, ce(z, y), ["f"])
        self.extra["hits"] = self.extra["hits"] + (z.argmax(1) == y).double().mean()
        self.extra["steps_made"] = self.extra["steps_made"] + 1

    def put(self, to, of):
        for name in ("weights", "stats"):
            setattr(self.models[to], name, {n: t.detach().clone() for n, t in getattr(self.models[of], name).items()})
        for n, w in self.models[to].weights.items():
            w.requires_grad_(to == "f")

    def after_epoch(self):
        e, probe = self.extra, float(self.extra["probe.withstood"])
        if self.run.entry == "epoch.final":
            e["best"] = e["again.withstood"].clone() if e["moved_on"] else torch.tensor(max(float(e["best"]), probe))
            return
        goes_on = probe <= e["best"] and self.epoch - int(e["best_at"]) >= 1 and e["hits"] > 0 and int(e["k"]) < 3
        if probe > e["best"]:
            self.put("kept", "f")
        if goes_on:
            self.put("f", "kept")
        if goes_on or probe > e["best"]:
            e["best_at"] = torch.tensor(float(self.epoch))
        e.update({"k": e["k"] + float(goes_on), "moved_on": torch.tensor(float(goes_on))})
        e.update({"hits": torch.tensor(0.0), "steps_made": torch.tensor(0.0)})

    def untried(self):
        return [] if sorted(set(self.ks)) == [0, 1, 2, 3] else ["k is not 0, 1, 2 and 3"]


CASES = [PgdAt, Trades, Mart, FgsmAt, FgsmAtShort, FreeAt, AtAwp, TradesAwp, Fat, Gairat, GairatShort, Mma, StAt, Cat]
