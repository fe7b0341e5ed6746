/* plan_load.c: plan bytes -> AdvPlan, with everything in the file checked before first use.
**
** Sections are copied out of the container into the plan's own memory, because blobs have any alignment and the caller's bytes
** may go. All arithmetic on numbers from the file goes through checked.h. A missing section is an empty one: an empty array
** is not worth a blob. The second half (adv_plan_check) is in plan_check.c.
*/
#include "runtime/plan_load.h"

#include "ops/view.h"
#include "runtime/base/checked.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define MAX_ITEMS 0x7fffffffu

typedef struct Load {
    AdvPlan *p;
    AdvDiags *ds;
    const char *what;
    AdvContainer c;
    AdvPlanTarget *t;    /* the target being read */
    const char *section; /* for messages */
} Load;

#define BAD(l, ...) adv_fail((l)->ds, ADV_EDATA, ADV_D_PLAN_FORMAT, __VA_ARGS__)

static AdvStatus no_memory(Load *l)
{
    return adv_fail(l->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while loading plan `%s`", l->what);
}

/* Element ix of the section being read does not hold. */
static AdvStatus bad_item(Load *l, uint32_t ix, const char *how)
{
    return BAD(l, "plan `%s`: %s%s%s[%u] %s", l->what, l->t ? l->t->name : "", l->t ? "." : "", l->section, (unsigned)ix, how);
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

/* Copies section `name` (of the target being read, if there is one) into the plan: n_pad zero bytes behind it. */
static AdvStatus section(Load *l, const char *name, uint64_t elem_bytes, uint64_t n_pad, const void **out_at, uint32_t *out_n)
{
    char full[320];
    const AdvBlob *b;
    unsigned char *to;
    uint64_t total;
    l->section = name;
    snprintf(full, sizeof full, "%s%s%s", l->t ? l->t->name : "", l->t ? "." : "", name);
    b = adv_container_blob(&l->c, full);
    if (b && (b->dtype != ADV_U8 || b->rank != 1)) return BAD(l, "plan `%s`: section `%s` is not a list of bytes", l->what, full);
    if (b && (b->n_bytes % elem_bytes != 0 || b->n_bytes / elem_bytes > MAX_ITEMS))
        return BAD(l, "plan `%s`: section `%s` has %llu bytes, which is no number of elements of %llu bytes", l->what, full,
                   (unsigned long long)b->n_bytes, (unsigned long long)elem_bytes);
    if (!adv_add_ok(b ? b->n_bytes : 0, n_pad + 63, &total)) return no_memory(l);
    to = adv_arena_new(&l->p->arena, total);
    if (!to) return no_memory(l);
    to += (64 - (uintptr_t)to % 64) % 64;
    if (b && b->n_bytes) memcpy(to, b->data, b->n_bytes);
    *out_at = to;
    *out_n = b ? (uint32_t)(b->n_bytes / elem_bytes) : 0;
    return ADV_OK;
}

/* A section of structs: `to` is any typed pointer. */
#define SECTION(l, name, to, n)                                                                                                            \
    do {                                                                                                                                   \
        const void *section_at;                                                                                                            \
        ADV_TRY(section((l), (name), sizeof *(to), 0, &section_at, (n)));                                                                  \
        (to) = section_at;                                                                                                                 \
    } while (0)

/* A section of text: one NUL behind it, none inside. */
static AdvStatus text_section(Load *l, const char *name, const char **out_text, uint64_t *out_bytes)
{
    const void *at;
    uint32_t n;
    ADV_TRY(section(l, name, 1, 1, &at, &n));
    *out_text = at;
    if (memchr(*out_text, 0, n)) return BAD(l, "plan `%s`: section `%s` holds a zero byte", l->what, name);
    *out_bytes = n;
    return ADV_OK;
}

static AdvStatus copy_text(Load *l, const char *text, const char **out)
{
    size_t n = text ? strlen(text) : 0;
    *out = adv_arena_strn(&l->p->arena, text ? text : "", n);
    return *out ? ADV_OK : no_memory(l);
}

static bool str_ok(const Load *l, uint32_t str) { return str < l->p->n_string_bytes; }

/* ---- types and common sections ------------------------------------------------------------------------------------- */

/* Is this type well formed? *out_bytes gets the bytes of a dense tensor of it. */
static bool type_ok(const AdvTensorType *t, uint64_t *out_bytes)
{
    uint64_t n;
    if (t->dtype == ADV_DTYPE_NONE || t->dtype >= ADV_DTYPE_COUNT || t->rank > ADV_MAX_RANK || t->layout >= ADV_LAYOUT_COUNT) return false;
    if (t->zero != 0 || t->zero2 != 0 || (t->layout == ADV_LAYOUT_CL && t->rank != 4)) return false;
    n = adv_dtype_bytes(t->dtype);
    for (uint32_t i = 0; i < ADV_MAX_RANK; i++) {
        if (i >= t->rank ? t->dim[i] != 0 : t->dim[i] <= 0) return false;
        if (i < t->rank && !adv_mul_ok(n, (uint64_t)t->dim[i], &n)) return false;
    }
    *out_bytes = n;
    return n <= ADV_PLAN_MAX_BYTES;
}

static AdvStatus read_strings(Load *l)
{
    SECTION(l, "strings", l->p->strings, &l->p->n_string_bytes);
    if (l->p->n_string_bytes == 0) return BAD(l, "plan `%s` has no section `strings`", l->what);
    if (l->p->strings[0] != 0 || l->p->strings[l->p->n_string_bytes - 1] != 0)
        return BAD(l, "plan `%s`: section `strings` does not begin and end with a zero byte", l->what);
    return ADV_OK;
}

static AdvStatus read_sources(Load *l)
{
    AdvPlan *p = l->p;
    SECTION(l, "sources", p->sources, &p->n_sources);
    for (uint32_t i = 0; i < p->n_sources; i++) {
        const AdvPlanSource *s = &p->sources[i];
        if (!str_ok(l, s->name) || !str_ok(l, s->text) || s->zero != 0) return bad_item(l, i, "names no text");
        if (!adv_range_ok(s->text, (uint64_t)s->n_bytes + 1, p->n_string_bytes) || p->strings[(size_t)s->text + s->n_bytes] != 0)
            return bad_item(l, i, "has a text that ends outside the strings");
    }
    return ADV_OK;
}

static AdvStatus read_ops(Load *l)
{
    AdvPlan *p = l->p;
    SECTION(l, "ops", p->ops, &p->n_ops);
    for (uint32_t i = 0; i < p->n_ops; i++)
        if (!str_ok(l, p->ops[i].name) || p->ops[i].version > UINT16_MAX) return bad_item(l, i, "is not a name and a version");
    return ADV_OK;
}

static AdvStatus read_plugins(Load *l)
{
    AdvPlan *p = l->p;
    SECTION(l, "plugins", p->plugins, &p->n_plugins);
    for (uint32_t i = 0; i < p->n_plugins; i++) {
        const AdvPlanPlugin *g = &p->plugins[i];
        if (!str_ok(l, g->path) || !str_ok(l, g->name) || !str_ok(l, g->version) || !p->strings[g->path] || g->zero != 0)
            return bad_item(l, i, "has no path, name or version");
        if (g->op >= p->n_ops || (p->n_locs ? g->loc >= p->n_locs : g->loc != 0)) return bad_item(l, i, "names no op or place");
    }
    return ADV_OK;
}

/* Sorts indices of states by name, to find two of one name without a quadratic search. */
static void sift(const AdvPlan *p, uint32_t *heap, uint32_t at, uint32_t n)
{
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        uint32_t t;
        if (child + 1 < n && strcmp(adv_plan_str(p, p->states[heap[child]].name), adv_plan_str(p, p->states[heap[child + 1]].name)) < 0)
            child++;
        if (strcmp(adv_plan_str(p, p->states[heap[at]].name), adv_plan_str(p, p->states[heap[child]].name)) >= 0) return;
        t = heap[at];
        heap[at] = heap[child];
        heap[child] = t;
    }
}

static AdvStatus state_names_distinct(Load *l)
{
    AdvPlan *p = l->p;
    AdvArenaMark mark = adv_arena_mark(&p->arena);
    uint32_t n = p->n_states, *by_name = ADV_NEW_ARRAY(&p->arena, uint32_t, n);
    AdvStatus st = ADV_OK;
    if (!by_name) return no_memory(l);
    for (uint32_t i = 0; i < n; i++) by_name[i] = i;
    for (uint32_t i = n / 2; i-- > 0;) sift(p, by_name, i, n);
    for (uint32_t i = n; i-- > 1;) {
        uint32_t t = by_name[0];
        by_name[0] = by_name[i];
        by_name[i] = t;
        sift(p, by_name, 0, i);
    }
    for (uint32_t i = 1; i < n && st == ADV_OK; i++) {
        const char *a = adv_plan_str(p, p->states[by_name[i - 1]].name), *b = adv_plan_str(p, p->states[by_name[i]].name);
        if (strcmp(a, b) == 0) st = bad_item(l, by_name[i], "has a name that an earlier state has");
    }
    adv_arena_release(&p->arena, mark);
    return st;
}

static AdvStatus read_states(Load *l)
{
    AdvPlan *p = l->p;
    uint64_t n_bytes;
    SECTION(l, "states", p->states, &p->n_states);
    for (uint32_t i = 0; i < p->n_states; i++) {
        const AdvPlanState *s = &p->states[i];
        if (!str_ok(l, s->name) || p->strings[s->name] == 0) return bad_item(l, i, "has no name");
        if (s->kind >= ADV_STATE_KIND_COUNT || s->saved > 1 || s->zero[0] || s->zero[1]) return bad_item(l, i, "is of an unknown kind");
        if (!type_ok(&s->type, &n_bytes) || s->type.layout != ADV_LAYOUT_ROW || n_bytes > ADV_PLAN_MAX_BYTES / 2)
            return bad_item(l, i, "has a type that is none");
    }
    return state_names_distinct(l);
}

static AdvStatus read_locs(Load *l)
{
    AdvPlan *p = l->p;
    SECTION(l, "locs", p->locs, &p->n_locs);
    for (uint32_t i = 0; i < p->n_locs; i++) {
        const AdvPlanLoc *o = &p->locs[i];
        if (o->file > p->n_sources) return bad_item(l, i, "is in a source that is not there");
        if (o->file ? !adv_range_ok(o->off, o->len, p->sources[o->file - 1].n_bytes) : o->off || o->len)
            return bad_item(l, i, "is outside its source");
        if (i == 0 ? o->parent || o->also || o->file : o->parent >= i || o->also >= i)
            return bad_item(l, i, "has a chain that does not end");
        if (o->why >= ADV_LOC_COUNT) return bad_item(l, i, "has an unknown reason");
    }
    return ADV_OK;
}

/* ---- a target ------------------------------------------------------------------------------------------------------ */

/* The states' types as they lie in this target's memory. */
static AdvStatus widen_states(Load *l)
{
    AdvTensorType *types = ADV_NEW_ARRAY(&l->p->arena, AdvTensorType, l->p->n_states);
    if (!types) return no_memory(l);
    for (uint32_t i = 0; i < l->p->n_states; i++) {
        types[i] = l->p->states[i].type;
        if (types[i].dtype == ADV_F32) types[i].dtype = l->t->float_dtype;
    }
    l->t->state_types = types;
    return ADV_OK;
}

static AdvStatus read_attrs(Load *l)
{
    const AdvPlanAttr *raw;
    const int64_t *numbers;
    uint32_t n_numbers;
    AdvAttr *attrs;
    SECTION(l, "numbers", numbers, &n_numbers);
    SECTION(l, "attrs", raw, &l->t->n_attrs);
    attrs = ADV_NEW_ARRAY(&l->p->arena, AdvAttr, l->t->n_attrs);
    if (!attrs) return no_memory(l);
    for (uint32_t i = 0; i < l->t->n_attrs; i++) {
        if (!adv_range_ok(raw[i].list_at, raw[i].n, n_numbers)) return bad_item(l, i, "has a list outside the numbers");
        attrs[i].i = raw[i].i;
        attrs[i].f = raw[i].f;
        attrs[i].n = raw[i].n;
        /* the op's table says which of the two a list is; the same 8 bytes serve both */
        attrs[i].ints = numbers + raw[i].list_at;
        attrs[i].floats = (const double *)(const void *)(numbers + raw[i].list_at);
    }
    l->t->attrs = attrs;
    return ADV_OK;
}

static AdvStatus value_ok(Load *l, uint32_t i)
{
    AdvPlanTarget *t = l->t;
    const AdvPlanValue *v = &t->values[i];
    uint64_t n_bytes, room = ADV_PLAN_MAX_BYTES, unused;
    AdvView dense;
    if (!type_ok(&v->type, &n_bytes)) return bad_item(l, i, "has a type that is none");
    dense = adv_view_of(&v->type, NULL);
    if (memcmp(dense.stride, v->stride, sizeof dense.stride) != 0) return bad_item(l, i, "has strides that are not those of its layout");
    if (v->rate >= ADV_RATE_COUNT || !str_ok(l, v->name) || v->zero[0] || v->zero[1] || v->zero2) return bad_item(l, i, "is malformed");
    if (v->block >= ADV_BLOCK_COUNT || (v->block == ADV_BLOCK_STATE ? v->state >= l->p->n_states : v->state != ADV_PLAN_NONE))
        return bad_item(l, i, "is in no block");
    if (v->block == ADV_BLOCK_CONST) room = t->n_const_bytes;
    if (v->block == ADV_BLOCK_STATE && !type_ok(&t->state_types[v->state], &room)) return bad_item(l, i, "is in a state too large");
    if (v->offset % ADV_PLAN_ALIGN != 0) return bad_item(l, i, "does not begin at a multiple of 64 bytes");
    if (!adv_range_ok(v->offset, n_bytes, room) || !adv_add_ok(v->offset, n_bytes, &unused))
        return bad_item(l, i, "lies outside its block");
    if (v->block == ADV_BLOCK_TEMP && v->offset + n_bytes > t->temp_bytes) t->temp_bytes = v->offset + n_bytes;
    return ADV_OK;
}

static AdvStatus read_values(Load *l)
{
    uint32_t n_const_bytes;
    ADV_TRY(section(l, "consts", 1, 0, &l->t->consts, &n_const_bytes));
    l->t->n_const_bytes = n_const_bytes;
    SECTION(l, "values", l->t->values, &l->t->n_values);
    for (uint32_t i = 0; i < l->t->n_values; i++) ADV_TRY(value_ok(l, i));
    SECTION(l, "operands", l->t->operands, &l->t->n_operands);
    for (uint32_t i = 0; i < l->t->n_operands; i++)
        if (l->t->operands[i] >= l->t->n_values) return bad_item(l, i, "is no value");
    return ADV_OK;
}

static AdvStatus inst_ok(Load *l, uint32_t i)
{
    const AdvPlan *p = l->p;
    const AdvPlanTarget *t = l->t;
    const AdvPlanInst *in = &t->insts[i];
    bool is_loop;
    l->section = "insts";
    if (in->op >= p->n_ops) return bad_item(l, i, "has no op");
    if (!adv_range_ok(in->in_at, in->n_in, t->n_operands) || !adv_range_ok(in->out_at, in->n_out, t->n_operands))
        return bad_item(l, i, "has operands outside their list");
    if (!adv_range_ok(in->attr_at, in->n_attr, t->n_attrs)) return bad_item(l, i, "has attributes outside their list");
    if (p->n_locs ? in->loc >= p->n_locs : in->loc != 0) return bad_item(l, i, "has no location");
    is_loop = strcmp(adv_plan_str(p, p->ops[in->op].name), "loop") == 0;
    if (!is_loop && in->n_body != 0) return bad_item(l, i, "has a body but is no loop");
    if (is_loop) {
        const AdvPlanValue *turn;
        if (in->n_in != 0 || in->n_out != 1 || in->n_attr != 1) return bad_item(l, i, "is a malformed loop");
        turn = &t->values[t->operands[in->out_at]];
        if (turn->type.dtype != ADV_I64 || turn->type.rank != 0 || turn->block != ADV_BLOCK_TEMP)
            return bad_item(l, i, "is a loop without a turn number");
        if (t->attrs[in->attr_at].i < 1 || t->attrs[in->attr_at].i > ADV_PLAN_MAX_TURNS) return bad_item(l, i, "is a loop without an end");
    }
    for (uint32_t k = 0; k < in->n_out; k++) {
        const AdvPlanValue *v = &t->values[t->operands[in->out_at + k]];
        if (v->block == ADV_BLOCK_CONST || (v->block == ADV_BLOCK_STATE && p->states[v->state].kind == ADV_STATE_DATA))
            return bad_item(l, i, "writes what may only be read");
    }
    return ADV_OK;
}

/* The instructions of one entry: bodies within what encloses them. */
static AdvStatus entry_ok(Load *l, const AdvPlanEntry *e)
{
    uint32_t end[ADV_PLAN_MAX_DEPTH + 1], depth = 0, n_list = 0; /* n_list: instructions that the next one may join */
    end[0] = e->first + e->n_insts;
    for (uint32_t i = e->first; i < end[0]; i++) {
        for (; i == end[depth]; depth--) n_list = 0;
        ADV_TRY(inst_ok(l, i));
        if (l->t->insts[i].with_prev > (n_list > 0) || n_list == ADV_PLAN_MAX_LIST) return bad_item(l, i, "is of a list that is none");
        n_list = l->t->insts[i].with_prev ? n_list + 1 : 1;
        if (l->t->insts[i].n_body == 0) continue;
        n_list = 0;
        if (!adv_range_ok((uint64_t)i + 1, l->t->insts[i].n_body, end[depth])) return bad_item(l, i, "has a body that does not fit");
        if (depth == ADV_PLAN_MAX_DEPTH) return bad_item(l, i, "is a loop nested too deep");
        depth++;
        end[depth] = i + 1 + l->t->insts[i].n_body;
    }
    return ADV_OK;
}

static AdvStatus read_entries(Load *l)
{
    AdvPlan *p = l->p;
    AdvPlanTarget *t = l->t;
    uint32_t at = 0;
    SECTION(l, "insts", t->insts, &t->n_insts);
    SECTION(l, "entries", t->entries, &t->n_entries);
    if (t->n_entries > 4096) return BAD(l, "plan `%s`: target `%s` has more than 4096 entries", l->what, t->name);
    for (uint32_t i = 0; i < t->n_entries; i++) {
        const AdvPlanEntry *e = &t->entries[i];
        l->section = "entries";
        if (!str_ok(l, e->name) || p->strings[e->name] == 0) return bad_item(l, i, "has no name");
        if (adv_plan_entry(p, t, adv_plan_str(p, e->name)) != i) return bad_item(l, i, "has a name that an earlier entry has");
        if (e->first != at || !adv_range_ok(e->first, e->n_insts, t->n_insts)) return bad_item(l, i, "has instructions outside their list");
        if (p->n_locs ? e->loc >= p->n_locs : e->loc != 0) return bad_item(l, i, "has no location");
        at = e->first + e->n_insts;
        ADV_TRY(entry_ok(l, e));
    }
    if (at != t->n_insts) return BAD(l, "plan `%s`: target `%s` has instructions that no entry runs", l->what, t->name);
    return ADV_OK;
}

static AdvStatus read_target(Load *l, AdvPlanTarget *t)
{
    uint64_t n_info;
    l->t = t;
    t->float_dtype = strcmp(t->name, "ref64") == 0 ? ADV_F64 : ADV_F32;
    ADV_TRY(widen_states(l));
    ADV_TRY(read_attrs(l));
    ADV_TRY(read_values(l));
    ADV_TRY(read_entries(l));
    ADV_TRY(text_section(l, "info", &t->info, &n_info));
    l->t = NULL;
    return ADV_OK;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

/* "cpu,cuda" -> one AdvPlanTarget each. */
static AdvStatus split_targets(Load *l, const char *names)
{
    AdvPlan *p = l->p;
    uint32_t n = 1;
    for (const char *s = names; *s; s++) n += *s == ',';
    if (n > 16) return BAD(l, "plan `%s` names more than 16 targets", l->what);
    p->targets = ADV_NEW_ARRAY(&p->arena, AdvPlanTarget, n);
    if (!p->targets) return no_memory(l);
    for (const char *s = names;; s++) {
        size_t len = strcspn(s, ",");
        char *name = adv_arena_strn(&p->arena, s, len);
        if (!name) return no_memory(l);
        if (len == 0 || len > 32 || adv_plan_target(p, name))
            return BAD(l, "plan `%s` has a list of targets that is none: `%s`", l->what, names);
        p->targets[p->n_targets++].name = name;
        s += len;
        if (!*s) return ADV_OK;
    }
}

static AdvStatus read_meta(Load *l)
{
    const char *format = adv_container_meta(&l->c, "adv.plan"), *names = adv_container_meta(&l->c, "adv.targets");
    if (!format) return BAD(l, "`%s` is not a plan: its metadata has no `adv.plan`", l->what);
    if (strcmp(format, ADV_PLAN_FORMAT) != 0)
        return BAD(l, "plan `%s` has format %.20s, but this program reads format " ADV_PLAN_FORMAT ": compile its recipe anew", l->what,
                   format);
    if (!names) return BAD(l, "plan `%s` names no targets", l->what);
    ADV_TRY(copy_text(l, adv_container_meta(&l->c, "adv.recipe"), &l->p->recipe));
    ADV_TRY(copy_text(l, adv_container_meta(&l->c, "adv.hash"), &l->p->hash));
    return split_targets(l, names);
}

static AdvStatus read_all(Load *l, AdvArena *names, const void *bytes, uint64_t n_bytes)
{
    AdvPlan *p = l->p;
    ADV_TRY(adv_container_parse(names, bytes, n_bytes, l->what, l->ds, &l->c));
    ADV_TRY(read_meta(l));
    ADV_TRY(read_strings(l));
    ADV_TRY(read_sources(l));
    ADV_TRY(read_ops(l));
    ADV_TRY(read_states(l));
    ADV_TRY(read_locs(l));
    ADV_TRY(read_plugins(l));
    ADV_TRY(text_section(l, "program", &p->program, &p->n_program_bytes));
    for (uint32_t i = 0; i < p->n_targets; i++) ADV_TRY(read_target(l, &p->targets[i]));
    return ADV_OK;
}

AdvStatus adv_plan_parse(const AdvAlloc *a, const void *bytes, uint64_t n_bytes, const char *what, AdvDiags *ds, AdvPlan **out)
{
    AdvPlan *p = adv_mem_new0(a, sizeof *p);
    Load l = {.p = p, .ds = ds, .what = what};
    AdvArena names;
    AdvStatus st;
    *out = NULL;
    if (!p) return no_memory(&l);
    p->alloc = *a;
    adv_arena_init(&p->arena, *a);
    adv_arena_init(&names, *a);
    st = read_all(&l, &names, bytes, n_bytes);
    adv_arena_fini(&names);
    if (st != ADV_OK) {
        adv_plan_free(p);
        return st;
    }
    *out = p;
    return ADV_OK;
}

void adv_plan_free(AdvPlan *plan)
{
    AdvAlloc a;
    if (!plan) return;
    a = plan->alloc;
    adv_arena_fini(&plan->arena);
    adv_mem_free(&a, plan, sizeof *plan);
}

const AdvPlanTarget *adv_plan_target(const AdvPlan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->n_targets; i++)
        if (plan->targets[i].name && strcmp(plan->targets[i].name, name) == 0) return &plan->targets[i];
    return NULL;
}

uint32_t adv_plan_state(const AdvPlan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->n_states; i++)
        if (strcmp(adv_plan_str(plan, plan->states[i].name), name) == 0) return i;
    return ADV_PLAN_NONE;
}

