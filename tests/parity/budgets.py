"""Published methods with a radius for each sample: recipes of recipes/ against the methods as published, written here in PyTorch."""
import numpy as np
import torch
import torch.nn.functional as F

import nets
from case import CLASSES, N_TRAIN, STEPS_AN_EPOCH, Published, Run
from methods import Moved
from train import (Adam, OnBall, Sgd, bce_boosted, ce, entropy, grads_of, kl, kl_12, max_other, minmax, norm2, per_sample, pgd, pick,
                   steps_at)

DROP = 0.3


class Cued(Published):
    """Three cues of each clean image, scaled over the batch: input gradient, entropy, variance over three passes with dropout."""
    edits = [("wrn(depth = 34, k = 10, classes = 10, drop = drop)", "tiny(classes = 4, drop = drop)")]

    def cues(self, x, y):
        f, v = self.models["f"], x.clone().requires_grad_(True)
        (g,) = torch.autograd.grad(ce(f(v, "eval"), y).sum(), v)
        with torch.no_grad():
            clean = F.softmax(f(x, "eval"), 1)
            passes = torch.stack([F.softmax(f(x, "eval", keep=self.keep(0, draw=i)), 1) for i in range(3)])
        cues = {"gnorm": norm2(g), "entropy": entropy(clean), "mcvar": passes.var(0, unbiased=False).mean(1)}
        cues = {n: minmax(v).detach() for n, v in cues.items()}
        self.extra.update({"metric." + n: v for n, v in cues.items()})
        return cues

    def keep(self, at, draw=0):
        """What a pass multiplies its dropout layer by. The recipe's draws: that of `.mc`, that of training."""
        return self.noise("bernoulli", at, draw) / (1 - DROP)

    def attack(self, x, y, eps, size, steps):
        return pgd(lambda z: ce(self.models["f"](z, "eval"), y), x, eps, size, steps, signs=self.signs)


class StaticDes(Cued):
    recipe = "static_des"
    epochs = [1, 75]
    least, span = 4 / 255, 8 / 255

    def make(self):
        self.models = {"f": nets.tiny(CLASSES)}
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=5e-4)

    def step(self, x, y, ids):
        self.opt.lr = steps_at({1: 0.1, 75: 0.01, 90: 0.001}, self.epoch)
        c = self.cues(x, y)
        eps = torch.clamp(self.least + self.span * (c["gnorm"] + c["entropy"] + c["mcvar"]) / 3, 0, 16 / 255)
        self.extra["metric.eps"] = eps
        x_adv = self.attack(x, y, eps, 2 / 255, 20)
        self.update(self.opt, ce(self.models["f"](x_adv, keep=self.keep(1)), y), ["f"])


class StaticDesDown(StaticDes):
    """The other way round: less for hard samples, and easy ones beyond the bound."""
    settings = ["eps_min=18/255", "lambda=-14/255"]
    epochs = [1]
    least, span = 18 / 255, -14 / 255

    def step(self, x, y, ids):
        super().step(x, y, ids)
        self.n_bound = getattr(self, "n_bound", 0) + int((self.extra["metric.eps"] == 16 / 255).sum())

    def untried(self):
        return [] if self.n_bound else ["no radius reaches its bound"]


class Ades(Cued):
    """The scheduler ascends, the batch mean is held, and the loss reaches the radius where the ball binds."""
    recipe = "ades"
    mean, towards = 8 / 255, -1.0

    def make(self):
        self.models = {"f": nets.tiny(CLASSES), "mlp": nets.scheduler("0", "2")}
        self.opt = self.optim(Sgd, ["f"], lr=0.1, momentum=0.9, weight_decay=5e-4)
        self.opt_mlp = self.scheduler_optim()

    def scheduler_optim(self):
        return self.optim(Adam, ["mlp"], lr=0.01)

    def step(self, x, y, ids):
        f, mlp, c = self.models["f"], self.models["mlp"], self.cues(x, y)
        eps = 4 / 255 + 8 / 255 * mlp(torch.stack([c["gnorm"], c["entropy"], c["mcvar"]], 1))
        if self.mean:
            eps = eps * self.mean / eps.mean()
        eps = torch.clamp(eps, 0, 16 / 255)
        x_adv = self.attack(x, y, eps, 2 / 255, 20)
        robust = ce(f(OnBall.apply(x_adv, x, eps), keep=self.keep(1)), y)
        self.extra.update({"metric.eps": eps.detach(), "metric.robust": robust.detach().mean()})
        down, move = grads_of(robust, {"f": f}), grads_of(robust, {"mlp": mlp}, self.towards)
        self.opt.step(down)
        self.opt_mlp.step(move)


