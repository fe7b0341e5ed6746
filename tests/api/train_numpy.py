#!/usr/bin/python3
"""train_numpy.py: the library from Python, through ctypes, with NumPy arrays. No binding to build or install.

    train_numpy.py [FOLDER]        FOLDER: where libadv.so.1 and libadvc.so.1 are; default: where the system looks

A recipe is compiled, a network is trained on arrays of this program and attacked; its weights are seen as an array that shares the
session's memory (DLPack), and batches of a second run come from a Python function.
"""
import ctypes as c
import sys

try:
    import numpy as np
except ImportError:
    print("SKIP train_numpy.py: this Python has no numpy")
    sys.exit(77)

RECIPE = b"""adv 1
use std.nets
use std.attacks
data own { train = 512; test = 128; classes = 2; shape = [3]; batch = 32 }
model f = mlp(width = 16, classes = 2)
step {
  x_adv = pgd(z => ce(f.eval(z), y), x, 0.05, size = 0.0125, steps = 5)
  minimize ce(f(x_adv), y) over f
}
optim f = adam(lr = 0.01)
train { epochs = 4; seed = 1 }
eval final { on = test; attacks = [clean, pgd20(eps = 0.05)] }
"""

# ---- what adv.h declares, as far as it is used here -------------------------------------------------------------------------------

MAX_RANK = 6
DTYPES = {1: np.float32, 2: np.float64, 5: np.int32, 6: np.int64, 7: np.uint8}  # AdvDtype
CODES = {np.dtype(t): k for k, t in DTYPES.items()}


class View(c.Structure):  # AdvView
    _fields_ = [("dtype", c.c_uint8), ("rank", c.c_uint8), ("zero", c.c_uint16), ("zero2", c.c_uint32),
                ("dim", c.c_int64 * MAX_RANK), ("stride", c.c_int64 * MAX_RANK), ("data", c.c_void_p)]


class Rows(c.Structure):  # AdvRows
    _fields_ = [("struct_size", c.c_uint32), ("flags", c.c_uint32), ("state", c.c_char_p), ("rows", c.POINTER(c.c_int64)),
                ("n_rows", c.c_int64), ("out", View)]


class EvalRow(c.Structure):  # AdvEvalRow
    _fields_ = [("eval", c.c_char_p), ("attack", c.c_char_p), ("weights", c.c_char_p), ("epoch", c.c_int64), ("n", c.c_int64),
                ("n_correct", c.c_int64), ("accuracy", c.c_double), ("eps", c.c_double), ("dist_mean", c.c_double), ("dist_max", c.c_double)]


class CompileOpts(c.Structure):  # AdvCompileOpts, its first version: later fields have their defaults
    _fields_ = [("struct_size", c.c_uint32), ("flags", c.c_uint32), ("alloc", c.c_void_p), ("alloc_user", c.c_void_p),
                ("name", c.c_char_p), ("text", c.c_char_p), ("n_bytes", c.c_size_t), ("load", c.c_void_p), ("load_user", c.c_void_p),
                ("targets", c.c_char_p), ("sets", c.c_void_p), ("n_sets", c.c_uint32), ("dump", c.c_char_p), ("stop_after", c.c_char_p),
                ("skip_passes", c.c_char_p), ("why", c.c_char_p), ("write", c.c_void_p), ("write_user", c.c_void_p)]


class DLTensor(c.Structure):
    _fields_ = [("data", c.c_void_p), ("device_type", c.c_int32), ("device_id", c.c_int32), ("ndim", c.c_int32), ("code", c.c_uint8),
                ("bits", c.c_uint8), ("lanes", c.c_uint16), ("shape", c.POINTER(c.c_int64)), ("strides", c.POINTER(c.c_int64)),
                ("byte_offset", c.c_uint64)]


class DLManagedTensorVersioned(c.Structure):
    pass


