/* adv_row.h: elementwise ops from rows. Included by adv_op.h; ours (ew.def) and a plugin's go through the same macros.
**
** A row says everything about an op whose element i depends on element i of its operands:
**
**   EWn(name, takes, precision, flags, doc, expression, gradient by a [, by b [, by c]])
**
** takes      FLOATS, NUMBERS, TRUTH or CHOICE: see AdvEwTakes
** precision  LOW, F32 or FOLLOW: see ADV_PREC_*
** flags      0, or COMMUTES where the first two operands may be swapped
** doc        as AdvOpDef.doc
** expression over a, b, c. M(f) is a <math.h> function and K(n) a constant in the precision at hand; MIN and MAX let NaN
**            through from either side. It becomes a function in double, a loop over floats, and text for kernels generated later
** gradient   a value built with N1, N2, N3 (an op of one, two, three operands) from G (gradient of the result), X1, X2, X3, Y
**            (result) and NUM(v); NONE is zero
**
** A plugin lists its rows in a macro and names it before it includes adv_op.h:
**
**   #define MY_ROWS(EW1, EW2, EW3) EW1(square, FLOATS, FOLLOW, 0, "a^2.", a * a, N2(mul, NUM(2), N2(mul, G, X1)))
**   #define ADV_PLUGIN_ROWS MY_ROWS
**   #include <ops/adv_op.h>
**
** which defines `adv_op_square`, an AdvOpDef, ready for the plugin's table of ops.
*/
#ifndef ADV_ROW_H
#define ADV_ROW_H

/* A number of v's dtype; none of none. */
static inline AdvVal adv_val_number(AdvBuild *b, double value, AdvVal v)
{
    AdvVal none = {0};
    return v.i != 0 ? b->number(b, value, b->type(b, v)->dtype) : none;
}

/* ---- double: the definition. With M(x) x, K(n) n##.0 ---- */

#define ADV_ROW_DOUBLE1(name, takes, prec, flags, doc, e, ga) \
    static double f_##name(double a, double b, double c) { (void)b, (void)c; return e; }
#define ADV_ROW_DOUBLE2(name, takes, prec, flags, doc, e, ga, gb) \
    static double f_##name(double a, double b, double c) { (void)c; return e; }
#define ADV_ROW_DOUBLE3(name, takes, prec, flags, doc, e, ga, gb, gc) \
    static double f_##name(double a, double b, double c) { return e; }

/* ---- float: a loop over a tile. With M(x) x##f, expf as adv_row_exp, K(n) n##.0f, MIN and MAX as adv_row_min and adv_row_max;
** ADV_ROW_LOOP what stands before a function, ADV_ROW_SIMD before its loop ---- */

/* What loops of rows call. Of arithmetic alone and without a branch, so that they become vectors and cost a plugin what they cost us: a
** function of the C library would be a call for each element. A macro, because they must be compiled with the options of the loops.
**
** adv_row_exp: e^x = 2^n * e^r with n whole and |r| <= log(2)/2; e^r by Taylor's series in double (error 2e-10), n added to the exponent.
** Rounded once: one number in 100,000 differs from the nearest float. Beyond the bounds the result is 0 or infinite. Adding 1.5*2^52
** rounds to a whole number, which then stands in the lowest bits. */
#define ADV_ROW_FLOAT_FUNCTIONS \
    static inline float adv_row_pick(int c, float a, float b) { return c ? a : b; } \
    static inline float adv_row_min(float a, float b) { return adv_row_pick(a != a, a, adv_row_pick(a < b, a, b)); } \
    static inline float adv_row_max(float a, float b) { return adv_row_pick(a != a, a, adv_row_pick(a > b, a, b)); } \
    static inline float adv_row_exp(float x) \
    { \
        double r = (double)x, n, p = 1.0 / 40320; \
        uint64_t bits, power; \
        r = r > 90 ? 90 : r; \
        r = r < -105 ? -105 : r; \
        n = r * 1.44269504088896340736 + 6755399441055744.0; \
        r -= (n - 6755399441055744.0) * 0.693147180559945309417; \
        p = p * r + 1.0 / 5040; \
        p = p * r + 1.0 / 720; \
        p = p * r + 1.0 / 120; \
        p = p * r + 1.0 / 24; \
        p = p * r + 1.0 / 6; \
        p = p * r + 0.5; \
        p = p * r + 1; \
        p = p * r + 1; \
        memcpy(&bits, &p, sizeof bits); \
        memcpy(&power, &n, sizeof power); \
        bits += power << 52; \
        memcpy(&p, &bits, sizeof p); \
        return adv_row_pick(x != x, x, (float)p); \
    }

#define ADV_ROW_FLOAT1(name, takes, prec, flags, doc, e, ga) \
    ADV_ROW_LOOP static void t_##name(float *o, const float *pa, const float *pb, const float *pc, int64_t n) \
    { \
        (void)pb, (void)pc; \
        ADV_ROW_SIMD \
        for (int64_t i = 0; i < n; i++) { \
            float a = pa[i]; \
            o[i] = e; \
        } \
    }
