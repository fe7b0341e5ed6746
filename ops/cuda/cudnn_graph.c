/* cudnn_graph.c: see cudnn_graph.h.
**
** A graph is a convolution and the pointwise operations that follow it; results between them are virtual tensors in f32, so a fused plan
** rounds once. Failures are kept in the graph and make later calls do nothing, so building reads as a list.
*/
#include "ops/cuda/cudnn_graph.h"

#include <assert.h>
#include <string.h>

typedef cudnnBackendDescriptor_t Desc;

static void note(AdvDnnGraph *g, cudnnStatus_t st, const char *call)
{
    if (st == CUDNN_STATUS_SUCCESS || g->status != CUDNN_STATUS_SUCCESS) return;
    g->status = st;
    g->call = call;
    g->api->cudnnGetLastErrorString(g->why, sizeof g->why); /* of this thread's last call */
}

static Desc make(AdvDnnGraph *g, cudnnBackendDescriptorType_t type)
{
    Desc d = NULL;
    if (g->status != CUDNN_STATUS_SUCCESS) return NULL;
    assert(g->n_made < ADV_DNN_MADE);
    note(g, g->api->cudnnBackendCreateDescriptor(type, &d), "cudnnBackendCreateDescriptor");
    if (g->status == CUDNN_STATUS_SUCCESS) g->made[g->n_made++] = d;
    return d;
}

static void set(AdvDnnGraph *g, Desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n, const void *v)
{
    if (g->status != CUDNN_STATUS_SUCCESS) return;
    note(g, g->api->cudnnBackendSetAttribute(d, name, type, n, v), "cudnnBackendSetAttribute");
}

static void set_desc(AdvDnnGraph *g, Desc d, cudnnBackendAttributeName_t name, Desc v)
{
    set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &v);
}