DELETER = c.CFUNCTYPE(None, c.POINTER(DLManagedTensorVersioned))
DLManagedTensorVersioned._fields_ = [("major", c.c_uint32), ("minor", c.c_uint32), ("manager_ctx", c.c_void_p), ("deleter", DELETER),
                                     ("flags", c.c_uint64), ("tensor", DLTensor)]

WRITE = c.CFUNCTYPE(None, c.c_void_p, c.POINTER(c.c_char), c.c_size_t)
FILL = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.POINTER(Rows))

folder = sys.argv[1] + "/" if len(sys.argv) > 1 else ""
adv = c.CDLL(folder + "libadv.so.1")
advc = c.CDLL(folder + "libadvc.so.1")
for lib, name, *types in [
        (adv, "adv_ctx_new", c.c_void_p, c.c_void_p), (adv, "adv_ctx_free", c.c_void_p),
        (adv, "adv_diags_open", c.c_void_p, c.c_void_p), (adv, "adv_diags_free", c.c_void_p),
        (adv, "adv_diags_render", c.c_void_p, c.c_int32, WRITE, c.c_void_p),
        (advc, "adv_compile", c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p),
        (advc, "adv_compile_free", c.c_void_p, c.c_void_p, c.c_uint64),
        (adv, "adv_plan_load", c.c_void_p, c.c_void_p, c.c_size_t, c.c_void_p, c.c_void_p), (adv, "adv_plan_close", c.c_void_p),
        (adv, "adv_session_open", c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p), (adv, "adv_session_close", c.c_void_p),
        (adv, "adv_session_bind", c.c_void_p, c.c_char_p, c.c_void_p, c.c_void_p),
        (adv, "adv_session_bind_rows", c.c_void_p, c.c_char_p, FILL, c.c_void_p, c.c_void_p),
        (adv, "adv_session_epoch", c.c_void_p, c.c_uint64, c.c_void_p),
        (adv, "adv_session_eval", c.c_void_p, c.c_char_p, c.c_void_p, c.c_void_p, c.c_void_p),
        (adv, "adv_session_export", c.c_void_p, c.c_char_p, c.c_void_p, c.c_void_p)]:
    getattr(lib, name).argtypes = types
    getattr(lib, name).restype = None if name.endswith(("_free", "_close", "_render")) else c.c_int32

# ---- a session as a Python object ---------------------------------------------------------------------------------------------------


class Failed(Exception):
    pass


def view_of(array):
    """An array as the library sees it; the caller keeps it alive."""
    v = View(dtype=CODES[array.dtype], rank=array.ndim, data=array.ctypes.data)
    for k in range(array.ndim):
        v.dim[k], v.stride[k] = array.shape[k], array.strides[k] // array.itemsize
    return v


def array_of(view):
    """Memory of the library as an array, without copying it."""
    shape = tuple(view.dim[:view.rank])
    n_bytes = int(np.prod(shape)) * np.dtype(DTYPES[view.dtype]).itemsize
    return np.frombuffer((c.c_char * n_bytes).from_address(view.data), DTYPES[view.dtype]).reshape(shape)


