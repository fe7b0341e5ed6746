/* read.c: reads what text.c prints (grammar there), for tests, --from= and the round trip after each pass.
**
** Input may be anything at all: every mistake is a diagnostic with its place, and the first one ends the reading. Types and
** layouts in the text are taken as they stand; adv_graph_verify tells whether they agree with the shape rules.
*/
#include "compiler/graph/graph.h"

#include "ops/view.h"
#include "runtime/base/checked.h"
#include "runtime/base/number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64
#define MAX_LIST (1u << 24)        /* elements of a constant or of an attribute's list */
#define MAX_ELEMS ((uint64_t)1 << 40)

typedef struct Bound { AdvStr name; AdvValueId value; } Bound;

typedef struct Reader {
    AdvGraph *g;
    AdvArena *arena;
    uint32_t file;
    const char *text;
    uint32_t at, end;
    bool failed;
    ADV_VEC(Bound) scope;        /* names in reach, inner last */
    ADV_VEC(AdvValueId) ins;     /* of the node being read */
    ADV_VEC(int64_t) ints;
    ADV_VEC(double) floats;
    ADV_VEC(const AdvOpDef *) ops;
    ADV_VEC(AdvLocId) locs;      /* by number in the text */
    uint32_t depth;
} Reader;

/* ---- tokens ---------------------------------------------------------------------------------------------------- */

static AdvSpan span_from(const Reader *r, uint32_t from)
{
    AdvSpan s = {r->file, from, r->at > from ? r->at - from : 1};
    return s;
}

