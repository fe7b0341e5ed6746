"""The building blocks of methods, one or two a case: the recipes of this folder once more, in PyTorch."""
import torch
import torch.nn.functional as F

import nets
from case import BATCH, CHANNELS, CLASSES, N_IN, N_TRAIN, SIZE, Case
from train import Adam, OnBall, Sgd, bce_boosted, ce, entropy, grads_of, kl, kl_12, margin, minmax, norm2, pgd, pgd_l2, pick


def small():
    return nets.mlp_bn(N_IN, 16, CLASSES)


def cnn():
    return nets.cnn(CHANNELS, SIZE, 4, 6, 12, CLASSES)


class NaturalSgd(Case):
    recipe = "natural_sgd"

    def make(self):
        self.models = {"f": small()}
        self.opt = self.optim(Sgd, ["f"], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)

    def step(self, x, y, ids):
        self.update(self.opt, ce(self.models["f"](x), y), ["f"])


class NaturalAdam(Case):
    recipe = "natural_adam"

    def make(self):
        self.models = {"f": cnn()}
        self.opt = self.optim(Adam, ["f"], lr=0.01, beta1=0.8, beta2=0.99, eps=1e-6, weight_decay=0.01)

    def step(self, x, y, ids):
        self.update(self.opt, ce(self.models["f"](x), y), ["f"])


class Trajectory(Case):
    recipe = "trajectory"

    def make(self):
        self.models = {"f": cnn()}
        self.opt = self.optim(Sgd, ["f"], lr=0.1, momentum=0.9)

    def step(self, x, y, ids):
        f = self.models["f"]
        rise = lambda z: ce(f(z), y)
        z0 = f(x).detach()
        self.extra = {"a%d" % k: pgd(rise, x, 8 / 255, 2 / 255, k, signs=self.signs) for k in (1, 2, 5)}
        self.extra["k3"] = pgd(lambda z: kl(z0, f(z)), x, 0.031, 0.007, 3, start=x + 0.01 * (x - 0.5), signs=self.signs)
        self.extra["m3"] = pgd(lambda z: margin(f(z), y), x, 8 / 255, 4 / 255, 3, signs=self.signs)
        self.extra["l3"] = pgd_l2(rise, x, 0.5, 0.2, 3)
        self.update(self.opt, ce(f(self.extra["a5"]), y), ["f"])


class DivergenceWrn(Case):
    recipe = "divergence_wrn"

    def make(self):
        self.models = {"f": nets.wrn(10, 1, CLASSES)}
        self.opt = self.optim(Sgd, ["f"], lr=0.05, momentum=0.9, weight_decay=2e-4)

    def step(self, x, y, ids):
        f = self.models["f"]
        clean = f(x, "eval").detach()
        x_adv = pgd(lambda z: kl(clean, f(z, "eval")), x, 0.031, 0.007, 3, start=x + 0.01 * (x - 0.5), signs=self.signs)
        self.extra = {"a": x_adv}
        z, z_adv = f(x), f(x_adv)
        f(x)  # moves the running statistics once more
        self.update(self.opt, ce(z, y) + 6 * kl(z, z_adv), ["f"])


class Boosted(Case):
    recipe = "boosted"

    def make(self):
        self.models = {"f": cnn()}
        self.opt = self.optim(Sgd, ["f"], lr=0.05, momentum=0.9, weight_decay=3.5e-3)

    def step(self, x, y, ids):
        f = self.models["f"]
        x_adv = pgd(lambda z: ce(f(z), y), x, 0.031, 0.007, 5, signs=self.signs)
        z, z_adv = f(x), f(x_adv)
        e = bce_boosted(z_adv, y) + 5 * kl_12(z, z_adv) * (1.0000001 - pick(F.softmax(z, 1), y))
        self.update(self.opt, e, ["f"])


class Budget(Case):
    recipe = "budget"

    def make(self):
        self.models = {"f": small(), "mlp": nets.scheduler()}
        self.opt = self.optim(Sgd, ["f"], lr=0.1, momentum=0.9, weight_decay=5e-4)
        self.opt_mlp = self.optim(Adam, ["mlp"], lr=0.01)

    def step(self, x, y, ids):
        f, mlp = self.models["f"], self.models["mlp"]
        v = x.clone().requires_grad_(True)
        z = f(v, "eval")
        (g,) = torch.autograd.grad(ce(z, y).sum(), v)
        cues = {"gnorm": minmax(norm2(g)), "entropy": minmax(entropy(F.softmax(z, 1))), "flat": torch.full((len(x),), 0.5)}
        eps = 4 / 255 + 8 / 255 * mlp(torch.stack(list(cues.values()), 1).detach())
        eps = eps * (8 / 255) / eps.mean()
        eps = torch.clamp(eps, 0, 10 / 255)
        x_adv = pgd(lambda u: ce(f(u, "eval"), y), x, eps, 3 / 255, 5, signs=self.signs)
        robust = ce(f(OnBall.apply(x_adv, x, eps)), y)
        self.extra.update({"metric." + n: v for n, v in cues.items()})
        self.extra.update({"e": eps.detach(), "metric.eps": eps.detach(), "metric.robust": robust.detach().mean()})
        down = grads_of(robust, {"f": f})
        up = grads_of(robust, {"mlp": mlp}, -1.0)
        self.opt.step(down)
        self.opt_mlp.step(up)


