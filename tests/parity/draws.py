"""The random numbers of a plan, computed apart from the engine.

What the engine documents (ops/rng.h): Philox4x32-10 of the counter {element/4, id, n, epoch} under a key mixed from seed and
purpose; element%4 picks one of four words. Which purposes a recipe has is read from its graph (`advc --dump=graph`), the
numbers are made here.
"""
import re

import numpy as np

SEED = 1  # of every recipe compared
MASK32, MASK64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
N_DRAWS = 64  # a draw's number n is `draw` + 64*turn of the loop around it
HEAD = re.compile(r"^entry (\S+) \{")
DRAW = re.compile(r"= draw .*\{(.*)\}")


def mix64(x):
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK64
    return x ^ x >> 31


def key_of(purpose):
    return mix64(mix64((SEED + 0x9E3779B97F4A7C15) & MASK64) ^ purpose)


def philox(c0, c1, c2, c3, key):
    """Four words of each counter; c0..c3 are arrays or numbers that fit each other."""
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(c, np.uint64) for c in (c0, c1, c2, c3)))
    low, shift = np.uint64(MASK32), np.uint64(32)
    k0, k1 = key & MASK32, key >> 32
    for _ in range(10):
        a, b = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c2 = (b >> shift) ^ c1 ^ np.uint64(k0), (a >> shift) ^ c3 ^ np.uint64(k1)
        c1, c3 = b & low, a & low
        k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
    return np.stack([c0, c1, c2, c3], -1)


class Draw:
    """One `draw` of a recipe: its law, its purpose, and the shape of one sample's numbers."""

    def __init__(self, attrs):
        word = dict(re.findall(r"(\w+)=(\[[^\]]*\]|[^,\s]+)", attrs))
        self.law, self.p = word.get("dist", "uniform"), float(word.get("p", 0.5))
        self.purpose = int(word["purpose"])
        self.dims = [int(d) for d in re.findall(r"\d+", word.get("dims", ""))]

    def __eq__(self, other):
        return vars(self) == vars(other)

    def numbers(self, epoch, ids, n):
        """[len(ids), dims...] in double."""
        ids, size = np.asarray(ids), int(np.prod(self.dims))
        quads = np.arange((size + 3) // 4)
        w = philox(quads[None, :], ids[:, None], n, epoch, key_of(self.purpose))
        if self.law == "normal":
            v = self.normals(w)
        else:
            v = (w >> np.uint64(8)).astype(np.float64) / 2 ** 24
            v = {"uniform": lambda: v, "bernoulli": lambda: (v < self.p) * 1.0, "rademacher": lambda: 1.0 - 2.0 * (v >= 0.5)}[self.law]()
        return v.reshape(len(ids), -1)[:, :size].reshape([len(ids)] + self.dims)

    @staticmethod
    def normals(w):
        """Box and Muller on words 0, 1 and on words 2, 3."""
        radius = np.sqrt(-2 * np.log((w[..., 0::2] + 1.0) / 2 ** 32))
        angle = 2 * np.pi * (w[..., 1::2] / 2.0 ** 32)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).astype(np.float32).astype(np.float64)


def draws_of(graph):
    """{entry: its draws in the order of the recipe, each once} of a graph's text."""
    out, entry = {}, None
    for line in graph.splitlines():
        head, draw = HEAD.match(line), DRAW.search(line)
        if head:
            entry = out.setdefault(head.group(1), [])
        elif draw:
            d = Draw(draw.group(1))
            if d not in entry:
                entry.append(d)
    return out
