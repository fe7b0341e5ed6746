/* cudnn_plans.h: the graphs that a session wants plans of, each made once, and their plans, built side by side.
**
** Two instructions often ask for the same graph: a convolution with a bias and one without share the plain one. A graph and each plan of
** it is a job of its own (cuda.h), since asking the library for configurations takes up to a quarter of a second, and a plan whose code it
** compiles up to two. What no job built is built when it is asked for.
*/
#ifndef ADV_OPS_CUDA_CUDNN_PLANS_H
#define ADV_OPS_CUDA_CUDNN_PLANS_H

#include "ops/cuda/cuda.h"
#include "ops/cuda/cudnn_graph.h"

typedef struct AdvDnnPlan {
    AdvCudaJob job;
    const AdvDnnFor *to;
    struct AdvDnnShared *of;       /* whose configuration it is; NULL: of text */
    AdvCudaBytes text;             /* what it is loaded from */
    bool is_wanted;                /* before the instructions choose */
    bool is_built;                 /* or refused: status */
    bool is_chosen;
    bool is_by_handle;             /* made again for the device itself: adv_dnn_by_handle */
    cudnnStatus_t status;
    char why[160];                 /* what the library said when it refused, or "" */
    cudnnBackendDescriptor_t d;    /* NULL: not built, or refused */
    cudnnBackendDescriptor_t first; /* what d was before adv_dnn_by_handle, or NULL */
    int64_t workspace;
} AdvDnnPlan;

typedef struct AdvDnnShared {
    AdvCudaJob job;
    struct AdvDnnShared *next;     /* in the session's list */
    const AdvDnnFor *to;
    AdvDnnConv conv;
    AdvView view[ADV_DNN_ROLES];   /* those of conv, by role */
    bool is_added, is_made;
    AdvDnnGraph graph;
    AdvDnnPlan plan[ADV_DNN_CONFIGS];
} AdvDnnShared;

/* The graph of the list that is this one, or NULL. And a new one, at the front: *g is zero and outlives the list. `to` must, too. */
AdvDnnShared *adv_dnn_find(AdvDnnShared *list, const AdvDnnConv *conv);
void adv_dnn_share(AdvDnnShared *g, AdvDnnShared **list, const AdvDnnFor *to, const AdvDnnConv *conv);

/* The job that makes the graph and adds those that build the plans wanted of it. Once, whoever asks. */
void adv_dnn_add(AdvDnnShared *g, AdvCudaCrew *crew);
/* A job that builds the plan from p->text. */
void adv_dnn_add_text(AdvDnnPlan *p, AdvCudaCrew *crew);

/* Now, on this thread, where no job did: the graph, whose configurations may be none, and a plan, which may be refused. */
void adv_dnn_make(AdvDnnShared *g);
void adv_dnn_build(AdvDnnPlan *p);

/* A plan that was made for a description of the device did not run on it: makes it again from its own text, by the handle, once. False:
** it was by the handle already, work is being recorded, or it is as it was. Its workspace is as large as before. */
bool adv_dnn_by_handle(AdvDnnPlan *p, AdvCuda *cuda, cudnnHandle_t handle);

/* Ends plans that were not chosen, and graphs with no plan left. With `all` the others too. */
void adv_dnn_sweep(AdvDnnShared *list, bool all);
void adv_dnn_plan_fini(const AdvCudaApi *api, AdvDnnPlan *p);

#endif
