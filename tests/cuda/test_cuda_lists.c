/* test_cuda_lists.c: a list as one launch has the bits of its instructions one by one, on the fake device: of one element and of many
** blocks, of different shapes and orders, after addresses changed, and when memory runs out while it is made.
*/
#include "tests/adv_test.h"
#include "tests/base/comma.h"

#include "ops/cuda/kernels_cuda.h"
#include "ops/view.h"
#include "tests/cuda/fake.h"

#include <stdlib.h>
#include <string.h>

enum { N = 5, MAX_OPERANDS = 9 };

static const AdvBackend *const be = &adv_backend_fake;
static AdvRegistry reg;

/* Instructions of one op, all of whose operands have memory of their own. */
typedef struct List {
    void *self;
    uint32_t n_in, n_out;
    AdvTensorType type[N][MAX_OPERANDS];
    AdvView view[N][MAX_OPERANDS];
    AdvBound b[N], all;
    AdvAttr attr[ADV_MAX_ATTRS];
} List;

static size_t bytes_of(const List *l, int i, uint32_t k) { return (size_t)adv_type_bytes(&l->type[i][k]); }

/* sgd or adam over tensors of 1, 3, 1000, 4096 and 70001 elements. */
static void make_update(List *l, const char *op, uint32_t n_alike)
{
    static const int64_t sizes[N] = {1, 3, 1000, 4096, 70001};
    const AdvOpDef *def = adv_registry_op(&reg, op);
    *l = (List){.n_in = adv_op_n_in(def), .n_out = adv_op_n_out(def)};
    adv_op_default_attrs(def, l->attr);
    l->attr[0].f = 0.9;
    for (int i = 0; i < N; i++) {
        for (uint32_t k = 0; k < l->n_in + l->n_out; k++) {
            bool is_rate = k >= n_alike && k < l->n_in;
            l->type[i][k] = (AdvTensorType){.dtype = is_rate && k > n_alike ? ADV_I64 : ADV_F32, .rank = is_rate ? 0 : 1};
            if (!is_rate) l->type[i][k].dim[0] = sizes[i];
        }
        l->b[i].sig = (AdvSig){def, l->n_in, l->n_out, l->view[i], l->view[i] + l->n_in, l->attr};
    }
}

/* Filters to bf16, channels last; of one shape twice, and one that goes by squares. */
static void make_casts(List *l)
{
    static const int64_t shapes[N][4] = {{8, 4, 3, 3}, {6, 40, 5, 7}, {5, 3, 1, 1}, {8, 4, 3, 3}, {64, 40, 3, 3}};
    *l = (List){.n_in = 1, .n_out = 1};
    l->attr[0].i = 2;
    for (int i = 0; i < N; i++) {
        for (uint32_t k = 0; k < 2; k++) {
            l->type[i][k] = (AdvTensorType){.dtype = k ? ADV_BF16 : ADV_F32, .rank = 4, .layout = k ? ADV_LAYOUT_CL : ADV_LAYOUT_ROW};
            memcpy(l->type[i][k].dim, shapes[i], sizeof shapes[i]);
        }
        l->b[i].sig = (AdvSig){adv_registry_op(&reg, "cast"), 1, 1, l->view[i], l->view[i] + 1, l->attr};
    }
}

static AdvStatus prepare(List *l, AdvDiags *ds)
{
    AdvBackendOpts o = {.alloc = adv_alloc_default(), .reg = &reg, .n_threads = 1, .io = adv_io_posix()};
    ADV_TRY(be->open(&o, ds, &l->self));
    for (int i = 0; i < N; i++) {
        for (uint32_t k = 0; k < l->n_in + l->n_out; k++) l->view[i][k] = adv_view_of(&l->type[i][k], NULL);
        ADV_TRY(be->prepare(l->self, &l->b[i], ds));
    }
    ADV_TRY(be->prepare_list(l->self, l->b, N, &l->all, ds));
    return be->prepared(l->self, ds);
}

/* Numbers that differ from operand to operand, and 3 where an integer is. */
static void fill(const List *l, int i)
{
    for (uint32_t k = 0; k < l->n_in + l->n_out; k++) {
        AdvView v = adv_view_of(&l->type[i][k], calloc(1, bytes_of(l, i, k)));
        for (int64_t e = 0; e < adv_view_elems(&v); e++)
            adv_st(&v, e, v.dtype == ADV_I64 ? 3 : k < l->n_in ? 0.1 + (double)((e * 7 + k * 13 + i) % 101) / 50 : 99);
        CHECK_EQ(be->copy(l->self, l->view[i][k].data, v.data, bytes_of(l, i, k), ADV_TO_DEVICE), ADV_OK);
        free(v.data);
    }
}

static void take_memory(List *l, int i)
{
    for (uint32_t k = 0; k < l->n_in + l->n_out; k++) {
        l->view[i][k].data = be->alloc(l->self, bytes_of(l, i, k));
        CHECK(l->view[i][k].data != NULL);
    }
}