#define ADV_ROW_FLOAT2(name, takes, prec, flags, doc, e, ga, gb) \
    ADV_ROW_LOOP static void t_##name(float *o, const float *pa, const float *pb, const float *pc, int64_t n) \
    { \
        (void)pc; \
        ADV_ROW_SIMD \
        for (int64_t i = 0; i < n; i++) { \
            float a = pa[i], b = pb[i]; \
            o[i] = e; \
        } \
    }
#define ADV_ROW_FLOAT3(name, takes, prec, flags, doc, e, ga, gb, gc) \
    ADV_ROW_LOOP static void t_##name(float *o, const float *pa, const float *pb, const float *pc, int64_t n) \
    { \
        ADV_ROW_SIMD \
        for (int64_t i = 0; i < n; i++) { \
            float a = pa[i], b = pb[i], c = pc[i]; \
            o[i] = e; \
        } \
    }

/* ---- text: an AdvEwRow. With the same M and K as FLOAT, ADV_ROW_TILE(name) its loop or NULL ---- */

#define ADV_ROW_TEXT(...) #__VA_ARGS__
#define ADV_ROW_INIT1(name, takes, prec, flags, doc, e, ga) {1, ADV_EW_##takes, f_##name, ADV_ROW_TILE(name), ADV_ROW_TEXT(e)}
#define ADV_ROW_INIT2(name, takes, prec, flags, doc, e, ga, gb) {2, ADV_EW_##takes, f_##name, ADV_ROW_TILE(name), ADV_ROW_TEXT(e)}
#define ADV_ROW_INIT3(name, takes, prec, flags, doc, e, ga, gb, gc) {3, ADV_EW_##takes, f_##name, ADV_ROW_TILE(name), ADV_ROW_TEXT(e)}

/* ---- gradients. With N1 .. NONE as above ---- */

#define ADV_ROW_GRAD1(name, takes, prec, flags, doc, e, ga) \
    static AdvStatus grad_##name(AdvBuild *b, const AdvGradCtx *g) \
    { \
        (void)b; \
        if (g->gout[0].i && g->need[0]) g->gin[0] = ga; \
        return ADV_OK; \
    }
#define ADV_ROW_GRAD2(name, takes, prec, flags, doc, e, ga, gb) \
    static AdvStatus grad_##name(AdvBuild *b, const AdvGradCtx *g) \
    { \
        (void)b; \
        if (g->gout[0].i && g->need[0]) g->gin[0] = ga; \
        if (g->gout[0].i && g->need[1]) g->gin[1] = gb; \
        return ADV_OK; \
    }
#define ADV_ROW_GRAD3(name, takes, prec, flags, doc, e, ga, gb, gc) \
    static AdvStatus grad_##name(AdvBuild *b, const AdvGradCtx *g) \
    { \
        (void)b; \
        if (g->gout[0].i && g->need[0]) g->gin[0] = ga; \
        if (g->gout[0].i && g->need[1]) g->gin[1] = gb; \
        if (g->gout[0].i && g->need[2]) g->gin[2] = gc; \
        return ADV_OK; \
    }

/* ---- the op. With ADV_ROW_OF(name) its AdvEwRow ---- */

#define ADV_ROW_IN_FLOATS ADV_PORT_FLOAT
#define ADV_ROW_IN_NUMBERS ADV_PORT_ANY
#define ADV_ROW_IN_TRUTH ADV_PORT_ANY
#define ADV_ROW_IN_CHOICE ADV_PORT_FLOAT
#define ADV_ROW_MORE_FLOATS ADV_PORT_FLOAT
#define ADV_ROW_MORE_NUMBERS ADV_PORT_ANY
#define ADV_ROW_MORE_TRUTH ADV_PORT_ANY
#define ADV_ROW_MORE_CHOICE ADV_PORT_ANY
#define ADV_ROW_OUT_FLOATS ADV_PORT_FLOAT
#define ADV_ROW_OUT_NUMBERS ADV_PORT_ANY
#define ADV_ROW_OUT_TRUTH ADV_PORT_FLOAT
#define ADV_ROW_OUT_CHOICE ADV_PORT_ANY
#define ADV_ROW_FLAG_0 0
#define ADV_ROW_FLAG_COMMUTES ADV_OP_COMMUTES
#define ADV_ROW_OPERAND "rank 0, or dims of the result or 1"
#define ADV_ROW_DEF(op, takes, prec, flag, text) \
    static const AdvPortDef out_##op[] = {{"y", ADV_ROW_OUT_##takes, "joined shape of the operands"}, {NULL, 0, NULL}}; \
    extern const AdvOpDef adv_op_##op; \
    const AdvOpDef adv_op_##op = {ADV_OP_HEADER, .name = #op, .version = 1, .precision = ADV_PREC_##prec, .layout = ADV_LAYOUT_OP_ANY, \
                                  .flags = ADV_OP_ELEMENTWISE | ADV_ROW_FLAG_##flag, .in = in_##op, .out = out_##op, \
                                  .inplace = {ADV_INPLACE_ANY}, .grad = grad_##op, .row = ADV_ROW_OF(op), .doc = text};
