/* cudnn_graph.h: a convolution and what is done to its result, as a graph of cuDNN's back-end API and the plans it offers for it.
**
** Knows nothing of sessions or memory: it needs the function table and either a handle or a description of a device. With a
** description plans are built without a handle, so several threads may build at once, and without a device at all, which is how
** the tests ask the library whether it accepts every convolution of every recipe. A description needs cuDNN 9.11 or newer.
*/
#ifndef ADV_OPS_CUDA_CUDNN_GRAPH_H
#define ADV_OPS_CUDA_CUDNN_GRAPH_H

#include "ops/adv_op.h"
#include "runtime/cuda/api.h"

/* What plans are built for. One of `device` and `handle` is set. Plans whose sums depend on the order in which blocks end are never
** offered: a resumed run goes on with the same bits. */
typedef struct AdvDnnFor {
    const AdvCudaApi *api;
    cudnnBackendDescriptor_t device; /* finalized CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, or NULL */
    cudnnHandle_t handle;
    bool is_deterministic;           /* the first plan that runs is taken, not the fastest */
    bool allow_tf32;                 /* f32: plans on the tensor cores, which round their operands to TF32, too */
} AdvDnnFor;

typedef enum AdvDnnKind { ADV_DNN_FORWARD, ADV_DNN_BY_IMAGE, ADV_DNN_BY_WEIGHTS } AdvDnnKind;

/* Ids of tensors in a graph, which a variant pack names. */
enum {
    ADV_DNN_IMAGE = 1, ADV_DNN_WEIGHTS, ADV_DNN_OUTPUT, ADV_DNN_BIAS, ADV_DNN_SUM, ADV_DNN_KEPT, ADV_DNN_MASK, ADV_DNN_SCALE, ADV_DNN_SHIFT,
    ADV_DNN_ROLES
};

/* Views need no data; all of rank 4 channels-last, but bias, scale and shift, which have a number for each channel. The result is the
** tensor that `kind` says: OUTPUT, IMAGE, WEIGHTS. Done to it in this order, where given: plus bias, plus sum; what it is then goes to
** `kept`, too; 0 where mask is not above 0, times scale, plus shift, relu. With sum_last the sum is added at the end. */
typedef struct AdvDnnConv {
    AdvDnnKind kind;
    int64_t stride, pad;
    const AdvView *image, *weights, *output;
    const AdvView *bias, *sum, *kept, *mask, *scale, *shift; /* NULL: none */
    bool relu, sum_last;
} AdvDnnConv;

#define ADV_DNN_CONFIGS 12  /* engine configurations kept of a graph */
#define ADV_DNN_MADE 96     /* descriptors a graph may consist of */

typedef struct AdvDnnGraph {
    const AdvCudaApi *api;
    cudnnBackendDescriptor_t made[ADV_DNN_MADE];
    uint32_t n_made;
    cudnnBackendDescriptor_t config[ADV_DNN_CONFIGS];
    int64_t engine[ADV_DNN_CONFIGS];  /* the library's number of the engine */
    uint32_t n_configs;
    cudnnStatus_t status;  /* of the first call that failed */
    const char *call;      /* that call */
    char why[160];         /* what the library said about it, or "" */
} AdvDnnGraph;

/* Builds the graph and asks for at most `most` configurations that `to` allows, best first as the library guesses: of a plain convolution
** all that it names, of one with a tail, whose code is compiled, at most 3 of an engine, and then one of each engine that its other list
** has. Their number is 0 if the library refuses the graph: status, call and why then say what it said. Fini is needed in any case. */
void adv_dnn_graph_init(AdvDnnGraph *g, const AdvDnnFor *to, const AdvDnnConv *conv, uint32_t most);
void adv_dnn_graph_fini(AdvDnnGraph *g);

/* Builds the plan of configuration ix, which may take a second where the library compiles code. NULL in *out and the library's status
** if it refuses. The graph must outlive the plan; the caller destroys it with cudnnBackendDestroyDescriptor. */
cudnnStatus_t adv_dnn_plan(const AdvDnnGraph *g, const AdvDnnFor *to, uint32_t ix, cudnnBackendDescriptor_t *out, int64_t *out_workspace);

/* Did memory run out, of the host or of the device? */
bool adv_dnn_no_memory(cudnnStatus_t st);

/* A plan as text that holds the compiled code too, so that a plan made from it needs no graph and compiles nothing: bytes of it, or 0
** where the library gives none; at most n are written. And the plan of such a text, for the same version of the library and an equal
** device. The text must be whole: the library is not known to survive others. */
int64_t adv_dnn_plan_text(const AdvCudaApi *api, cudnnBackendDescriptor_t plan, char *text, int64_t n);
cudnnStatus_t adv_dnn_plan_of_text(const AdvDnnFor *to, const char *text, int64_t n, cudnnBackendDescriptor_t *out, int64_t *out_workspace);

/* The description of a device of this machine by its number; NULL where the library is too old to give one. */
cudnnBackendDescriptor_t adv_dnn_device(const AdvCudaApi *api, int32_t device);

/* Runs a plan: pointers by role, NULL for roles the graph has not; *pack is kept for the next run and made anew when they change. */
typedef struct AdvDnnPack {
    cudnnBackendDescriptor_t d;
    void *pointer[ADV_DNN_ROLES + 1]; /* [0]: workspace */
} AdvDnnPack;
cudnnStatus_t adv_dnn_run(const AdvCudaApi *api, cudnnHandle_t handle, cudnnBackendDescriptor_t plan, AdvDnnPack *pack,
                          void *const pointer[ADV_DNN_ROLES], void *workspace);
void adv_dnn_pack_fini(const AdvCudaApi *api, AdvDnnPack *pack);

#endif
