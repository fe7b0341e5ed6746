/* ew_text.c: writes the device code of an elementwise program.
**
** A kernel reads each operand once and writes its result once, whatever the number of steps: its limit is memory bandwidth. A thread
** takes a pack of up to 16 bytes of the narrowest operand. How an operand lies is part of the text, with dimensions as numbers, so
** that dividing by them costs a multiplication; the outermost dimension is not, so that another batch size is the same kernel.
** Where result and operand lie in different orders and one of them runs along a short dimension (the 9 places of a 3x3 filter), a
** thread takes that dimension as a whole, so that memory on both sides is touched line by line.
**
** Numbers. Steps compute in float, or in double where an operand is an integer or f64, with the rows' own expressions; each result
** is rounded to the group's type before the next step reads it, as the definition stores it. So + - * / sqrt and everything that
** compares or chooses have the definition's bits; exp, log, pow and tanh are off by as much as device.cuh says.
*/
#include "ops/cuda/ew_text.h"

#include "ops/cuda/geometry.h"
#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/container.h"
#include "runtime/base/hash.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- laying -------------------------------------------------------------------------------------------------------- */

#define LONGEST_RUN 16 /* elements: as many registers an operand */

/* Does some operand as large as the result lie together along dimension d? */
static bool runs_along(const AdvEwKernel *k, uint32_t d)
{
    bool any = false;
    for (uint32_t i = 0; i < k->n_in; i++) {
        bool is_whole = k->stride[1 + i][d] == 1;
        for (uint32_t e = 0; e < k->rank; e++) is_whole = is_whole && k->stride[1 + i][e] != 0;
        any = any || is_whole;
    }
    return any;
}

/* A short dimension along which an operand lies together while the result does so along the last, or the other way round. */
static void find_run(AdvEwKernel *k)
{
    uint32_t last = k->rank - 1;
    k->n_run = 1;
    if (k->pack > 1 || k->rank < 2 || k->stride[0][last] != 1) return;
    for (uint32_t d = 0; d < k->rank; d++) {
        bool turned = d == last ? runs_along(k, last - 1) && !runs_along(k, last) : runs_along(k, d);
        if (!turned || k->dim[d] > LONGEST_RUN) continue;
        k->run = d;
        k->n_run = (uint32_t)k->dim[d];
        return;
    }
}

void adv_ew_kernel_lay(AdvEwKernel *k, const AdvView *out, const AdvView *in)
{
    AdvView wide[ADV_EW_MAX_IN];
    const AdvView *views[1 + ADV_EW_MAX_IN] = {out};
    uint32_t least = adv_dtype_bytes(k->dtype[0]), most;
    for (uint32_t i = 0; i < k->n_in; i++) {
        wide[i] = adv_view_broadcast(&in[i], out->rank, out->dim);
        views[1 + i] = &wide[i];
        if (adv_dtype_bytes(k->dtype[1 + i]) < least) least = adv_dtype_bytes(k->dtype[1 + i]);
    }
    k->rank = adv_loop_nest(views, 1 + k->n_in, k->dim, k->stride);
    k->n = adv_view_elems(out);
    most = 16 / least;
    if (k->n_steps && most > 8) most = 8; /* computing on 16 at once would take too many registers */
    k->pack = adv_cuda_pack(k->rank, k->dim, k->stride, 1 + k->n_in, k->at, most);
    if (k->n == 1) k->stride[0][0] = 1; /* one number is a row of one */
    find_run(k);
}

