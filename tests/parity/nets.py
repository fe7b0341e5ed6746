"""Networks in plain PyTorch functions, with the weight names of the common CIFAR files.

A model is a Model: its weights, and the running statistics beside them, as named tensors in double. Calling it takes a
mode, as the recipe language does:
  "train"  batch statistics, running statistics move       "batch"  the same numbers, nothing moves
  "eval"   running statistics
There is no dropout here: the recipes compared leave it out or call the net in modes without it.
"""
import torch
import torch.nn.functional as F

BN_MOMENTUM = 0.1
BN_EPS = 1e-5


class Model:
    def __init__(self, forward):
        self.forward = forward
        self.weights = {}  # name: tensor that wants gradients
        self.stats = {}  # name: running mean or variance

    def __call__(self, x, mode="train"):
        return self.forward(Call(self, mode), x)

    def conv(self, name, n_in, n_out, k, bias=False):
        self.weights[name + ".weight"] = torch.randn(n_out, n_in, k, k) * (2.0 / (n_in * k * k)) ** 0.5
        if bias:
            self.weights[name + ".bias"] = 0.1 * torch.randn(n_out)

    def linear(self, name, n_in, n_out):
        self.weights[name + ".weight"] = torch.randn(n_out, n_in) * (1.0 / n_in) ** 0.5
        self.weights[name + ".bias"] = 0.1 * torch.randn(n_out)

    def bn(self, name, n):
        self.weights[name + ".weight"] = 1.0 + 0.2 * torch.randn(n)
        self.weights[name + ".bias"] = 0.1 * torch.randn(n)
        self.stats[name + ".running_mean"] = 0.1 * torch.randn(n)
        self.stats[name + ".running_var"] = 1.0 + 0.2 * torch.rand(n)

    def ready(self):
        """Call once all layers are there."""
        for w in self.weights.values():
            w.requires_grad_(True)
        return self


class Call:
    """One call of a model: layers by label, under a prefix."""

    def __init__(self, model, mode, prefix=""):
        self.model, self.mode, self.prefix = model, mode, prefix

    def sub(self, label):
        return Call(self.model, self.mode, self.prefix + label + ".")

    def has(self, label):
        return self.prefix + label + ".weight" in self.model.weights

    def w(self, label, what="weight"):
        return self.model.weights.get(self.prefix + label + "." + what)

    def conv(self, label, x, stride=1, pad=1):
        return F.conv2d(x, self.w(label), self.w(label, "bias"), stride=stride, padding=pad)

    def linear(self, label, x):
        return F.linear(x, self.w(label), self.w(label, "bias"))

    def bn(self, label, x):
        stats, name = self.model.stats, self.prefix + label
        shape = (1, -1) + (1,) * (x.dim() - 2)
        if self.mode == "eval":
            mean, var = stats[name + ".running_mean"], stats[name + ".running_var"]
        else:
            dims = [0] + list(range(2, x.dim()))
            n = x.numel() // x.shape[1]
            mean = x.mean(dims)
            var = ((x - mean.view(shape)) ** 2).mean(dims)
            if self.mode == "train":
                with torch.no_grad():
                    m, v = name + ".running_mean", name + ".running_var"
                    stats[m] = (1 - BN_MOMENTUM) * stats[m] + BN_MOMENTUM * mean
                    stats[v] = (1 - BN_MOMENTUM) * stats[v] + BN_MOMENTUM * var * n / (n - 1)
        y = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + BN_EPS)
        return y * self.w(label).view(shape) + self.w(label, "bias").view(shape)


def mlp(n_in, n_hidden, classes):
    def forward(c, x):
        h = F.relu(c.linear("fc1", x.flatten(1)))
        return c.linear("fc2", h)

    m = Model(forward)
    m.linear("fc1", n_in, n_hidden)
    m.linear("fc2", n_hidden, classes)
    return m.ready()


def mlp_bn(n_in, n_hidden, classes):
    def forward(c, x):
        h = F.relu(c.bn("bn1", c.linear("fc1", x.flatten(1))))
        return c.linear("fc2", h)

    m = Model(forward)
    m.linear("fc1", n_in, n_hidden)
    m.bn("bn1", n_hidden)
    m.linear("fc2", n_hidden, classes)
    return m.ready()


