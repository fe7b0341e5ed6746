/* fake_dnn.c: cuDNN of the fake device: the back-end API as far as our graphs go (ops/cuda/cudnn_graph.c), computed in double.
**
** A descriptor is a list of the attributes it was given. A graph is a convolution and pointwise operations on its result, which may be
** written on the way, too; every graph is offered in three configurations, of which the last is marked as not deterministic. A plan wants
** a workspace and writes over it. A plan holds all it needs; as text it is the version and its bytes in hexadecimal. Freed descriptors that
** something still names show under AddressSanitizer.
*/
#include "tests/cuda/fake.h"

#include "ops/nn/nn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cudnnContext { cudaStream_t stream; };

enum { MAX_ATTRS = 12, MAX_BYTES = 96, MAX_TAIL = 6, WORKSPACE = 192, N_CONFIGS = 3, ALIGN = 16 };

typedef struct Attr {
    cudnnBackendAttributeName_t name;
    int64_t n;
    unsigned char bytes[MAX_BYTES];
} Attr;

typedef struct Tail {
    cudnnPointwiseMode_t mode;
    AdvView other; /* what is added or multiplied with, or the mask; rank 0: none */
    AdvView kept;  /* where what it works on is written to; no data: nowhere */
} Tail;

/* What a plan does. Views' data are ids of tensors until it runs; NULL for those between operations. */
typedef struct Work {
    cudnnBackendDescriptorType_t kind;
    int64_t stride, pad;
    AdvView image, weights, output, result;
    Tail tail[MAX_TAIL];
    uint32_t n_tail;
    void *workspace;
} Work;

typedef struct Desc {
    cudnnBackendDescriptorType_t type;
    bool is_final;
    uint32_t n_attrs;
    int64_t engine;     /* of a configuration or an engine */
    struct Desc *graph; /* of a configuration */
    Work *work;         /* of a plan */
    char *text;         /* what a plan is made from */
    Attr attr[MAX_ATTRS];
} Desc;

static size_t version(void) { return adv_fake.dnn_version; }

static const char *error_string(cudnnStatus_t st)
{
    return st == CUDNN_STATUS_ALLOC_FAILED ? "out of memory" : st == CUDNN_STATUS_SUCCESS ? "success" : "failed";
}

static void last_error(char *text, size_t n) { if (n) *text = 0; }

static cudnnStatus_t status_of(cudaError_t e)
{
    return e == cudaSuccess                 ? CUDNN_STATUS_SUCCESS
           : e == cudaErrorMemoryAllocation ? CUDNN_STATUS_ALLOC_FAILED
                                            : CUDNN_STATUS_EXECUTION_FAILED;
}

static cudnnStatus_t create(cudnnHandle_t *h)
{
    cudnnStatus_t st = status_of(adv_fake_call(true));
    *h = st == CUDNN_STATUS_SUCCESS ? calloc(1, sizeof **h) : NULL;
    return st;
}

static cudnnStatus_t destroy(cudnnHandle_t h)
{
    free(h);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set_stream(cudnnHandle_t h, cudaStream_t s)
{
    h->stream = s;
    adv_fake_see(s);
    return CUDNN_STATUS_SUCCESS;
}

/* ---- descriptors --------------------------------------------------------------------------------------------------------- */

static cudnnStatus_t create_desc(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    cudnnStatus_t st = adv_fake_is_capturing() ? CUDNN_STATUS_NOT_SUPPORTED : status_of(adv_fake_call(true));
    Desc *d = st == CUDNN_STATUS_SUCCESS ? calloc(1, sizeof *d) : NULL;
    if (d) d->type = type;
    *out = d;
    return st;
}

static cudnnStatus_t destroy_desc(cudnnBackendDescriptor_t desc)
{
    Desc *d = desc;
    if (d) free(d->work), free(d->text);
    free(d);
    return CUDNN_STATUS_SUCCESS;
}

static size_t bytes_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_INT64: case CUDNN_TYPE_VOID_PTR: case CUDNN_TYPE_BACKEND_DESCRIPTOR: case CUDNN_TYPE_HANDLE: case CUDNN_TYPE_DOUBLE:
        return 8;
    case CUDNN_TYPE_BOOLEAN: case CUDNN_TYPE_CHAR: return 1;
    default: return 4; /* enums, float, int32 */
    }
}

static cudnnStatus_t set_attr(cudnnBackendDescriptor_t desc, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                              const void *values)
{
    Desc *d = desc;
    if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION) {
        free(d->text);
        d->text = strndup(values, (size_t)n);
        return CUDNN_STATUS_SUCCESS;
    }
    if (d->is_final || d->n_attrs == MAX_ATTRS || (size_t)n * bytes_of(type) > MAX_BYTES) return CUDNN_STATUS_BAD_PARAM;
    Attr *a = &d->attr[d->n_attrs++];
    a->name = name;
    a->n = n;
    memcpy(a->bytes, values, (size_t)n * bytes_of(type));
    return CUDNN_STATUS_SUCCESS;
}