static void fail(Reader *r, uint32_t from, const char *fmt, ...) ADV_PRINTF(3, 4);
static void fail(Reader *r, uint32_t from, const char *fmt, ...)
{
    if (r->failed) return;
    char msg[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    adv_diag(r->g->diags, ADV_D_GRAPH_TEXT, span_from(r, from), "%s", msg);
    r->failed = true;
}

/* Skips blanks and comments (`#` to the end of the line). */
static void skip(Reader *r)
{
    while (r->at < r->end) {
        char c = r->text[r->at];
        if (c == '#') {
            while (r->at < r->end && r->text[r->at] != '\n') r->at++;
        } else if (c == ' ' || c == '\n' || c == '\t' || c == '\r') r->at++;
        else return;
    }
}

static bool accept(Reader *r, const char *sign)
{
    skip(r);
    size_t n = strlen(sign);
    if (r->failed || r->end - r->at < n || memcmp(r->text + r->at, sign, n) != 0) return false;
    r->at += (uint32_t)n;
    return true;
}

static void expect(Reader *r, const char *sign)
{
    skip(r);
    if (!accept(r, sign)) fail(r, r->at, "expected `%s`", sign);
}

static bool word_char(char c) { return isalnum((unsigned char)c) || c == '_' || c == '.'; }

/* A word of letters, digits, `_` and `.`; its length is 0 after a failure. */
static const char *word(Reader *r, uint32_t *out_len)
{
    skip(r);
    uint32_t from = r->at;
    while (r->at < r->end && word_char(r->text[r->at])) r->at++;
    *out_len = r->failed ? 0 : r->at - from;
    if (!*out_len) fail(r, from, "expected a name");
    return r->text + from;
}

static bool word_is(const char *w, uint32_t n, const char *want) { return strlen(want) == n && memcmp(w, want, n) == 0; }

/* Takes the word `want` if it is next. */
static bool accept_word(Reader *r, const char *want)
{
    skip(r);
    size_t n = strlen(want);
    if (r->end - r->at > n && word_char(r->text[r->at + n])) return false;
    return accept(r, want);
}

/* A name: a word, or anything in quotes. */
static AdvStr name(Reader *r)
{
    uint32_t n;
    if (!accept(r, "\"")) {
        const char *w = word(r, &n);
        return adv_intern_n(r->g->names, w, n);
    }
    uint32_t from = r->at, stop = from;
    while (stop < r->end && r->text[stop] != '"' && r->text[stop] != '\n') stop += 1 + (r->text[stop] == '\\');
    char *s = adv_arena_new(r->arena, stop - from + 1);
    n = 0;
    while (r->at < r->end && r->text[r->at] != '"' && r->text[r->at] != '\n') {
        if (r->text[r->at] == '\\' && r->at + 1 < r->end) r->at++;
        s[n++] = r->text[r->at++];
    }
    if (r->at >= r->end || r->text[r->at] != '"') fail(r, from, "name without a closing quote");
    else r->at++;
    return adv_intern_n(r->g->names, s, n);
}

static int64_t integer(Reader *r)
{
    skip(r);
    uint32_t from = r->at;
    char s[32], *stop;
    uint32_t n = 0;
    while (r->at < r->end && n < sizeof s - 1) {
        char c = r->text[r->at];
        if (!isdigit((unsigned char)c) && (n > 0 || c != '-')) break;
        s[n++] = c;
        r->at++;
    }
    s[n] = '\0';
    errno = 0;
    long long v = strtoll(s, &stop, 10);
    if (!n || *stop || stop == s || errno) fail(r, from, "expected a whole number");
    return r->failed ? 0 : v;
}

static uint32_t small(Reader *r, uint32_t max)
{
    skip(r);
    uint32_t from = r->at;
    int64_t v = integer(r);
    if (v < 0 || v > (int64_t)max) fail(r, from, "number outside 0 .. %u", (unsigned)max);
    return r->failed ? 0 : (uint32_t)v;
}

static double number(Reader *r)
{
    skip(r);
    uint32_t from = r->at;
    char s[64 + ADV_POINT_BYTES], *stop;
    uint32_t n = 0;
    while (r->at < r->end && n < 63) {
        char c = r->text[r->at];
        if (!isalnum((unsigned char)c) && c != '+' && c != '-' && c != '.') break;
        s[n++] = c;
        r->at++;
    }
    s[n] = '\0';
    double v = adv_number_read(s, &stop);
    if (!n || *stop || stop == s) fail(r, from, "expected a number");
    return r->failed ? 0 : v;
}

/* The index of the next word in `list`, which ends with NULL. */
static uint32_t one_of(Reader *r, const char *const *list, const char *what)
{
    skip(r);
    uint32_t from = r->at, n;
    const char *w = word(r, &n);
    for (uint32_t i = 0; list[i]; i++) {
        if (word_is(w, n, list[i])) return i;
    }
    fail(r, from, "unknown %s", what);
    return 0;
}

/* ---- types, locations, values ---------------------------------------------------------------------------------- */

static const char *const dtype_names[] = {"", "f32", "f64", "bf16", "f16", "i32", "i64", "u8", NULL};
static const char *const rate_names[] = {"once", "epoch", "batch", "sample", NULL};
static const char *const kind_names[] = {"param", "buffer", "opt", "table", "slot", "scalar", "metric", "data", NULL};

static AdvTensorType type(Reader *r)
{
    AdvTensorType t = {0};
    skip(r);
    uint32_t from = r->at;
    t.dtype = (uint8_t)one_of(r, dtype_names, "element type");
    uint64_t elems = 1;
    if (accept(r, "[")) {
        do {
            int64_t d = integer(r);
            if (!r->failed && (t.rank == ADV_MAX_RANK || d < 1 || !adv_mul_ok(elems, (uint64_t)d, &elems) || elems > MAX_ELEMS))
                fail(r, from, "a shape has at most %d dimensions of 1 or more", ADV_MAX_RANK);
            if (!r->failed) t.dim[t.rank++] = d;
        } while (!r->failed && accept(r, ","));
        expect(r, "]");
        if (accept_word(r, "cl")) t.layout = ADV_LAYOUT_CL;
    }
    if (t.layout == ADV_LAYOUT_CL && t.rank != 4) fail(r, from, "only 4 dimensions can be channels-last");
    return t;
}

/* `!3`, or else the place of the text from `from` on. */
static AdvLocId location(Reader *r, uint32_t from)
{
    if (!accept(r, "!")) return adv_loc_source(r->g, span_from(r, from));
    uint32_t at = r->at, k = small(r, MAX_LIST);
    if (k && k <= r->locs.n) return r->locs.at[k - 1];
    fail(r, at, "there is no such location");
    return adv_loc_source(r->g, span_from(r, from));
}

static AdvStr value_name(Reader *r)
{
    expect(r, "%");
    uint32_t n;
    const char *w = word(r, &n);
    return adv_intern_n(r->g->names, w, n);
}

static AdvValueId use(Reader *r)
{
    skip(r);
    uint32_t from = r->at;
    AdvStr s = value_name(r);
    AdvValueId none = {0};
    if (r->failed) return none;
    for (uint32_t i = r->scope.n; i > 0; i--) {
        if (adv_str_eq(r->scope.at[i - 1].name, s) && r->scope.at[i - 1].value.i) return r->scope.at[i - 1].value;
    }
    fail(r, from, "`%%%.100s` is not defined before its use", adv_str(r->g->names, s));
    return none;
}

/* `%name: type@rate`: a new value, in reach from here on. Unnamed ones have a number in the text. */
static AdvValueId define(Reader *r)
{
    AdvGraph *g = r->g;
    skip(r);
    uint32_t from = r->at;
    AdvStr s = value_name(r);
    for (uint32_t i = 0; i < r->scope.n && !r->failed; i++) {
        if (adv_str_eq(r->scope.at[i].name, s)) fail(r, from, "`%%%.100s` is defined already", adv_str(g->names, s));
    }
    expect(r, ":");
    AdvTensorType t = type(r);
    AdvValue *v = ADV_PUSH(g->arena, &g->values);
    AdvValueId id = {g->values.n - 1};
    const char *own = adv_str(g->names, s);
    if (!isdigit((unsigned char)own[0])) v->name = s;
    v->type = t;
    if (accept(r, "@")) v->rate = (uint8_t)one_of(r, rate_names, "rate");
    Bound *b = ADV_PUSH(r->arena, &r->scope);
    b->name = s;
    b->value = id;
    return id;
}

/* ---- attributes ------------------------------------------------------------------------------------------------ */

static const AdvOpDef *op_name(Reader *r)
{
    AdvGraph *g = r->g;
    skip(r);
    uint32_t from = r->at, n;
    const char *w = word(r, &n);
    const AdvOpDef *op = r->failed ? NULL : adv_registry_op(g->reg, adv_str(g->names, adv_intern_n(g->names, w, n)));
    if (!op) fail(r, from, "unknown operation");
    return op;
}

static void list_attr(Reader *r, uint8_t kind, AdvAttr *a)
{
    expect(r, "[");
    r->ints.n = r->floats.n = r->ops.n = 0;
    if (accept(r, "]")) return;
    do {
        if (kind == ADV_ATTR_INTS) {
            int64_t v = integer(r);
            *ADV_PUSH(r->arena, &r->ints) = v;
        } else if (kind == ADV_ATTR_OPS) {
            const AdvOpDef *op = op_name(r);
            *ADV_PUSH(r->arena, &r->ops) = op;
        } else {
            double v = number(r);
            *ADV_PUSH(r->arena, &r->floats) = v;
        }
    } while (!r->failed && r->ints.n + r->floats.n + r->ops.n < MAX_LIST && accept(r, ","));
    expect(r, "]");
    a->n = r->failed ? 0 : r->ints.n + r->floats.n + r->ops.n;
    if (kind == ADV_ATTR_OPS) {
        const AdvOpDef **ops = ADV_NEW_ARRAY(r->g->arena, const AdvOpDef *, a->n);
        if (a->n) memcpy(ops, r->ops.at, a->n * sizeof *ops);
        a->ops = ops;
    } else if (kind == ADV_ATTR_INTS) {
        int64_t *ints = ADV_NEW_ARRAY(r->g->arena, int64_t, a->n);
        memcpy(ints, r->ints.at, a->n * sizeof *ints);
        a->ints = ints;
    } else {
        double *floats = ADV_NEW_ARRAY(r->g->arena, double, a->n);
        memcpy(floats, r->floats.at, a->n * sizeof *floats);
        a->floats = floats;
    }
}

static int64_t choice(Reader *r, const char *choices)
{
    skip(r);
    uint32_t from = r->at, n;
    const char *w = word(r, &n);
    for (int64_t k = 0; *choices; k++) {
        size_t len = strcspn(choices, "|");
        if (len == n && memcmp(choices, w, n) == 0) return k;
        choices += len + (choices[len] == '|');
    }
    fail(r, from, "unknown choice");
    return 0;
}

static void attr_value(Reader *r, const AdvAttrDef *d, AdvAttr *a)
{
    uint32_t from = r->at;
    switch (d->kind) {
    case ADV_ATTR_INT: *a = adv_attr_i(integer(r)); break;
    case ADV_ATTR_ENUM: *a = adv_attr_i(choice(r, d->choices)); break;
    case ADV_ATTR_FLOAT: *a = adv_attr_f(number(r)); break;
    default: list_attr(r, d->kind, a);
    }
    bool in = true;
    if (d->kind == ADV_ATTR_INT) in = (double)a->i >= d->min && (double)a->i <= d->max;
    if (d->kind == ADV_ATTR_FLOAT) in = !(a->f < d->min) && !(a->f > d->max);
    for (uint32_t i = 0; i < a->n && a->ints; i++) in = in && (double)a->ints[i] >= d->min && (double)a->ints[i] <= d->max;
    for (uint32_t i = 0; i < a->n && a->floats; i++) in = in && !(a->floats[i] < d->min) && !(a->floats[i] > d->max);
    if (!in) fail(r, from, "attribute `%s` is out of range", d->name);
}

/* Attributes of a node: defaults, then what stands in { }. */
static void attributes(Reader *r, const AdvOpDef *op, AdvNodeId id)
{
    AdvAttr attr[ADV_MAX_ATTRS] = {{0}};
    bool given[ADV_MAX_ATTRS] = {false};
    uint32_t n_attrs = adv_op_n_attrs(op);
    adv_op_default_attrs(op, attr);
    if (accept(r, "{")) {
        do {
            skip(r);
            uint32_t from = r->at, n, k = 0;
            const char *w = word(r, &n);
            while (k < n_attrs && !word_is(w, n, op->attrs[k].name)) k++;
            if (k == n_attrs) fail(r, from, "`%s` has no such attribute", op->name);
            expect(r, "=");
            if (r->failed) break;
            attr_value(r, &op->attrs[k], &attr[k]);
            given[k] = true;
        } while (!r->failed && accept(r, ","));
        expect(r, "}");
    }
    for (uint32_t k = 0; k < n_attrs && !r->failed; k++) {
        bool is_list = op->attrs[k].kind >= ADV_ATTR_INTS;
        if (!is_list && !given[k] && isnan(op->attrs[k].dflt)) fail(r, r->at, "`%s` needs attribute `%s`", op->name, op->attrs[k].name);
    }
    AdvGraph *g = r->g;
    g->nodes.at[id.i].attr_at = g->attrs.n;
    g->nodes.at[id.i].n_attr = n_attrs;
    for (uint32_t k = 0; k < n_attrs; k++) *ADV_PUSH(g->arena, &g->attrs) = attr[k];
}

/* ---- nodes ----------------------------------------------------------------------------------------------------- */

static void inputs(Reader *r, AdvNodeId id)
{
    AdvGraph *g = r->g;
    uint32_t n_in = r->ins.n;
    g->nodes.at[id.i].in_at = g->edges.n;
    g->nodes.at[id.i].n_in = n_in;
    for (uint32_t k = 0; k < n_in; k++) *ADV_PUSH(g->arena, &g->edges) = r->ins.at[k];
}

/* Elements of an i64 are read exactly, all others as doubles. */
static void const_data(Reader *r, AdvNodeId id)
{
    AdvGraph *g = r->g;
    AdvTensorType t = *adv_value_type(g, adv_node_out(g, id, 0));
    uint32_t from = r->at;
    int64_t n = adv_type_elems(&t);
    if (n > MAX_LIST || (uint64_t)n > r->end - r->at) { /* an element takes a character at least */
        fail(r, from, "too few elements for the type");
        return;
    }
    char *data = adv_arena_new(g->arena, (size_t)adv_type_bytes(&t));
    double *wide = ADV_NEW_ARRAY(g->arena, double, n);
    AdvView view = adv_view_of(&t, data);
    bool exact = true;
    if (t.rank) expect(r, "[");
    for (int64_t i = 0; i < n && !r->failed; i++) {
        if (i) expect(r, ",");
        if (t.dtype == ADV_I64) {
            ((int64_t *)(void *)data)[i] = integer(r);
            continue;
        }
        wide[i] = number(r);
        bool is_int = t.dtype == ADV_I32 || t.dtype == ADV_U8;
        double lo = t.dtype == ADV_U8 ? 0 : -2147483648.0, hi = t.dtype == ADV_U8 ? 255 : 2147483647.0;
        if (is_int && !(wide[i] >= lo && wide[i] <= hi && wide[i] == floor(wide[i]))) fail(r, from, "a number does not fit the type");
        else adv_st(&view, i, wide[i]);
        exact = exact && (isnan(wide[i]) || adv_ld(&view, i) == wide[i]);
    }
    if (t.rank) expect(r, "]");
    AdvConst *c = &g->nodes.at[id.i].data;
    c->data = data;
    c->n_bytes = (uint64_t)adv_type_bytes(&t);
    c->wide = exact ? NULL : wide;
}

static void nodes(Reader *r, AdvRegionId region);

/* ` 10 (%i: i64, %z: f32 = %x) !1 { … yield %z1 }` */
static void loop(Reader *r, AdvRegionId region, AdvNodeId id, uint32_t from)
{
    AdvGraph *g = r->g;
    AdvAttr turns = adv_attr_i(small(r, 1u << 20));
    g->nodes.at[id.i].attr_at = g->attrs.n;
    g->nodes.at[id.i].n_attr = 1;
    *ADV_PUSH(g->arena, &g->attrs) = turns;
    (void)ADV_PUSH(g->arena, &g->regions);
    AdvRegionId body = {g->regions.n - 1};
    g->nodes.at[id.i].body = body;
    adv_region(g, body)->parent = region;
    adv_region(g, body)->owner = id;
    uint32_t scope = r->scope.n;
    expect(r, "(");
    r->ins.n = 0;
    do {
        AdvValueId p = define(r);
        g->values.at[p.i].param_of = body;
        g->values.at[p.i].out_ix = (uint16_t)adv_region(g, body)->params.n;
        *ADV_PUSH(g->arena, &adv_region(g, body)->params) = p;
        if (adv_region(g, body)->params.n == 1) continue;
        expect(r, "=");
        AdvValueId v = use(r);
        *ADV_PUSH(r->arena, &r->ins) = v;
    } while (!r->failed && adv_region(g, body)->params.n < UINT16_MAX && accept(r, ","));
    expect(r, ")");
    inputs(r, id);
    AdvLocId loc = location(r, from);
    g->nodes.at[id.i].loc = adv_region(g, body)->loc = loc;
    expect(r, "{");
    if (++r->depth > MAX_DEPTH) fail(r, from, "loops nested deeper than %d", MAX_DEPTH);
    nodes(r, body);
    expect(r, "yield");
    skip(r);
    if (!r->failed && r->text[r->at] == '%') {
        do {
            AdvValueId v = use(r);
            *ADV_PUSH(g->arena, &adv_region(g, body)->results) = v;
        } while (!r->failed && accept(r, ","));
    }
    expect(r, "}");
    r->depth--;
    r->scope.n = scope;
}

static void state_node(Reader *r, AdvNodeId id, bool writes)
{
    skip(r);
    uint32_t from = r->at;
    AdvStateId s = adv_state_find(r->g, name(r));
    if (!s.i) fail(r, from, "there is no such state");
    r->g->nodes.at[id.i].state = s;
    r->ins.n = 0;
    if (writes) {
        expect(r, "=");
        AdvValueId v = use(r);
        *ADV_PUSH(r->arena, &r->ins) = v;
    }
    inputs(r, id);
}

/* What stands behind the name of an operation. */
static void operation(Reader *r, AdvRegionId region, const AdvOpDef *op, uint32_t from, uint32_t out_at, uint32_t n_out)
{
    AdvGraph *g = r->g;
    AdvNode *n = ADV_PUSH(g->arena, &g->nodes);
    AdvNodeId id = {g->nodes.n - 1};
    n->op = op;
    n->out_at = out_at;
    n->n_out = n_out;
    for (uint32_t k = 0; k < n_out; k++) {
        g->values.at[out_at + k].def = id;
        g->values.at[out_at + k].out_ix = (uint16_t)k;
    }
    if (strcmp(op->name, "loop") == 0) loop(r, region, id, from);
    else {
        if (strcmp(op->name, "read") == 0 || strcmp(op->name, "write") == 0) state_node(r, id, op->name[0] == 'w');
        else if (strcmp(op->name, "const") == 0) {
            if (n_out == 1) const_data(r, id);
            else fail(r, from, "a constant is one value");
        } else {
            r->ins.n = 0;
            skip(r);
            if (!r->failed && r->text[r->at] == '%') {
                do {
                    AdvValueId v = use(r);
                    *ADV_PUSH(r->arena, &r->ins) = v;
                } while (!r->failed && accept(r, ","));
            }
            inputs(r, id);
            attributes(r, op, id);
        }
        AdvLocId loc = location(r, from);
        g->nodes.at[id.i].loc = loc;
    }
    *ADV_PUSH(g->arena, &adv_region(g, region)->nodes) = id;
}

static void node(Reader *r, AdvRegionId region)
{
    AdvGraph *g = r->g;
    bool with_prev = accept(r, "&");
    skip(r);
    uint32_t from = r->at, scope = r->scope.n, out_at = g->values.n, n_out = 0;
    if (r->at < r->end && r->text[r->at] == '%') {
        do {
            define(r);
            n_out++;
        } while (!r->failed && n_out < UINT16_MAX && accept(r, ","));
        expect(r, "=");
    }
    const AdvOpDef *op = op_name(r);
    if (!op) return;
    /* its own outputs are not in reach of its operands */
    uint32_t n_bound = r->scope.n - scope;
    Bound *kept = ADV_NEW_ARRAY(r->arena, Bound, n_bound);
    if (n_bound) memcpy(kept, r->scope.at + scope, n_bound * sizeof *kept);
    for (uint32_t k = 0; k < n_bound; k++) r->scope.at[scope + k].value.i = 0;
    uint32_t id = g->nodes.n;
    operation(r, region, op, from, out_at, n_out);
    g->nodes.at[id].with_prev = with_prev;
    for (uint32_t k = 0; k < n_bound; k++) r->scope.at[scope + k] = kept[k];
}

/* Nodes up to `}` or `yield`. */
static void nodes(Reader *r, AdvRegionId region)
{
    for (;;) {
        skip(r);
        if (r->failed || r->at >= r->end || r->text[r->at] == '}') return;
        uint32_t at = r->at;
        bool ends = accept_word(r, "yield");
        r->at = at;
        if (ends) return;
        node(r, region);
    }
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

static AdvLocId loc_ref(Reader *r)
{
    AdvLocId none = {0};
    skip(r);
    if (r->at >= r->end || !isdigit((unsigned char)r->text[r->at])) return none;
    uint32_t at = r->at, k = small(r, MAX_LIST);
    if (k && k <= r->locs.n) return r->locs.at[k - 1];
    fail(r, at, "a location refers to earlier ones only");
    return none;
}

static void loc_line(Reader *r)
{
    static const char *const why[] = {"source", "call", "grad", "fused", NULL};
    AdvGraph *g = r->g;
    uint32_t from = r->at;
    if (small(r, MAX_LIST) != r->locs.n + 1) fail(r, from, "locations are numbered from 1 without a gap");
    expect(r, "=");
    AdvLoc l = {.why = (uint8_t)one_of(r, why, "kind of location")};
    if (l.why <= ADV_LOC_CALL) {
        l.span.file = small(r, MAX_LIST);
        expect(r, ":");
        l.span.off = small(r, INT32_MAX);
        expect(r, "+");
        l.span.len = small(r, INT32_MAX);
        if (l.span.file > g->diags->sources.files.n) fail(r, from, "there is no such source");
    }
    if (l.why != ADV_LOC_SOURCE) l.parent = loc_ref(r);
    if (l.why == ADV_LOC_FUSED) l.also = loc_ref(r);
    if (l.why > ADV_LOC_CALL && !l.parent.i) fail(r, from, "a location that refers to nothing");
    AdvLocId id = {0};
    switch (l.why) {
    case ADV_LOC_SOURCE: id = adv_loc_source(g, l.span); break;
    case ADV_LOC_CALL: id = adv_loc_call(g, l.span, l.parent); break;
    case ADV_LOC_GRAD: id = adv_loc_grad(g, l.parent); break;
    default: id = adv_loc_join(g, l.parent, l.also);
    }
    *ADV_PUSH(r->arena, &r->locs) = id;
}

static void state_line(Reader *r)
{
    uint32_t from = r->at;
    AdvStr s = name(r);
    expect(r, ":");
    AdvTensorType t = type(r);
    uint8_t kind = (uint8_t)one_of(r, kind_names, "kind of state");
    bool saved = accept_word(r, "saved");
    AdvLocId loc = location(r, from);
    if (!r->failed && adv_state_find(r->g, s).i) fail(r, from, "state `%.100s` is declared twice", adv_str(r->g->names, s));
    if (!r->failed) adv_state_new(r->g, s, t, kind, saved, loc);
}

static void entry(Reader *r)
{
    uint32_t from = r->at;
    AdvStr s = name(r);
    AdvLocId loc = location(r, from);
    if (!r->failed && adv_entry_find(r->g, s).i) fail(r, from, "entry `%.100s` is defined twice", adv_str(r->g->names, s));
    expect(r, "{");
    if (r->failed) return;
    r->scope.n = 0;
    nodes(r, adv_entry_new(r->g, s, loc));
    expect(r, "}");
}

AdvGraph *adv_graph_read(AdvArena *arena, const AdvRegistry *reg, AdvInterns *names, AdvDiags *diags, uint32_t file)
{
    if (!file || file > diags->sources.files.n) return NULL;
    const AdvSource *src = &diags->sources.files.at[file - 1];
    Reader r = {.g = adv_graph_new(arena, reg, names, diags), .arena = arena, .file = file, .text = src->text, .end = src->n_bytes};
    if (accept_word(&r, "float")) r.g->float_dtype = (uint8_t)one_of(&r, dtype_names, "element type");
    for (skip(&r); !r.failed && r.at < r.end; skip(&r)) {
        if (accept_word(&r, "loc")) loc_line(&r);
        else if (accept_word(&r, "state")) state_line(&r);
        else if (accept_word(&r, "entry")) entry(&r);
        else fail(&r, r.at, "expected `state`, `entry` or `loc`");
    }
    return r.failed ? NULL : r.g;
}