class ModesWrn(Case):
    recipe = "modes_wrn"

    def make(self):
        self.models = {"f": nets.wrn(10, 2, CLASSES)}
        self.opt = self.optim(Sgd, ["f"], lr=0.05)

    def step(self, x, y, ids):
        f = self.models["f"]
        before, same, moved = ce(f(x, "eval"), y), ce(f(x, "batch"), y), ce(f(x), y)
        after = ce(f(x, "eval"), y)
        self.update(self.opt, before + 0.5 * same + 0.25 * moved + 0.125 * after, ["f"])


class ModesResnet(Case):
    recipe = "modes_resnet"

    def make(self):
        self.models = {"f": nets.resnet18(CLASSES, width=8)}
        self.opt = self.optim(Sgd, ["f"], lr=0.01, momentum=0.9, weight_decay=5e-4)

    def step(self, x, y, ids):
        f = self.models["f"]
        moved = ce(f(x), y)
        after = ce(f(x, "eval"), y)
        self.update(self.opt, moved + 0.5 * after, ["f"])


class Resnet18(Case):
    """As the standard library has it, on images of the size that it is for; one step, of two images. In f32 one of its million ReLUs
    always turns, and takes part of the gradient with it."""
    in_f32 = False
    recipe = "resnet18"
    steps = 1
    shape, batch = (3, 32, 32), 2

    def make(self):
        self.models = {"f": nets.resnet18(CLASSES)}
        self.opt = self.optim(Sgd, ["f"], lr=0.05)

    def step(self, x, y, ids):
        self.update(self.opt, ce(self.models["f"](x), y), ["f"])


def trunk():
    m = nets.Model(lambda c, x: F.relu(c.linear("fc1", x.flatten(1))))
    m.linear("fc1", N_IN, 16)
    return m.ready()


def head():
    return nets.head(16, CLASSES, "fc2")


class TwoModels(Case):
    recipe = "two_models"

    def make(self):
        self.models = {"g": trunk(), "c": head(), "d": head()}
        self.opt_c = self.optim(Sgd, ["c"], lr=0.1, momentum=0.9)
        self.opt_gd = self.optim(Adam, ["g", "d"], lr=0.01)

    def step(self, x, y, ids):
        g, c, d = (self.models[n] for n in "gcd")
        self.update(self.opt_c, ce(c(g(x).detach()), y), ["c"])
        self.update(self.opt_gd, ce(d(g(x)), y), ["g", "d"])
        self.update(self.opt_c, ce(c(g(x).detach()), y), ["c"])


class Replayed(Case):
    recipe = "replayed"

    def make(self):
        self.models = {"f": small()}
        self.opt = self.optim(Sgd, ["f"], lr=0.05, momentum=0.9, weight_decay=2e-4)
        self.extra = {"delta": torch.zeros(BATCH, CHANNELS, SIZE, SIZE)}

    def step(self, x, y, ids):
        f = self.models["f"]
        for _ in range(4):
            delta = self.extra["delta"].requires_grad_(True)
            e = ce(f(torch.clamp(x + delta, 0, 1)), y)
            (d,) = torch.autograd.grad(e.sum(), delta, retain_graph=True)
            self.signs.see(d)
            grads = grads_of(e, {"f": f})
            self.extra["delta"] = torch.clamp(delta.detach() + 8 / 255 * torch.sign(d), -8 / 255, 8 / 255)
            self.opt.step(grads)


class Perturbed(Case):
    recipe = "perturbed"

    def make(self):
        self.models = {"f": small()}
        self.opt = self.optim(Sgd, ["f"], lr=0.1, momentum=0.9, weight_decay=5e-4)

    def step(self, x, y, ids):
        f = self.models["f"]
        x_adv = pgd(lambda z: ce(f(z, "eval"), y), x, 8 / 255, 2 / 255, 3, signs=self.signs)
        grads = grads_of(ce(f(x_adv, "batch"), y), {"f": f})["f"]
        v = {n: 0.01 * g * f.weights[n].norm() / g.norm() if g.dim() > 1 else torch.zeros_like(g) for n, g in grads.items()}
        self.shift(f, v, 1.0)
        self.update(self.opt, ce(f(x_adv), y), ["f"])
        self.shift(f, v, -1.0)

    @staticmethod
    def shift(f, v, sign):
        for n in f.weights:
            f.weights[n] = (f.weights[n] + sign * v[n]).detach().requires_grad_(True)