class Session:
    def __init__(self, recipe):
        self.ctx, self.ds, self.plan, self.s = c.c_void_p(), c.c_void_p(), c.c_void_p(), c.c_void_p()
        self.kept = []
        self.check(adv.adv_ctx_new(None, c.byref(self.ctx)))
        self.check(adv.adv_diags_open(self.ctx, c.byref(self.ds)))
        opts = CompileOpts(struct_size=c.sizeof(CompileOpts), name=b"train_numpy.adv", text=recipe, n_bytes=len(recipe), targets=b"cpu")
        plan, n = c.c_void_p(), c.c_uint64()
        self.check(advc.adv_compile(c.byref(opts), self.ds, c.byref(plan), c.byref(n)))
        st = adv.adv_plan_load(self.ctx, plan, n.value, self.ds, c.byref(self.plan))
        advc.adv_compile_free(c.byref(opts), plan, n.value)
        self.check(st)
        self.check(adv.adv_session_open(self.ctx, self.plan, None, self.ds, c.byref(self.s)))

    def close(self):
        adv.adv_session_close(self.s)
        adv.adv_plan_close(self.plan)
        adv.adv_diags_free(self.ds)
        adv.adv_ctx_free(self.ctx)

    def check(self, status):
        if status == 0:
            return
        text = []
        if self.ds:
            adv.adv_diags_render(self.ds, 0, WRITE(lambda user, piece, n: text.append(piece[:n].decode())), None)
        raise Failed(f"status {status}\n" + "".join(text))

    def bind(self, state, array):
        self.kept.append(array)  # borrowed until the session closes
        v = view_of(array)
        self.check(adv.adv_session_bind(self.s, state, c.byref(v), self.ds))

    def bind_rows(self, state, rows):
        """rows(numbers) -> the array of these rows."""
        def fill(user, want):
            try:
                w = want.contents
                array_of(w.out)[...] = rows(np.ctypeslib.as_array(w.rows, (w.n_rows,)))
                return 0
            except Exception as e:  # nothing may leave a callback
                print(f"{state}: {e}", file=sys.stderr)
                return 1
        self.kept.append(FILL(fill))
        self.check(adv.adv_session_bind_rows(self.s, state, self.kept[-1], None, self.ds))

    def epochs(self, n):
        self.check(adv.adv_session_epoch(self.s, n, self.ds))

    def evaluate(self, name):
        rows, n = c.POINTER(EvalRow)(), c.c_uint32()
        self.check(adv.adv_session_eval(self.s, name, self.ds, c.byref(rows), c.byref(n)))
        return {rows[i].attack.decode(): rows[i].accuracy for i in range(n.value)}

    def tensor(self, state):
        """A state as an array over the session's own memory, and what gives it back."""
        t = c.POINTER(DLManagedTensorVersioned)()
        self.check(adv.adv_session_export(self.s, state, c.byref(t), self.ds))
        d = t.contents.tensor
        view = View(dtype=1 if (d.code, d.bits) == (2, 32) else 0, rank=d.ndim, data=d.data)
        for k in range(d.ndim):
            view.dim[k] = d.shape[k]
        return array_of(view), lambda: t.contents.deleter(t)


# ---- the program ------------------------------------------------------------------------------------------------------------------


def make(n, seed):
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 2).astype(np.int32)
    x = (0.35 + 0.3 * y[:, None] + 0.08 * rng.standard_normal((n, 3))).clip(0, 1).astype(np.float32)
    return x, y


def main():
    x, y = make(512, 1)
    test_x, test_y = make(128, 2)

    s = Session(RECIPE)
    for state, array in [(b"data.train.x", x), (b"data.train.y", y), (b"data.test.x", test_x), (b"data.test.y", test_y)]:
        s.bind(state, array)
    s.epochs(1)
    weight, release = s.tensor(b"f.fc1.weight")
    before = weight.copy()
    s.epochs(3)
    assert weight.shape == (16, 3) and not np.array_equal(before, weight), "the array does not follow the session"
    result = s.evaluate(b"final")
    print(", ".join(f"{attack}: {100 * share:.1f}% right" for attack, share in result.items()))
    assert result["clean"] > 0.9

    t = Session(RECIPE)  # the same, each batch from a function
    for state, array in [(b"data.train.x", x), (b"data.train.y", y), (b"data.test.x", test_x), (b"data.test.y", test_y)]:
        t.bind_rows(state, lambda numbers, array=array: array[numbers])
    t.epochs(4)
    other, release_other = t.tensor(b"f.fc1.weight")
    assert np.array_equal(weight, other), "batches from a function give another network"
    print("arrays and batches from a function: the same network, bit for bit")
    t.close()
    s.close()
    release_other()  # the memory of the weights lives until here
    release()

    try:
        Session(RECIPE.replace(b"width", b"widht"))
        raise AssertionError("a wrong recipe compiles")
    except Failed as e:
        print(str(e).splitlines()[1])


if __name__ == "__main__":
    main()
