/* cudnn_conv.c: convolution and its gradients by cuDNN, one candidate against another.
**
** A convolution with a tail (bias, residual, relu; skip, mask; the next block's scale, shift and relu) can be done in several ways, and
** which is fastest changes with channels and size (docs: 160 channels want the plain kernel and a pass, 512 the fused one):
**   one     the library's graph with the tail as epilogue
**   turned  a gradient by the image of stride 1 as a forward convolution by turned weights, with the same epilogue
**   two     the library's plain kernel, and the tail as one pass of ours over its result
**   own     the direct kernel, where the work is small
**   narrow  our kernels for images of few channels, as networks begin (narrow.c); first in order, so what `deterministic` takes
**   wgmma   our kernels for multiples of 160 channels on a GPU of compute capability 9.0 (wgmma.c)
** Each of the first three offers several engine configurations. All are candidates of one choice by time (adv_cuda_choose).
**
** Preparing an instruction only says which problem it is; instructions with the same problem share it, and problems with the same graph
** share its plans (cudnn_plans.h). Once all are known (AdvCudaLater), a choice that is known loads its plan from the cache folder, which
** needs neither a graph nor a compiler, or builds that plan alone; a choice by time builds all candidates; a deterministic session builds
** the first. This happens on all threads, and the choices then one after the other. A problem that the library refuses in every form is
** left to the direct kernel.
**
** Expected limit: FLOP on the tensor cores from 64 channels on, memory below. What the library reached on an H200 when asked for
** these graphs is 300 to 680 TFLOP/s; this file has not run on a device yet.
*/
#include "ops/cuda/conv_own.h"
#include "ops/cuda/cudnn_plans.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum Way { ONE, TURNED, TWO, OWN, NARROW, WGMMA, N_WAYS } Way; /* graphs of the library before OWN */
static const char *const way_names[] = {"one", "turned", "two", "own", "narrow", "wgmma"};

enum { OF_ONE = 6, OF_TURNED = 2, OF_TWO = ADV_DNN_CONFIGS, MAX_CANDIDATES = OF_ONE + OF_TURNED + OF_TWO + 3, ALIGN = 256 };
static const double small_work = 1e8; /* operations below which the direct kernel is a candidate */

typedef struct Candidate {
    Way way;
    AdvDnnPlan *plan; /* NULL: ours */
    char label[32];
} Candidate;

/* A problem and how it is solved. Instructions that have the same problem use the same one. */
typedef struct Problem {
    struct Problem *next; /* in the session's list */
    struct AdvDnnSession *session;
    AdvConvTask task;
    AdvConvDirect direct;
    AdvConvNarrow narrow;
    bool is_narrow;             /* narrow.c takes it */
    AdvConvWgmma wgmma;
    bool is_wgmma;              /* wgmma.c takes it */
    AdvConvTail tail;
    AdvConvTurn turn;
    uint64_t turned_bytes;      /* room for turned weights at the start of the scratch */
    AdvDnnShared *graph[OWN];   /* by way; NULL: not a way of this problem */
    uint32_t most[OWN];         /* configurations of the graph that are candidates */
    const char *known;          /* the label that will be chosen, or NULL */
    AdvDnnPlan kept;            /* the plan of that label from the cache folder */
    Candidate candidate[MAX_CANDIDATES];
    uint32_t n, n_failed, chosen, rounds;
    bool is_solved;
    bool has[ADV_DNN_ROLES];
    uint64_t at[ADV_DNN_ROLES], trial_bytes; /* places of operands in trial memory; the scratch lies behind them */
    AdvDnnPack trial_pack;
    char key[160];
} Problem;

/* What the convolutions of a session share; the last to be released ends it. */
typedef struct AdvDnnSession {
    AdvCuda *cuda;
    cudnnHandle_t handle;
    AdvDnnFor to;
    AdvDnnShared *graphs;
    Problem *problems;
    uint32_t n_users, n_unsolved;
} Session;

typedef struct ConvState {
    AdvCudaLater later;
    Problem *problem;
    AdvDnnPack pack;
} ConvState;

