/* cudnn_conv.c: convolution and its gradients by cuDNN, one candidate against another.
**
** A convolution with a tail (bias, residual, relu; skip, mask) can be done in several ways, and which is fastest changes with
** channels and size (docs: 160 channels want the plain kernel and a pass, 512 the fused one):
**   one     the library's graph with the tail as epilogue
**   turned  a gradient by the image of stride 1 as a forward convolution by turned weights, with the same epilogue
**   two     the library's plain kernel, and the tail as one pass of ours over its result
**   own     the direct kernel, where the work is small
**   narrow  our kernels for images of few channels, as networks begin (narrow.c); first in order, so what `deterministic` takes
** Each of the first three offers several engine configurations. All are candidates of one choice by time (adv_cuda_choose); a choice
** that is known builds the chosen plan alone. Plans take up to seconds each where the library compiles code, so a choice by time
** builds them in parallel, and instructions with the same problem share what was built. A problem that the library refuses in every
** form is left to the direct kernel.
**
** Expected limit: FLOP on the tensor cores from 64 channels on, memory below. What the library reached on an H200 when asked for
** these graphs is 300 to 680 TFLOP/s; this file has not run on a device yet.
*/
#include "ops/cuda/conv_own.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

typedef enum Way { ONE, TURNED, TWO, OWN, NARROW } Way; /* graphs of the library before OWN */

enum { MAX_CANDIDATES = 16, MAX_THREADS = 16, ALIGN = 256 };
static const int64_t max_workspace = INT64_C(256) << 20;

typedef struct Candidate {
    Way way;
    uint32_t config;  /* of the way's graph */
    bool is_built;
    cudnnBackendDescriptor_t plan; /* NULL: not built, or refused */
    int64_t workspace;
    char label[32];
} Candidate;

/* A problem and how it is solved. Instructions that have the same problem use the same one; the last to be released ends it. */
typedef struct AdvDnnProblem {
    struct AdvDnnProblem *next; /* in the session's list */
    uint32_t n_users;
    AdvCuda *cuda;
    cudnnHandle_t handle;
    AdvDnnFor to;
    AdvConvTask task;
    AdvConvDirect direct;
    AdvConvNarrow narrow;
    AdvConvTail tail;
    AdvConvTurn turn;
    uint64_t turned_bytes;      /* room for turned weights at the start of the scratch */
    AdvDnnGraph graph[OWN];
    Candidate candidate[MAX_CANDIDATES];
    uint32_t n, n_failed, chosen, n_threads;
    uint64_t at[ADV_DNN_ROLES], trial_bytes; /* places of operands in trial memory; the scratch lies behind them */
    AdvDnnPack trial_pack;
    char key[160];
} Problem;

typedef struct ConvState {
    Problem *problem;
    AdvDnnPack pack;
} ConvState;

/* ---- candidates ---------------------------------------------------------------------------------------------------------- */

static void add_way(Problem *s, Way way, const AdvDnnConv *conv, uint32_t most)
{
    static const char *const names[] = {"one", "turned", "two"};
    adv_dnn_graph_init(&s->graph[way], &s->to, conv, most);
    for (uint32_t k = 0; k < s->graph[way].n_configs && s->n < MAX_CANDIDATES - 1; k++) { /* one is left for `own` */
        Candidate *c = &s->candidate[s->n++];
        c->way = way;
        c->config = k;
        snprintf(c->label, sizeof c->label, "%s%u.engine%" PRId64, names[way], (unsigned)k, s->graph[way].engine[k]);
    }
}

/* The same gradient as a forward convolution of the output's gradient. */
static void add_turned(Problem *s, const AdvDnnConv *c, uint32_t most)
{
    AdvView turned = *c->weights;
    AdvDnnConv f = *c;
    if (c->kind != ADV_DNN_BY_IMAGE || c->stride != 1 || turned.dim[2] != turned.dim[3] || c->pad >= turned.dim[2]) return;
    turned.dim[0] = c->weights->dim[1];
    turned.dim[1] = c->weights->dim[0];
    f.kind = ADV_DNN_FORWARD;
    f.pad = turned.dim[2] - 1 - c->pad;
    f.image = c->output, f.output = c->image, f.weights = &turned;
    add_way(s, TURNED, &f, most);
}

static double work_of(const AdvConvDirect *d)
{
    const AdvConvForm *f = &d->form;
    return 2.0 * f->n * f->o * f->oh * f->ow * (double)f->c * f->kh * f->kw;
}

/* A way that needs no plan. */
static void add_ours(Problem *s, Way way)
{
    Candidate *c = &s->candidate[s->n++];
    c->way = way;
    c->is_built = true;
    snprintf(c->label, sizeof c->label, way == OWN ? "own" : "narrow");
}

