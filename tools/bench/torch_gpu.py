"""PyTorch's side of bench_gpu.c: images a second of adversarial training on one GPU, at its best.

    torch_gpu.py [--model rn18|wrn34-10] [--bs N] [--steps N] [--method pgd|trades|trades_hoisted] [--modes cgraph,graph,eager]

Prints a JSON line a mode: model, method, mode, bs, img_s, ms_iter, setup_s, mem_gb; or `error`. The modes: `cgraph` torch.compile and
the whole step as one CUDA graph, `graph` the graph alone, `eager`. All in bf16 autocast, channels last, with TF32 where f32 is left and
SGD in one launch; the attack asks autograd.grad for the gradient by the image alone, with the network in eval mode and its weights not
to be differentiated by (what torch.compile makes of a backward pass gives all gradients that anybody could ask for). Steps are handed
over without waiting between them, as ours are.

METHOD trades is the published way of writing it: the clean batch is forwarded in every turn of the attack and twice in the update.
trades_hoisted forwards it once before the attack and once in the update, as a careful person would. `--device=cpu --modes=eager` runs
everything without a GPU, to see that it runs.
"""
import argparse
import contextlib
import json
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_peer import resnet18


class PreBlock(nn.Module):
    """Pre-activation block of a wide residual network; the shortcut's convolution takes the activated input."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(o), nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.side = nn.Conv2d(i, o, 1, stride, bias=False) if i != o else None

    def forward(self, x):
        a = F.relu(self.bn1(x))
        h = self.conv2(F.relu(self.bn2(self.conv1(a))))
        return h + (self.side(a) if self.side is not None else x)


def wrn34_10():
    layers, i = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)], 16
    for o, first in ((160, 1), (320, 2), (640, 2)):
        for k in range(5):
            layers.append(PreBlock(i, o, first if k == 0 else 1))
            i = o
    return nn.Sequential(*layers, nn.BatchNorm2d(640), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(640, 10))


MODELS = {"rn18": resnet18, "wrn34-10": wrn34_10}
EPS, SIZE = 8 / 255, 2 / 255


def kl(adversarial, clean_p):
    return F.kl_div(F.log_softmax(adversarial, dim=1), clean_p, reduction="sum")


def advance(z, g, x):
    return torch.min(torch.max(z + SIZE * g.sign(), x - EPS), x + EPS).clamp(0, 1)


def attack(x, loss, advance, steps):
    z = (x + 0.001 * torch.randn_like(x)).detach()
    for _ in range(steps):
        z.requires_grad_()
        (g,) = torch.autograd.grad(loss(z), [z])
        with torch.no_grad():
            z = advance(z, g, x)
        z = z.detach()
    return z


def losses(method, model, amp):
    """The loss of an attack's point (given what is constant in the attack), and that of the update."""

    def logits(v):
        with amp():
            return model(v).float()

    def clean(x):
        with torch.no_grad():
            return F.softmax(logits(x), dim=1)

    def trades_update(z, x, y):
        c = logits(x)
        again = logits(x) if method == "trades" else c
        return F.cross_entropy(c, y) + 6 * kl(logits(z), F.softmax(again, dim=1)) / len(x)

    if method == "pgd":
        return (lambda x: None), (lambda z, x, y, c: F.cross_entropy(logits(z), y)), (lambda z, x, y: F.cross_entropy(logits(z), y))
    if method == "trades":
        return (lambda x: None), (lambda z, x, y, c: kl(logits(z), F.softmax(logits(x), dim=1))), trades_update
    return clean, (lambda z, x, y, c: kl(logits(z), c)), trades_update


def make_step(model, optim, method, mode, steps, amp):
    parts = *losses(method, model, amp), advance
    constant, climb, update, move = (torch.compile(f) for f in parts) if mode == "cgraph" else parts

    def step(x, y):
        model.eval().requires_grad_(False)
        c = constant(x)
        z = attack(x, lambda v: climb(v, x, y, c), move, steps)
        model.train().requires_grad_(True)
        optim.zero_grad(set_to_none=True)
        update(z, x, y).backward()
        optim.step()

    return step


def recorded(step, x, y):
    """The step as one CUDA graph; four runs before it warm up libraries and the compiler."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(4):
            step(x, y)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(x, y)
    return graph.replay


def measure(a, mode):
    cuda = a.device == "cuda"
    torch.manual_seed(0)
    begin = time.perf_counter()
    model = MODELS[a.model]().to(a.device, memory_format=torch.channels_last)
    more = {"fused": True} if cuda else {}
    optim = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, **more)

    def amp():  # a graph must not keep weights that autocast turned before it was recorded
        return torch.autocast("cuda", torch.bfloat16, cache_enabled=mode == "eager") if cuda else contextlib.nullcontext()

    step = make_step(model, optim, a.method, mode, a.steps, amp)
    x = torch.rand(a.bs, 3, 32, 32, device=a.device).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (a.bs,), device=a.device)

    def wait():
        if cuda:
            torch.cuda.synchronize()

    run = recorded(step, x, y) if mode != "eager" else lambda: step(x, y)
    run()
    wait()
    setup, times = time.perf_counter() - begin, []
    for _ in range(5):
        t0 = time.perf_counter()
        for _ in range(a.iters):
            run()
        wait()
        times.append((time.perf_counter() - t0) / a.iters)
    ms = 1e3 * sorted(times)[len(times) // 2]
    peak = torch.cuda.max_memory_allocated() / 1e9 if cuda else 0
    return {"ms_iter": round(ms, 3), "img_s": round(1e3 * a.bs / ms, 1), "setup_s": round(setup, 1), "mem_gb": round(peak, 2)}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", default="rn18", choices=sorted(MODELS))
    p.add_argument("--bs", type=int, default=128)
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--iters", type=int, default=10, help="steps that are timed together, five times")
    p.add_argument("--method", default="pgd", choices=["pgd", "trades", "trades_hoisted"])
    p.add_argument("--modes", default="cgraph")
    p.add_argument("--device", default="cuda")
    a = p.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    for mode in a.modes.split(","):
        row = {"model": a.model, "method": a.method, "mode": mode, "bs": a.bs}
        try:
            row.update(measure(a, mode))
        except Exception as error:  # one mode that fails leaves the others
            row["error"] = str(error)[:300]
        print(json.dumps(row), flush=True)
        if a.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


main()
