/* ew_prepare.c: what elementwise instructions compute, as programs for a back end that has a way to run any program. */
#include "ops/ew.h"

AdvStatus adv_ew_prepare_row(AdvPrep *p, void **out_state, AdvEwPrepare *prepare)
{
    AdvEwStep step = {p->sig->op->row, p->sig->op->name, {0, 1, 2}};
    return prepare(p, out_state, &step, 1, NULL, 0);
}

AdvStatus adv_ew_prepare_fused(AdvPrep *p, void **out_state, AdvEwPrepare *prepare)
{
    AdvEwStep steps[ADV_EW_MAX_STEPS];
    const AdvAttr *a = p->sig->attr;
    const char *why = "";
    uint32_t n = adv_ew_decode(a, p->sig->n_in, steps, &why);
    if (n == 0) return p->fail(p, ADV_EDATA, "a fused program cannot be read: %s", why);
    return prepare(p, out_state, steps, n, a[ADV_EW_ATTR_CONSTS].floats, a[ADV_EW_ATTR_CONSTS].n);
}

/* clip(ball_linf(z + size*sign(g), x, eps), lo, hi) over operands z, g, x, eps, size; lo and hi are constants 5 and 6. */
AdvStatus adv_ew_prepare_step_linf(AdvPrep *p, void **out_state, AdvEwPrepare *prepare)
{
    static const AdvEwStep steps[] = {{&adv_ew_rows[ADV_EW_sign], "sign", {1, 0, 0}},
                                      {&adv_ew_rows[ADV_EW_mul], "mul", {4, 7, 0}},
                                      {&adv_ew_rows[ADV_EW_add], "add", {0, 8, 0}},
                                      {&adv_ew_rows[ADV_EW_ball_linf], "ball_linf", {9, 2, 3}},
                                      {&adv_ew_rows[ADV_EW_clip], "clip", {10, 5, 6}}};
    double consts[2] = {p->sig->attr[0].f, p->sig->attr[1].f};
    return prepare(p, out_state, steps, 5, consts, 2);
}