/* ---- ways ---------------------------------------------------------------------------------------------------------------- */

static AdvStatus add_way(AdvPrep *p, Problem *s, Way way, const AdvDnnConv *conv, uint32_t most)
{
    AdvDnnShared *g = adv_dnn_find(s->session->graphs, conv);
    if (!g) {
        g = p->alloc(p, sizeof *g);
        if (!g) return ADV_ENOMEM;
        adv_dnn_share(g, &s->session->graphs, &s->session->to, conv);
    }
    assert(most <= ADV_DNN_CONFIGS);
    s->graph[way] = g;
    s->most[way] = most;
    return ADV_OK;
}

static AdvStatus add_ways(AdvPrep *p, Problem *s)
{
    const AdvConvTask *t = &s->task;
    AdvDnnConv full = adv_conv_whole(p->sig, t), plain = adv_conv_plain(&full), turned;
    AdvView weights;
    bool has_tail = adv_conv_has_tail(t);
    AdvStatus st = has_tail ? add_way(p, s, ONE, &full, OF_ONE) : ADV_OK;
    if (st == ADV_OK && adv_conv_turned(&full, &turned, &weights)) st = add_way(p, s, TURNED, &turned, OF_TURNED);
    return st == ADV_OK ? add_way(p, s, TWO, &plain, OF_TWO) : st;
}

/* ---- candidates ---------------------------------------------------------------------------------------------------------- */

static Candidate *add_candidate(Problem *s, Way way, AdvDnnPlan *plan)
{
    assert(s->n < MAX_CANDIDATES);
    Candidate *c = &s->candidate[s->n++];
    c->way = way;
    c->plan = plan;
    snprintf(c->label, sizeof c->label, "%s", way_names[way]);
    return c;
}

/* All that a way offers. */
static void list_way(Problem *s, Way way)
{
    AdvDnnShared *g = s->graph[way];
    if (!g) return;
    adv_dnn_make(g);
    for (uint32_t k = 0; k < g->graph.n_configs && k < s->most[way]; k++) {
        Candidate *c = add_candidate(s, way, &g->plan[k]);
        snprintf(c->label, sizeof c->label, "%s%u.engine%" PRId64, way_names[way], (unsigned)k, g->graph.engine[k]);
    }
}

static double work_of(const AdvConvDirect *d)
{
    const AdvConvForm *f = &d->form;
    return 2.0 * f->n * f->o * f->oh * f->ow * (double)f->c * f->kh * f->kw;
}

static void list_all(Problem *s)
{
    s->n = 0;
    if (s->is_narrow) (void)add_candidate(s, NARROW, NULL);
    for (Way way = ONE; way < OWN; way++) list_way(s, way);
    if (s->is_wgmma) (void)add_candidate(s, WGMMA, NULL);
    if (s->n == 0 || work_of(&s->direct) < small_work) (void)add_candidate(s, OWN, NULL);
}

/* The way that a label begins with, and which configuration of it. False if this problem has none such. */
static bool read_label(const Problem *s, const char *label, Way *out_way, uint32_t *out_config)
{
    *out_config = 0;
    for (Way way = ONE; way < N_WAYS; way++) {
        size_t n = strlen(way_names[way]);
        if (strncmp(label, way_names[way], n) != 0) continue;
        *out_way = way;
        if (way >= OWN) return way == OWN || (way == NARROW ? s->is_narrow : s->is_wgmma);
        *out_config = (uint32_t)strtoul(label + n, NULL, 10);
        return s->graph[way] && *out_config < s->most[way];
    }
    return false;
}

/* The candidate of the label that is known, alone; all of them where it is offered no longer. */
static void list_known(Problem *s)
{
    Way way;
    uint32_t config;
    s->n = 0;
    if (read_label(s, s->known, &way, &config)) {
        if (way >= OWN) (void)add_candidate(s, way, NULL);
        else if (!s->kept.d) list_way(s, way);
        else snprintf(add_candidate(s, way, &s->kept)->label, sizeof s->candidate->label, "%s", s->known);
    }
    for (uint32_t k = 0; k < s->n; k++)
        if (!strcmp(s->candidate[k].label, s->known)) return;
    list_all(s);
}

