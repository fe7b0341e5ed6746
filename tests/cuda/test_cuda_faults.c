/* test_cuda_faults.c: classes and row numbers out of range: the kernel goes on with the others, and the back end says at the next
** wait which op it was. One instruction at a time on the fake device.
*/
#include "tests/adv_test.h"

#include "ops/cuda/kernels_cuda.h"
#include "ops/view.h"
#include "tests/cuda/fake.h"

#include <string.h>

static const AdvBackend *const be = &adv_backend_fake;
static AdvRegistry reg;

/* A float operand [rows, width] of 1, 2, 3, .. on the device, and classes or row numbers. */
static void *floats(void *self, uint32_t n)
{
    float x[64];
    void *p = be->alloc(self, sizeof x);
    for (uint32_t i = 0; i < 64; i++) x[i] = i < n ? (float)(i + 1) : 0;
    CHECK(p && be->copy(self, p, x, sizeof x, ADV_TO_DEVICE) == ADV_OK);
    return p;
}

typedef struct Inst {
    const char *op;
    uint32_t n_in;
    AdvTensorType in[4], out;
    AdvAttr attr[ADV_MAX_ATTRS];
} Inst;

/* Runs it with one number of operand 1 out of range, then with all in range. */
static void check(const Inst *t, bool is_i64)
{
    AdvBackendOpts o = {.alloc = adv_alloc_default(), .reg = &reg, .n_threads = 1, .io = adv_io_posix()};
    AdvView v[5] = {{0}};
    AdvBound b = {.sig = {adv_registry_op(&reg, t->op), t->n_in, 1, v, v + t->n_in, t->attr}};
    void *self = NULL, *scratch = NULL;
    CHECK_EQ(be->open(&o, NULL, &self), ADV_OK);
    for (uint32_t k = 0; k <= t->n_in; k++) v[k] = adv_view_of(k < t->n_in ? &t->in[k] : &t->out, NULL);
    CHECK_EQ(be->prepare(self, &b, NULL), ADV_OK);
    CHECK(b.kernel != NULL);
    CHECK_EQ(be->prepared(self, NULL), ADV_OK);
    for (uint32_t k = 0; k <= t->n_in; k++) v[k].data = floats(self, 64);
    scratch = floats(self, 0);
    for (int round = 0; round < 2; round++) {
        int64_t wide[4] = {0, round ? 2 : 7, 1, 0};
        int32_t narrow[4] = {0, round ? 2 : -1, 1, 0};
        CHECK_EQ(be->copy(self, v[1].data, is_i64 ? (void *)wide : (void *)narrow, is_i64 ? sizeof wide : sizeof narrow, ADV_TO_DEVICE),
                 ADV_OK);
        CHECK_EQ(be->launch(self, &b, scratch), ADV_OK);
        CHECK_EQ(be->sync(self), round ? ADV_OK : ADV_EDATA);
        if (round == 0) CHECK(strstr(be->last_error(self), t->op) && strstr(be->last_error(self), "out of range"));
        CHECK_EQ(be->sync(self), ADV_OK); /* said once */
    }
    for (uint32_t k = 0; k <= t->n_in; k++) be->free(self, v[k].data, 64 * sizeof(float));
    be->free(self, scratch, 64 * sizeof(float));
    be->close(self);
    CHECK_EQ(adv_fake_reset(), 0);
}

#define F32(...) {.dtype = ADV_F32, __VA_ARGS__}
#define IDS(type) {.dtype = type, .rank = 1, .dim = {4}}

static void test_classes(void)
{
    const Inst ce = {"ce", 2, {F32(.rank = 2, .dim = {4, 3}), IDS(ADV_I32)}, F32(.rank = 1, .dim = {4}), {{0}}};
    const Inst pick = {"pick", 2, {F32(.rank = 2, .dim = {4, 3}), IDS(ADV_I32)}, F32(.rank = 1, .dim = {4}), {{0}}};
    const Inst put = {"put", 2, {F32(.rank = 2, .dim = {4, 3}), IDS(ADV_I32)}, F32(.rank = 2, .dim = {4, 3}), {{0}}};
    const Inst sum = {"class_sum", 2, {F32(.rank = 1, .dim = {4}), IDS(ADV_I64)}, F32(.rank = 1, .dim = {3}), {{.i = 3}}};
    check(&ce, false);
    check(&pick, false);
    check(&put, false);
    check(&sum, true);
}

static void test_rows(void)
{
    const Inst gather = {"gather", 2, {F32(.rank = 2, .dim = {3, 2}), IDS(ADV_I64)}, F32(.rank = 2, .dim = {4, 2}), {{0}}};
    const Inst scatter = {"scatter",
                          4,
                          {F32(.rank = 2, .dim = {3, 2}), IDS(ADV_I64), F32(.rank = 2, .dim = {4, 2}), F32(.rank = 1, .dim = {4})},
                          F32(.rank = 2, .dim = {3, 2}),
                          {{0}}};
    check(&gather, true);
    check(&scatter, true);
}

int main(void)
{
    CHECK_EQ(adv_registry_init(&reg, adv_alloc_default()), ADV_OK);
    CHECK_EQ(adv_registry_add_kernels(&reg, adv_kernels_cuda, NULL), ADV_OK);
    RUN(test_classes);
    RUN(test_rows);
    adv_registry_fini(&reg);
    return ADV_TEST_END();
}
