/* text.c: prints a graph as text that read.c reads back; printing what was read gives the same bytes.
**
**   float f64                                          only if the graph's float type is not f32
**   loc 2 = call 1:40+7 1                              only with locations; referred to as !2
**   state f.weight : f32[3,4] param saved
**   entry step.main {
**     %w: f32[3,4] = read f.weight
**     %c: f32 = const 0.5
**     %p: f32[2,4]@sample = matmul %x, %w {tb=1}       attributes that are not the default
**     %q: f32[2,4] = exp %x
**     & %r: f32[3,4] = exp %w                          may run at once with the node before it
**     %z: f32[2,3] = loop 10 (%i: i64, %z0: f32[2,3] = %x) {
**       yield %z1
**     }
**     write f.weight = %w1
**   }
**
** Values print their own name where it is the first of that name in the entry, then name.2, name.3; without a name, numbers
** from 0 in the order of printing. So no address and no id shows, and dumps can be compared.
*/
#include "compiler/graph/graph.h"

#include "ops/view.h"
#include "runtime/base/number.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES 512

typedef struct Printer {
    const AdvGraph *g;
    AdvWriteFn *write;
    void *user;
    bool with_locs;
    AdvArena mem;            /* tables below; freed at the end */
    jmp_buf trap;
    AdvInterns labels;       /* what was printed in this entry */
    const char **label;      /* by value */
    uint32_t *loc_no;        /* by location: its number in the text */
    uint32_t n_locs, n_unnamed;
} Printer;

static void put(Printer *p, const char *text) { p->write(p->user, text, strlen(text)); }

