/* rows.c: a plugin whose rows are copies of built-in ones, under other names: what it costs to come from a plugin. */
#define TWIN_ROWS(EW1, EW2, EW3)                                                                                                           \
    EW1(twin_sigmoid, FLOATS, F32, 0, "As sigmoid.", K(1) / (K(1) + M(exp)(-a)), N2(mul, G, N2(mul, Y, N2(sub, NUM(1), Y))))               \
    EW1(twin_relu, FLOATS, FOLLOW, 0, "As relu.", (a <= K(0) ? K(0) : a), N3(select, N2(gt, X1, NUM(0)), G, NUM(0)))                       \
    EW2(twin_mul, FLOATS, FOLLOW, COMMUTES, "As mul.", a *b, N2(mul, G, X2), N2(mul, G, X1))                                               \
    EW2(twin_max, FLOATS, FOLLOW, COMMUTES, "As max, without its gradient.", MAX(a, b), NONE, NONE)
#define ADV_PLUGIN_ROWS TWIN_ROWS
#include "ops/adv_op.h"

static const AdvOpDef *const ops[] = {&adv_op_twin_sigmoid, &adv_op_twin_relu, &adv_op_twin_mul, &adv_op_twin_max, NULL};
static const char *const cases[] = {"twin_sigmoid a=7",
                                    "twin_relu a=7x3",
                                    "twin_mul a=3x4 b=1x4",
                                    "twin_max a=3x4 b=3x1 nofd=it~has~none",
                                    "fused_ew x=5x7 more=5x7 steps=[twin_mul,twin_sigmoid,add,twin_max] args=[0,1,2,3,0,1,4]",
                                    NULL};

ADV_PLUGIN("bench_rows", "1.0", "twin_sigmoid twin_relu twin_mul twin_max", "", ops, NULL, cases)