class AdesLiteral(Ades):
    """As printed: both descend, and nothing holds the mean."""
    recipe = "ades_literal"
    edits = Cued.edits + [("test.first(1000)", "test")]
    mean, towards = None, 1.0

    def scheduler_optim(self):
        return self.optim(Sgd, ["mlp"], lr=0.01)


class Margins(Published):
    """Half the radius until epoch 80; then each sample's own, by the margin of the clean image in probabilities, in steps of a quarter."""
    edits = [("resnet18(classes = 10)", "tiny(classes = 4)")]
    epochs = [1, 80, 81, 90]

    def make(self):
        self.models = {"f": nets.tiny(CLASSES)}
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=5e-4)

    @staticmethod
    def entry_in(epoch):
        return "step.warm" if epoch <= 80 else "step.mwpb"

    def radius(self, x, y):
        """Radius and step of each sample."""
        if self.epoch <= 80:
            eps, size = torch.full((len(x),), 4 / 255), 1 / 255
        else:
            with torch.no_grad():
                p = F.softmax(self.models["f"](x, "eval"), 1)
            eps = 8 / 255 * torch.exp(self.alpha * (pick(p, y) - max_other(p, y)))
            size = eps / 4
        self.extra["metric.eps"] = eps
        return eps, size

    def step(self, x, y, ids):
        f = self.models["f"]
        self.opt.lr = steps_at({1: 0.1, 80: 0.01, 90: 0.001}, self.epoch)
        eps, size = self.radius(x, y)
        x_adv = pgd(self.climb(f, x, y), x, eps, size, 10, start=x + 0.001 * self.noise("normal"), signs=self.signs)
        self.update(self.opt, self.loss(f, x, x_adv, y), ["f"])


class MwpbAt(Margins):
    recipe, alpha = "mwpb_at", 0.58

    def climb(self, f, x, y):
        return lambda z: ce(f(z, "eval"), y)

    def loss(self, f, x, x_adv, y):
        return ce(f(x_adv), y)


class MwpbTrades(Margins):
    recipe, alpha = "mwpb_trades", 0.42

    def climb(self, f, x, y):
        clean = f(x, "eval").detach()
        return lambda z: kl(clean, f(z, "eval"))

    def loss(self, f, x, x_adv, y):
        z = f(x)
        return ce(z, y) + 6 * kl(z, f(x_adv))


class MwpbMart(MwpbAt):
    recipe, alpha = "mwpb_mart", 0.55

    def loss(self, f, x, x_adv, y):
        z, z_adv = f(x), f(x_adv)
        boosted, far = bce_boosted(z_adv, y), kl_12(z, z_adv)
        return boosted + 5 * far * (1.0000001 - pick(F.softmax(z, 1), y))


class MwpbAwp(MwpbAt):
    """The loss at weights moved against it, and the update undone there."""
    recipe = "mwpb_awp"

    def step(self, x, y, ids):
        f = self.models["f"]
        self.opt.lr = steps_at({1: 0.1, 80: 0.01, 90: 0.001}, self.epoch)
        eps, size = self.radius(x, y)
        x_adv = pgd(self.climb(f, x, y), x, eps, size, 10, start=x + 0.001 * self.noise("normal"), signs=self.signs)
        v = Moved.direction(f, ce(f(x_adv, "batch"), y), 0.01, 0.01)
        Moved.shift(f, v, 1)
        self.update(self.opt, ce(f(x_adv), y), ["f"])
        Moved.shift(f, v, -1)