static void finish(AdvDnnGraph *g, Desc d, const char *what)
{
    if (g->status == CUDNN_STATUS_SUCCESS) note(g, g->api->cudnnBackendFinalize(d), what);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------------- */

static cudnnDataType_t type_of(uint8_t dtype) { return dtype == ADV_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT; }

/* Channels-last strides are written anew: those of dims of 1 say nothing to us but much to the library. */
static Desc tensor(AdvDnnGraph *g, const int64_t dim[4], cudnnDataType_t type, int64_t id, bool is_virtual)
{
    Desc d = make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    int64_t stride[4] = {dim[1] * dim[2] * dim[3], 1, dim[1] * dim[3], dim[1]}, align = 16;
    set(g, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim);
    set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride);
    set(g, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(g, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
    set(g, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    finish(g, d, "a tensor");
    return d;
}

static Desc tensor_of(AdvDnnGraph *g, const AdvView *v, int64_t id)
{
    int64_t vector[4] = {1, v->dim[0], 1, 1};
    return tensor(g, v->rank == 1 ? vector : v->dim, type_of(v->dtype), id, false);
}

/* ---- operations -------------------------------------------------------------------------------------------------------- */

static Desc pointwise(AdvDnnGraph *g, cudnnPointwiseMode_t mode)
{
    Desc d = make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    set(g, d, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(g, d, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    finish(g, d, "a pointwise mode");
    return d;
}

/* y = mode(x), or mode(x, b). */
static Desc apply(AdvDnnGraph *g, cudnnPointwiseMode_t mode, Desc x, Desc b, Desc y)
{
    Desc how = pointwise(g, mode), d = make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    set_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b) set_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    finish(g, d, "a pointwise operation");
    return d;
}

/* dx = dy where x > 0, else 0. */
static Desc apply_mask(AdvDnnGraph *g, Desc dy, Desc x, Desc dx)
{
    Desc how = pointwise(g, CUDNN_POINTWISE_RELU_BWD), d = make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    set_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, dy);
    set_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    set_desc(g, d, CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, dx);
    finish(g, d, "a mask");
    return d;
}

static Desc convolve(AdvDnnGraph *g, const AdvDnnConv *c, Desc image, Desc weights, Desc output)
{
    static const struct { cudnnBackendDescriptorType_t type; cudnnBackendAttributeName_t conv, image, weights, output, alpha, beta;
    } names[] = {{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
                 {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
                 {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};
    Desc how = make(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR), d = make(g, names[c->kind].type);
    int64_t n_dims = 2, stride[2] = {c->stride, c->stride}, pad[2] = {c->pad, c->pad}, one[2] = {1, 1};
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    float alpha = 1, beta = 0;
    set(g, how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(g, how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(g, how, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &n_dims);
    set(g, how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    set(g, how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pad);
    set(g, how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pad);
    set(g, how, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, one);
    finish(g, how, "the convolution's form");
    set_desc(g, d, names[c->kind].conv, how);
    set_desc(g, d, names[c->kind].image, image);
    set_desc(g, d, names[c->kind].weights, weights);
    set_desc(g, d, names[c->kind].output, output);
    set(g, d, names[c->kind].alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
    set(g, d, names[c->kind].beta, CUDNN_TYPE_FLOAT, 1, &beta);
    finish(g, d, "the convolution");
    return d;
}

enum { MAX_STEPS = 6, MAX_OPS = MAX_STEPS + 1 };

/* What is done to the result: an operation and its other operand. */
typedef struct Step {
    cudnnPointwiseMode_t mode;
    const AdvView *other; /* NULL: none */
    int64_t id;
} Step;

/* The steps in order; in *out_kept, after how many of them the value is kept. */
static uint32_t steps_of(const AdvDnnConv *c, Step s[MAX_STEPS], uint32_t *out_kept)
{
    const Step sum = {CUDNN_POINTWISE_ADD, c->sum, ADV_DNN_SUM};
    uint32_t n = 0;
    if (c->bias) s[n++] = (Step){CUDNN_POINTWISE_ADD, c->bias, ADV_DNN_BIAS};
    if (c->sum && !c->sum_last) s[n++] = sum;
    *out_kept = n;
    if (c->mask) s[n++] = (Step){CUDNN_POINTWISE_RELU_BWD, c->mask, ADV_DNN_MASK};
    if (c->scale) s[n++] = (Step){CUDNN_POINTWISE_MUL, c->scale, ADV_DNN_SCALE};
    if (c->shift) s[n++] = (Step){CUDNN_POINTWISE_ADD, c->shift, ADV_DNN_SHIFT};
    if (c->relu) s[n++] = (Step){CUDNN_POINTWISE_RELU_FWD, NULL, 0};
    if (c->sum && c->sum_last) s[n++] = sum;
    assert(n <= MAX_STEPS);
    return n;
}

static uint32_t build(AdvDnnGraph *g, const AdvDnnConv *c, Desc ops[MAX_OPS])
{
    const AdvView *views[] = {c->image, c->weights, c->output};
    static const uint32_t result_ix[] = {2, 0, 1}; /* by kind */
    uint32_t at = result_ix[c->kind], kept_at;
    Step step[MAX_STEPS];
    Desc t[3], value[MAX_OPS]; /* of the convolution and of each step */
    uint32_t n = steps_of(c, step, &kept_at);
    for (uint32_t k = 0; k <= n; k++) {
        if (k == n) value[k] = tensor_of(g, views[at], ADV_DNN_IMAGE + at);
        else if (k == kept_at && c->kept) value[k] = tensor_of(g, c->kept, ADV_DNN_KEPT);
        else value[k] = tensor(g, views[at]->dim, CUDNN_DATA_FLOAT, ADV_DNN_ROLES + k, true);
    }
    for (uint32_t k = 0; k < 3; k++) t[k] = k == at ? value[0] : tensor_of(g, views[k], ADV_DNN_IMAGE + k);
    ops[0] = convolve(g, c, t[0], t[1], t[2]);
    for (uint32_t k = 0; k < n; k++) {
        Desc other = step[k].other ? tensor_of(g, step[k].other, step[k].id) : NULL;
        bool is_mask = step[k].mode == CUDNN_POINTWISE_RELU_BWD;
        ops[k + 1] = is_mask ? apply_mask(g, value[k], other, value[k + 1]) : apply(g, step[k].mode, value[k], other, value[k + 1]);
    }
    return n + 1;
}

/* ---- configurations ---------------------------------------------------------------------------------------------------- */

/* What a list of configurations is asked for: whose plans, of which convolution, how many of one engine. */
typedef struct Wish {
    const AdvDnnFor *to;
    const AdvDnnConv *conv;
    Desc graph;
    uint32_t most, most_of_engine;
} Wish;

static bool is_allowed_note(const Wish *w, cudnnBackendNumericalNote_t note)
{
    switch (note) {
    case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:      /* a resumed run has the same bits */
    case CUDNN_NUMERICAL_NOTE_WINOGRAD:              /* other roundings */
    case CUDNN_NUMERICAL_NOTE_FFT:                   /* the same */
    case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:   /* to f16, whose range gradients leave */
        return false;
    case CUDNN_NUMERICAL_NOTE_TENSOR_CORE: return w->conv->image->dtype != ADV_F32 || w->to->allow_tf32;
    default: return true;
    }
}

/* May this configuration be used, and whose is it? */
static bool is_allowed(const AdvCudaApi *api, const Wish *w, Desc config, int64_t *out_engine)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t n = 0;
    Desc engine = NULL;
    if (api->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine)) return false;
    bool ok = !api->cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &engine) &&
              !api->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, out_engine) &&
              !api->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                             CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, notes);
    (void)api->cudnnBackendDestroyDescriptor(engine);
    if (n > CUDNN_NUMERICAL_NOTE_TYPE_COUNT) n = CUDNN_NUMERICAL_NOTE_TYPE_COUNT; /* a newer library may know more */
    for (int64_t k = 0; ok && k < n; k++) ok = is_allowed_note(w, notes[k]);
    return ok;
}

static uint32_t count_of(const AdvDnnGraph *g, int64_t engine)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < g->n_configs; k++) n += g->engine[k] == engine;
    return n;
}

enum { MOST_ASKED = 64 };

/* Adds what one way of guessing offers. A way that knows nothing is no failure. */
static void ask(AdvDnnGraph *g, const Wish *w, cudnnBackendHeurMode_t mode)
{
    Desc h = make(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR), found[MOST_ASKED];
    int64_t n = 0, n_asked = 0;
    set_desc(g, h, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, w->graph);
    set(g, h, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (w->to->device) set_desc(g, h, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, w->to->device);
    if (g->status != CUDNN_STATUS_SUCCESS || g->api->cudnnBackendFinalize(h)) return;
    bool is_whole = true;
    if (g->api->cudnnBackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &n_asked, NULL)) return;
    if (n_asked > MOST_ASKED) n_asked = MOST_ASKED;
    for (int64_t k = 0; k < n_asked; k++) {
        if (g->api->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &found[k])) found[k] = NULL;
        is_whole = is_whole && found[k];
    }
    if (!is_whole ||
        g->api->cudnnBackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n_asked, &n, found))
        n = 0;
    for (int64_t k = 0; k < n_asked; k++) {
        int64_t engine = 0;
        if (k < n && g->n_configs < w->most && g->n_made < ADV_DNN_MADE && is_allowed(g->api, w, found[k], &engine) &&
            count_of(g, engine) < w->most_of_engine) {
            g->engine[g->n_configs] = engine;
            g->config[g->n_configs++] = g->made[g->n_made++] = found[k];
        } else if (found[k])
            (void)g->api->cudnnBackendDestroyDescriptor(found[k]);
    }
}

void adv_dnn_graph_init(AdvDnnGraph *g, const AdvDnnFor *to, const AdvDnnConv *conv, uint32_t most)
{
    Desc ops[MAX_OPS];
    memset(g, 0, sizeof *g);
    g->api = to->api;
    uint32_t n = build(g, conv, ops);
    Wish w = {.to = to, .conv = conv, .graph = make(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)};
    w.most = most < ADV_DNN_CONFIGS ? most : ADV_DNN_CONFIGS;
    w.most_of_engine = n > 1 ? 3 : ADV_DNN_CONFIGS; /* code of fused plans is compiled */
    if (to->handle) set(g, w.graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &to->handle);
    set(g, w.graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, ops);
    finish(g, w.graph, "the graph");
    ask(g, &w, CUDNN_HEUR_MODE_A);
    w.most_of_engine = 1;
    ask(g, &w, CUDNN_HEUR_MODE_FALLBACK); /* engines that the other way did not name */
    if (g->n_configs == 0) note(g, CUDNN_STATUS_NOT_SUPPORTED, "the choice of an engine");
}

bool adv_dnn_no_memory(cudnnStatus_t st)
{
    return st == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED || st == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
}

void adv_dnn_graph_fini(AdvDnnGraph *g)
{
    while (g->n_made > 0) (void)g->api->cudnnBackendDestroyDescriptor(g->made[--g->n_made]);
    g->n_configs = 0;
}

/* A plan of a configuration, or of a text where config is NULL. */
static cudnnStatus_t plan_of(const AdvDnnFor *to, Desc config, const char *text, int64_t n_text, Desc *out, int64_t *out_workspace)
{
    const AdvCudaApi *api = to->api;
    Desc p = NULL, device = to->device;
    int64_t n = 0;
    *out = NULL;
    *out_workspace = 0;
    cudnnStatus_t st = api->cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &p);
    if (st != CUDNN_STATUS_SUCCESS) return st;
    if (device)
        st = api->cudnnBackendSetAttribute(p, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &device);
    else
        st = api->cudnnBackendSetAttribute(p, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &to->handle);
    if (st == CUDNN_STATUS_SUCCESS && config)
        st = api->cudnnBackendSetAttribute(p, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config);
    else if (st == CUDNN_STATUS_SUCCESS)
        st = api->cudnnBackendSetAttribute(p, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, n_text, text);
    if (st == CUDNN_STATUS_SUCCESS) st = api->cudnnBackendFinalize(p);
    if (st == CUDNN_STATUS_SUCCESS)
        st = api->cudnnBackendGetAttribute(p, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n, out_workspace);
    if (st == CUDNN_STATUS_SUCCESS)
        *out = p;
    else
        (void)api->cudnnBackendDestroyDescriptor(p);
    return st;
}

