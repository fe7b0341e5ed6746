/* table.c: the launches of table.cu. */
#include "ops/cuda/table.h"

#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/cuda/of.h"
#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/container.h"
#include "runtime/base/diag.h"

#include <stdio.h>

extern const AdvCudaFn adv_cuda_fns_table[];

/* ---- gather, scatter, class_sum ------------------------------------------------------------------------------------- */

typedef struct TableState {
    AdvCuda *cuda;
    const void *fn;
    AdvCudaGrid grid;
    AdvTableArgs a;
    size_t table_bytes; /* scatter */
} TableState;

static bool can_rows(const AdvSig *s, const char **why)
{
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++)
        if (!adv_view_is_row(i < s->n_in ? &s->in[i] : &s->out[i - s->n_in])) return *why = "needs rows without gaps", false;
    return true;
}

static bool can_scatter(const AdvSig *s, const char **why)
{
    if (s->in[3].dtype == ADV_F64) return *why = "takes no mask in f64", false;
    return can_rows(s, why);
}

/* A table [M, ...] and its row numbers, in units of `unit` bytes. */
static TableState *new_state(AdvPrep *p, const AdvView *table, const AdvView *ids, int64_t unit)
{
    TableState *s = p->alloc(p, sizeof *s);
    if (!s) return NULL;
    s->cuda = adv_cuda_of(p);
    s->table_bytes = (size_t)adv_view_elems(table) * adv_dtype_bytes(table->dtype);
    s->a.n_ids = ids->dim[0];
    s->a.n_rows = table->dim[0];
    s->a.n_units = (int64_t)s->table_bytes / table->dim[0] / unit;
    s->a.id_bytes = (int)adv_dtype_bytes(ids->dtype);
    s->a.fault_code = s->cuda->fault_code;
    return s;
}

/* The largest unit that a row is made of. */
static int64_t unit_of(const AdvView *table)
{
    int64_t bytes = adv_view_elems(table) / table->dim[0] * (int64_t)adv_dtype_bytes(table->dtype), unit = 16;
    while (bytes % unit != 0) unit /= 2;
    return unit;
}

static const void *fn_of_unit(const char *prefix, int64_t unit)
{
    char text[8];
    snprintf(text, sizeof text, "%d", (int)unit);
    return adv_cuda_fn_of(adv_cuda_fns_table, prefix, text);
}

