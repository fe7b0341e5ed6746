"""Networks in plain PyTorch functions, with the weight names of the common CIFAR files.

A model is a Model: its weights, and the running statistics beside them, as named tensors in double. Calling it takes a
mode, as the recipe language does:
  "train"  batch statistics, running statistics move       "batch"  the same numbers, nothing moves
  "eval"   running statistics
Two things a call may say besides: `keep`, a factor for what passes the net's dropout (without it there is none), and `rows`, which
samples the statistics of the batch are of.
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

    def __call__(self, x, mode="train", keep=None, rows=None):
        return self.forward(Call(self, mode, "", keep, rows), x)

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

    def __init__(self, model, mode, prefix, keep, rows):
        self.model, self.mode, self.prefix, self.keep, self.rows = model, mode, prefix, keep, rows

    def sub(self, label):
        return Call(self.model, self.mode, self.prefix + label + ".", self.keep, self.rows)

    def has(self, label):
        return self.prefix + label + ".weight" in self.model.weights

    def w(self, label, what="weight"):
        return self.model.weights.get(self.prefix + label + "." + what)

    def conv(self, label, x, stride=1, pad=1):
        return F.conv2d(x, self.w(label), self.w(label, "bias"), stride=stride, padding=pad)

    def dropout(self, x):
        return x if self.keep is None else x * self.keep

    def linear(self, label, x):
        return F.linear(x, self.w(label), self.w(label, "bias"))

    def bn(self, label, x):
        stats, name = self.model.stats, self.prefix + label
        shape = (1, -1) + (1,) * (x.dim() - 2)
        if self.mode == "eval":
            mean, var = stats[name + ".running_mean"], stats[name + ".running_var"]
        else:
            part, dims = x if self.rows is None else x[self.rows], [0] + list(range(2, x.dim()))
            n = part.numel() // x.shape[1]
            mean = part.mean(dims)
            var = ((part - mean.view(shape)) ** 2).mean(dims)
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


def scheduler(first="linear1", last="linear2", n_in=3, n_hidden=16):
    """The fusion of cues: n_in -> n_hidden -> 1, in (0, 1); labels as a net without labels gets them."""

    def forward(c, x):
        return torch.sigmoid(c.linear(last, F.relu(c.linear(first, x)))).squeeze(1)

    m = Model(forward)
    m.linear(first, n_in, n_hidden)
    m.linear(last, n_hidden, 1)
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


# A net with all that the large ones have (convolutions, a strided pre-activation block with a projection, batch norm, dropout) at
# a thousandth of the cost, in both languages; `tiny_trunk` ends where heads begin.
TINY_TEXT = """
net tiny_trunk(x) {
  return x -> conv1: conv(6, 3) -> block: preact_block(8, stride = 2) -> bn: bn -> relu -> global_pool
}
net tiny(x, classes, drop = 0) { return x -> t: tiny_trunk() -> dropout(drop) -> linear: linear(classes) }
"""


def tiny_features(c, x):
    h = c.conv("conv1", x)
    b = c.sub("block")
    v = F.relu(b.bn("bn1", h))
    s = b.conv("shortcut.0", v, 2, pad=0)
    h = s + b.conv("conv2", F.relu(b.bn("bn2", b.conv("conv1", v, 2))))
    return F.relu(c.bn("bn", h)).mean((2, 3))


def tiny_layers(m, p):
    m.conv(p + "conv1", 3, 6, 3)
    m.bn(p + "block.bn1", 6)
    m.conv(p + "block.shortcut.0", 6, 8, 1)
    m.conv(p + "block.conv1", 6, 8, 3)
    m.bn(p + "block.bn2", 8)
    m.conv(p + "block.conv2", 8, 8, 3)
    m.bn(p + "bn", 8)


def tiny_trunk():
    m = Model(tiny_features)
    tiny_layers(m, "")
    return m.ready()


def tiny(classes, at="", before=lambda x: x):
    """at: the label under which a recipe's own net holds it; before: what that net does to the image first."""

    def forward(c, x):
        h = tiny_features(c.sub(at + "t"), before(x))
        return c.linear(at + "linear", c.dropout(h))

    m = Model(forward)
    tiny_layers(m, at + "t.")
    m.linear(at + "linear", 8, classes)
    return m.ready()


def head(n_in, classes, name="linear"):
    m = Model(lambda c, h: c.linear(name, h))
    m.linear(name, n_in, classes)
    return m.ready()


def normalized(x):
    """Each channel less its mean over CIFAR-10, over its deviation."""
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in ([0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]))
    return (x - mean) / std


def standardized(x):
    """TensorFlow's per_image_standardization; the floor is that of images of 3072 numbers."""
    d = x - x.mean((1, 2, 3), keepdim=True)
    return d / torch.clamp((d * d).mean((1, 2, 3), keepdim=True).sqrt(), min=3072 ** -0.5)