cudnnStatus_t adv_dnn_plan(const AdvDnnGraph *g, const AdvDnnFor *to, uint32_t ix, cudnnBackendDescriptor_t *out, int64_t *out_workspace)
{
    assert(ix < g->n_configs);
    return plan_of(to, g->config[ix], NULL, 0, out, out_workspace);
}

cudnnStatus_t adv_dnn_plan_of_text(const AdvDnnFor *to, const char *text, int64_t n, cudnnBackendDescriptor_t *out, int64_t *out_workspace)
{
    return plan_of(to, NULL, text, n, out, out_workspace);
}

int64_t adv_dnn_plan_text(const AdvCudaApi *api, cudnnBackendDescriptor_t plan, char *text, int64_t n)
{
    int64_t got = 0;
    cudnnStatus_t st = api->cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, n, &got, text);
    return st == CUDNN_STATUS_SUCCESS ? got : 0;
}

cudnnBackendDescriptor_t adv_dnn_device(const AdvCudaApi *api, int32_t device)
{
    Desc d = NULL;
    if (api->cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d)) return NULL;
    if (api->cudnnBackendSetAttribute(d, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &device) == CUDNN_STATUS_SUCCESS &&
        api->cudnnBackendFinalize(d) == CUDNN_STATUS_SUCCESS)
        return d;
    (void)api->cudnnBackendDestroyDescriptor(d);
    return NULL;
}

