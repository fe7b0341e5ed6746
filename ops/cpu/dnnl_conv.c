/* dnnl_conv.c: convolution and its gradients by oneDNN (2.x, C API with operation descriptors).
**
** Activations are given to the library as they lie: channels-last is what its fastest direct kernels read too (row order
** works and is several times slower). Weights stay in PyTorch's order in the graph; if the library wants its own order
** (format "any"), they are reordered in `run`, into scratch: 1/(pixels of the image * batch) of the convolution's work.
** All memory is scratch that `prepare` asked for; the library allocates only in `prepare`. relu is a pass of ours: the library's
** makes 0 of NaN. In f32, and in bfloat16 (sums in f32) where the processor has instructions for it.
*/
#include "ops/cpu/cpu.h"
#include "ops/cpu/kernels_cpu.h"

#include <dnnl.h>
#include <string.h>

#define ALIGN 64
#define MAX_ARGS 4

/* One operand of the primitive. */
typedef struct Operand {
    int arg;               /* DNNL_ARG_... */
    bool is_out;
    uint32_t ix;           /* which input or output of the op */
    dnnl_memory_t user;    /* as in the plan */
    dnnl_memory_t own;     /* as the library wants it, in scratch; NULL: the same */
    dnnl_primitive_t reorder;
    uint64_t scratch_at;   /* of `own` */
} Operand;

typedef struct ConvState {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t prim;
    dnnl_memory_t pad;     /* the library's scratchpad */
    uint64_t pad_at, scratch_bytes;
    bool relu;
    Operand operand[MAX_ARGS];
    uint32_t n;
} ConvState;

#define TRY(call) \
    do { \
        dnnl_status_t try_st = (call); \
        if (try_st != dnnl_success) return try_st; \
    } while (0)

/* The library asks OpenMP how many threads there are; it must hear the same at `prepare` and at `run`. */
static int threads_begin(uint32_t n_threads)
{
#ifdef _OPENMP
    int before = omp_get_max_threads();
    if (before != (int)n_threads) omp_set_num_threads((int)n_threads);
    return before;
#else
    (void)n_threads;
    return 0;
#endif
}

static void threads_end(int before)
{
#ifdef _OPENMP
    if (before != omp_get_max_threads()) omp_set_num_threads(before);
#else
    (void)before;
#endif
}

static dnnl_data_type_t type_of(const AdvView *v) { return v->dtype == ADV_BF16 ? dnnl_bf16 : dnnl_f32; }

/* Strides are written anew, because those of dims of 1 say nothing to us but much to the library. */
static dnnl_status_t describe(dnnl_memory_desc_t *md, const AdvView *v)
{
    dnnl_dims_t dims, strides;
    int64_t step = 1;
    static const int cl_order[4] = {1, 3, 2, 0};
    bool is_cl = v->rank == 4 && adv_view_is_cl(v);
    for (int i = 0; i < v->rank; i++) {
        int d = is_cl ? cl_order[i] : v->rank - 1 - i;
        dims[d] = v->dim[d];
        strides[d] = step;
        step *= v->dim[d];
    }
    return dnnl_memory_desc_init_by_strides(md, v->rank, dims, type_of(v), strides);
}

static dnnl_status_t describe_any(dnnl_memory_desc_t *md, const AdvView *v)
{
    dnnl_dims_t dims;
    for (int i = 0; i < v->rank; i++) dims[i] = v->dim[i];
    return dnnl_memory_desc_init_by_tag(md, v->rank, dims, type_of(v), dnnl_format_tag_any);
}