static AdvStatus prepare_gather(AdvPrep *p, void **out_state)
{
    int64_t unit = unit_of(&p->sig->in[0]);
    TableState *s = new_state(p, &p->sig->in[0], &p->sig->in[1], unit);
    if (!s) return ADV_ENOMEM;
    s->fn = fn_of_unit("gather", unit);
    s->grid = adv_cuda_grid_x((uint64_t)(s->a.n_ids * s->a.n_units), ADV_CUDA_BLOCK);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run_gather(const AdvLaunch *l, void *state)
{
    TableState *s = state;
    void *args[] = {(void *)&l->out[0].data, (void *)&l->in[0].data, (void *)&l->in[1].data, &s->cuda->fault, &s->a};
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

static AdvStatus prepare_scatter(AdvPrep *p, void **out_state)
{
    int64_t unit = unit_of(&p->sig->in[0]);
    TableState *s = new_state(p, &p->sig->in[0], &p->sig->in[1], unit);
    if (!s) return ADV_ENOMEM;
    uint8_t mask = p->sig->in[3].dtype;
    s->a.mask_type = mask == ADV_F32 ? ADV_TABLE_F32 : mask == ADV_BF16 ? ADV_TABLE_BF16 : ADV_TABLE_F16;
    s->fn = fn_of_unit("scatter", unit);
    s->grid = adv_cuda_grid_blocks((uint64_t)s->a.n_ids, ADV_TABLE_BLOCK);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run_scatter(const AdvLaunch *l, void *state)
{
    TableState *s = state;
    void *args[] = {(void *)&l->out[0].data, (void *)&l->in[2].data, (void *)&l->in[1].data,
                    (void *)&l->in[3].data,  &s->cuda->fault,        &s->a};
    if (l->out[0].data != l->in[0].data)
        ADV_TRY(adv_cuda_check(s->cuda, s->cuda->api->cudaMemcpyAsync(l->out[0].data, l->in[0].data, s->table_bytes,
                                                                      cudaMemcpyDeviceToDevice, s->cuda->stream),
                               "cudaMemcpyAsync"));
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

static AdvStatus prepare_class_sum(AdvPrep *p, void **out_state)
{
    const AdvView *y = &p->sig->out[0];
    TableState *s = new_state(p, y, &p->sig->in[1], (int64_t)adv_dtype_bytes(y->dtype));
    if (!s) return ADV_ENOMEM;
    s->fn = adv_cuda_fn_of(adv_cuda_fns_table, "class_sum", adv_cuda_type(y->dtype));
    s->grid = adv_cuda_grid_x((uint64_t)(s->a.n_rows * s->a.n_units) * 32, ADV_CUDA_BLOCK);
    *out_state = s;
    return ADV_OK;
}

/* ---- extreme_put, extreme_take -------------------------------------------------------------------------------------- */

typedef struct ExtremeState {
    AdvCuda *cuda;
    const void *fn;
    AdvCudaGrid grid;
    AdvCudaNest group, rest, rest1;
    AdvExtremeArgs a;
} ExtremeState;

/* a and b walked in row order of their indices, which says what is first. */
static AdvCudaNest in_row_order(const AdvView *a, const AdvView *b)
{
    AdvView row = *a;
    AdvLoop l, pair = {.n_views = 2};
    const AdvView *views[3] = {&row, a, b};
    int64_t step = 1;
    for (uint32_t d = a->rank; d-- > 0; step *= a->dim[d]) row.stride[d] = step;
    adv_loop_make(&l, views, 3);
    pair.rank = l.rank;
    for (uint32_t d = 0; d < l.rank; d++) pair.dim[d] = l.dim[d], pair.stride[0][d] = l.stride[1][d], pair.stride[1][d] = l.stride[2][d];
    return adv_cuda_nest(&pair);
}

static AdvStatus prepare_extreme(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    bool mark[ADV_MAX_RANK], is_put = sig->op->name[8] == 'p';
    const AdvView *x = &sig->in[0], *other = is_put ? &sig->out[0] : &sig->in[2], *one = is_put ? &sig->in[2] : &sig->out[0];
    ExtremeState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    adv_dims_mark(&sig->attr[0], x->rank, mark);
    AdvView gx = adv_view_without(x, mark, false), go = adv_view_without(other, mark, false), rx = adv_view_without(x, mark, true),
            ro = adv_view_without(other, mark, true);
    AdvView ry = adv_view_spread(&sig->in[1], &rx, mark), r1 = adv_view_spread(one, &rx, mark);
    s->cuda = adv_cuda_of(p);
    s->group = in_row_order(&gx, &go);
    s->rest = in_row_order(&rx, &ro);
    s->rest1 = in_row_order(&ry, &r1);
    s->a.n_group = adv_view_elems(&gx);
    s->a.is_put = is_put;
    s->fn = adv_cuda_fn_of(adv_cuda_fns_table, "extreme", adv_cuda_type(x->dtype));
    s->grid = adv_cuda_grid_blocks((uint64_t)adv_view_elems(&rx), ADV_TABLE_BLOCK);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run_extreme(const AdvLaunch *l, void *state)
{
    ExtremeState *s = state;
    void *x = l->in[0].data, *y = l->in[1].data, *third = l->in[2].data, *out = l->out[0].data;
    void *args[] = {&x, &y, s->a.is_put ? &out : &third, s->a.is_put ? &third : &out, &s->group, &s->rest, &s->rest1, &s->a};
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

/* ---- iota ------------------------------------------------------------------------------------------------------------ */

static AdvStatus prepare_iota(AdvPrep *p, void **out_state)
{
    TableState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->cuda = adv_cuda_of(p);
    s->a.n_ids = p->sig->out[0].dim[0];
    s->fn = adv_cuda_fn(adv_cuda_fns_table, "iota");
    s->grid = adv_cuda_grid_x((uint64_t)s->a.n_ids, ADV_CUDA_BLOCK);
    *out_state = s;
    return ADV_OK;
}

static AdvStatus run_iota(const AdvLaunch *l, void *state)
{
    TableState *s = state;
    void *args[] = {(void *)&l->out[0].data, &s->a.n_ids};
    return adv_cuda_launch(s->cuda, s->fn, &s->grid, args);
}

#define TABLE(op_name, can_fn, prepare_fn, run_fn) \
    const AdvKernel adv_k_cuda_##op_name##_table = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "table", \
                                                    .op_version = 1, .can = can_fn, .prepare = prepare_fn, .run = run_fn};
TABLE(gather, can_rows, prepare_gather, run_gather)
TABLE(scatter, can_scatter, prepare_scatter, run_scatter)
TABLE(class_sum, adv_cuda_can_rows, prepare_class_sum, run_gather)
TABLE(extreme_put, adv_cuda_can_floats, prepare_extreme, run_extreme)
TABLE(extreme_take, adv_cuda_can_floats, prepare_extreme, run_extreme)
TABLE(iota, can_rows, prepare_iota, run_iota)