uint64_t adv_ew_kernel_threads(const AdvEwKernel *k)
{
    return (uint64_t)(k->n_run > 1 ? k->n / k->n_run : k->n / k->pack + k->n % k->pack);
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

typedef struct Out {
    char *text;
    size_t n, cap;
} Out;

static void put(Out *o, const char *fmt, ...) ADV_PRINTF(2, 3);
static void put(Out *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(o->n < o->cap ? o->text + o->n : NULL, o->n < o->cap ? o->cap - o->n : 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    o->n += (size_t)n;
}

/* Only bits are moved: nothing is computed or converted. */
static bool is_move(const AdvEwKernel *k) { return k->n_steps == 0 && k->dtype[0] == k->dtype[1]; }

static const char *type_of(const AdvEwKernel *k, uint32_t i)
{
    static const char *const names[ADV_DTYPE_COUNT] = {"", "float", "double", "AdvBf16", "AdvF16", "int", "long long", "unsigned char"};
    static const char *const bits[] = {"", "unsigned char", "unsigned short", "", "unsigned", "", "", "", "unsigned long long"};
    return is_move(k) ? bits[adv_dtype_bytes(k->dtype[i])] : names[k->dtype[i]];
}

const char *adv_ew_kernel_type(const AdvEwKernel *k, uint32_t i) { return type_of(k, i); }

static const char *wide_of(const AdvEwKernel *k)
{
    for (uint32_t i = 0; i < 1 + k->n_in; i++)
        if (k->dtype[i] == ADV_F64 || (adv_dtype_is_int(k->dtype[i]) && (i > 0 || k->n_steps))) return "double";
    return "float";
}

/* A constant as the group holds it: rounded to the type of its operands. */
static void put_number(Out *o, const AdvEwKernel *k, double x)
{
    const char *wide = wide_of(k);
    double room;
    AdvView v = {.dtype = k->dtype[1], .data = &room};
    adv_st(&v, 0, x);
    x = adv_ld(&v, 0);
    if (x != x) put(o, "(%s)adv_float_of(0x7fc00000u)", wide);
    else if (isinf(x)) put(o, "(%s)adv_float_of(0x%x00000u)", wide, x < 0 ? 0xff8u : 0x7f8u);
    else put(o, "(%s)%a", wide, x);
}

/* A value by its number: operand, constant or earlier step. */
static void put_value(Out *o, const AdvEwKernel *k, uint32_t v)
{
    if (v < k->n_in) put(o, "x%u", (unsigned)v);
    else if (v < k->n_in + k->n_consts) put_number(o, k, k->consts[v - k->n_in]);
    else put(o, "s%u", (unsigned)(v - k->n_in - k->n_consts));
}

/* The function of one element. */
static void put_element(Out *o, const AdvEwKernel *k, const char *name)
{
    const char *wide = wide_of(k), *type = type_of(k, 0);
    put(o, "ADV_DEVICE %s %s_of(", type, name);
    for (uint32_t i = 0; i < k->n_in; i++) put(o, "%s%s x%u", i ? ", " : "", is_move(k) ? type : wide, (unsigned)i);
    put(o, ")\n{\n");
    for (uint32_t s = 0; s < k->n_steps; s++) {
        const AdvEwStep *step = &k->steps[s];
        put(o, "    %s s%u;\n    {\n        const %s", wide, (unsigned)s, wide);
        for (uint32_t i = 0; i < step->row->n_in; i++) {
            put(o, "%s%c = ", i ? ", " : " ", "abc"[i]);
            put_value(o, k, step->in[i]);
        }
        bool is_exact = s + 1 == k->n_steps || k->dtype[0] == ADV_F32 || k->dtype[0] == ADV_F64;
        if (is_exact) put(o, ";\n        s%u = %s;\n    }\n", (unsigned)s, step->row->text);
        else put(o, ";\n        s%u = adv_round_to<%s>((%s)(%s));\n    }\n", (unsigned)s, type, wide, step->row->text);
    }
    if (is_move(k)) put(o, "    return x0;\n}\n");
    else if (k->n_steps) put(o, "    return adv_narrow<%s>(s%u);\n}\n", type, (unsigned)(k->n_steps - 1));
    else put(o, "    return adv_narrow<%s>(x0);\n}\n", type);
}

static bool is_run(const AdvEwKernel *k, uint32_t d) { return k->n_run > 1 && d == k->run; }

static bool is_dense(const AdvEwKernel *k, uint32_t i) { return k->rank == 1 && k->stride[i][0] == 1; }
static bool is_one(const AdvEwKernel *k, uint32_t i)
{
    for (uint32_t d = 0; d < k->rank; d++)
        if (k->stride[i][d] != 0) return false;
    return true;
}

/* `at` of operand i (0: the result) at position p, from the indices i0, i1, ... of the nest. */
static void put_place(Out *o, const AdvEwKernel *k, uint32_t i)
{
    bool any = false;
    for (uint32_t d = 0; d < k->rank; d++) {
        if (k->stride[i][d] == 0 || is_run(k, d)) continue;
        put(o, "%s(long long)i%u", any ? " + " : "", (unsigned)d);
        if (k->stride[i][d] != 1) put(o, " * %" PRId64, k->stride[i][d]);
        any = true;
    }
    if (!any) put(o, "0");
}

/* The indices of position p. Divisors are numbers in the text. */
static void put_indices(Out *o, const AdvEwKernel *k)
{
    const char *type = k->n <= INT64_C(0xffffffff) ? "unsigned" : "unsigned long long";
    uint32_t first = is_run(k, 0) ? 1 : 0;
    put(o, "    %s u = (%s)p;\n", type, type);
    for (uint32_t d = k->rank; d-- > first;) {
        if (is_run(k, d) || d == first) continue;
        put(o, "    const %s i%u = u %% %" PRId64 "u;\n", type, (unsigned)d, k->dim[d]);
        put(o, "    u /= %" PRId64 "u;\n", k->dim[d]);
        put(o, "    (void)i%u;\n", (unsigned)d);
    }
    put(o, "    const %s i%u = u;\n    (void)i%u;\n", type, (unsigned)first, (unsigned)first);
}

/* The element function's arguments: element j of packs, or single elements. */
static void put_call(Out *o, const AdvEwKernel *k, const char *name, bool is_pack)
{
    put(o, "%s_of(", name);
    for (uint32_t i = 0; i < k->n_in; i++) {
        bool single = !is_pack || k->stride[1 + i][k->rank - 1] == 0;
        put(o, "%s%sv%u%s%s", i ? ", " : "", is_move(k) ? "" : "adv_wide(", (unsigned)i, single ? "" : ".v[j]", is_move(k) ? "" : ")");
    }
    put(o, ")");
}

/* One pack, or one element, at position p. */
static void put_body(Out *o, const AdvEwKernel *k, const char *name, bool is_pack)
{
    unsigned pack = k->pack;
    bool flat = true;
    for (uint32_t i = 0; i < 1 + k->n_in; i++) flat = flat && (is_dense(k, i) || (i > 0 && is_one(k, i)));
    if (!flat) put_indices(o, k);
    for (uint32_t i = 0; i < k->n_in; i++) {
        bool single = !is_pack || k->stride[1 + i][k->rank - 1] == 0;
        if (single) put(o, "    const %s v%u = p%u[", type_of(k, 1 + i), (unsigned)i, (unsigned)i);
        else put(o, "    const AdvPack<%s, %u> v%u = adv_load<%u>(p%u + (", type_of(k, 1 + i), pack, (unsigned)i, pack, (unsigned)i);
        if (flat) put(o, "%s", is_one(k, 1 + i) ? "0" : "p");
        else put_place(o, k, 1 + i);
        put(o, "%s;\n", single ? "]" : "))");
    }
    if (is_pack)
        put(o, "    AdvPack<%s, %u> r;\n    ADV_UNROLL(%u)\n    for (int j = 0; j < %u; j++) r.v[j] = ", type_of(k, 0), pack, pack, pack);
    else put(o, "    y[");
    if (!is_pack && flat) put(o, "p] = ");
    if (!is_pack && !flat) put_place(o, k, 0), put(o, "] = ");
    put_call(o, k, name, is_pack);
    put(o, ";\n");
    if (!is_pack) return;
    put(o, "    adv_store(y + (");
    if (flat) put(o, "p");
    else put_place(o, k, 0);
    put(o, "), r);\n");
}

/* All elements along the short dimension, at position p of the others. */
static void put_run(Out *o, const AdvEwKernel *k, const char *name)
{
    unsigned n = k->n_run;
    put_indices(o, k);
    for (uint32_t i = 0; i < k->n_in; i++) {
        int64_t step = k->stride[1 + i][k->run];
        put(o, "    %s v%u[%u];\n", type_of(k, 1 + i), (unsigned)i, n);
        put(o, "    ADV_UNROLL(%u)\n    for (int j = 0; j < %u; j++) v%u[j] = p%u[j * %" PRId64 "LL + ", n, n, (unsigned)i, (unsigned)i,
            step);
        put_place(o, k, 1 + i);
        put(o, "];\n");
    }
    put(o, "    ADV_UNROLL(%u)\n    for (int j = 0; j < %u; j++) y[j * %" PRId64 "LL + ", n, n, k->stride[0][k->run]);
    put_place(o, k, 0);
    put(o, "] = %s_of(", name);
    for (uint32_t i = 0; i < k->n_in; i++) put(o, is_move(k) ? "%sv%u[j]" : "%sadv_wide(v%u[j])", i ? ", " : "", (unsigned)i);
    put(o, ");\n");
}

static void put_params(Out *o, const AdvEwKernel *k)
{
    put(o, "%s *y, ", type_of(k, 0));
    for (uint32_t i = 0; i < k->n_in; i++) put(o, "const %s *p%u, ", type_of(k, 1 + i), (unsigned)i);
    put(o, "long long n");
}

/* What thread p does. */
static void put_thread(Out *o, const AdvEwKernel *k, const char *name)
{
    unsigned pack = k->pack;
    if (k->n_run > 1) {
        put(o, "    if (p >= n / %u) return;\n", (unsigned)k->n_run);
        put_run(o, k, name);
    } else if (pack == 1) {
        put(o, "    if (p >= n) return;\n");
        put_body(o, k, name, false);
    } else if (k->rank > 1) {
        put(o, "    if (p >= n / %u) return;\n    p *= %u;\n", pack, pack);
        put_body(o, k, name, true);
    } else {
        put(o, "    const long long m = n / %u;\n    if (p < m) {\n    p *= %u;\n", pack, pack);
        put_body(o, k, name, true);
        put(o, "    return;\n    }\n    p += m * %u - m;\n    if (p >= n) return;\n", pack);
        put_body(o, k, name, false);
    }
}

static void put_kernel(Out *o, const AdvEwKernel *k, const char *name)
{
    put_element(o, k, name);
    put(o, "ADV_DEVICE void %s_at(", name);
    put_params(o, k);
    put(o, ", long long p)\n{\n");
    put_thread(o, k, name);
    put(o, "}\nextern \"C\" __global__ void __launch_bounds__(%d) %s(", ADV_CUDA_BLOCK, name);
    put_params(o, k);
    put(o, ")\n{\n    %s_at(y, ", name);
    for (uint32_t i = 0; i < k->n_in; i++) put(o, "p%u, ", (unsigned)i);
    put(o, "n, adv_thread());\n}\n");
}

size_t adv_ew_kernel_text(const AdvEwKernel *k, char name[ADV_EW_NAME], char *text, size_t n_bytes)
{
    static const char blank[] = "ew_0000000000000000";
    Out o = {text, 0, n_bytes};
    put_kernel(&o, k, blank);
    if (o.n >= n_bytes) return o.n;
    snprintf(name, ADV_EW_NAME, "ew_%016" PRIx64, adv_hash_bytes(ADV_HASH_START, text, o.n));
    o.n = 0;
    put_kernel(&o, k, name); /* as long as the first */
    return o.n;
}