static void putf(Printer *p, const char *fmt, ...) ADV_PRINTF(2, 3);
static void putf(Printer *p, const char *fmt, ...)
{
    char s[PIECE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(s, sizeof s, fmt, ap);
    va_end(ap);
    p->write(p->user, s, n < (int)sizeof s ? (size_t)n : sizeof s - 1);
}

static const char *const dtype_names[ADV_DTYPE_COUNT] = {"none", "f32", "f64", "bf16", "f16", "i32", "i64", "u8"};
static const char *const rate_names[ADV_RATE_COUNT] = {"", "@epoch", "@batch", "@sample"};
static const char *const kind_names[ADV_STATE_KIND_COUNT] = {"param", "buffer", "opt", "table", "slot", "scalar", "metric", "data"};

/* ---- names and locations --------------------------------------------------------------------------------------- */

static bool plain_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* A name as such, or in quotes where it holds other characters than letters, digits, `_`, `.`. */
static void put_name(Printer *p, AdvStr name)
{
    const char *s = adv_str(p->g->names, name);
    bool plain = *s != '\0';
    for (const char *c = s; *c; c++) plain = plain && plain_char(*c);
    if (plain) put(p, s);
    else {
        put(p, "\"");
        for (; *s; s++) {
            if (*s == '"' || *s == '\\') p->write(p->user, "\\", 1);
            p->write(p->user, s, 1);
        }
        put(p, "\"");
    }
}

static void give_label(Printer *p, AdvValueId v)
{
    const char *own = adv_str(p->g->names, adv_value(p->g, v)->name);
    if (!*own) {
        p->label[v.i] = adv_arena_printf(&p->mem, "%u", (unsigned)p->n_unnamed++);
        return;
    }
    char *s = adv_arena_printf(&p->mem, "%s%s", *own >= '0' && *own <= '9' ? "_" : "", own);
    for (char *c = s; *c; c++) *c = plain_char(*c) ? *c : '_';
    const char *tried = s;
    for (unsigned k = 2;; k++) {
        uint32_t n_before = p->labels.text.n;
        (void)adv_intern(&p->labels, tried);
        if (p->labels.text.n > n_before) break;
        tried = adv_arena_printf(&p->mem, "%s.%u", s, k);
    }
    p->label[v.i] = tried;
}

static void put_value(Printer *p, AdvValueId v)
{
    if (v.i && v.i < p->g->values.n && p->label[v.i]) putf(p, "%%%s", p->label[v.i]);
    else putf(p, "%%undefined%u", (unsigned)v.i); /* only in dumps of broken graphs */
}

/* Numbers a location after the ones that it refers to, and prints its line. */
static void put_loc_line(Printer *p, AdvLocId l)
{
    if (!l.i || l.i >= p->g->locs.n || p->loc_no[l.i]) return;
    const AdvLoc *at = &p->g->locs.at[l.i];
    put_loc_line(p, at->parent);
    put_loc_line(p, at->also);
    p->loc_no[l.i] = ++p->n_locs;
    static const char *const why[] = {"source", "call", "grad", "fused"};
    putf(p, "loc %u = %s", (unsigned)p->n_locs, why[at->why]);
    if (at->why <= ADV_LOC_CALL) putf(p, " %u:%u+%u", (unsigned)at->span.file, (unsigned)at->span.off, (unsigned)at->span.len);
    if (at->parent.i) putf(p, " %u", (unsigned)p->loc_no[at->parent.i]);
    if (at->also.i) putf(p, " %u", (unsigned)p->loc_no[at->also.i]);
    put(p, "\n");
}

static void put_locs_of_region(Printer *p, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(p->g, r);
    put_loc_line(p, reg->loc);
    for (uint32_t i = 0; i < reg->nodes.n; i++) {
        const AdvNode *n = adv_node(p->g, reg->nodes.at[i]);
        put_loc_line(p, n->loc);
        if (n->body.i) put_locs_of_region(p, n->body);
    }
}

static void put_loc_ref(Printer *p, AdvLocId l)
{
    if (p->with_locs && l.i) putf(p, " !%u", (unsigned)p->loc_no[l.i]);
}

/* ---- types and numbers ----------------------------------------------------------------------------------------- */

static void put_type(Printer *p, const AdvTensorType *t)
{
    put(p, dtype_names[t->dtype < ADV_DTYPE_COUNT ? t->dtype : 0]);
    for (uint32_t i = 0; i < t->rank && i < ADV_MAX_RANK; i++) putf(p, "%c%lld", i ? ',' : '[', (long long)t->dim[i]);
    if (t->rank) put(p, "]");
    if (t->layout == ADV_LAYOUT_CL) put(p, "cl");
}

/* The shortest text that reads back as `x`. */
static void put_number(Printer *p, double x)
{
    AdvNumber s;
    if (isnan(x)) {
        put(p, "nan");
        return;
    }
    if (isinf(x)) {
        put(p, x < 0 ? "-inf" : "inf");
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        AdvNumber back = s = adv_number_text(x, digits);
        if (adv_number_read(back.at, NULL) == x) break;
    }
    put(p, s.at);
}

static bool same_number(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

static bool attr_is_default(const AdvAttrDef *d, const AdvAttr *a)
{
    if (isnan(d->dflt)) return false;
    switch (d->kind) {
    case ADV_ATTR_INT:
    case ADV_ATTR_ENUM: return a->i == (int64_t)d->dflt;
    case ADV_ATTR_FLOAT: return same_number(a->f, d->dflt);
    default: return a->n == 0;
    }
}

static void put_choice(Printer *p, const char *choices, int64_t k)
{
    for (; k > 0 && *choices; choices++) k -= *choices == '|';
    p->write(p->user, choices, strcspn(choices, "|"));
}

static void put_attr(Printer *p, const AdvAttrDef *d, const AdvAttr *a)
{
    putf(p, "%s=", d->name);
    switch (d->kind) {
    case ADV_ATTR_INT: putf(p, "%lld", (long long)a->i); break;
    case ADV_ATTR_ENUM: put_choice(p, d->choices, a->i); break;
    case ADV_ATTR_FLOAT: put_number(p, a->f); break;
    default:
        put(p, "[");
        for (uint32_t i = 0; i < a->n; i++) {
            if (i) put(p, ",");
            if (d->kind == ADV_ATTR_INTS) putf(p, "%lld", (long long)a->ints[i]);
            else if (d->kind == ADV_ATTR_OPS) put(p, a->ops[i]->name);
            else put_number(p, a->floats[i]);
        }
        put(p, "]");
    }
}

static void put_attrs(Printer *p, AdvNodeId id)
{
    const AdvNode *n = adv_node(p->g, id);
    const AdvAttrDef *d = n->op->attrs;
    bool first = true;
    for (uint32_t i = 0; d && d[i].kind != ADV_ATTR_END && i < n->n_attr; i++) {
        const AdvAttr *a = &adv_node_attr(p->g, id)[i];
        if (attr_is_default(&d[i], a)) continue;
        put(p, first ? " {" : ", ");
        put_attr(p, &d[i], a);
        first = false;
    }
    if (!first) put(p, "}");
}

/* ---- nodes ----------------------------------------------------------------------------------------------------- */

static void put_typed(Printer *p, AdvValueId v)
{
    const AdvValue *val = adv_value(p->g, v);
    give_label(p, v);
    put_value(p, v);
    put(p, ": ");
    put_type(p, &val->type);
    put(p, rate_names[val->rate < ADV_RATE_COUNT ? val->rate : 0]);
}

static void put_const(Printer *p, AdvNodeId id)
{
    const AdvConst *c = &adv_node(p->g, id)->data;
    const AdvTensorType *t = adv_value_type(p->g, adv_node_out(p->g, id, 0));
    AdvTensorType one = {.dtype = t->dtype};
    int64_t n = adv_type_elems(t), size = adv_type_bytes(&one);
    put(p, t->rank ? " [" : " ");
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = 0;
        memcpy(&bits, (const char *)c->data + i * size, (size_t)size);
        AdvView v = adv_view_of(&one, &bits);
        if (i) put(p, ",");
        if (t->dtype == ADV_I64) putf(p, "%lld", (long long)(int64_t)bits);
        else put_number(p, c->wide ? c->wide[i] : adv_ld(&v, 0));
    }
    put(p, t->rank ? "]" : "");
}

static void indent(Printer *p, uint32_t depth)
{
    for (uint32_t i = 0; i < depth; i++) put(p, "  ");
}

static void put_region(Printer *p, AdvRegionId r, uint32_t depth);

static void put_loop(Printer *p, AdvNodeId id, uint32_t depth)
{
    const AdvNode *n = adv_node(p->g, id);
    const AdvRegion *b = adv_region(p->g, n->body);
    putf(p, " %lld (", (long long)adv_loop_turns(p->g, id));
    for (uint32_t k = 0; k < b->params.n; k++) {
        if (k) put(p, ", ");
        put_typed(p, b->params.at[k]);
        if (k == 0) continue;
        put(p, " = ");
        put_value(p, adv_node_in(p->g, id, k - 1));
    }
    put(p, ")");
    put_loc_ref(p, n->loc);
    put(p, " {\n");
    put_region(p, n->body, depth + 1);
    indent(p, depth + 1);
    put(p, "yield");
    for (uint32_t k = 0; k < b->results.n; k++) {
        put(p, k ? ", " : " ");
        put_value(p, b->results.at[k]);
    }
    put(p, "\n");
    indent(p, depth);
    put(p, "}\n");
}

static void put_node(Printer *p, AdvNodeId id, uint32_t depth)
{
    const AdvGraph *g = p->g;
    const AdvNode *n = adv_node(g, id);
    indent(p, depth);
    if (n->with_prev) put(p, "& ");
    for (uint32_t k = 0; k < n->n_out; k++) {
        if (k) put(p, ", ");
        put_typed(p, adv_node_out(g, id, k));
    }
    if (n->n_out) put(p, " = ");
    put(p, n->op->name);
    if (n->body.i) {
        put_loop(p, id, depth);
        return;
    }
    bool is_const = adv_node_is(g, id, "const");
    if (n->state.i) {
        put(p, " ");
        put_name(p, g->states.at[n->state.i].name);
        if (n->n_in) put(p, " =");
    }
    for (uint32_t k = 0; k < n->n_in; k++) {
        put(p, k ? ", " : " ");
        put_value(p, adv_node_in(g, id, k));
    }
    if (is_const) put_const(p, id);
    else put_attrs(p, id);
    put_loc_ref(p, n->loc);
    put(p, "\n");
}

static void put_region(Printer *p, AdvRegionId r, uint32_t depth)
{
    const AdvRegion *reg = adv_region(p->g, r);
    for (uint32_t i = 0; i < reg->nodes.n; i++) put_node(p, reg->nodes.at[i], depth);
}

/* ---- the graph ------------------------------------------------------------------------------------------------- */

static void put_entry(Printer *p, AdvRegionId r)
{
    const AdvRegion *reg = adv_region(p->g, r);
    adv_interns_init(&p->labels, &p->mem);
    p->n_unnamed = 0;
    put(p, "entry ");
    put_name(p, reg->name);
    put_loc_ref(p, reg->loc);
    put(p, " {\n");
    put_region(p, r, 1);
    put(p, "}\n");
}

static void put_state(Printer *p, const AdvState *s)
{
    put(p, "state ");
    put_name(p, s->name);
    put(p, " : ");
    put_type(p, &s->type);
    putf(p, " %s%s", kind_names[s->kind], s->saved ? " saved" : "");
    put_loc_ref(p, s->loc);
    put(p, "\n");
}

static void put_graph(Printer *p)
{
    const AdvGraph *g = p->g;
    p->label = ADV_NEW_ARRAY(&p->mem, const char *, g->values.n);
    p->loc_no = ADV_NEW_ARRAY(&p->mem, uint32_t, g->locs.n);
    if (g->float_dtype != ADV_F32) putf(p, "float %s\n", dtype_names[g->float_dtype]);
    if (p->with_locs) {
        for (uint32_t i = 1; i < g->states.n; i++) put_loc_line(p, g->states.at[i].loc);
        for (uint32_t i = 0; i < g->entries.n; i++) put_locs_of_region(p, g->entries.at[i]);
    }
    for (uint32_t i = 1; i < g->states.n; i++) put_state(p, &g->states.at[i]);
    for (uint32_t i = 0; i < g->entries.n; i++) put_entry(p, g->entries.at[i]);
}

void adv_graph_print(const AdvGraph *g, bool with_locs, AdvWriteFn *write, void *user)
{
    Printer p = {.g = g, .write = write, .user = user, .with_locs = with_locs};
    adv_arena_init(&p.mem, g->arena->alloc);
    p.mem.trap = &p.trap;
    bool done = setjmp(p.trap) == 0;
    if (done) put_graph(&p);
    adv_arena_fini(&p.mem);
    if (!done) longjmp(*g->arena->trap, 1); /* out of memory, as everywhere in the compiler */
}