static bool is_ours(const Candidate *c) { return c->way >= OWN; }

static void add_candidates(Problem *s, const AdvSig *sig)
{
    const AdvConvTask *t = &s->task;
    AdvDnnConv full = {.kind = t->kind,
                       .stride = t->stride,
                       .pad = t->pad,
                       .image = adv_conv_view(sig, t, ADV_DNN_IMAGE),
                       .weights = adv_conv_view(sig, t, ADV_DNN_WEIGHTS),
                       .output = adv_conv_view(sig, t, ADV_DNN_OUTPUT),
                       .bias = adv_conv_view(sig, t, ADV_DNN_BIAS),
                       .sum = adv_conv_view(sig, t, ADV_DNN_SUM),
                       .mask = adv_conv_view(sig, t, ADV_DNN_MASK),
                       .relu = t->relu};
    AdvDnnConv plain = full;
    bool has_tail = adv_conv_has_tail(t);
    plain.bias = plain.sum = plain.mask = NULL;
    plain.relu = false;
    if (adv_conv_narrow_init(&s->narrow, sig, t)) add_ours(s, NARROW);
    if (has_tail) add_way(s, ONE, &full, 4);
    add_turned(s, &full, has_tail ? 4 : 2);
    add_way(s, TWO, &plain, has_tail ? 3 : 6);
    if (s->n == 0 || work_of(&s->direct) < 1e8) add_ours(s, OWN);
}

/* ---- building plans ------------------------------------------------------------------------------------------------------- */

static void build(Problem *s, Candidate *c)
{
    if (c->is_built) return;
    c->is_built = true;
    if (adv_dnn_plan(&s->graph[c->way], &s->to, c->config, &c->plan, &c->workspace) != CUDNN_STATUS_SUCCESS) return;
    if (c->workspace <= max_workspace) return;
    (void)s->cuda->api->cudnnBackendDestroyDescriptor(c->plan);
    c->plan = NULL;
}

typedef struct Crew {
    Problem *s;
    atomic_uint next;
} Crew;

static void *build_some(void *user)
{
    Crew *crew = user;
    uint32_t ix;
    (void)crew->s->cuda->api->cudaSetDevice(crew->s->cuda->device);
    while ((ix = atomic_fetch_add(&crew->next, 1)) < crew->s->n) build(crew->s, &crew->s->candidate[ix]);
    return NULL;
}

/* With a handle the library wants one thread; so it is where a thread cannot be had. */
static void build_all(Problem *s)
{
    Crew crew = {.s = s};
    pthread_t thread[MAX_THREADS];
    uint32_t n = 0, want = s->n_threads < s->n ? s->n_threads : s->n;
    atomic_init(&crew.next, 0);
    while (s->to.device && n + 1 < want && n < MAX_THREADS && pthread_create(&thread[n], NULL, build_some, &crew) == 0) n++;
    build_some(&crew);
    while (n > 0) (void)pthread_join(thread[--n], NULL);
}

/* ---- running --------------------------------------------------------------------------------------------------------------- */

static AdvStatus dnn_status(const Problem *s, cudnnStatus_t st)
{
    if (st == CUDNN_STATUS_SUCCESS) return ADV_OK;
    cudaError_t e = s->cuda->api->cudaGetLastError();
    if (e == cudaSuccess) e = st == CUDNN_STATUS_ALLOC_FAILED ? cudaErrorMemoryAllocation : cudaErrorNotSupported;
    return adv_cuda_check(s->cuda, e, "cudnnBackendExecute");
}

static AdvStatus run_turned(Problem *s, const Candidate *c, AdvDnnPack *pack, void *const pointer[ADV_DNN_ROLES], char *scratch)
{
    void *p[ADV_DNN_ROLES];
    memcpy(p, pointer, sizeof p);
    AdvStatus st = adv_conv_turn_run(s->cuda, &s->turn, scratch, pointer[ADV_DNN_WEIGHTS]);
    if (st != ADV_OK) return st;
    p[ADV_DNN_WEIGHTS] = scratch;
    p[ADV_DNN_IMAGE] = pointer[ADV_DNN_OUTPUT];
    p[ADV_DNN_OUTPUT] = pointer[ADV_DNN_IMAGE];
    return dnn_status(s, adv_dnn_run(s->cuda->api, s->handle, c->plan, pack, p, scratch + s->turned_bytes));
}

static AdvStatus run_two(Problem *s, const Candidate *c, AdvDnnPack *pack, void *const pointer[ADV_DNN_ROLES], char *scratch)
{
    void *p[ADV_DNN_ROLES] = {NULL};
    for (int r = ADV_DNN_IMAGE; r <= ADV_DNN_OUTPUT; r++) p[r] = pointer[r];
    AdvStatus st = dnn_status(s, adv_dnn_run(s->cuda->api, s->handle, c->plan, pack, p, scratch));
    if (st != ADV_OK || !adv_conv_has_tail(&s->task)) return st;
    return adv_conv_tail_run(s->cuda, &s->tail, pointer[s->task.result], pointer);
}

