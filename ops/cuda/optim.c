/* optim.c: sgd and adam on cuda: kernels that are generated, as their attributes are numbers in the text; the work is in optim.cuh. */
#include "ops/cuda/geometry.h"
#include "ops/cuda/kernels_cuda.h"
#include "ops/cuda/parts.h"
#include "ops/view.h"
#include "runtime/base/diag.h"
#include "runtime/base/hash.h"
#include "runtime/base/number.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 1024 /* more than a text has */
#define N(x) adv_number_hex(x).at

/* Weights, gradient and moments lie alike, in any order without gaps. */
static bool can(const AdvSig *s, const char **why)
{
    const AdvView *w = &s->in[0];
    uint32_t n_alike = s->n_out + 1; /* w, g and the moments */
    *why = "needs dense f32 tensors in one order";
    if (!adv_view_is_row(w) && !(w->rank == 4 && adv_view_is_cl(w))) return false;
    for (uint32_t k = 0; k < n_alike + s->n_out; k++) {
        const AdvView *v = k < n_alike ? &s->in[k] : &s->out[k - n_alike];
        if (v->dtype != ADV_F32 || memcmp(v->stride, w->stride, sizeof v->stride) != 0) return false;
    }
    *why = "needs a rate in f32 and a step number in i64";
    return s->in[n_alike].dtype == ADV_F32 && (s->n_in == n_alike + 1 || s->in[n_alike + 1].dtype == ADV_I64);
}

static size_t put_sgd(char *text, const char *name, const AdvAttr *a, int pack)
{
    static const char params[] = "const float *w, const float *g, const float *m, const float *lr, float *w1, float *m1, long long n";
    return (size_t)snprintf(text, TEXT_BYTES,
                            "#include \"ops/cuda/optim.cuh\"\n"
                            "ADV_DEVICE void %s_at(%s, long long p)\n{\n"
                            "    adv_sgd<%d>(AdvSgdForm{(float)%s, (float)%s, %s}, w, g, m, lr, w1, m1, n, p);\n}\n"
                            "extern \"C\" __global__ void __launch_bounds__(%d) %s(%s)\n{\n"
                            "    %s_at(w, g, m, lr, w1, m1, n, adv_thread());\n}\n",
                            name, params, pack, N(a[0].f), N(a[1].f), a[2].i ? "true" : "false", ADV_CUDA_BLOCK, name, params, name);
}

/* The logarithm of 0 as a number whose multiples have the power 0. */
static double log_of(double beta) { return beta > 0 ? log(beta) : -1e300; }

static size_t put_adam(char *text, const char *name, const AdvAttr *a, int pack)
{
    static const char params[] = "const float *w, const float *g, const float *m, const float *v, const float *lr, const long long *t, "
                                 "float *w1, float *m1, float *v1, long long n";
    return (size_t)snprintf(text, TEXT_BYTES,
                            "#include \"ops/cuda/optim.cuh\"\n"
                            "ADV_DEVICE void %s_at(%s, long long p)\n{\n"
                            "    const AdvAdamForm f = {%s, %s, (float)%s, (float)%s, (float)%s, (float)%s, (float)%s, (float)%s};\n"
                            "    adv_adam<%d>(f, w, g, m, v, lr, t, w1, m1, v1, n, p);\n}\n"
                            "extern \"C\" __global__ void __launch_bounds__(%d) %s(%s)\n{\n"
                            "    %s_at(w, g, m, v, lr, t, w1, m1, v1, n, adv_thread());\n}\n",
                            name, params, N(log_of(a[0].f)), N(log_of(a[1].f)), N(a[0].f), N(a[1].f), N(1 - a[0].f), N(1 - a[1].f),
                            N(a[2].f), N(a[3].f), pack, ADV_CUDA_BLOCK, name, params, name);
}

static AdvStatus prepare(AdvPrep *p, void **out_state)
{
    const AdvSig *sig = p->sig;
    const char *types[9];
    char name[] = "opt_0000000000000000", text[TEXT_BYTES];
    AdvCudaParts *s = adv_cuda_parts_new(p, 1);
    if (!s) return ADV_ENOMEM;
    AdvCudaPart *part = &s->part[0];
    size_t (*put)(char *, const char *, const AdvAttr *, int) = sig->n_out == 3 ? put_adam : put_sgd;
    part->n = adv_view_elems(&sig->in[0]);
    part->n_args = sig->n_in + sig->n_out;
    part->args = p->alloc(p, part->n_args * sizeof *part->args);
    if (!part->args) return ADV_ENOMEM;
    for (uint32_t k = 0; k < part->n_args; k++) {
        part->args[k] = (AdvCudaArg){k, 0};
        types[k] = k < sig->n_in && sig->in[k].dtype == ADV_I64 ? "long long" : "float";
    }
    int pack = part->n % 4 == 0 ? 4 : 1;
    part->grid = adv_cuda_grid_x((uint64_t)(part->n / pack), ADV_CUDA_BLOCK);
    size_t n = put(text, name, sig->attr, pack);
    snprintf(name, sizeof name, "opt_%016" PRIx64, adv_hash_bytes(ADV_HASH_START, text, n));
    (void)put(text, name, sig->attr, pack);
    *out_state = s;
    return adv_cuda_part_generate(p, part, name, text, types);
}

#define OPTIM(op_name) \
    const AdvKernel adv_k_cuda_##op_name##_made = {ADV_KERNEL_HEADER, .backend = "cuda", .op = #op_name, .name = "made", .op_version = 1, \
                                                   .can = can, .prepare = prepare, .run = adv_cuda_run_parts};
OPTIM(sgd)
OPTIM(adam)