#define ADV_ROW_DEF1(op, takes, prec, flags, text, e, ga) \
    static const AdvPortDef in_##op[] = {{"a", ADV_ROW_IN_##takes, ADV_ROW_OPERAND}, {NULL, 0, NULL}}; \
    ADV_ROW_DEF(op, takes, prec, flags, text)
#define ADV_ROW_DEF2(op, takes, prec, flags, text, e, ga, gb) \
    static const AdvPortDef in_##op[] = { \
        {"a", ADV_ROW_IN_##takes, ADV_ROW_OPERAND}, {"b", ADV_ROW_MORE_##takes, ADV_ROW_OPERAND}, {NULL, 0, NULL}}; \
    ADV_ROW_DEF(op, takes, prec, flags, text)
#define ADV_ROW_DEF3(op, takes, prec, flags, text, e, ga, gb, gc) \
    static const AdvPortDef in_##op[] = {{"a", ADV_ROW_IN_##takes, ADV_ROW_OPERAND}, \
                                         {"b", ADV_ROW_MORE_##takes, ADV_ROW_OPERAND}, \
                                         {"c", ADV_ROW_MORE_##takes, ADV_ROW_OPERAND}, \
                                         {NULL, 0, NULL}}; \
    ADV_ROW_DEF(op, takes, prec, flags, text)

/* ---- a plugin's rows ---- */

#ifdef ADV_PLUGIN_ROWS

/* Vector loops for three instruction sets, chosen when the plugin is loaded; left out where the choice would run too early
** (sanitizers) or the compiler lacks it. The options are those of our own rows (ops/cpu/meson.build), whatever the rest is built with, so
** that the loops are the same instructions and give the same bits. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ADV_ROW_LOOP __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ADV_ROW_LOOP
#endif
#if defined(__GNUC__) && !defined(__clang__)
#define ADV_ROW_SIMD _Pragma("GCC ivdep")
#else
#define ADV_ROW_SIMD
#endif

#define MIN(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))
#define MAX(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))
#define M(x) x
#define K(n) n##.0
ADV_PLUGIN_ROWS(ADV_ROW_DOUBLE1, ADV_ROW_DOUBLE2, ADV_ROW_DOUBLE3)
#undef M
#undef K
#undef MIN
#undef MAX

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("O3", "no-math-errno", "no-trapping-math", "fp-contract=off", "no-thread-jumps")
#endif
ADV_ROW_FLOAT_FUNCTIONS
#define expf adv_row_exp
#define MIN(a, b) adv_row_min(a, b)
#define MAX(a, b) adv_row_max(a, b)
#define M(x) x##f
#define K(n) n##.0f
ADV_PLUGIN_ROWS(ADV_ROW_FLOAT1, ADV_ROW_FLOAT2, ADV_ROW_FLOAT3)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
#undef expf
#undef MIN
#undef MAX

#define MIN(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))
#define MAX(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))
#define ADV_ROW_TILE(name) t_##name
#define ADV_ROW_STATIC1(name, ...) static const AdvEwRow row_##name = ADV_ROW_INIT1(name, __VA_ARGS__);
#define ADV_ROW_STATIC2(name, ...) static const AdvEwRow row_##name = ADV_ROW_INIT2(name, __VA_ARGS__);
#define ADV_ROW_STATIC3(name, ...) static const AdvEwRow row_##name = ADV_ROW_INIT3(name, __VA_ARGS__);
ADV_PLUGIN_ROWS(ADV_ROW_STATIC1, ADV_ROW_STATIC2, ADV_ROW_STATIC3)
#undef M
#undef K
#undef MIN
#undef MAX

#define N1(op, x) adv_b1(b, #op, x)
#define N2(op, x, y) adv_b2(b, #op, x, y)
#define N3(op, x, y, z) adv_b3(b, #op, x, y, z)
#define NUM(v) adv_val_number(b, v, G)
#define NONE ((AdvVal){0})
#define G (g->gout[0])
#define Y (g->out[0])
#define X1 (g->in[0])
#define X2 (g->in[1])
#define X3 (g->in[2])
ADV_PLUGIN_ROWS(ADV_ROW_GRAD1, ADV_ROW_GRAD2, ADV_ROW_GRAD3)
#undef N1
#undef N2
#undef N3
#undef NUM
#undef NONE
#undef G
#undef Y
#undef X1
#undef X2
#undef X3

#define ADV_ROW_OF(op) &row_##op
ADV_PLUGIN_ROWS(ADV_ROW_DEF1, ADV_ROW_DEF2, ADV_ROW_DEF3)
#endif

#endif