class Daat(Published):
    """A radius remembered for each sample of the data set; the head that judges learns from clean images and moves no features."""
    recipe = "daat"
    edits = [("resnet18_trunk()", "tiny_trunk()"), ("model h = head(classes = 10)", "model h = head(classes = 4)"),
             ("model c = head(classes = 10)", "model c = head(classes = 4)")]
    epochs = [1, 74, 75, 90]
    eps, cap = 0.031, 0.031

    def make(self):
        self.models = {"g": nets.tiny_trunk(), "h": nets.head(8, CLASSES), "c": nets.head(8, CLASSES)}
        self.opt = self.optim(Sgd, ["g", "h"], momentum=0.9, weight_decay=2e-4)
        self.opt_c = self.optim(Sgd, ["c"], momentum=0.9, weight_decay=2e-4)
        self.extra = {"eps_i": torch.full((N_TRAIN,), self.eps)}
        self.n_zero = self.n_shrunk = self.n_capped = 0

    def judged(self, x):
        return self.models["h"](self.models["g"](x, "eval"))

    def trained(self, x):
        return self.models["h"](self.models["g"](x))

    def climb(self, x, y):
        return lambda z: ce(self.judged(z), y)

    def loss(self, x, x_adv, y):
        return ce(self.trained(x_adv), y)

    def radius(self, s, rho, old):
        return self.cap if s == 0 else rho / s * old

    def step(self, x, y, ids):
        g, c = self.models["g"], self.models["c"]
        self.opt.lr = self.opt_c.lr = steps_at({1: 0.1, 75: 0.01, 90: 0.001, 100: 0.0001}, self.epoch)
        rho = steps_at({1: 0.05, 75: 0.2, 90: 0.3}, self.epoch)
        eps = self.extra["eps_i"][ids]
        self.extra["metric.eps"] = eps
        self.update(self.opt_c, ce(c(g(x, "eval").detach()), y), ["c"])
        start = x + self.uniform(-per_sample(eps, x), per_sample(eps, x))
        x_adv = pgd(self.climb(x, y), x, eps, 0.007, 10, start=start, signs=self.signs)
        self.update(self.opt, self.loss(x, x_adv, y), ["g", "h"])
        with torch.no_grad():
            p = F.softmax(c(g(x_adv, "eval")) / 2, 1)
        table = self.extra["eps_i"].clone()
        for i, row in enumerate(ids.tolist()):
            s = float(p[i].max() - p[i][y[i]])
            new = self.radius(s, rho, float(eps[i]))
            table[row] = min(self.cap, new)
            self.n_zero += s == 0
            self.n_capped += s > 0 and new > self.cap
            self.n_shrunk += new < float(eps[i])
        self.extra["eps_i"] = table

    def untried(self):
        return [] if self.n_zero and self.n_capped and self.n_shrunk else ["no radius shrinks, or none goes back, or none is capped"]


class DaatEnlarged(Daat):
    settings = ["cap=1.25"]
    epochs = [74, 75]
    cap = 1.25 * 0.031


class DaatLinearTrades(Daat):
    """What a radius was does not count; the clean and then the adversarial batch in training mode."""
    settings = ["rule=linear", "host=trades"]

    def climb(self, x, y):
        clean = self.judged(x).detach()
        return lambda z: kl(clean, self.judged(z))

    def loss(self, x, x_adv, y):
        z = self.trained(x)
        return ce(z, y) + 6 * kl(z, self.trained(x_adv))

    def radius(self, s, rho, old):
        return (1 - s + rho) * self.eps


class DaatPiecewiseMart(Daat):
    """Five radii: all of eps where the head is right, less the surer it is of another class."""
    settings = ["rule=piecewise", "host=mart", "beta=5"]

    def loss(self, x, x_adv, y):
        z, z_adv = self.trained(x), self.trained(x_adv)
        return bce_boosted(z_adv, y) + 5 * kl_12(z, z_adv) * (1.0000001 - pick(F.softmax(z, 1), y))

    def radius(self, s, rho, old):
        return sum(s <= k / 4 for k in range(4)) / 4 * self.eps

    def untried(self):
        return [] if self.n_zero and self.n_shrunk else ["no radius is all of eps, or none is less"]


class Iaat(Published):
    """A radius remembered for each sample, tried by two attacks a step; every pass in training mode."""
    recipe = "iaat"
    edits = [("wrn(depth = 34, k = 10, classes = classes)", "tiny(classes = classes)"),
             ("normalized(classes = 10)", "normalized(classes = 4)")]
    epochs = [10, 11, 71, 101]

    def make(self):
        self.models = {"f": nets.tiny(CLASSES, "body.", nets.normalized)}
        self.opt = self.optim(Sgd, ["f"], momentum=0.9, weight_decay=5e-4)
        self.extra = {"eps_i": torch.zeros(N_TRAIN)}
        self.seen = set()

    @staticmethod
    def entry_in(epoch):
        return "step.warm" if epoch <= 10 else "step.adapt"

    def right(self, z, y):
        return self.models["f"](z).argmax(1) == y

    def attack(self, x, y, eps, at):
        e = per_sample(eps, x)
        return pgd(lambda z: ce(self.models["f"](z), y), x, eps, torch.clamp(eps / 5, min=2 / 255), 10,
                   start=x + self.uniform(-e, e, at=at), signs=self.signs)

    def step(self, x, y, ids):
        self.opt.lr = steps_at({1: 0.1, 71: 0.02, 91: 0.004, 101: 0.0008}, self.epoch)
        with torch.no_grad():
            ok = self.right(x, y)
        if self.epoch <= 10:
            eps, at = 8 / 255 * ok, 0
        else:
            old, gamma, at = self.extra["eps_i"][ids], 1.9 / 255, 2
            here, beyond = self.attack(x, y, old, 0), self.attack(x, y, old + gamma, 1)
            with torch.no_grad():
                holds, more = self.right(here, y), self.right(beyond, y)
            new = []
            for i in range(len(x)):
                r = float(old[i])
                r = r + gamma if more[i] else r if holds[i] else r - gamma
                new.append(max(r * bool(ok[i]), 0))
                self.seen.add((bool(ok[i]), "grows" if more[i] else "stays" if holds[i] else "shrinks"))
            eps = 0.1 * torch.tensor(new) + 0.9 * old
        table = self.extra["eps_i"].clone()
        table[ids] = eps.double()
        self.extra.update({"eps_i": table, "metric.radius": eps.double()})
        self.update(self.opt, ce(self.models["f"](self.attack(x, y, eps, at)), y), ["f"])

    def untried(self):
        return ["no radius " + w for w in ("grows", "stays", "shrinks") if (True, w) not in self.seen]