static AdvStatus run_candidate(Problem *s, const Candidate *c, AdvDnnPack *pack, void *const pointer[ADV_DNN_ROLES], char *scratch)
{
    switch (c->way) {
    case ONE: return dnn_status(s, adv_dnn_run(s->cuda->api, s->handle, c->plan, pack, pointer, scratch));
    case TURNED: return run_turned(s, c, pack, pointer, scratch);
    case TWO: return run_two(s, c, pack, pointer, scratch);
    case NARROW: return adv_conv_narrow_run(s->cuda, &s->narrow, pointer);
    default: return adv_conv_direct_run(s->cuda, &s->direct, pointer);
    }
}

static uint64_t scratch_of(const Problem *s, const Candidate *c)
{
    return (c->way == TURNED ? s->turned_bytes : 0) + (uint64_t)c->workspace;
}

/* ---- choosing -------------------------------------------------------------------------------------------------------------- */

static AdvStatus try_candidate(Problem *s, Candidate *c)
{
    void *pointer[ADV_DNN_ROLES] = {NULL};
    if (!c->is_built && s->to.is_deterministic)
        build(s, c);
    else if (!c->is_built)
        build_all(s);
    if (!c->plan && !is_ours(c)) return ADV_EUNAVAILABLE;
    char *memory = adv_cuda_trial_memory(s->cuda, s->trial_bytes + scratch_of(s, c) + ALIGN);
    if (!memory) return ADV_ENOMEM;
    for (int r = 0; r < ADV_DNN_ROLES; r++)
        if (r == s->task.result || s->task.in[r] >= 0) pointer[r] = memory + s->at[r];
    return run_candidate(s, c, &s->trial_pack, pointer, memory + s->trial_bytes);
}

static AdvStatus try_run(void *user, uint32_t ix)
{
    Problem *s = user;
    AdvStatus st = try_candidate(s, &s->candidate[ix]);
    s->n_failed += st == ADV_EUNAVAILABLE;
    return st;
}

static const char *label(void *user, uint32_t ix) { return ((Problem *)user)->candidate[ix].label; }

