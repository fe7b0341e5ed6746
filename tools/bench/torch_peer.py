"""PyTorch's side of bench.c: one network, method and memory format; runs steps when it is told to.

    torch_peer.py NETWORK BATCH METHOD LAYOUT N_THREADS

NETWORK small_cnn, mnist_cnn, resnet18; METHOD pgd, trades; LAYOUT nchw, nhwc. Prints `ready BASE_KB` once everything is built
(BASE_KB: memory after the imports). Then for each line `go N` it runs N steps and prints `SECONDS CPU_SECONDS`; for `quit` it
prints its peak memory in KB.

The attack runs the network in eval mode and asks autograd.grad for the gradient by the image alone, so no gradient of a weight is computed
or stored; the update is SGD with momentum. Data is in memory and is not part of the time.
"""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def conv_bn(i, o, stride=1):
    return [nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]


def small_cnn():
    layers = conv_bn(3, 32) + conv_bn(32, 64, 2) + conv_bn(64, 64) + conv_bn(64, 128, 2) + conv_bn(128, 128)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def mnist_cnn():
    return nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, 1, 1),
                         nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 49, 10))


class BasicBlock(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.main = nn.Sequential(*conv_bn(i, o, stride), nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o))
        same = stride == 1 and i == o
        self.side = nn.Sequential() if same else nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        return F.relu(self.main(x) + self.side(x), inplace=True)


def resnet18():
    layers, i = conv_bn(3, 64), 64
    for o, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        layers.append(BasicBlock(i, o, stride))
        i = o
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


NETWORKS = {"small_cnn": (small_cnn, (3, 32, 32), 8 / 255, 2 / 255), "mnist_cnn": (mnist_cnn, (1, 28, 28), 0.3, 0.05),
            "resnet18": (resnet18, (3, 32, 32), 8 / 255, 2 / 255)}


def attack(x, loss, eps, size):
    z = (x + 0.001 * torch.randn_like(x)).detach()
    for _ in range(10):
        z.requires_grad_()
        (g,) = torch.autograd.grad(loss(z), [z])
        with torch.no_grad():
            z = torch.min(torch.max(z + size * g.sign(), x - eps), x + eps).clamp(0, 1)
    return z.detach()


def pgd_step(model, optim, x, y, eps, size):
    model.eval()
    z = attack(x, lambda v: F.cross_entropy(model(v), y), eps, size)
    model.train()
    optim.zero_grad(set_to_none=True)
    F.cross_entropy(model(z), y).backward()
    optim.step()


def trades_step(model, optim, x, y, eps, size):
    """As in the published script: the clean batch is forwarded again in every step of the attack and twice in the update."""
    kl = nn.KLDivLoss(reduction="sum")
    model.eval()
    z = attack(x, lambda v: kl(F.log_softmax(model(v), dim=1), F.softmax(model(x), dim=1)), eps, size)
    model.train()
    optim.zero_grad(set_to_none=True)
    natural = F.cross_entropy(model(x), y)
    robust = kl(F.log_softmax(model(z), dim=1), F.softmax(model(x), dim=1)) / len(x)
    (natural + 6 * robust).backward()
    optim.step()


def memory_kb(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))


def main():
    network, batch, method, layout, n_threads = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
    base = memory_kb("VmRSS:")
    torch.manual_seed(0)
    torch.set_num_threads(n_threads)
    make, shape, eps, size = NETWORKS[network]
    step = {"pgd": pgd_step, "trades": trades_step}[method]
    model = make()
    x, y = torch.rand(batch, *shape), torch.randint(0, 10, (batch,))
    if layout == "nhwc":
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    optim = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    print("ready", base, flush=True)
    for line in sys.stdin:
        if line.startswith("quit"):
            print(memory_kb("VmHWM:"), flush=True)
            return
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line.split()[1])):
            step(model, optim, x, y, eps, size)
        print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    main()