/* ---- running --------------------------------------------------------------------------------------------------------------- */

/* The library says that plans made for a description run on a device like it. Where one does not, there is one more way to make it; the
** first run of an entry, or a trial, finds that out, so a recording has the plan that runs. */
static AdvStatus run_plan(Session *c, AdvDnnPlan *plan, AdvDnnPack *pack, void *const pointer[ADV_DNN_ROLES], void *workspace)
{
    cudnnStatus_t st = adv_dnn_run(c->cuda->api, c->handle, plan->d, pack, pointer, workspace);
    if (st != CUDNN_STATUS_SUCCESS && adv_dnn_by_handle(plan, c->cuda, c->handle)) {
        (void)c->cuda->api->cudaGetLastError();
        st = adv_dnn_run(c->cuda->api, c->handle, plan->d, pack, pointer, workspace);
    }
    if (st == CUDNN_STATUS_SUCCESS) return ADV_OK;
    c->cuda->api->cudnnGetLastErrorString(plan->why, sizeof plan->why);
    return adv_cuda_foreign(c->cuda, adv_dnn_no_memory(st), "cudnnBackendExecute", "%s: %s", c->cuda->api->cudnnGetErrorString(st),
                            plan->why);
}

static AdvStatus run_turned(Problem *s, const Candidate *c, AdvDnnPack *pack, void *const pointer[ADV_DNN_ROLES], char *scratch)
{
    void *p[ADV_DNN_ROLES];
    memcpy(p, pointer, sizeof p);
    AdvStatus st = adv_conv_turn_run(s->session->cuda, &s->turn, scratch, pointer[ADV_DNN_WEIGHTS]);
    if (st != ADV_OK) return st;
    p[ADV_DNN_WEIGHTS] = scratch;
    p[ADV_DNN_IMAGE] = pointer[ADV_DNN_OUTPUT];
    p[ADV_DNN_OUTPUT] = pointer[ADV_DNN_IMAGE];
    return run_plan(s->session, c->plan, pack, p, scratch + s->turned_bytes);
}

static AdvStatus run_two(Problem *s, const Candidate *c, AdvDnnPack *pack, void *const pointer[ADV_DNN_ROLES], char *scratch)
{
    void *p[ADV_DNN_ROLES] = {NULL};
    for (int r = ADV_DNN_IMAGE; r <= ADV_DNN_OUTPUT; r++) p[r] = pointer[r];
    p[s->task.result] = pointer[adv_conv_tail_role(&s->task)];
    AdvStatus st = run_plan(s->session, c->plan, pack, p, scratch);
    return st == ADV_OK && adv_conv_has_tail(&s->task) ? adv_conv_tail_run(s->session->cuda, &s->tail, pointer) : st;
}

static AdvStatus run_candidate(Problem *s, const Candidate *c, AdvDnnPack *pack, void *const pointer[ADV_DNN_ROLES], char *scratch)
{
    switch (c->way) {
    case ONE: return run_plan(s->session, c->plan, pack, pointer, scratch);
    case TURNED: return run_turned(s, c, pack, pointer, scratch);
    case TWO: return run_two(s, c, pack, pointer, scratch);
    case NARROW: return adv_conv_narrow_run(s->session->cuda, &s->narrow, pointer);
    case WGMMA: return adv_conv_wgmma_run(s->session->cuda, &s->wgmma, pointer);
    default: return adv_conv_direct_run(s->session->cuda, &s->direct, pointer);
    }
}

static uint64_t scratch_of(const Problem *s, const Candidate *c)
{
    return (c->way == TURNED ? s->turned_bytes : 0) + (c->plan ? (uint64_t)c->plan->workspace : 0);
}

/* ---- before choosing ----------------------------------------------------------------------------------------------------- */