static uint64_t rounded(uint64_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

static uint64_t bytes_of(const AdvView *v) { return (uint64_t)adv_view_elems(v) * (v->dtype == ADV_BF16 ? 2 : 4); }

static void describe(Problem *s, const AdvSig *sig)
{
    const AdvView *x = adv_conv_view(sig, &s->task, ADV_DNN_IMAGE), *w = adv_conv_view(sig, &s->task, ADV_DNN_WEIGHTS);
    snprintf(s->key, sizeof s->key, "%s %s image=%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 " weights=%" PRId64 "x%" PRId64 "x%" PRId64
             "x%" PRId64 " stride=%" PRId64 " pad=%" PRId64 " relu=%d operands=%u tf32=%d", sig->op->name, x->dtype == ADV_BF16 ? "bf16" : "f32",
             x->dim[0], x->dim[1], x->dim[2], x->dim[3], w->dim[0], w->dim[1], w->dim[2], w->dim[3], s->task.stride, s->task.pad,
             s->task.relu, (unsigned)sig->n_in, s->cuda->allow_tf32);
    for (int r = 0; r < ADV_DNN_ROLES; r++) {
        const AdvView *v = adv_conv_view(sig, &s->task, r);
        s->at[r] = s->trial_bytes;
        if (v) s->trial_bytes += rounded(bytes_of(v));
    }
}

/* Only the chosen plan stays, and the graph behind it. */
static void drop_others(Problem *s)
{
    for (uint32_t k = 0; k < s->n; k++) {
        if (k == s->chosen || !s->candidate[k].plan) continue;
        (void)s->cuda->api->cudnnBackendDestroyDescriptor(s->candidate[k].plan);
        s->candidate[k].plan = NULL;
    }
    for (int w = ONE; w < OWN; w++)
        if (s->graph[w].api && w != (int)s->candidate[s->chosen].way) adv_dnn_graph_fini(&s->graph[w]);
}

static AdvStatus choose(Problem *s)
{
    AdvCudaTrial trial = {.key = s->key, .n_candidates = s->n, .try_run = try_run, .label = label, .user = s};
    uint32_t ix = 0;
    AdvStatus st = adv_cuda_choose(s->cuda, &trial, &ix);
    s->chosen = ix;
    if (st != ADV_EUNAVAILABLE || s->n_failed < s->n) return st;
    s->chosen = s->n; /* all were offered, and none could be built or run: engines that this device lacks */
    add_ours(s, OWN);
    return ADV_OK;
}

/* ---- problems of the session ----------------------------------------------------------------------------------------------- */

static void end_problem(Problem *s)
{
    const AdvCudaApi *api = s->cuda->api;
    adv_dnn_pack_fini(api, &s->trial_pack);
    for (uint32_t k = 0; k < s->n; k++)
        if (s->candidate[k].plan) (void)api->cudnnBackendDestroyDescriptor(s->candidate[k].plan);
    for (int w = ONE; w < OWN; w++)
        if (s->graph[w].api) adv_dnn_graph_fini(&s->graph[w]);
    if (s->to.device) (void)api->cudnnBackendDestroyDescriptor(s->to.device);
}

static AdvStatus solve(AdvPrep *p, Problem *s)
{
    AdvStatus st = adv_cuda_dnn(s->cuda, &s->handle);
    if (st != ADV_OK) return st;
    s->to = (AdvDnnFor){s->cuda->api, adv_dnn_device(s->cuda->api, s->cuda->device), NULL, s->cuda->is_deterministic, s->cuda->allow_tf32};
    if (!s->to.device) s->to.handle = s->handle;
    add_candidates(s, p->sig);
    st = choose(s);
    if (st != ADV_OK) return st == ADV_EUNAVAILABLE ? p->fail(p, st, "no way to compute it runs on this device") : st;
    Candidate *c = &s->candidate[s->chosen];
    build(s, c);
    if (!c->plan && !is_ours(c)) return p->fail(p, ADV_EUNAVAILABLE, "cuDNN cannot build the plan `%s` that was chosen before", c->label);
    drop_others(s);
    return ADV_OK;
}

/* The problem of an instruction: one that is solved, or a new one. */
static AdvStatus problem_of(AdvPrep *p, Problem **out)
{
    Problem *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->cuda = adv_cuda_of(p);
    s->n_threads = p->n_threads;
    adv_conv_task(p->sig, &s->task);
    adv_conv_direct_init(&s->direct, p->sig, &s->task);
    adv_conv_tail_init(&s->tail, p->sig, &s->task);
    adv_conv_turn_init(&s->turn, adv_conv_view(p->sig, &s->task, ADV_DNN_WEIGHTS));
    s->turned_bytes = rounded(bytes_of(adv_conv_view(p->sig, &s->task, ADV_DNN_WEIGHTS)));
    describe(s, p->sig);
    for (*out = s->cuda->dnn_problems; *out; *out = (*out)->next)
        if (!strcmp((*out)->key, s->key)) return ADV_OK;
    AdvStatus st = solve(p, s);
    if (st != ADV_OK) {
        end_problem(s);
        return st;
    }
    s->next = s->cuda->dnn_problems;
    s->cuda->dnn_problems = *out = s;
    return ADV_OK;
}

/* ---- the kernel ------------------------------------------------------------------------------------------------------------ */

static void release(void *state)
{
    ConvState *c = state;
    Problem *s = c->problem, **at = &s->cuda->dnn_problems;
    adv_dnn_pack_fini(s->cuda->api, &c->pack);
    if (--s->n_users > 0) return;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    end_problem(s);
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    ConvState *c = p->alloc(p, sizeof *c);
    if (!c) return ADV_ENOMEM;
    AdvStatus st = problem_of(p, &c->problem);
    if (st != ADV_OK) return st;
    c->problem->n_users++;
    p->scratch_bytes = scratch_of(c->problem, &c->problem->candidate[c->problem->chosen]);
    *out_state = c;
    return ADV_OK;
}

static AdvStatus run(const AdvLaunch *l, void *state)
{
    ConvState *c = state;
    void *pointer[ADV_DNN_ROLES];
    adv_conv_pointers(l, &c->problem->task, pointer);
    return run_candidate(c->problem, &c->problem->candidate[c->problem->chosen], &c->pack, pointer, l->scratch);
}

static bool can(const AdvSig *sig, const char **why)
{
    if (!adv_conv_can(sig, why)) return false;
    *why = "needs dense tensors, images and weights channels-last";
    for (uint32_t k = 0; k < sig->n_in + sig->n_out; k++) {
        const AdvView *v = k < sig->n_in ? &sig->in[k] : &sig->out[k - sig->n_in];
        if (v->rank == 4 ? !adv_view_is_cl(v) : !adv_view_is_row(v)) return false;
    }
    return true;
}

#define CONV(op_name) \
    const AdvKernel adv_k_cuda_##op_name##_cudnn = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "cudnn", \
                                                    .op_version = 1, .can = can, .prepare = prepare, .run = run, .release = release};
CONV(conv2d)
CONV(conv2d_bias)
CONV(conv2d_sum)
CONV(conv2d_gx)
CONV(conv2d_gx_mask)
CONV(conv2d_gw)
