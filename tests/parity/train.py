"""Losses, attacks, budgets and optimisers of the recipes compared, by hand in PyTorch."""
import numpy as np
import torch
import torch.nn.functional as F


# ---- losses, one number a sample -----------------------------------------------------------------------------------------

def ce(z, y):
    return F.cross_entropy(z, y, reduction="none")


def kl(P, Q):
    """KL(softmax P || softmax Q) of logits; gradients flow into both."""
    return (F.softmax(P, 1) * (F.log_softmax(P, 1) - F.log_softmax(Q, 1))).sum(1)


def max_other(p, y):
    return p.masked_fill(F.one_hot(y, p.shape[1]).bool(), float("-inf")).max(1).values


def pick(p, y):
    return p.gather(1, y[:, None])[:, 0]


def margin(z, y):
    """max of the other logits less that of the class."""
    return max_other(z, y) - pick(z, y)


def bce_boosted(z, y):
    return ce(z, y) - torch.log(1.0001 - max_other(F.softmax(z, 1), y) + 1e-12)


def kl_12(P, Q):
    return (F.softmax(P, 1) * (F.log_softmax(P, 1) - torch.log(F.softmax(Q, 1) + 1e-12))).sum(1)


# ---- attacks -------------------------------------------------------------------------------------------------------------

class Signs:
    """Counts gradient elements whose sign is not safe: |g| at most 1e-6 of the largest, and not 0."""

    def __init__(self):
        self.n_all = self.n_small = 0

    def see(self, g):
        a = g.abs()
        self.n_all += a.numel()
        self.n_small += int(((a <= 1e-6 * a.max()) & (a > 0)).sum())


def per_sample(eps, x):
    return eps.view((-1,) + (1,) * (x.dim() - 1)) if torch.is_tensor(eps) and eps.dim() == 1 else eps


def pgd(climb, x, eps, size, steps, start=None, signs=None):
    """L-inf: step, ball, box. All arguments are constants, and so is the result."""
    e = per_sample(eps.detach() if torch.is_tensor(eps) else eps, x)
    size = per_sample(size, x)
    z = (x if start is None else start).detach()
    for _ in range(steps):
        z = z.requires_grad_(True)
        (g,) = torch.autograd.grad(climb(z).sum(), z)
        if signs:
            signs.see(g)
        with torch.no_grad():
            z = z + size * torch.sign(g)
            z = torch.clamp(torch.maximum(torch.minimum(z, x + e), x - e), 0, 1)
    return z.detach()


def norm2(v):
    return v.flatten(1).norm(dim=1)


def pgd_l2(climb, x, eps, size, steps, start=None):
    """L2: along the gradient over its norm (0 where that is 0), ball, box."""
    z = (x if start is None else start).detach()
    for _ in range(steps):
        z = z.requires_grad_(True)
        (g,) = torch.autograd.grad(climb(z).sum(), z)
        with torch.no_grad():
            n = per_sample(norm2(g), x)
            z = z + size * torch.where(n == 0, torch.zeros_like(g), g / n)
            d = z - x
            n = per_sample(norm2(d), x)
            z = torch.clamp(x + d * torch.where(n > eps, eps / n, torch.ones_like(n)), 0, 1)
    return z.detach()


# ---- cues and budget -----------------------------------------------------------------------------------------------------

def minmax(v):
    lo, hi = v.min(), v.max()
    return torch.full_like(v, 0.5) if lo == hi else (v - lo) / (hi - lo)


def entropy(p):
    return -(torch.where(p > 0, p * p.clamp_min(1e-300).log(), torch.zeros_like(p))).sum(1)


class OnBall(torch.autograd.Function):
    """x_adv as a function of the radius alone, L-inf: 1, with the sign of x_adv - x, where the ball held it, roundings apart."""

    @staticmethod
    def forward(ctx, x_adv, x, eps):
        e = per_sample(eps, x)
        d = x_adv - x
        ctx.save_for_backward(torch.sign(d) * (d.abs() >= e - 1e-6))
        return x_adv.clone()

    @staticmethod
    def backward(ctx, g):
        (s,) = ctx.saved_tensors
        return None, None, (g * s).flatten(1).sum(1)


# ---- schedules -----------------------------------------------------------------------------------------------------------

def steps_at(table, at):
    """The value of the last key that is not above `at`."""
    return table[max(k for k in table if k <= at)]


def linear_at(table, at):
    """Straight lines between the keys."""
    return float(np.interp(at, sorted(table), [table[k] for k in sorted(table)]))


# ---- optimisers ----------------------------------------------------------------------------------------------------------

class Sgd:
    """decays: which weights the decay is for, by their tensors; clip: bound of the norm of all gradients together, as clip_grad_norm_."""

    def __init__(self, models, lr=None, momentum=0.0, weight_decay=0.0, nesterov=False, decays=lambda w: True, clip=None):
        self.models, self.lr, self.momentum, self.wd, self.nesterov = models, lr, momentum, weight_decay, nesterov
        self.decays, self.clip, self.m = decays, clip, {}

    def step(self, grads):
        """grads: {model name: {weight name: gradient}}"""
        if self.clip:
            norm = torch.stack([g.norm() for gs in grads.values() for g in gs.values()]).norm()
            share = min(1.0, self.clip / (float(norm) + 1e-6))
            grads = {f: {n: g * share for n, g in gs.items()} for f, gs in grads.items()}
        for f, gs in grads.items():
            for name, g in gs.items():
                w = self.models[f].weights[name]
                with torch.no_grad():
                    g = g + self.wd * w if self.decays(w) else g
                    m = self.momentum * self.m.get((f, name), torch.zeros_like(w)) + g
                    self.m[f, name] = m
                    d = g + self.momentum * m if self.nesterov else m
                    self.models[f].weights[name] = (w - self.lr * d).requires_grad_(True)

    def moments(self):
        return {"%s.%s.momentum" % k: v for k, v in self.m.items()}


class Adam:
    def __init__(self, models, lr=None, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
        self.models, self.lr, self.b1, self.b2, self.eps, self.wd = models, lr, beta1, beta2, eps, weight_decay
        self.m, self.v, self.t = {}, {}, 0

    def step(self, grads):
        self.t += 1
        for f, gs in grads.items():
            for name, g in gs.items():
                w, k = self.models[f].weights[name], (f, name)
                with torch.no_grad():
                    g = g + self.wd * w
                    self.m[k] = self.b1 * self.m.get(k, torch.zeros_like(w)) + (1 - self.b1) * g
                    self.v[k] = self.b2 * self.v.get(k, torch.zeros_like(w)) + (1 - self.b2) * g * g
                    denom = self.v[k].sqrt() / (1 - self.b2 ** self.t) ** 0.5 + self.eps
                    self.models[f].weights[name] = (w - self.lr / (1 - self.b1 ** self.t) * self.m[k] / denom).requires_grad_(True)

    def moments(self):
        out = {"%s.%s.adam_m" % k: v for k, v in self.m.items()}
        out.update({"%s.%s.adam_v" % k: v for k, v in self.v.items()})
        if self.t:
            out.update({f + ".adam_t": torch.tensor(self.t) for f in self.models})
        return out


def grads_of(e, models, sign=1.0):
    """Gradients of the number (or of the batch mean of the numbers) `e` by all weights of the models named."""
    e = e.mean() if e.dim() else e
    keys = [(f, n) for f in models for n in models[f].weights]
    gs = torch.autograd.grad(e, [models[f].weights[n] for f, n in keys], retain_graph=True)
    out = {f: {} for f in models}
    for (f, n), g in zip(keys, gs):
        out[f][n] = sign * g
    return out