class Adaptive(Case):
    recipe = "adaptive"

    def make(self):
        self.models = {"g": trunk(), "h": head(), "c": head()}
        self.opt_c = self.optim(Sgd, ["c"], lr=0.1)
        self.opt_gh = self.optim(Sgd, ["g", "h"], lr=0.1, momentum=0.9)
        self.extra = {"eps_i": torch.full((N_TRAIN,), 8 / 255)}

    def step(self, x, y, ids):
        g, h, c = (self.models[n] for n in "ghc")
        eps = self.extra["eps_i"][ids]
        self.update(self.opt_c, ce(c(g(x).detach()), y), ["c"])
        x_adv = pgd(lambda z: ce(h(g(z)), y), x, eps, 2 / 255, 5, signs=self.signs)
        self.update(self.opt_gh, ce(h(g(x_adv)), y), ["g", "h"])
        with torch.no_grad():
            p = F.softmax(c(g(x_adv)) / 0.5, 1)
            s = p.max(1).values - pick(p, y)
            r = torch.where(s == 0, torch.full_like(s, 8 / 255), 0.1 * eps / s)
            self.extra["eps_i"][ids] = torch.clamp(r, max=8 / 255)


class Coupled(Case):
    recipe = "coupled"

    def make(self):
        self.models = {"f": small(), "ema": small()}
        self.opt = self.optim(Sgd, ["f"], lr=0.1, momentum=0.9, weight_decay=0.01, clip=1)
        self.extra = {"seen": torch.zeros(CLASSES)}
        self.taken = set()

    def candidate(self, x, y):
        """For each sample the first of three that `ema` gets wrong, else the last."""
        near = torch.clamp(x + 0.1 * self.noise("rademacher", shared=True), 0, 1)
        far = torch.clamp(x + 0.3 * self.noise("normal"), 0, 1)
        all_of, out = [x, near, far], []
        wrong = [(self.models["ema"](v, "eval").argmax(1) != y).tolist() for v in all_of]
        for i in range(len(x)):
            k = next((k for k in range(3) if wrong[k][i]), 2)
            self.taken.add((k, wrong[k][i]))
            out.append(all_of[k][i])
        return torch.stack(out)

    def step(self, x, y, ids):
        f, ema = self.models["f"], self.models["ema"]
        a = self.candidate(x, y)
        e, s = ce(f(a, rows=y != 0), y), ce(f(x, "batch"), y)
        middle, agreement = torch.quantile(e, 0.3), torch.corrcoef(torch.stack([e, s]))[0, 1]
        order = e.argsort()
        ranks = torch.empty(len(x))
        ranks[order] = torch.arange(len(x)) / (len(x) - 1.0)
        self.extra.update({"worst_of": a, "ranks": ranks, "seen": self.extra["seen"].index_add(0, y, e.detach()),
                           "metric.middle": middle.detach(), "metric.agreement": agreement.detach()})
        self.update(self.opt, e.mean() + 0.5 * middle + 0.1 * agreement, ["f"])
        for of, to in ((f.weights, ema.weights), (f.stats, ema.stats)):
            for n in to:
                to[n] = (0.9 * to[n] + 0.1 * of[n]).detach()

    def untried(self):
        return [] if self.taken == {(0, True), (1, True), (2, True), (2, False)} else ["candidates taken: %s" % self.taken]


class Standard(Case):
    recipe = "standard"

    def make(self):
        self.models = {"f": small()}
        self.opt = self.optim(Sgd, ["f"], lr=0.1, momentum=0.9, weight_decay=5e-4)

    def step(self, x, y, ids):
        f, eps = self.models["f"], 8 / 255

        def rise(z):
            return ce(f(z, "eval"), y)

        def wrong_by(z):
            return torch.clamp(margin(f(z, "eval"), y), max=50.0)  # until it is wrong by 50, and flat from there

        starts = [x + self.uniform(-eps, eps, at=k) for k in range(2)]
        self.extra = {"one": pgd(rise, x, eps, eps, 1, signs=self.signs),
                      "ten": pgd(rise, x, 0.031, 0.007, 10, signs=self.signs),
                      "twenty": pgd(rise, x, eps, eps / 4, 20, start=starts[0], signs=self.signs),
                      "margin": pgd(wrong_by, x, eps, eps / 4, 20, start=starts[1], signs=self.signs),
                      "round": pgd_l2(rise, x, 0.5, 0.125, 10)}
        self.update(self.opt, ce(f(x), y), ["f"])


CASES = [NaturalSgd, NaturalAdam, Trajectory, DivergenceWrn, Boosted, Budget, ModesWrn, ModesResnet, Resnet18, TwoModels, Replayed,
         Perturbed, Adaptive, Coupled, Standard]
