/* ew_text.c: writes the device code of an elementwise program.
**
** A kernel reads each operand once and writes its result once, whatever the number of steps: its limit is memory bandwidth. A thread
** takes a pack of up to 16 bytes of the narrowest operand. How an operand lies is part of the text, with dimensions as numbers, so
** that dividing by them costs a multiplication; the outermost dimension is not, so that another batch size is the same kernel.
** Where result and operand lie in different orders and one of them runs along a short dimension (the 9 places of a 3x3 filter), a
** thread takes that dimension as a whole, so that memory on both sides is touched line by line. Where both dimensions are long, a
** block takes a square of them through shared memory: it reads along the operand's and writes along the result's.
**
** Numbers. Steps compute in float, or in double where an operand is an integer or f64, with the rows' own expressions; each result
** is rounded to the group's type before the next step reads it, as the definition stores it. So + - * / sqrt and everything that
** compares or chooses have the definition's bits; exp, log, pow, sin, cos and tanh are off by as much as device.cuh says.
*/
#include "ops/cuda/ew_text.h"

#include "ops/cuda/geometry.h"
#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/container.h"
#include "runtime/base/hash.h"
#include "runtime/base/number.h"

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
    k->n_run = k->run_pack = 1;
    if (k->pack > 1 || k->rank < 2 || k->stride[0][last] != 1) return;
    for (uint32_t d = 0; d < k->rank; d++) {
        bool turned = d == last ? runs_along(k, last - 1) && !runs_along(k, last) : runs_along(k, d);
        if (!turned || k->dim[d] > LONGEST_RUN) continue;
        k->run = d;
        k->n_run = (uint32_t)k->dim[d];
        k->run_pack = d == last ? adv_cuda_pack(k->rank, k->dim, k->stride, 1, k->at, 16 / adv_dtype_bytes(k->dtype[0])) : 1;
        if (k->n_run % k->run_pack != 0) k->run_pack = 1;
        return;
    }
}

/* A long dimension along which the one operand lies together while the result does so along the last. */
static void find_tile(AdvEwKernel *k)
{
    uint32_t last = k->rank - 1, most = adv_dtype_bytes(k->dtype[0]);
    k->side = 0;
    if (k->n_in != 1 || k->pack > 1 || k->n_run > 1 || k->rank < 2 || k->stride[0][last] != 1 || k->dim[last] <= LONGEST_RUN) return;
    if (adv_dtype_bytes(k->dtype[1]) > most) most = adv_dtype_bytes(k->dtype[1]);
    for (uint32_t d = 0; d < last; d++) {
        if (k->stride[1][d] != 1 || k->dim[d] <= LONGEST_RUN || !runs_along(k, d)) continue;
        k->run = d;
        k->side = most <= 2 && k->dim[d] > 32 && k->dim[last] > 32 ? 64 : 32;
        return;
    }
}

/* Squares along dimension d of a tile. */
static int64_t squares(const AdvEwKernel *k, uint32_t d) { return (k->dim[d] + k->side - 1) / k->side; }

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
    find_tile(k);
}

uint64_t adv_ew_kernel_threads(const AdvEwKernel *k)
{
    uint32_t last = k->rank - 1;
    if (k->side) {
        int64_t n_squares = squares(k, k->run) * squares(k, last);
        return (uint64_t)(k->n / (k->dim[k->run] * k->dim[last]) * n_squares) * ADV_CUDA_BLOCK;
    }
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
    else put(o, "(%s)%s", wide, adv_number_hex(x).at);
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

/* Is dimension d taken as a whole by a thread, or cut into the squares of blocks, so that positions leave it out? */
static bool is_run(const AdvEwKernel *k, uint32_t d)
{
    return k->side ? d == k->run || d == k->rank - 1 : k->n_run > 1 && d == k->run;
}

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

static const char *index_type(const AdvEwKernel *k) { return k->n <= INT64_C(0xffffffff) ? "unsigned" : "unsigned long long"; }

/* The indices of position u. Divisors are numbers in the text. */
static void put_indices(Out *o, const AdvEwKernel *k)
{
    const char *type = index_type(k);
    uint32_t first = 0;
    while (first < k->rank && is_run(k, first)) first++;
    if (first == k->rank) return;
    for (uint32_t d = k->rank; d-- > first;) {
        if (is_run(k, d) || d == first) continue;
        put(o, "    const %s i%u = u %% %" PRId64 "u;\n", type, (unsigned)d, k->dim[d]);
        put(o, "    u /= %" PRId64 "u;\n", k->dim[d]);
        put(o, "    (void)i%u;\n", (unsigned)d);
    }
    put(o, "    const %s i%u = u;\n    (void)i%u;\n", type, (unsigned)first, (unsigned)first);
}

static void put_position(Out *o, const AdvEwKernel *k) { put(o, "    %s u = (%s)p;\n", index_type(k), index_type(k)); }

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
    if (!flat) put_position(o, k), put_indices(o, k);
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
    unsigned n = k->n_run, pack = k->run_pack;
    put_position(o, k);
    put_indices(o, k);
    for (uint32_t i = 0; i < k->n_in; i++) {
        int64_t step = k->stride[1 + i][k->run];
        put(o, "    %s v%u[%u];\n", type_of(k, 1 + i), (unsigned)i, n);
        put(o, "    ADV_UNROLL(%u)\n    for (int j = 0; j < %u; j++) v%u[j] = p%u[j * %" PRId64 "LL + ", n, n, (unsigned)i, (unsigned)i,
            step);
        put_place(o, k, 1 + i);
        put(o, "];\n");
    }
    if (pack > 1) put(o, "    AdvPack<%s, %u> r[%u];\n", type_of(k, 0), pack, n / pack);
    put(o, "    ADV_UNROLL(%u)\n    for (int j = 0; j < %u; j++) ", n, n);
    if (pack > 1) put(o, "r[j / %u].v[j %% %u", pack, pack);
    else put(o, "y[j * %" PRId64 "LL + ", k->stride[0][k->run]), put_place(o, k, 0);
    put(o, "] = %s_of(", name);
    for (uint32_t i = 0; i < k->n_in; i++) put(o, is_move(k) ? "%sv%u[j]" : "%sadv_wide(v%u[j])", i ? ", " : "", (unsigned)i);
    put(o, ");\n");
    if (pack == 1) return;
    put(o, "    ADV_UNROLL(%u)\n    for (int j = 0; j < %u; j++) adv_store(y + (j * %u + ", n / pack, n / pack, pack);
    put_place(o, k, 0);
    put(o, "), r[j]);\n");
}

