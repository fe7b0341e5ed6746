"""Published methods that change one part of another method, its weights, its attack or its radius: recipes of recipes/ against the
methods as published, written here in PyTorch."""
import torch
import torch.nn.functional as F

import methods
import nets
from case import CLASSES, Published
from train import Sgd, bce_boosted, ce, kl, kl_12, pgd, pick, steps_at


def lead(z, y):
    """How far the probability of the class is above the largest other; below 0 where the sample is wrong."""
    p = F.softmax(z, 1)
    best, at = p.topk(2, 1)
    return pick(p, y) - torch.where(at[:, 0] == y, best[:, 1], best[:, 0])


class Hosted(Published):
    """At, Trades and Mart as mixed in: what the attack climbs, and the clean and adversarial logits of the update, in this order."""
    edits = [("resnet18(classes = 10)", "tiny(classes = 4)")]
    momentum, decay, rates = 0.9, 5e-4, {1: 0.1}
    eps, size = 0.031, 0.007

    def make(self):
        self.models = {"f": nets.tiny(CLASSES)}
        self.opt = self.optim(Sgd, ["f"], momentum=self.momentum, weight_decay=self.decay)

    def start(self, x):
        return x + 0.001 * self.noise("normal")

    def step(self, x, y, ids):
        f = self.models["f"]
        self.opt.lr = steps_at(self.rates, self.epoch)
        x_adv = pgd(self.climb(f, x, y), x, self.eps, self.size, 10, start=self.start(x), signs=self.signs)
        self.update(self.opt, self.loss(f, x, x_adv, y), ["f"])


# ---- MAIL ----------------------------------------------------------------------------------------------------------------

class Mail(Hosted):
    epochs = [1, 76, 77, 101]
    decay, rates = 3.5e-3, {1: 0.01, 76: 0.001, 91: 0.0001, 101: 0.00001}
    slope, bias, multiplier = 1.0, -1.5, 3.0

    def weight(self, z, y):
        """Of the logits that the loss takes; no gradient passes."""
        w = torch.sigmoid((self.bias - lead(z.detach(), y)) * self.slope)
        w = w * self.multiplier if self.multiplier else w * len(w) / w.sum()
        if self.epoch <= 76:
            w = torch.ones(len(w))
        self.extra["metric.weight"] = w
        return w

    def climb(self, f, x, y):
        return lambda z: ce(f(z, "eval"), y)


class MailAt(Mail):
    recipe = "mail_at"

    def loss(self, f, x, x_adv, y):
        z = f(x_adv)
        return self.weight(z, y) * ce(z, y)


class MailAtScaled(MailAt):
    """Slope, bias and scaling of the paper."""
    settings = ["multiplier=0", "slope=10", "bias=-0.5"]
    epochs = [77]
    slope, bias, multiplier = 10.0, -0.5, 0


class MailTrades(Mail):
    recipe = "mail_trades"

    def climb(self, f, x, y):
        clean = f(x, "eval").detach()
        return lambda z: kl(clean, f(z, "eval"))

    def loss(self, f, x, x_adv, y):
        z, z_adv = f(x), f(x_adv)
        return ce(z, y) + 5 * kl(z, z_adv) * self.weight(z_adv, y)


class MailMart(Mail):
    recipe = "mail_mart"

    def loss(self, f, x, x_adv, y):
        z, z_adv = f(x), f(x_adv)
        return self.weight(z_adv, y) * bce_boosted(z_adv, y) + 5 * kl_12(z, z_adv) * (1.0000001 - pick(F.softmax(z, 1), y))


# ---- WAT -----------------------------------------------------------------------------------------------------------------

class WatAt(Hosted):
    """Everything in training mode; the weight has a gradient, in the attack as in the update."""
    recipe = "wat_at"
    epochs = [1, 60, 61, 100]
    rates, eps, size = {1: 0.2, 61: 0.04}, 8 / 255, 2 / 255

    def start(self, x):
        return x + self.uniform(-self.eps, self.eps)

    def climb(self, f, x, y):
        return lambda z: self.loss(f, x, z, y)

    def loss(self, f, x, x_adv, y):
        z = f(x_adv)
        return torch.exp(-0.5 * lead(z, y)) * ce(z, y)


class WatTrades(Hosted):
    recipe = "wat_trades"
    epochs = [1, 75, 76, 91]
    decay, rates = 2e-4, {1: 0.2, 76: 0.02, 91: 0.002}

    @staticmethod
    def far(z, z_adv, y):
        return kl(z, z_adv) * torch.exp(-2.0 * lead(z_adv, y))

    def climb(self, f, x, y):
        clean = f(x, "eval").detach()
        return lambda z: self.far(clean, f(z, "eval"), y)

    def loss(self, f, x, x_adv, y):
        z = f(x)
        return ce(z, y) + 5 * self.far(z, f(x_adv), y)


# ---- FAT on other losses -------------------------------------------------------------------------------------------------

class FatTrades(methods.Fat):
    """No noise in the steps; stops by the prediction while it climbs the divergence."""
    recipe = "fat_trades"
    epochs = [1, 31, 51, 75]
    rates, taus = {1: 0.1, 75: 0.01}, {1: 0, 31: 1, 51: 2, 71: 3}

    def start(self, x):
        return x + 0.001 * self.noise("normal")

    def climb(self, f, x, y):
        clean = f(x, "eval").detach()
        return lambda z: kl(clean, f(z, "eval"))

    def shaken(self, z, turn):
        return z

    def loss(self, f, x, x_adv, y):
        z = f(x)
        return ce(z, y) + 6 * kl(z, f(x_adv))


class FatMart(FatTrades):
    """Adversarial images first."""
    recipe = "fat_mart"
    epochs = [1, 21, 60, 90]
    rates, taus = {1: 0.1, 60: 0.01, 90: 0.001}, {1: 0, 21: 1, 41: 2, 61: 3, 81: 4}

    def climb(self, f, x, y):
        return lambda z: ce(f(z, "eval"), y)

    def loss(self, f, x, x_adv, y):
        z_adv = f(x_adv)
        z = f(x)
        return bce_boosted(z_adv, y) + 6 * kl_12(z, z_adv) * (1.0000001 - pick(F.softmax(z, 1), y))


CASES = [FatTrades, FatMart, MailAt, MailAtScaled, MailTrades, MailMart, WatAt, WatTrades]