def scheduler(n_in=3, n_hidden=16):
    """The fusion of cues: n_in -> n_hidden -> 1, in (0, 1); labels as a net without labels gets them."""

    def forward(c, x):
        return torch.sigmoid(c.linear("linear2", F.relu(c.linear("linear1", x)))).squeeze(1)

    m = Model(forward)
    m.linear("linear1", n_in, n_hidden)
    m.linear("linear2", n_hidden, 1)
    return m.ready()


def cnn(channels, size, c1, c2, n_hidden, classes):
    """Two convolutions with bias, each followed by a 2x2 maximum; two linear layers."""

    def forward(c, x):
        h = F.max_pool2d(F.relu(c.conv("conv1", x)), 2)
        h = F.max_pool2d(F.relu(c.conv("conv2", h)), 2)
        return c.linear("fc2", F.relu(c.linear("fc1", h.flatten(1))))

    m = Model(forward)
    m.conv("conv1", channels, c1, 3, bias=True)
    m.conv("conv2", c1, c2, 3, bias=True)
    m.linear("fc1", c2 * (size // 4) ** 2, n_hidden)
    m.linear("fc2", n_hidden, classes)
    return m.ready()


def resnet18(classes, width=64):
    """The CIFAR form: 3x3 stem, four groups of two blocks, names as in the widely copied file."""
    strides = [1, 2, 2, 2]

    def block(c, x, stride):
        h = F.relu(c.bn("bn1", c.conv("conv1", x, stride)))
        h = c.bn("bn2", c.conv("conv2", h))
        s = x
        if c.has("shortcut.0"):
            s = c.bn("shortcut.1", c.conv("shortcut.0", x, stride, pad=0))
        return F.relu(h + s)

    def forward(c, x):
        h = F.relu(c.bn("bn1", c.conv("conv1", x)))
        for g, stride in enumerate(strides):
            for i in range(2):
                h = block(c.sub("layer%d.%d" % (g + 1, i)), h, stride if i == 0 else 1)
        return c.linear("linear", h.mean((2, 3)))

    m = Model(forward)
    m.conv("conv1", 3, width, 3)
    m.bn("bn1", width)
    n_in = width
    for g, stride in enumerate(strides):
        n_out = width << g
        for i in range(2):
            p = "layer%d.%d." % (g + 1, i)
            m.conv(p + "conv1", n_in, n_out, 3)
            m.bn(p + "bn1", n_out)
            m.conv(p + "conv2", n_out, n_out, 3)
            m.bn(p + "bn2", n_out)
            if i == 0 and (stride != 1 or n_in != n_out):
                m.conv(p + "shortcut.0", n_in, n_out, 1)
                m.bn(p + "shortcut.1", n_out)
            n_in = n_out
    m.linear("linear", n_in, classes)
    return m.ready()


def wrn(depth, k, classes):
    """Wide residual network, pre-activation, a projection where the width changes, taken after batch norm and ReLU."""
    n = (depth - 4) // 6
    widths = [16, 16 * k, 32 * k, 64 * k]

    def block(c, x, stride):
        h = F.relu(c.bn("bn1", x))
        s = c.conv("convShortcut", h, stride, pad=0) if c.has("convShortcut") else x
        h = F.relu(c.bn("bn2", c.conv("conv1", h, stride)))
        return s + c.conv("conv2", h)

    def forward(c, x):
        h = c.conv("conv1", x)
        for g in range(3):
            for i in range(n):
                h = block(c.sub("block%d.layer.%d" % (g + 1, i)), h, 2 if g > 0 and i == 0 else 1)
        return c.linear("fc", F.relu(c.bn("bn1", h)).mean((2, 3)))

    m = Model(forward)
    m.conv("conv1", 3, widths[0], 3)
    n_in = widths[0]
    for g in range(3):
        for i in range(n):
            p, n_out = "block%d.layer.%d." % (g + 1, i), widths[g + 1]
            m.bn(p + "bn1", n_in)
            m.conv(p + "conv1", n_in, n_out, 3)
            m.bn(p + "bn2", n_out)
            m.conv(p + "conv2", n_out, n_out, 3)
            if n_in != n_out:
                m.conv(p + "convShortcut", n_in, n_out, 1)
            n_in = n_out
    m.bn("bn1", n_in)
    m.linear("fc", n_in, classes)
    return m.ready()