uint32_t adv_plan_entry(const AdvPlan *plan, const AdvPlanTarget *t, const char *name)
{
    for (uint32_t i = 0; i < t->n_entries; i++)
        if (t->entries[i].name < plan->n_string_bytes && strcmp(adv_plan_str(plan, t->entries[i].name), name) == 0) return i;
    return ADV_PLAN_NONE;
}

AdvView adv_plan_view(const AdvPlanValue *v, void *base)
{
    AdvView r = {.dtype = v->type.dtype, .rank = v->type.rank};
    memcpy(r.dim, v->type.dim, sizeof r.dim);
    memcpy(r.stride, v->stride, sizeof r.stride);
    r.data = base ? (unsigned char *)base + v->offset : NULL;
    return r;
}

uint64_t adv_plan_value_bytes(const AdvPlanValue *v) { return (uint64_t)adv_type_bytes(&v->type); }

uint32_t adv_plan_add_sources(const AdvPlan *plan, AdvDiags *ds)
{
    uint32_t first = ds->sources.files.n;
    for (uint32_t i = 0; i < plan->n_sources; i++)
        adv_sources_add(&ds->sources, adv_plan_str(plan, plan->sources[i].name), adv_plan_str(plan, plan->sources[i].text),
                        plan->sources[i].n_bytes);
    return first;
}