/* What a plan is kept under. */
static void name_plan(const Problem *s, const char *label, char *text, size_t n)
{
    snprintf(text, n, "%s %s deterministic=%d", label, s->key, s->session->to.is_deterministic);
}

/* Wants plans `first` to `end` - 1 of a way. */
static void want(Problem *s, Way way, uint32_t first, uint32_t end, AdvCudaCrew *crew)
{
    for (uint32_t k = first; k < end; k++) s->graph[way]->plan[k].is_wanted = true;
    adv_dnn_add(s->graph[way], crew);
}

/* A known choice is loaded where its plan was kept. */
static AdvStatus load(Problem *s, AdvCudaCrew *crew)
{
    char what[256];
    Way way;
    uint32_t config;
    AdvStatus st = adv_cuda_known(s->session->cuda, s->key, &s->known);
    if (st != ADV_OK || !s->known || !read_label(s, s->known, &way, &config) || way >= OWN) return st;
    name_plan(s, s->known, what, sizeof what);
    s->kept.to = &s->session->to;
    adv_cuda_kept_plan(s->session->cuda, what, &s->kept.text);
    if (s->kept.text.at) adv_dnn_add_text(&s->kept, crew);
    return ADV_OK;
}

/* What was not loaded is built. Where a session takes the first that runs, only the first plan: others if that one fails. */
static void ask_for_plans(Problem *s, AdvCudaCrew *crew)
{
    AdvCuda *cuda = s->session->cuda;
    Way way;
    uint32_t config;
    if (s->kept.text.at && !s->kept.d)
        adv_cuda_warn(cuda, "warning: cuDNN does not take the kept plan `%s` of `%s` (%s), which is built anew", s->known, s->key,
                      cuda->api->cudnnGetErrorString(s->kept.status));
    adv_cuda_bytes_drop(cuda, &s->kept.text);
    if (s->kept.d) return;
    if (s->known && read_label(s, s->known, &way, &config)) {
        if (way < OWN) want(s, way, config, config + 1, crew);
        return;
    }
    bool is_first = !s->is_narrow;
    for (way = ONE; way < OWN; way++) {
        if (!s->graph[way]) continue;
        want(s, way, 0, s->session->to.is_deterministic ? is_first : s->most[way], crew);
        is_first = false;
    }
}

static AdvStatus plan_round(AdvCudaLater *l, int round, AdvCudaCrew *crew)
{
    Problem *s = ((ConvState *)l)->problem;
    if (s->is_solved || s->rounds > (uint32_t)round) return ADV_OK; /* another instruction's, or before */
    s->rounds++;
    if (!s->session->to.device) adv_cuda_crew_alone(crew); /* plans of an old library share the handle */
    if (round == ADV_CUDA_LOAD) return load(s, crew);
    ask_for_plans(s, crew);
    return ADV_OK;
}

/* ---- choosing -------------------------------------------------------------------------------------------------------------- */