static const Attr *find(const Desc *d, cudnnBackendAttributeName_t name)
{
    for (uint32_t i = 0; i < d->n_attrs; i++)
        if (d->attr[i].name == name) return &d->attr[i];
    return NULL;
}

static int64_t number(const Desc *d, cudnnBackendAttributeName_t name)
{
    int64_t n = 0;
    const Attr *a = find(d, name);
    if (a) memcpy(&n, a->bytes, sizeof n);
    return n;
}

static int choice(const Desc *d, cudnnBackendAttributeName_t name)
{
    int n = -1;
    const Attr *a = find(d, name);
    if (a) memcpy(&n, a->bytes, sizeof n);
    return n;
}

static Desc *desc_at(const Desc *d, cudnnBackendAttributeName_t name, int64_t ix)
{
    Desc *r = NULL;
    const Attr *a = find(d, name);
    if (a && ix < a->n) memcpy(&r, a->bytes + ix * 8, sizeof r);
    return r;
}

/* ---- plans as text ------------------------------------------------------------------------------------------------------- */

static cudnnStatus_t write_plan(const Work *w, int64_t n, int64_t *out_n, char *text)
{
    char head[32];
    int len = snprintf(head, sizeof head, "{\"fake\": %zu} ", adv_fake.dnn_version);
    *out_n = len + 2 * (int64_t)sizeof *w;
    if (n < *out_n) return CUDNN_STATUS_SUCCESS;
    memcpy(text, head, (size_t)len);
    for (size_t i = 0; i < sizeof *w; i++) {
        static const char digits[] = "0123456789abcdef";
        text[(size_t)len + 2 * i] = digits[((const unsigned char *)w)[i] >> 4];
        text[(size_t)len + 2 * i + 1] = digits[((const unsigned char *)w)[i] & 15];
    }
    return CUDNN_STATUS_SUCCESS;
}

static bool read_plan(const char *text, Work *w)
{
    size_t of = 0;
    int len = 0;
    if (sscanf(text, "{\"fake\": %zu} %n", &of, &len) != 1 || of != adv_fake.dnn_version || strlen(text + len) != 2 * sizeof *w)
        return false;
    for (size_t i = 0; i < sizeof *w; i++) {
        unsigned byte;
        if (sscanf(text + len + 2 * i, "%2x", &byte) != 1) return false;
        ((unsigned char *)w)[i] = (unsigned char)byte;
    }
    return true;
}

static cudnnStatus_t get_attr(cudnnBackendDescriptor_t const desc, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                              int64_t n, int64_t *out_n, void *values)
{
    const Desc *d = desc;
    int64_t i64 = 0;
    Desc *to;
    (void)type;
    *out_n = 1;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        *out_n = n < N_CONFIGS ? n : N_CONFIGS;
        if (n == 0) *out_n = N_CONFIGS; /* asks how many there are */
        for (int64_t k = 0; k < *out_n && n > 0; k++) {
            memcpy(&to, (char *)values + k * 8, sizeof to);
            to->graph = desc_at(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0);
            to->engine = k;
        }
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        memcpy(&to, values, sizeof to);
        to->engine = d->engine;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE: {
        cudnnBackendNumericalNote_t note = CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
        *out_n = d->engine == N_CONFIGS - 1;
        if (*out_n) memcpy(values, &note, sizeof note);
        return CUDNN_STATUS_SUCCESS;
    }
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX: i64 = d->engine; break;
    case CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION: return write_plan(d->work, n, out_n, values);
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE: i64 = WORKSPACE; break;
    default: return CUDNN_STATUS_NOT_SUPPORTED;
    }
    memcpy(values, &i64, sizeof i64);
    return CUDNN_STATUS_SUCCESS;
}

/* ---- running ------------------------------------------------------------------------------------------------------------- */

static double *place(double *sum, const AdvView *v, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return &sum[((a * v->dim[1] + b) * v->dim[2] + c) * v->dim[3] + d];
}