class Cfa(Published):
    """A radius for each class, from its robust accuracy of the epoch before; between epochs an average of weights, if the worst class
    is good enough. Behind the last epoch comes one that saw no sample."""
    recipe = "cfa"
    edits = [("preact_resnet18(classes = classes)", "tiny(classes = classes)"), ("normalized(classes = 10)", "normalized(classes = 4)")]
    # for each epoch what its evaluation finds of the classes
    probes = [(1, [0.6, 0.19, 0.5, 0.7]), (9, [0.5, 0.3, 0.9, 0.2]), (10, [0.25, 0.3, 0.4, 0.5]), (11, [0.9, 0.1, 0.9, 0.9]),
              (12, [1, 1, 1, 1])]

    @classmethod
    def runs(cls):
        out = []
        for epoch, worst in cls.probes:
            out += [Run("step.main", epoch, k) for k in range(STEPS_AN_EPOCH)]
            out.append(Run("epoch.final", epoch, STEPS_AN_EPOCH, {"probe.pgd10.per_class": np.array(worst, np.float64)}))
        return out + [Run("epoch.final", 13)]

    def make(self):
        self.models = {n: nets.tiny(CLASSES, "body.", nets.normalized) for n in ("f", "avg")}
        self.opt = self.optim(Sgd, ["f"], lr=0.1, momentum=0.9, weight_decay=5e-4)
        self.extra = {"t": torch.full((CLASSES,), 0.5), "hits": torch.zeros(CLASSES), "seen": torch.zeros(CLASSES),
                      "n_averaged": torch.tensor(0.0)}

    def step(self, x, y, ids):
        f = self.models["f"]
        eps = (0.5 + self.extra["t"][y]) * 8 / 255 if self.epoch > 10 else torch.full((len(x),), 8 / 255)
        self.extra["metric.eps"] = eps
        e = per_sample(eps, x)
        start = torch.clamp(x + self.uniform(-e, e), 0, 1)
        x_adv = pgd(lambda z: ce(f(z), y), x, eps, 2 / 255, 10, start=start, signs=self.signs)
        z = f(x_adv)
        self.update(self.opt, ce(z, y), ["f"])
        f(x)  # for the script's log
        hits, seen = self.extra["hits"].clone(), self.extra["seen"].clone()
        for right, k in zip((z.argmax(1) == y).tolist(), y.tolist()):
            hits[k] += right
            seen[k] += 1
        self.extra.update({"hits": hits, "seen": seen})

    def after_epoch(self):
        f, avg, n = self.models["f"], self.models["avg"], self.extra["n_averaged"]
        self.extra["t"] = self.extra["hits"] / torch.clamp(self.extra["seen"], min=1)
        self.extra.update({"hits": torch.zeros(CLASSES), "seen": torch.zeros(CLASSES)})
        if self.extra["probe.pgd10.per_class"].min() >= 0.2:
            decay = 0.88 if n else 0
            for of, to in ((f.weights, avg.weights), (f.stats, avg.stats)):
                for name in to:
                    to[name] = (decay * to[name] + (1 - decay) * of[name]).detach()
            self.extra["n_averaged"] = n + 1


CASES = [StaticDes, StaticDesDown, Ades, AdesLiteral, MwpbAt, MwpbTrades, MwpbMart, MwpbAwp, Daat, DaatEnlarged, DaatLinearTrades,
         DaatPiecewiseMart, Iaat, Cfa]