static uint64_t take_scratch(ConvState *s, uint64_t n_bytes)
{
    uint64_t at = s->scratch_bytes;
    s->scratch_bytes += (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

static dnnl_status_t make_reorder(ConvState *s, Operand *o, const dnnl_memory_desc_t *user, const dnnl_memory_desc_t *own)
{
    dnnl_primitive_desc_t pd;
    dnnl_primitive_attr_t attr;
    TRY(dnnl_primitive_attr_create(&attr));
    dnnl_status_t st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (st == dnnl_success)
        st = dnnl_reorder_primitive_desc_create(&pd, o->is_out ? own : user, s->engine, o->is_out ? user : own, s->engine, attr);
    dnnl_primitive_attr_destroy(attr);
    TRY(st);
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    if (pad && dnnl_memory_desc_get_size(pad) != 0) st = dnnl_unimplemented;
    if (st == dnnl_success) st = dnnl_primitive_create(&o->reorder, pd);
    dnnl_primitive_desc_destroy(pd);
    return st;
}

/* Adds operand `view`, which the primitive wants as `own`. */
static dnnl_status_t add_operand(ConvState *s, int arg, bool is_out, uint32_t ix, const AdvView *view, const dnnl_memory_desc_t *own)
{
    Operand *o = &s->operand[s->n++];
    dnnl_memory_desc_t user;
    o->arg = arg, o->is_out = is_out, o->ix = ix;
    TRY(describe(&user, view));
    TRY(dnnl_memory_create(&o->user, &user, s->engine, DNNL_MEMORY_NONE));
    if (dnnl_memory_desc_equal(&user, own)) return dnnl_success;
    TRY(dnnl_memory_create(&o->own, own, s->engine, DNNL_MEMORY_NONE));
    o->scratch_at = take_scratch(s, dnnl_memory_desc_get_size(own));
    return make_reorder(s, o, &user, own);
}

/* ---- the three primitives ---- */

typedef struct ConvDesc {
    dnnl_convolution_desc_t desc;
    dnnl_memory_desc_t x, w, y, b;
    dnnl_dims_t stride, pad;
} ConvDesc;

static dnnl_status_t describe_all(ConvDesc *c, const AdvView *x, const AdvView *w, const AdvView *y, const AdvAttr *attr)
{
    for (int i = 0; i < 2; i++) c->stride[i] = attr[0].i, c->pad[i] = attr[1].i;
    TRY(describe(&c->x, x));
    TRY(describe(&c->y, y));
    return describe_any(&c->w, w);
}

/* Creates the primitive's descriptor, with a scratchpad of ours. hint: of the forward, for gradients. */
static dnnl_status_t make_pd(ConvState *s, const ConvDesc *c, const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out)
{
    dnnl_primitive_attr_t attr;
    TRY(dnnl_primitive_attr_create(&attr));
    dnnl_status_t st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (st == dnnl_success) st = dnnl_primitive_desc_create(out, &c->desc, attr, s->engine, hint);
    dnnl_primitive_attr_destroy(attr);
    return st;
}

static dnnl_status_t make_primitive(ConvState *s, const_dnnl_primitive_desc_t pd)
{
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    TRY(dnnl_primitive_create(&s->prim, pd));
    if (!pad || dnnl_memory_desc_get_size(pad) == 0) return dnnl_success;
    s->pad_at = take_scratch(s, dnnl_memory_desc_get_size(pad));
    return dnnl_memory_create(&s->pad, pad, s->engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t forward_desc(ConvDesc *c, const dnnl_memory_desc_t *bias)
{
    return dnnl_convolution_forward_desc_init(&c->desc, dnnl_forward_training, dnnl_convolution_direct, &c->x, &c->w, bias, &c->y,
                                              c->stride, c->pad, c->pad);
}

/* conv2d and conv2d_bias. */
static dnnl_status_t make_forward(ConvState *s, const AdvSig *sig)
{
    ConvDesc c;
    dnnl_primitive_desc_t pd;
    bool has_bias = sig->n_in == 3;
    TRY(describe_all(&c, &sig->in[0], &sig->in[1], &sig->out[0], sig->attr));
    if (has_bias) TRY(describe(&c.b, &sig->in[2]));
    TRY(forward_desc(&c, has_bias ? &c.b : NULL));
    s->relu = has_bias && sig->attr[2].i;
    TRY(make_pd(s, &c, NULL, &pd));
    dnnl_status_t st = make_primitive(s, pd);
    if (st == dnnl_success) st = add_operand(s, DNNL_ARG_SRC, false, 0, &sig->in[0], &c.x);
    if (st == dnnl_success)
        st = add_operand(s, DNNL_ARG_WEIGHTS, false, 1, &sig->in[1], dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
    if (st == dnnl_success && has_bias) st = add_operand(s, DNNL_ARG_BIAS, false, 2, &sig->in[2], &c.b);
    if (st == dnnl_success) st = add_operand(s, DNNL_ARG_DST, true, 0, &sig->out[0], &c.y);
    dnnl_primitive_desc_destroy(pd);
    return st;
}

/* conv2d_gx and conv2d_gw, behind the forward that they belong to. */
static dnnl_status_t make_backward(ConvState *s, const AdvSig *sig, bool is_gw)
{
    ConvDesc c;
    dnnl_primitive_desc_t hint, pd;
    const AdvView *x = is_gw ? &sig->in[0] : &sig->out[0], *w = is_gw ? &sig->out[0] : &sig->in[1], *y = is_gw ? &sig->in[1] : &sig->in[0];
    TRY(describe_all(&c, x, w, y, sig->attr));
    TRY(forward_desc(&c, NULL));
    TRY(make_pd(s, &c, NULL, &hint));
    dnnl_status_t st;
    if (is_gw)
        st = dnnl_convolution_backward_weights_desc_init(&c.desc, dnnl_convolution_direct, &c.x, &c.w, NULL, &c.y, c.stride, c.pad, c.pad);
    else st = dnnl_convolution_backward_data_desc_init(&c.desc, dnnl_convolution_direct, &c.x, &c.w, &c.y, c.stride, c.pad, c.pad);
    if (st == dnnl_success) st = make_pd(s, &c, hint, &pd);
    dnnl_primitive_desc_destroy(hint);
    TRY(st);
    st = make_primitive(s, pd);
    const dnnl_memory_desc_t *own = dnnl_primitive_desc_query_md(pd, is_gw ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    if (st == dnnl_success)
        st = is_gw ? add_operand(s, DNNL_ARG_SRC, false, 0, x, &c.x) : add_operand(s, DNNL_ARG_DIFF_SRC, true, 0, x, &c.x);
    if (st == dnnl_success)
        st = is_gw ? add_operand(s, DNNL_ARG_DIFF_WEIGHTS, true, 0, w, own) : add_operand(s, DNNL_ARG_WEIGHTS, false, 1, w, own);
    if (st == dnnl_success) st = add_operand(s, DNNL_ARG_DIFF_DST, false, is_gw ? 1 : 0, y, &c.y);
    dnnl_primitive_desc_destroy(pd);
    return st;
}

/* ---- the kernel ---- */

static void release(void *state)
{
    ConvState *s = state;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->operand[i].reorder) dnnl_primitive_destroy(s->operand[i].reorder);
        if (s->operand[i].own) dnnl_memory_destroy(s->operand[i].own);
        if (s->operand[i].user) dnnl_memory_destroy(s->operand[i].user);
    }
    if (s->pad) dnnl_memory_destroy(s->pad);
    if (s->prim) dnnl_primitive_destroy(s->prim);
    if (s->stream) dnnl_stream_destroy(s->stream);
    if (s->engine) dnnl_engine_destroy(s->engine);
    memset(s, 0, sizeof *s);
}

static dnnl_status_t make(ConvState *s, const AdvSig *sig)
{
    TRY(dnnl_engine_create(&s->engine, dnnl_cpu, 0));
    TRY(dnnl_stream_create(&s->stream, s->engine, dnnl_stream_default_flags));
    if (strcmp(sig->op->name, "conv2d_gx") == 0) return make_backward(s, sig, false);
    if (strcmp(sig->op->name, "conv2d_gw") == 0) return make_backward(s, sig, true);
    return make_forward(s, sig);
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    ConvState *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    int before = threads_begin(p->n_threads);
    dnnl_status_t st = make(s, p->sig);
    threads_end(before);
    if (st != dnnl_success) {
        release(s);
        if (st == dnnl_out_of_memory) return ADV_ENOMEM;
        return p->fail(p, ADV_EUNAVAILABLE, "oneDNN cannot do this `%s` (status %d)", p->sig->op->name, (int)st);
    }
    p->scratch_bytes = s->scratch_bytes;
    *out_state = s;
    return ADV_OK;
}

static dnnl_status_t reorder(const ConvState *s, const Operand *o)
{
    dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, o->is_out ? o->own : o->user}, {DNNL_ARG_TO, o->is_out ? o->user : o->own}};
    return dnnl_primitive_execute(o->reorder, s->stream, 2, args);
}

static dnnl_status_t execute(const ConvState *s, const AdvLaunch *l)
{
    dnnl_exec_arg_t args[MAX_ARGS + 1];
    int n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const Operand *o = &s->operand[i];
        TRY(dnnl_memory_set_data_handle_v2(o->user, (o->is_out ? l->out : l->in)[o->ix].data, s->stream));
        if (o->own) TRY(dnnl_memory_set_data_handle_v2(o->own, (char *)l->scratch + o->scratch_at, s->stream));
        if (o->own && !o->is_out) TRY(reorder(s, o));
        args[n].arg = o->arg, args[n++].memory = o->own ? o->own : o->user;
    }
    if (s->pad) {
        TRY(dnnl_memory_set_data_handle_v2(s->pad, (char *)l->scratch + s->pad_at, s->stream));
        args[n].arg = DNNL_ARG_SCRATCHPAD, args[n++].memory = s->pad;
    }
    TRY(dnnl_primitive_execute(s->prim, s->stream, n, args));
    for (uint32_t i = 0; i < s->n; i++)
        if (s->operand[i].own && s->operand[i].is_out) TRY(reorder(s, &s->operand[i]));
    return dnnl_stream_wait(s->stream);
}

/* What is below 0 becomes 0; NaN stays. Of bfloat16 by its bits: beyond -infinity lie NaNs. */
static void relu(const AdvView *y, uint32_t most_threads)
{
    int64_t n = adv_view_elems(y);
    int n_threads = adv_cpu_threads(most_threads, n);
    (void)n_threads;
    if (y->dtype == ADV_F32) {
        float *v = y->data;
        ADV_OMP(parallel for simd schedule(static) num_threads(n_threads))
        for (int64_t i = 0; i < n; i++) v[i] = v[i] < 0 ? 0 : v[i];
    } else {
        uint16_t *v = y->data;
        ADV_OMP(parallel for simd schedule(static) num_threads(n_threads))
        for (int64_t i = 0; i < n; i++) v[i] = v[i] >= 0x8000 && v[i] <= 0xff80 ? 0 : v[i];
    }
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    const ConvState *s = state;
    int before = threads_begin(l->n_threads);
    dnnl_status_t st = execute(s, l);
    threads_end(before);
    if (st == dnnl_success && s->relu) relu(&l->out[0], l->n_threads);
    return st == dnnl_success ? ADV_OK : st == dnnl_out_of_memory ? ADV_ENOMEM : ADV_EUNAVAILABLE;
}

/* Without the instructions the library emulates bfloat16 at a third of the speed of floats: then there is no kernel for it. */
static bool computes_bf16(void)
{
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

static bool can(const AdvSig *s, const char **why)
{
    uint8_t dtype = s->in[0].dtype;
    if (dtype == ADV_BF16 && !computes_bf16()) {
        *why = "this processor has no instructions for bfloat16";
        return false;
    }
    for (uint32_t i = 0; i < s->n_in + s->n_out; i++) {
        const AdvView *v = i < s->n_in ? &s->in[i] : &s->out[i - s->n_in];
        if ((dtype == ADV_F32 || dtype == ADV_BF16) && v->dtype == dtype && adv_sig_dense(v)) continue;
        *why = v->dtype != dtype || (dtype != ADV_F32 && dtype != ADV_BF16) ? "computes in f32 or bf16 only" : "needs tensors without gaps";
        return false;
    }
    return true;
}

#define CONV(op_name) \
    const AdvKernel adv_k_cpu_##op_name##_dnnl = {ADV_KERNEL_HEADER, .backend = "cpu", .op = #op_name, .name = "dnnl", .op_version = 1, \
                                                  .can = can, .prepare = prepare, .run = run, .release = release};
CONV(conv2d)
CONV(conv2d_gx)
CONV(conv2d_gw)
CONV(conv2d_bias)