static void give_memory(List *l, int i)
{
    for (uint32_t k = 0; k < l->n_in + l->n_out; k++) be->free(l->self, l->view[i][k].data, bytes_of(l, i, k));
}

/* All results in a row, to be freed. */
static char *results(const List *l, size_t *out_n)
{
    size_t n = 0, at = 0;
    for (int i = 0; i < N; i++)
        for (uint32_t k = l->n_in; k < l->n_in + l->n_out; k++) n += bytes_of(l, i, k);
    char *to = malloc(n);
    for (int i = 0; i < N; i++)
        for (uint32_t k = l->n_in; k < l->n_in + l->n_out; at += bytes_of(l, i, k++))
            CHECK_EQ(be->copy(l->self, to + at, l->view[i][k].data, bytes_of(l, i, k), ADV_TO_HOST), ADV_OK);
    *out_n = n;
    return to;
}

/* One by one, then as a list, then with the memory of one instruction elsewhere: the same bits, and one launch. */
static void check_list(List *l)
{
    size_t n = 0;
    CHECK_EQ(prepare(l, NULL), ADV_OK);
    CHECK(l->all.kernel != NULL);
    for (int i = 0; i < N; i++) take_memory(l, i), fill(l, i);
    for (int i = 0; i < N; i++) CHECK_EQ(be->launch(l->self, &l->b[i], NULL), ADV_OK);
    char *want = results(l, &n);
    for (int turn = 0; turn < 2; turn++) {
        AdvView old[MAX_OPERANDS];
        memcpy(old, l->view[2], sizeof old);
        if (turn) take_memory(l, 2);
        for (int i = 0; i < N; i++) fill(l, i);
        CHECK_EQ(be->sync(l->self), ADV_OK);
        uint64_t n_launches = adv_fake.n_launches;
        CHECK_EQ(be->launch(l->self, &l->all, NULL), ADV_OK);
        CHECK_EQ(be->sync(l->self), ADV_OK);
        CHECK_EQ(adv_fake.n_launches, n_launches + 1);
        char *got = results(l, &n);
        CHECK(memcmp(got, want, n) == 0);
        free(got);
        for (uint32_t k = 0; turn && k < l->n_in + l->n_out; k++) be->free(l->self, old[k].data, bytes_of(l, 2, k));
    }
    free(want);
    for (int i = 0; i < N; i++) give_memory(l, i);
    be->close(l->self);
    CHECK_EQ(adv_fake.used_bytes, 0);
    CHECK_EQ(adv_fake_reset(), 0);
}

static void test_updates(void)
{
    List l;
    make_update(&l, "sgd", 3);
    check_list(&l);
    make_update(&l, "adam", 4);
    check_list(&l);
}

/* The numbers in the generated text have a point where those of the host program have a comma. */
static void test_updates_with_a_comma(void)
{
    if (!comma_begin()) return;
    test_updates();
    comma_end();
}

static void test_casts(void)
{
    List l;
    make_casts(&l);
    check_list(&l);
}

static void test_no_memory(void)
{
    bool ended = false;
    for (uint64_t k = 1; k < 200 && !ended; k++) {
        AdvDiags *ds = adv_diags_new(adv_alloc_default());
        List l;
        make_casts(&l);
        adv_fake.fail_at = k;
        adv_fake.fail_with = cudaErrorMemoryAllocation;
        AdvStatus st = prepare(&l, ds);
        ended = !adv_fake.has_failed;
        CHECK_EQ(st, ended ? ADV_OK : ADV_ENOMEM);
        CHECK_EQ(ds->n_errors > 0, !ended);
        be->close(l.self);
        adv_diags_free(ds);
        CHECK_EQ(adv_fake.used_bytes, 0);
        CHECK_EQ(adv_fake_reset(), 0);
    }
    CHECK(ended);
}

/* Kernels that do not run parts are no list: each is launched. */
static void test_others_are_none(void)
{
    List l;
    AdvBound all = {.kernel = NULL};
    make_casts(&l);
    CHECK_EQ(prepare(&l, NULL), ADV_OK);
    l.b[1].kernel = &adv_k_cuda_iota_table;
    CHECK_EQ(be->prepare_list(l.self, l.b, N, &all, NULL), ADV_OK);
    CHECK(all.kernel == NULL);
    be->close(l.self);
    CHECK_EQ(adv_fake_reset(), 0);
}

int main(void)
{
    CHECK_EQ(adv_registry_init(&reg, adv_alloc_default()), ADV_OK);
    CHECK_EQ(adv_registry_add_kernels(&reg, adv_kernels_cuda, NULL), ADV_OK);
    RUN(test_updates);
    RUN(test_updates_with_a_comma);
    RUN(test_casts);
    RUN(test_no_memory);
    RUN(test_others_are_none);
    adv_registry_fini(&reg);
    return ADV_TEST_END();
}