static AdvStatus try_candidate(Problem *s, Candidate *c)
{
    void *pointer[ADV_DNN_ROLES] = {NULL};
    if (c->plan) adv_dnn_build(c->plan);
    if (c->plan && !c->plan->d) return ADV_EUNAVAILABLE;
    char *memory = adv_cuda_trial_memory(s->session->cuda, s->trial_bytes + scratch_of(s, c) + ALIGN);
    if (!memory) return ADV_ENOMEM;
    for (int r = 0; r < ADV_DNN_ROLES; r++)
        if (s->has[r]) pointer[r] = memory + s->at[r];
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

static AdvStatus choose(Problem *s)
{
    if (s->known) list_known(s);
    else list_all(s);
    AdvCudaTrial trial = {.key = s->key, .n_candidates = s->n, .try_run = try_run, .label = label, .user = s};
    AdvStatus st = adv_cuda_choose(s->session->cuda, &trial, &s->chosen);
    if (st != ADV_EUNAVAILABLE || s->n_failed < s->n) return st;
    s->chosen = s->n; /* all were offered, and none could be built or run: engines that this device lacks */
    (void)add_candidate(s, OWN, NULL);
    return ADV_OK;
}

/* The plan for the next session. */
static AdvStatus keep(Problem *s, const Candidate *c)
{
    AdvCuda *cuda = s->session->cuda;
    AdvCudaBytes text;
    char what[256];
    int64_t n = c->plan == &s->kept ? 0 : adv_dnn_plan_text(cuda->api, c->plan->d, NULL, 0);
    if (n <= 0) return ADV_OK;
    AdvStatus st = adv_cuda_bytes_new(cuda, (size_t)n, &text);
    if (st != ADV_OK) return st;
    name_plan(s, c->label, what, sizeof what);
    if (adv_dnn_plan_text(cuda->api, c->plan->d, (char *)text.at, n) == n) adv_cuda_keep_plan(cuda, what, &text);
    adv_cuda_bytes_drop(cuda, &text);
    return ADV_OK;
}

/* A large convolution that the library leaves to us takes many times as long: somebody should know, and why. */
static void tell_of_own(const Problem *s)
{
    const char *why = "";
    if (work_of(&s->direct) < small_work) return;
    for (Way way = ONE; way < OWN; way++) {
        const AdvDnnShared *g = s->graph[way];
        for (uint32_t k = 0; g && k < g->graph.n_configs && !why[0]; k++) why = g->plan[k].why;
        if (g && !why[0] && g->graph.call) why = g->graph.why[0] ? g->graph.why : g->graph.call;
    }
    adv_cuda_warn(s->session->cuda, "warning: the slow direct kernel computes `%s`, as cuDNN offers nothing that runs: %s", s->key, why);
}

static AdvStatus solve(Problem *s)
{
    AdvStatus st = choose(s);
    if (st != ADV_OK) return st;
    Candidate *c = &s->candidate[s->chosen];
    if (c->way == OWN) tell_of_own(s);
    if (c->plan) {
        const AdvCudaApi *api = s->session->cuda->api;
        adv_dnn_build(c->plan);
        if (!c->plan->d)
            return adv_cuda_refuse(s->session->cuda, "cuDNN cannot build the plan `%s` that was chosen before for `%s`: %s %s",
                                   c->label, s->key, api->cudnnGetErrorString(c->plan->status), c->plan->why);
        c->plan->is_chosen = true;
        st = keep(s, c);
    }
    s->is_solved = true;
    if (--s->session->n_unsolved == 0) adv_dnn_sweep(s->session->graphs, false);
    return st;
}

static AdvStatus plan_end(AdvCudaLater *l)
{
    Problem *s = ((ConvState *)l)->problem;
    if (!s->is_solved) {
        AdvStatus st = solve(s);
        if (st != ADV_OK) return st;
    }
    l->scratch_bytes = scratch_of(s, &s->candidate[s->chosen]);
    return ADV_OK;
}

/* ---- problems of the session ----------------------------------------------------------------------------------------------- */

static uint64_t rounded(uint64_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

static uint64_t bytes_of(const AdvView *v) { return (uint64_t)adv_view_elems(v) * (v->dtype == ADV_BF16 ? 2 : 4); }

static void describe(Problem *s, const AdvSig *sig)
{
    const AdvView *x = adv_conv_view(sig, &s->task, ADV_DNN_IMAGE), *w = adv_conv_view(sig, &s->task, ADV_DNN_WEIGHTS);
    snprintf(s->key, sizeof s->key, "%s %s image=%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 " weights=%" PRId64 "x%" PRId64 "x%" PRId64
             "x%" PRId64 " stride=%" PRId64 " pad=%" PRId64 " relu=%d last=%d operands=%u+%u tf32=%d",
             sig->op->name, x->dtype == ADV_BF16 ? "bf16" : "f32", x->dim[0], x->dim[1], x->dim[2], x->dim[3], w->dim[0], w->dim[1],
             w->dim[2], w->dim[3], s->task.stride, s->task.pad, s->task.relu, s->task.sum_last, (unsigned)sig->n_in, (unsigned)sig->n_out,
             s->session->cuda->allow_tf32);
    for (int r = 0; r < ADV_DNN_ROLES; r++) {
        const AdvView *v = adv_conv_view(sig, &s->task, r);
        s->has[r] = v != NULL;
        s->at[r] = s->trial_bytes;
        if (v) s->trial_bytes += rounded(bytes_of(v));
    }
}

/* The problem of an instruction: one that another has, or a new one. */
static AdvStatus problem_of(AdvPrep *p, Session *session, Problem **out)
{
    Problem *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    s->session = session;
    adv_conv_task(p->sig, &s->task);
    describe(s, p->sig);
    for (*out = session->problems; *out; *out = (*out)->next)
        if (!strcmp((*out)->key, s->key)) return ADV_OK;
    adv_conv_direct_init(&s->direct, p->sig, &s->task);
    s->is_narrow = adv_conv_narrow_init(&s->narrow, p->sig, &s->task, false);
    adv_conv_tail_init(&s->tail, p->sig, &s->task);
    adv_conv_turn_init(&s->turn, adv_conv_view(p->sig, &s->task, ADV_DNN_WEIGHTS));
    s->turned_bytes = rounded(bytes_of(adv_conv_view(p->sig, &s->task, ADV_DNN_WEIGHTS)));
    s->is_wgmma = adv_conv_wgmma_takes(session->cuda, p->sig, &s->task);
    AdvStatus st = s->is_wgmma ? adv_conv_wgmma_init(&s->wgmma, session->cuda, p->sig, &s->task) : ADV_OK;
    if (st == ADV_OK) st = add_ways(p, s);
    if (st != ADV_OK) return st;
    session->n_unsolved++;
    s->next = session->problems;
    session->problems = *out = s;
    return ADV_OK;
}

/* ---- the kernel ------------------------------------------------------------------------------------------------------------ */

static AdvStatus session_of(AdvPrep *p, Session **out)
{
    AdvCuda *cuda = adv_cuda_of(p);
    *out = cuda->dnn;
    if (*out) return ADV_OK;
    Session *s = p->alloc(p, sizeof *s);
    if (!s) return ADV_ENOMEM;
    AdvStatus st = adv_cuda_dnn(cuda, &s->handle);
    if (st != ADV_OK) return st;
    s->cuda = cuda;
    s->to = (AdvDnnFor){cuda->api, adv_dnn_device(cuda->api, cuda->device), NULL, cuda->is_deterministic, cuda->allow_tf32};
    if (!s->to.device) s->to.handle = s->handle;
    cuda->dnn = *out = s;
    return ADV_OK;
}

static void leave_session(Session *s)
{
    const AdvCudaApi *api = s->cuda->api;
    if (--s->n_users > 0) return;
    for (Problem *p = s->problems; p; p = p->next) {
        adv_dnn_pack_fini(api, &p->trial_pack);
        adv_dnn_plan_fini(api, &p->kept);
        adv_cuda_bytes_drop(s->cuda, &p->kept.text);
    }
    adv_dnn_sweep(s->graphs, true);
    if (s->to.device) (void)api->cudnnBackendDestroyDescriptor(s->to.device);
    s->cuda->dnn = NULL;
}

static void release(void *state)
{
    ConvState *c = state;
    adv_dnn_pack_fini(c->problem->session->cuda->api, &c->pack);
    leave_session(c->problem->session);
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    ConvState *c = p->alloc(p, sizeof *c);
    Session *s = NULL;
    if (!c) return ADV_ENOMEM;
    AdvStatus st = session_of(p, &s);
    if (st != ADV_OK) return st;
    s->n_users++;
    st = problem_of(p, s, &c->problem);
    if (st != ADV_OK) {
        leave_session(s);
        return st;
    }
    c->later.round = plan_round;
    c->later.end = plan_end;
    adv_cuda_later(p, &c->later);
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
CONV(conv2d_sum_affine)
CONV(conv2d_gx)
CONV(conv2d_gx_mask)
CONV(conv2d_gx_affine)
CONV(conv2d_gw)