/* ---- running ------------------------------------------------------------------------------------------------------------- */

static cudnnStatus_t make_pack(const AdvCudaApi *api, AdvDnnPack *pack)
{
    int64_t id[ADV_DNN_ROLES], n = 0;
    void *pointer[ADV_DNN_ROLES];
    for (int64_t role = 1; role < ADV_DNN_ROLES; role++) {
        if (!pack->pointer[role]) continue;
        id[n] = role;
        pointer[n++] = pack->pointer[role];
    }
    cudnnStatus_t st = api->cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack->d);
    if (st == CUDNN_STATUS_SUCCESS)
        st = api->cudnnBackendSetAttribute(pack->d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, id);
    if (st == CUDNN_STATUS_SUCCESS)
        st = api->cudnnBackendSetAttribute(pack->d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, pointer);
    if (st == CUDNN_STATUS_SUCCESS)
        st = api->cudnnBackendSetAttribute(pack->d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &pack->pointer[0]);
    return st == CUDNN_STATUS_SUCCESS ? api->cudnnBackendFinalize(pack->d) : st;
}

void adv_dnn_pack_fini(const AdvCudaApi *api, AdvDnnPack *pack)
{
    if (pack->d) (void)api->cudnnBackendDestroyDescriptor(pack->d);
    pack->d = NULL;
}

cudnnStatus_t adv_dnn_run(const AdvCudaApi *api, cudnnHandle_t handle, cudnnBackendDescriptor_t plan, AdvDnnPack *pack,
                          void *const pointer[ADV_DNN_ROLES], void *workspace)
{
    bool is_same = pack->d && pack->pointer[0] == workspace;
    for (int k = 1; k < ADV_DNN_ROLES; k++) is_same = is_same && pack->pointer[k] == pointer[k];
    if (!is_same) {
        adv_dnn_pack_fini(api, pack);
        memcpy(pack->pointer, pointer, ADV_DNN_ROLES * sizeof *pointer);
        pack->pointer[0] = workspace;
        cudnnStatus_t st = make_pack(api, pack);
        if (st != CUDNN_STATUS_SUCCESS) {
            adv_dnn_pack_fini(api, pack);
            return st;
        }
    }
    return api->cudnnBackendExecute(handle, plan, pack->d);
}