/* A square: read along dimension `run`, d0 and on, and written along the last, l0 and on. All threads come to the barrier. */
static void put_tile(Out *o, const AdvEwKernel *k, const char *name)
{
    unsigned side = k->side, turns = side * side / ADV_CUDA_BLOCK, last = k->rank - 1;
    unsigned bytes = adv_dtype_bytes(k->dtype[1]), row = side + (bytes < 4 ? 4 / bytes : 1); /* an odd number of words, of banks */
    const char *type = index_type(k), *from = type_of(k, 1);
    put(o, "    %s u = (%s)(p / %d);\n", type, type, ADV_CUDA_BLOCK);
    put(o, "    const %s l0 = u %% %" PRId64 "u * %uu;\n    u /= %" PRId64 "u;\n", type, squares(k, last), side, squares(k, last));
    put(o, "    const %s d0 = u %% %" PRId64 "u * %uu;\n    u /= %" PRId64 "u;\n", type, squares(k, k->run), side, squares(k, k->run));
    put_indices(o, k);
    put(o, "    (void)n;\n    const unsigned t = (unsigned)p %% %u;\n    %s *tile = (%s *)adv_tile(), v[%u] = {};\n",
        (unsigned)ADV_CUDA_BLOCK, from, from, turns);
    put(o, "    p0 += ");
    put_place(o, k, 1);
    put(o, ";\n    y += ");
    put_place(o, k, 0);
    put(o, ";\n    ADV_UNROLL(%u)\n    for (unsigned j = 0; j < %u; j++) {\n", turns, turns);
    put(o, "        const %s l = l0 + (j * %d + t) / %u, d = d0 + t %% %u;\n", type, ADV_CUDA_BLOCK, side, side);
    put(o, "        if (l < %" PRId64 "u && d < %" PRId64 "u) v[j] = p0[l * %" PRId64 "LL + d];\n    }\n", k->dim[last], k->dim[k->run],
        k->stride[1][last]);
    put(o, "    ADV_UNROLL(%u)\n    for (unsigned j = 0; j < %u; j++) tile[(j * %d + t) / %u * %u + t %% %u] = v[j];\n", turns, turns,
        ADV_CUDA_BLOCK, side, row, side);
    put(o, "    __syncthreads();\n    ADV_UNROLL(%u)\n    for (unsigned j = 0; j < %u; j++) {\n", turns, turns);
    put(o, "        const %s d = d0 + (j * %d + t) / %u, l = l0 + t %% %u;\n", type, ADV_CUDA_BLOCK, side, side);
    put(o, "        const %s x = tile[t %% %u * %u + (j * %d + t) / %u];\n", from, side, row, ADV_CUDA_BLOCK, side);
    put(o, "        if (l < %" PRId64 "u && d < %" PRId64 "u) y[d * %" PRId64 "LL + l] = %s_of(%s);\n    }\n", k->dim[last], k->dim[k->run],
        k->stride[0][k->run], name, is_move(k) ? "x" : "adv_wide(x)");
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
    if (k->side) {
        put_tile(o, k, name);
    } else if (k->n_run > 1) {
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
