/* cudnn_plans.c: see cudnn_plans.h. */
#include "ops/cuda/cudnn_plans.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A plan that wants more is as good as refused. */
static const int64_t max_workspace = INT64_C(256) << 20;

/* ---- equal graphs --------------------------------------------------------------------------------------------------------- */

/* The tensors of a convolution by role. */
static void views_of(const AdvDnnConv *c, const AdvView *v[ADV_DNN_ROLES])
{
    const AdvView *all[ADV_DNN_ROLES] = {[ADV_DNN_IMAGE] = c->image, [ADV_DNN_WEIGHTS] = c->weights, [ADV_DNN_OUTPUT] = c->output,
                                         [ADV_DNN_BIAS] = c->bias,   [ADV_DNN_SUM] = c->sum,         [ADV_DNN_KEPT] = c->kept,
                                         [ADV_DNN_MASK] = c->mask,   [ADV_DNN_SCALE] = c->scale,     [ADV_DNN_SHIFT] = c->shift};
    memcpy(v, all, sizeof all);
}

static bool same_view(const AdvView *a, const AdvView *b)
{
    if (!a || !b) return a == b;
    return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof a->dim[0]);
}

static bool same_conv(const AdvDnnConv *a, const AdvDnnConv *b)
{
    const AdvView *x[ADV_DNN_ROLES], *y[ADV_DNN_ROLES];
    bool same = a->kind == b->kind && a->stride == b->stride && a->pad == b->pad && a->relu == b->relu && a->sum_last == b->sum_last;
    views_of(a, x);
    views_of(b, y);
    for (int r = ADV_DNN_IMAGE; r < ADV_DNN_ROLES; r++) same = same && same_view(x[r], y[r]);
    return same;
}

AdvDnnShared *adv_dnn_find(AdvDnnShared *list, const AdvDnnConv *conv)
{
    while (list && !same_conv(&list->conv, conv)) list = list->next;
    return list;
}

static bool build_job(AdvCudaJob *job, AdvCudaCrew *crew);
static bool make_job(AdvCudaJob *job, AdvCudaCrew *crew);

void adv_dnn_share(AdvDnnShared *g, AdvDnnShared **list, const AdvDnnFor *to, const AdvDnnConv *conv)
{
    const AdvView *v[ADV_DNN_ROLES], **at[ADV_DNN_ROLES] = {NULL,          &g->conv.image, &g->conv.weights, &g->conv.output,
                                                            &g->conv.bias, &g->conv.sum,   &g->conv.kept,    &g->conv.mask,
                                                            &g->conv.scale, &g->conv.shift};
    views_of(conv, v);
    g->job.run = make_job;
    g->to = to;
    g->conv = *conv;
    for (int r = ADV_DNN_IMAGE; r < ADV_DNN_ROLES; r++) {
        if (!v[r]) continue;
        g->view[r] = *v[r];
        *at[r] = &g->view[r];
    }
    for (uint32_t k = 0; k < ADV_DNN_CONFIGS; k++) g->plan[k] = (AdvDnnPlan){.job = {.run = build_job}, .to = to, .of = g};
    g->next = *list;
    *list = g;
}

/* ---- making and building ------------------------------------------------------------------------------------------------- */

void adv_dnn_make(AdvDnnShared *g)
{
    if (g->is_made) return;
    g->is_made = true;
    adv_dnn_graph_init(&g->graph, g->to, &g->conv, ADV_DNN_CONFIGS);
}

void adv_dnn_build(AdvDnnPlan *p)
{
    if (p->is_built) return;
    p->is_built = true;
    if (p->of)
        p->status = adv_dnn_plan(&p->of->graph, p->to, (uint32_t)(p - p->of->plan), &p->d, &p->workspace);
    else
        p->status = adv_dnn_plan_of_text(p->to, (const char *)p->text.at, (int64_t)p->text.n, &p->d, &p->workspace);
    if (!p->d) p->to->api->cudnnGetLastErrorString(p->why, sizeof p->why); /* of this thread's last call */
    if (p->d && p->workspace > max_workspace) {
        snprintf(p->why, sizeof p->why, "it wants %.0f MB to work in", (double)p->workspace / 1e6);
        adv_dnn_plan_fini(p->to->api, p);
        p->is_built = true;
        p->status = CUDNN_STATUS_NOT_SUPPORTED;
    }
}

bool adv_dnn_by_handle(AdvDnnPlan *p, AdvCuda *cuda, cudnnHandle_t handle)
{
    AdvDnnFor to = *p->to;
    cudnnBackendDescriptor_t d = NULL;
    AdvCudaBytes text;
    if (adv_cuda_is_recording(cuda)) return false;
    int64_t workspace = 0, n = p->is_by_handle || !to.device ? 0 : adv_dnn_plan_text(to.api, p->d, NULL, 0);
    p->is_by_handle = true;
    if (n <= 0 || adv_cuda_bytes_new(cuda, (size_t)n, &text) != ADV_OK) return false;
    to.device = NULL;
    to.handle = handle;
    if (adv_dnn_plan_text(to.api, p->d, (char *)text.at, n) == n) (void)adv_dnn_plan_of_text(&to, (const char *)text.at, n, &d, &workspace);
    adv_cuda_bytes_drop(cuda, &text);
    if (d && workspace > p->workspace) (void)to.api->cudnnBackendDestroyDescriptor(d);
    if (!d || workspace > p->workspace) return false;
    p->first = p->d; /* what was recorded already runs its code */
    p->d = d;
    return true;
}

static bool build_job(AdvCudaJob *job, AdvCudaCrew *crew)
{
    AdvDnnPlan *p = (AdvDnnPlan *)job;
    (void)crew;
    adv_dnn_build(p);
    return !adv_dnn_no_memory(p->status);
}

static bool make_job(AdvCudaJob *job, AdvCudaCrew *crew)
{
    AdvDnnShared *g = (AdvDnnShared *)job;
    adv_dnn_make(g);
    for (uint32_t k = 0; k < g->graph.n_configs; k++)
        if (g->plan[k].is_wanted && !g->plan[k].is_built) adv_cuda_crew_add(crew, &g->plan[k].job);
    return !adv_dnn_no_memory(g->graph.status);
}

void adv_dnn_add(AdvDnnShared *g, AdvCudaCrew *crew)
{
    if (g->is_added) return;
    g->is_added = true;
    adv_cuda_crew_add(crew, &g->job);
}

void adv_dnn_add_text(AdvDnnPlan *p, AdvCudaCrew *crew)
{
    p->job.run = build_job;
    adv_cuda_crew_add(crew, &p->job);
}

/* ---- the end --------------------------------------------------------------------------------------------------------------- */

void adv_dnn_plan_fini(const AdvCudaApi *api, AdvDnnPlan *p)
{
    if (p->d) (void)api->cudnnBackendDestroyDescriptor(p->d);
    if (p->first) (void)api->cudnnBackendDestroyDescriptor(p->first);
    p->d = p->first = NULL;
    p->is_built = p->is_wanted = p->is_chosen = p->is_by_handle = false;
}

void adv_dnn_sweep(AdvDnnShared *list, bool all)
{
    for (AdvDnnShared *g = list; g; g = g->next) {
        bool is_used = false;
        g->is_added = false;
        for (uint32_t k = 0; k < ADV_DNN_CONFIGS; k++) {
            if (all || !g->plan[k].is_chosen) adv_dnn_plan_fini(g->to->api, &g->plan[k]);
            is_used = is_used || g->plan[k].d;
        }
        if (!g->is_made || is_used) continue;
        adv_dnn_graph_fini(&g->graph);
        g->is_made = false;
    }
}