/* Adds every product of one sample, output channel and output place to where its kind wants it. */
static void convolve_at(const Work *w, double *sum, int64_t n, int64_t o, int64_t i, int64_t j)
{
    const AdvView *x = &w->image, *k = &w->weights, *y = &w->output;
    for (int64_t c = 0; c < x->dim[1]; c++)
        for (int64_t p = 0; p < k->dim[2]; p++)
            for (int64_t q = 0; q < k->dim[3]; q++) {
                int64_t h = i * w->stride + p - w->pad, u = j * w->stride + q - w->pad;
                if (h < 0 || u < 0 || h >= x->dim[2] || u >= x->dim[3]) continue;
                if (w->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
                    *place(sum, y, n, o, i, j) += adv_ld(x, adv_at4(x, n, c, h, u)) * adv_ld(k, adv_at4(k, o, c, p, q));
                else if (w->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
                    *place(sum, x, n, c, h, u) += adv_ld(y, adv_at4(y, n, o, i, j)) * adv_ld(k, adv_at4(k, o, c, p, q));
                else
                    *place(sum, k, o, c, p, q) += adv_ld(y, adv_at4(y, n, o, i, j)) * adv_ld(x, adv_at4(x, n, c, h, u));
            }
}

static double finish(const Tail *t, double s, int64_t n, int64_t c, int64_t h, int64_t u)
{
    const AdvView *v = &t->other;
    double other = v->rank ? adv_ld(v, adv_at4(v, v->dim[0] == 1 ? 0 : n, c, v->dim[2] == 1 ? 0 : h, v->dim[3] == 1 ? 0 : u)) : 0;
    switch (t->mode) {
    case CUDNN_POINTWISE_ADD: return s + other;
    case CUDNN_POINTWISE_MUL: return s * other;
    case CUDNN_POINTWISE_RELU_FWD: return s < 0 ? 0 : s; /* NaN stays: assumed (docs/cuda.md) */
    default: return other > 0 ? s : 0; /* RELU_BWD */
    }
}

static void run(const void *what)
{
    const Work *w = what;
    const AdvView *r = &w->result, *y = &w->output;
    double *sum = calloc((size_t)adv_view_elems(r), sizeof *sum);
    memset(w->workspace, 0xab, WORKSPACE);
    for (int64_t n = 0; n < y->dim[0]; n++)
        for (int64_t o = 0; o < y->dim[1]; o++)
            for (int64_t i = 0; i < y->dim[2]; i++)
                for (int64_t j = 0; j < y->dim[3]; j++) convolve_at(w, sum, n, o, i, j);
    for (int64_t n = 0; n < r->dim[0]; n++)
        for (int64_t c = 0; c < r->dim[1]; c++)
            for (int64_t h = 0; h < r->dim[2]; h++)
                for (int64_t u = 0; u < r->dim[3]; u++) {
                    double s = *place(sum, r, n, c, h, u);
                    for (uint32_t k = 0; k < w->n_tail; k++) {
                        const AdvView *kept = &w->tail[k].kept;
                        if (kept->data) adv_st(kept, adv_at4(kept, n, c, h, u), s);
                        s = finish(&w->tail[k], s, n, c, h, u);
                    }
                    adv_st(r, adv_at4(r, n, c, h, u), s);
                }
    free(sum);
    uint64_t h = (uint64_t)adv_view_elems(r) * 31 + w->n_tail;
    adv_fake_count(h, h);
}

/* The view of a tensor descriptor: its id in place of data, or NULL where it is virtual. */
static AdvView view_of(const Desc *t)
{
    AdvView v = {.rank = 4};
    const Attr *dims = find(t, CUDNN_ATTR_TENSOR_DIMENSIONS), *strides = find(t, CUDNN_ATTR_TENSOR_STRIDES);
    const Attr *is_virtual = find(t, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
    if (!dims || !strides || !is_virtual) return v; /* without data, which is refused */
    v.dtype = choice(t, CUDNN_ATTR_TENSOR_DATA_TYPE) == CUDNN_DATA_BFLOAT16 ? ADV_BF16 : ADV_F32;
    memcpy(v.dim, dims->bytes, 32);
    memcpy(v.stride, strides->bytes, 32);
    if (number(t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT) != ALIGN) return (AdvView){.rank = 4};
    if (!is_virtual->bytes[0]) v.data = (void *)(intptr_t)number(t, CUDNN_ATTR_TENSOR_UNIQUE_ID);
    return v;
}

/* The id becomes the pointer that the pack has for it, or NULL where that is not aligned as was promised. */
static void resolve(AdvView *v, const Desc *pack)
{
    const Attr *ids = find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS), *pointers = find(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    int64_t id = (intptr_t)v->data;
    v->data = NULL;
    for (int64_t k = 0; id && ids && pointers && k < ids->n; k++)
        if (!memcmp(ids->bytes + k * 8, &id, 8)) memcpy(&v->data, pointers->bytes + k * 8, 8);
    if ((uintptr_t)v->data % ALIGN) v->data = NULL;
}

static void read_conv(Work *w, const Desc *op)
{
    bool forward = op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool by_image = op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
    const Desc *how = desc_at(op, forward    ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC
                                  : by_image ? CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC
                                             : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, 0);
    w->kind = op->type;
    w->stride = number(how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
    w->pad = number(how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
    w->image = view_of(desc_at(op, forward    ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X
                                   : by_image ? CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX
                                              : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, 0));
    w->weights = view_of(desc_at(op, forward    ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W
                                     : by_image ? CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W
                                                : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, 0));
    w->output = view_of(desc_at(op, forward    ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y
                                    : by_image ? CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY
                                               : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, 0));
    w->result = forward ? w->output : by_image ? w->image : w->weights;
}

static void read_pointwise(Work *w, const Desc *op)
{
    Tail *t = &w->tail[w->n_tail++];
    const Desc *how = desc_at(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 0);
    t->mode = (cudnnPointwiseMode_t)choice(how, CUDNN_ATTR_POINTWISE_MODE);
    bool is_mask = t->mode == CUDNN_POINTWISE_RELU_BWD;
    const Desc *other = desc_at(op, is_mask ? CUDNN_ATTR_OPERATION_POINTWISE_XDESC : CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 0);
    if (other) t->other = view_of(other);
    t->kept = w->result;
    w->result = view_of(desc_at(op, is_mask ? CUDNN_ATTR_OPERATION_POINTWISE_DXDESC : CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 0));
}

static Work *plan_of(const Desc *config)
{
    const Attr *ops = find(config->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    Work *w = ops ? calloc(1, sizeof *w) : NULL;
    for (int64_t k = 0; w && k < ops->n; k++) {
        const Desc *op = desc_at(config->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, k);
        if (op->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) read_pointwise(w, op);
        else read_conv(w, op);
    }
    return w;
}

static cudnnStatus_t make_plan(Desc *d)
{
    const Desc *config = desc_at(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
    adv_fake_build_begin();
    d->work = config ? plan_of(config) : calloc(1, sizeof *d->work);
    bool ok = d->work && (config || (!adv_fake.refuses_text && d->text && read_plan(d->text, d->work)));
    adv_fake_build_end(config ? &adv_fake.n_built : &adv_fake.n_loaded);
    return ok ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

static cudnnStatus_t finalize(cudnnBackendDescriptor_t desc)
{
    Desc *d = desc;
    bool is_plan = d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR;
    cudnnStatus_t st = status_of(adv_fake_call(is_plan));
    if (d->is_final || (is_plan && !adv_fake_has_set_device())) return CUDNN_STATUS_BAD_PARAM;
    if (st == CUDNN_STATUS_SUCCESS && is_plan) st = make_plan(d);
    if (st == CUDNN_STATUS_SUCCESS) d->is_final = true;
    return st;
}

static cudnnStatus_t execute(cudnnHandle_t h, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack)
{
    const Desc *d = plan, *vp = pack;
    const Attr *workspace = find(vp, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    if (!d->work || !workspace || !h->stream || !vp->is_final || !d->is_final) return CUDNN_STATUS_BAD_PARAM;
    if (adv_fake.runs_by_handle && !find(d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE)) return CUDNN_STATUS_BAD_PARAM;
    Work w = *d->work;
    AdvView *views[] = {&w.image, &w.weights, &w.output, &w.result};
    for (int k = 0; k < 4; k++) resolve(views[k], vp);
    bool is_whole = w.result.data && !w.image.data + !w.weights.data + !w.output.data <= (w.n_tail > 0); /* one may be virtual */
    for (uint32_t k = 0; k < w.n_tail; k++) {
        bool keeps = w.tail[k].kept.data != NULL;
        resolve(&w.tail[k].other, vp);
        resolve(&w.tail[k].kept, vp);
        is_whole = is_whole && (w.tail[k].other.data || !w.tail[k].other.rank) && (w.tail[k].kept.data || !keeps);
    }
    memcpy(&w.workspace, workspace->bytes, 8);
    if (!is_whole || !w.workspace || (uintptr_t)w.workspace % 256) return CUDNN_STATUS_BAD_PARAM;
    return status_of(adv_fake_enqueue(h->stream, run, &w, sizeof w));
}

void adv_fake_fill_dnn(AdvCudaApi *a)
{
    a->cudnnGetVersion = version;
    a->cudnnGetErrorString = error_string;
    a->cudnnGetLastErrorString = last_error;
    a->cudnnCreate = create;
    a->cudnnDestroy = destroy;
    a->cudnnSetStream = set_stream;
    a->cudnnBackendCreateDescriptor = create_desc;
    a->cudnnBackendDestroyDescriptor = destroy_desc;
    a->cudnnBackendFinalize = finalize;
    a->cudnnBackendSetAttribute = set_attr;
    a->cudnnBackendGetAttribute = get_attr;
    a->cudnnBackendExecute = execute;
}
