// embed.cpp: as embed.c, in C++: handles are closed by std::unique_ptr, failures become exceptions with the whole message.
// Exceptions may not leave a callback: what the engine calls is C.
//
//   c++ -std=c++17 embed.cpp $(pkg-config --cflags --libs advc) -o embed && ./embed
#include <compiler/adv_compile.h>
#include <runtime/adv.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

template <auto close> struct Close { template <class T> void operator()(T *p) const { close(p); } };
using Ctx = std::unique_ptr<AdvCtx, Close<adv_ctx_free>>;
using Diags = std::unique_ptr<AdvDiags, Close<adv_diags_free>>;
using Plan = std::unique_ptr<AdvPlan, Close<adv_plan_close>>;
using Session = std::unique_ptr<AdvSession, Close<adv_session_close>>;

void append(void *user, const char *text, size_t n_bytes) { static_cast<std::string *>(user)->append(text, n_bytes); }

void check(AdvStatus st, const Diags &ds)
{
    if (st == ADV_OK) return;
    std::string text = adv_status_name(st);
    if (ds) adv_diags_render(ds.get(), ADV_PRINT_HUMAN, append, &(text += '\n'));
    throw std::runtime_error(text);
}

const std::string recipe = R"(adv 1
use std.nets
use std.attacks
data synthetic {
  train = 1024; test = 256; classes = 2; shape = [2]; batch = 64
  y = id - 2*floor(id/2)
  x = clip(0.35 + 0.3*y + 0.1*normal(like = x), 0, 1)
}
model f = mlp(width = 16, classes = 2)
step {
  x_adv = pgd(z => ce(f.eval(z), y), x, 0.05, size = 0.0125, steps = 5)
  loss = ce(f(x_adv), y)
  minimize loss over f
}
optim f = adam(lr = 0.01)
train { epochs = 3; seed = 1 }
eval final { on = test; attacks = [clean, pgd20(eps = 0.05)] }
)";

void run()
{
    Diags ds;
    AdvCtx *c = nullptr;
    check(adv_ctx_new(nullptr, &c), ds);
    Ctx ctx(c);
    AdvDiags *d = nullptr;
    check(adv_diags_open(c, &d), ds);
    ds.reset(d);

    AdvCompileOpts co = {};
    co.struct_size = sizeof co;
    co.name = "embed.adv";
    co.text = recipe.data();
    co.n_bytes = recipe.size();
    co.targets = "cpu";
    void *bytes = nullptr;
    uint64_t n_bytes = 0;
    check(adv_compile(&co, d, &bytes, &n_bytes), ds);
    AdvPlan *p = nullptr;
    AdvStatus st = adv_plan_load(c, bytes, n_bytes, d, &p);
    adv_compile_free(&co, bytes, n_bytes);
    check(st, ds);
    Plan plan(p);

    AdvSession *s = nullptr;
    check(adv_session_open(c, p, nullptr, d, &s), ds);
    Session session(s);
    check(adv_session_epoch(s, 2, d), ds);

    AdvTensorType type;
    check(adv_session_type(s, "f.fc1.weight", &type), ds);
    std::vector<float> weight(static_cast<size_t>(type.dim[0] * type.dim[1]));
    AdvView view = {};
    view.dtype = ADV_F32;
    view.rank = 2;
    view.dim[0] = type.dim[0];
    view.dim[1] = view.stride[0] = type.dim[1];
    view.stride[1] = 1;
    view.data = weight.data();
    check(adv_session_read(s, "f.fc1.weight", &view, d), ds);
    std::printf("f.fc1.weight is %d x %d and begins with %f\n", static_cast<int>(type.dim[0]), static_cast<int>(type.dim[1]),
                double(weight[0]));

    const AdvEvalRow *rows = nullptr;
    uint32_t n_rows = 0;
    check(adv_session_eval(s, "final", d, &rows, &n_rows), ds);
    for (uint32_t i = 0; i < n_rows; i++) std::printf("%s: %.1f%% right\n", rows[i].attack, 100 * rows[i].accuracy);
}

} // namespace

int main()
{
    try {
        run();
    } catch (const std::exception &e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
    return 0;
}
