/* op_case.c: reading a line of a .case file. Values are random but a function of the line alone. */
#include "op_case.h"

#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/hash.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Parse {
    OpCase *c;
    AdvArena *arena;
    const AdvRegistry *reg;
    uint64_t random;
    double lo, hi; /* of floats without a kind */
    char *msg;
    size_t msg_bytes;
} Parse;

static bool bad(Parse *p, const char *fmt, ...) ADV_PRINTF(2, 3);
static bool bad(Parse *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->msg, p->msg_bytes, fmt, ap);
    va_end(ap);
    return false;
}

/* splitmix64 */
static uint64_t next(Parse *p)
{
    uint64_t z = p->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double uniform(Parse *p, double lo, double hi) { return (double)(float)(lo + (hi - lo) * (double)(next(p) >> 11) * 0x1p-53); }

static int64_t below(Parse *p, int64_t n) { return (int64_t)(next(p) % (uint64_t)n); }

/* "lo..hi" */
static bool read_range(const char *s, double *lo, double *hi)
{
    const char *dots = strstr(s, "..");
    char text[32], *end;
    if (!dots || dots == s || (size_t)(dots - s) >= sizeof text) return false;
    memcpy(text, s, (size_t)(dots - s));
    text[dots - s] = 0;
    *lo = strtod(text, &end);
    if (*end) return false;
    *hi = strtod(dots + 2, &end);
    return !*end && end != dots + 2;
}

/* "{1,-inf,nan}" or "[1,2]" at *s; advances behind it. */
static bool read_list(Parse *p, const char **s, char close, CaseWant *out)
{
    const char *t = *s + 1;
    uint32_t n = 1;
    for (const char *q = t; *q && *q != close; q++) n += *q == ',';
    out->v = ADV_NEW_ARRAY(p->arena, double, n);
    out->n = 0;
    while (*t && *t != close) {
        char *end;
        out->v[out->n++] = strtod(t, &end);
        if (end == t || (*end != ',' && *end != close)) return bad(p, "a list that cannot be read at `%s`", t);
        t = *end == ',' ? end + 1 : end;
    }
    if (*t != close) return bad(p, "a list without its `%c`", close);
    *s = t + 1;
    return true;
}

static bool read_dims(Parse *p, const char **s, AdvTensorType *t)
{
    if (strncmp(*s, "()", 2) == 0) {
        *s += 2;
        return true;
    }
    for (;;) {
        char *end;
        long long d = strtoll(*s, &end, 10);
        if (end == *s || d <= 0 || t->rank == ADV_MAX_RANK) return bad(p, "dims that cannot be read at `%s`", *s);
        t->dim[t->rank++] = d;
        *s = end;
        if (**s != 'x') return true;
        (*s)++;
    }
}

static void fill_distinct(Parse *p, CaseTensor *t)
{
    for (int64_t i = 0; i < t->n; i++) t->f[i] = (double)(float)(0.25 * (double)(i - t->n / 2) + uniform(p, 0.0, 0.1));
    for (int64_t i = t->n - 1; i > 0; i--) {
        int64_t j = below(p, i + 1);
        double v = t->f[i];
        t->f[i] = t->f[j], t->f[j] = v;
    }
}

static void fill_prob(Parse *p, CaseTensor *t)
{
    int64_t k = t->type.rank ? t->type.dim[t->type.rank - 1] : 1;
    for (int64_t r = 0; r < t->n; r += k) {
        double s = 0;
        for (int64_t i = 0; i < k; i++) s += t->f[r + i] = uniform(p, 0.1, 1);
        for (int64_t i = 0; i < k; i++) t->f[r + i] = (double)(float)(t->f[r + i] / s);
    }
}

/* i64 in 0..m-1; a permutation's beginning while n <= m. */
static void fill_ids(Parse *p, CaseTensor *t, int64_t m)
{
    for (int64_t i = 0; i < t->n; i++) {
        bool is_taken;
        do {
            is_taken = false;
            t->i[i] = below(p, m);
            for (int64_t j = 0; j < i && t->n <= m; j++) is_taken |= t->i[j] == t->i[i];
        } while (is_taken);
    }
}

/* The kind behind a colon, or the default of the port; sets dtype and fills. */
static bool fill(Parse *p, CaseTensor *t, const char *kind, uint8_t port)
{
    double lo = p->lo, hi = p->hi;
    int64_t m = 10;
    bool is_int = port == ADV_PORT_INT && !*kind;
    t->type.dtype = is_int || strncmp(kind, "class", 5) == 0 || strcmp(kind, "i32") == 0 ? ADV_I32
                    : strcmp(kind, "i64") == 0 || strncmp(kind, "id", 2) == 0            ? ADV_I64
                    : strcmp(kind, "u8") == 0                                            ? ADV_U8
                                                                                         : ADV_F64;
    t->n = adv_type_elems(&t->type);
    t->f = ADV_NEW_ARRAY(p->arena, double, t->n);
    t->i = ADV_NEW_ARRAY(p->arena, int64_t, t->n);
    if (strncmp(kind, "id", 2) == 0) return fill_ids(p, t, m = atoll(kind + 2)), m > 0;
    if (strncmp(kind, "class", 5) == 0) m = atoll(kind + 5);
    if (m <= 0) return bad(p, "`%s` has no range", kind);
    if (t->type.dtype == ADV_U8) m = 256;
    if (t->type.dtype != ADV_F64) {
        for (int64_t i = 0; i < t->n; i++) t->i[i] = below(p, m);
        return true;
    }
    if (strcmp(kind, "distinct") == 0) return fill_distinct(p, t), true;
    if (strcmp(kind, "prob") == 0) return fill_prob(p, t), true;
    t->is_f32 = strcmp(kind, "f32") == 0;
    if (*kind && !t->is_f32 && strcmp(kind, "bit") != 0 && !read_range(kind, &lo, &hi)) return bad(p, "there is no kind `%s`", kind);
    for (int64_t i = 0; i < t->n; i++) t->f[i] = strcmp(kind, "bit") == 0 ? (double)below(p, 2) : uniform(p, lo, hi);
    return true;
}

static bool read_tensor(Parse *p, const char *s, uint8_t port, CaseTensor *t)
{
    char kind[40] = "";
    CaseWant values = {0};
    if (!read_dims(p, &s, &t->type)) return false;
    if (*s == ':') {
        size_t n = strcspn(++s, "{");
        if (n >= sizeof kind) return bad(p, "a kind that is too long");
        memcpy(kind, s, n);
        s += n;
    }
    if (!fill(p, t, kind, port & (uint8_t)~ADV_PORT_REPEAT)) return false;
    if (!*s) return true;
    if (*s != '{' || !read_list(p, &s, '}', &values) || *s) return bad(p, "values that cannot be read at `%s`", s);
    if (values.n != 1 && values.n != t->n) return bad(p, "%u values for %lld elements", (unsigned)values.n, (long long)t->n);
    for (int64_t i = 0; i < t->n; i++) {
        double v = values.v[values.n == 1 ? 0 : i];
        if (t->type.dtype == ADV_F64)
            t->f[i] = v;
        else
            t->i[i] = (int64_t)v;
    }
    return true;
}

/* "[mul,add]" */
static bool read_ops(Parse *p, const char *s, AdvAttr *a)
{
    const AdvOpDef **ops = ADV_NEW_ARRAY(p->arena, const AdvOpDef *, strlen(s));
    a->ops = ops;
    if (*s++ != '[') return bad(p, "a list of ops begins with `[`");
    while (*s && *s != ']') {
        size_t n = strcspn(s, ",]");
        ops[a->n] = adv_registry_op(p->reg, adv_arena_strn(p->arena, s, n));
        if (!ops[a->n++]) return bad(p, "there is no op `%.*s`", (int)n, s);
        s += n + (s[n] == ',');
    }
    return true;
}

static bool read_attr(Parse *p, const AdvAttrDef *d, const char *s, AdvAttr *a)
{
    CaseWant list;
    char *end;
    memset(a, 0, sizeof *a);
    switch (d->kind) {
    case ADV_ATTR_INT: a->i = strtoll(s, &end, 0); return *end || end == s ? bad(p, "`%s` is no integer", s) : true;
    case ADV_ATTR_FLOAT: a->f = strtod(s, &end); return *end || end == s ? bad(p, "`%s` is no number", s) : true;
    case ADV_ATTR_ENUM:
        for (const char *q = d->choices; *q; a->i++) {
            size_t n = strcspn(q, "|");
            if (strlen(s) == n && memcmp(s, q, n) == 0) return true;
            q += n + (q[n] == '|');
        }
        return bad(p, "`%s` is none of %s", s, d->choices);
    default: break;
    }
    if (d->kind == ADV_ATTR_OPS) return read_ops(p, s, a);
    if (*s != '[' || !read_list(p, &s, ']', &list) || *s) return bad(p, "attribute `%s` needs a list", d->name);
    a->n = list.n;
    if (d->kind == ADV_ATTR_FLOATS)
        a->floats = list.v;
    else {
        int64_t *ints = ADV_NEW_ARRAY(p->arena, int64_t, list.n);
        for (uint32_t i = 0; i < list.n; i++) ints[i] = (int64_t)list.v[i];
        a->ints = ints;
    }
    return true;
}

static int port_index(const AdvOpDef *op, const char *key)
{
    for (int i = 0; op->in && op->in[i].kind != ADV_PORT_END; i++)
        if (strcmp(op->in[i].name, key) == 0) return i;
    return -1;
}

/* Marks the operands named in "a,b" (or none for "-"). */
static bool read_wrt(Parse *p, const char *s)
{
    memset(p->c->wrt, 0, sizeof p->c->wrt);
    while (*s && strcmp(s, "-") != 0) {
        char name[40];
        size_t n = strcspn(s, ",");
        int port;
        if (n >= sizeof name) return bad(p, "a name that is too long");
        memcpy(name, s, n);
        name[n] = 0;
        port = port_index(p->c->op, name);
        if (port < 0) return bad(p, "there is no operand `%s`", name);
        for (uint32_t i = (uint32_t)port; i < CASE_MAX_IN; i++) {
            p->c->wrt[i] = true;
            if (!(p->c->op->in[port].kind & ADV_PORT_REPEAT)) break;
        }
        s += n + (s[n] == ',');
    }
    return true;
}

static bool read_option(Parse *p, const char *key, const char *val)
{
    OpCase *c = p->c;
    char *text = adv_arena_strn(p->arena, val, strlen(val));
    for (char *q = text; *q; q++)
        if (*q == '~') *q = ' ';
    if (strcmp(key, "range") == 0) return read_range(val, &p->lo, &p->hi) ? true : bad(p, "`%s` is no range", val);
    if (strcmp(key, "nofd") == 0) return c->nofd = text, true;
    if (strcmp(key, "refuse") == 0) return c->refuse = text, true;
    if (strcmp(key, "wrt") == 0) return read_wrt(p, val);
    if (strcmp(key, "status") == 0) {
        c->status = strcmp(val, "edata") == 0 ? ADV_EDATA : strcmp(val, "einval") == 0 ? ADV_EINVAL : ADV_OK;
        return c->status != ADV_OK ? true : bad(p, "there is no status `%s`", val);
    }
    if (strcmp(key, "gout") == 0) {
        memset(c->has_gout, 0, sizeof c->has_gout);
        for (; *val; val++)
            if (*val >= '0' && *val < '0' + CASE_MAX_OUT) c->has_gout[*val - '0'] = true;
        return true;
    }
    if (strncmp(key, "want", 4) == 0 && (!key[4] || (key[4] >= '0' && key[4] < '0' + CASE_MAX_OUT && !key[5])))
        return *val == '{' && read_list(p, &val, '}', &c->want[key[4] ? key[4] - '0' : 0]) ? true : bad(p, "`%s` needs {values}", key);
    if (strncmp(key, "grad.", 5) == 0) {
        int port = port_index(c->op, key + 5);
        if (port < 0) return bad(p, "there is no operand `%s`", key + 5);
        return *val == '{' && read_list(p, &val, '}', &c->want_grad[port]) ? true : bad(p, "`%s` needs {values}", key);
    }
    return bad(p, "`%s` has neither operand nor attribute `%s`, and it is no expectation", c->op->name, key);
}

static bool read_word(Parse *p, char *word, bool options_only)
{
    OpCase *c = p->c;
    char *val = strchr(word, '=');
    int port;
    if (!val) return bad(p, "`%s` has no `=`", word);
    *val++ = 0;
    port = port_index(c->op, word);
    if (port >= 0) {
        if (options_only) return true;
        if (!(c->op->in[port].kind & ADV_PORT_REPEAT) && (uint32_t)port != c->n_in) return bad(p, "operand `%s` is out of order", word);
        if (c->n_in == CASE_MAX_IN) return bad(p, "too many operands");
        return read_tensor(p, val, c->op->in[port].kind, &c->in[c->n_in++]);
    }
    for (uint32_t i = 0, n = adv_op_n_attrs(c->op); i < n; i++)
        if (strcmp(c->op->attrs[i].name, word) == 0) return options_only ? read_attr(p, &c->op->attrs[i], val, &c->attr[i]) : true;
    return options_only ? read_option(p, word, val) : true;
}

/* Twice over the words: attributes and options first, since `range` holds for operands before it too. */
static bool read_words(Parse *p, const char *text, const AdvRegistry *reg)
{
    for (int pass = 0; pass < 2; pass++) {
        char *copy = adv_arena_strn(p->arena, text, strcspn(text, "#"));
        char *s = copy, *word = strtok_r(s, " \t\r\n", &s);
        if (!word) return false;
        if (pass == 0) {
            p->c->op = adv_registry_op(reg, word);
            if (!p->c->op) return bad(p, "there is no op `%s`", word);
            adv_op_default_attrs(p->c->op, p->c->attr);
        }
        while ((word = strtok_r(NULL, " \t\r\n", &s)))
            if (!read_word(p, word, pass == 0)) return false;
    }
    return true;
}

bool case_parse(OpCase *out, AdvArena *arena, const AdvRegistry *reg, const char *file, int line, const char *text, char *msg,
                size_t msg_bytes)
{
    Parse p = {.c = out,
               .arena = arena,
               .reg = reg,
               .random = adv_hash_bytes(ADV_HASH_START, text, strcspn(text, "#")),
               .lo = -2,
               .hi = 2,
               .msg = msg,
               .msg_bytes = msg_bytes};
    memset(out, 0, sizeof *out);
    msg[0] = 0;
    out->file = file;
    out->line = line;
    out->text = adv_arena_strn(arena, text, strcspn(text, "\n"));
    for (uint32_t i = 0; i < CASE_MAX_IN; i++) out->wrt[i] = true;
    for (uint32_t i = 0; i < CASE_MAX_OUT; i++) out->has_gout[i] = true;
    return read_words(&p, text, reg);
}
