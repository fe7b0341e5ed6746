/* weights.c: parameters and running statistics from a safetensors file, by name.
**
** A checkpoint's state file is such a file, and so is what PyTorch users save: there the names lack the model's prefix
** ("conv1.weight" for `f.conv1.weight`), which is accepted where only one model of the plan has that name. A model that the recipe
** starts from a file also takes the weights of a model of another name, where those of one only fit.
*/
#include "runtime/session.h"

#include "ops/view.h"

#include <stdio.h>
#include <string.h>

static bool is_weight(const AdvSession *s, uint32_t i)
{
    return s->plan->states[i].kind == ADV_STATE_PARAM || s->plan->states[i].kind == ADV_STATE_BUFFER;
}

static const char *without_prefix(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot ? dot + 1 : name;
}

/* Which weights are read: of one model, which stands in the file under another name maybe; or of all. */
typedef struct Want {
    const char *model, *as;
    size_t n_as;            /* bytes of `as`, whose text may go on */
} Want;

static bool is_wanted(const AdvSession *s, const Want *w, uint32_t i)
{
    const char *name = adv_state_name(s, i);
    size_t n = w->model ? strlen(w->model) : 0;
    return is_weight(s, i) && (!w->model || (!strncmp(name, w->model, n) && name[n] == '.'));
}

/* The tensor of one model's state: under `as`, else without a prefix. */
static const AdvBlob *find_as(const AdvSession *s, const AdvContainer *c, uint32_t state, const Want *w)
{
    const char *bare = without_prefix(adv_state_name(s, state));
    for (uint32_t i = 0; i < c->n_blobs; i++) {
        const char *name = c->blobs[i].name;
        if (!strncmp(name, w->as, w->n_as) && name[w->n_as] == '.' && !strcmp(name + w->n_as + 1, bare)) return &c->blobs[i];
    }
    return adv_container_blob(c, bare);
}

/* The tensor for a state, or NULL. */
static const AdvBlob *find(const AdvSession *s, const AdvContainer *c, uint32_t state, const Want *w)
{
    const char *name = adv_state_name(s, state), *bare = without_prefix(name);
    if (w->model) return find_as(s, c, state, w);
    const AdvBlob *b = adv_container_blob(c, name);
    if (b) return b;
    for (uint32_t i = 0; i < s->plan->n_states; i++)
        if (i != state && is_weight(s, i) && !strcmp(without_prefix(adv_state_name(s, i)), bare)) return NULL;
    return adv_container_blob(c, bare);
}

static bool same_shape(const AdvBlob *b, const AdvTensorType *t)
{
    bool fits = b->rank == t->rank;
    for (uint32_t k = 0; fits && k < t->rank; k++) fits = b->dim[k] == t->dim[k];
    return fits;
}

static void note_misfit(AdvDiag *d, const char *name, const AdvBlob *b, const AdvTensorType *t)
{
    char have[128], want[128];
    if (!b) {
        adv_diag_note(d, (AdvSpan){0, 0, 0}, "it lacks `%s`", name);
        return;
    }
    adv_dims_text(b->rank, b->dim, b->dtype, have, sizeof have);
    adv_dims_text(t->rank, t->dim, t->dtype, want, sizeof want);
    adv_diag_note(d, (AdvSpan){0, 0, 0}, "`%s` is %s there, and %s in the plan", name, have, want);
}

/* ---- other names ----------------------------------------------------------------------------------------------------- */

static size_t prefix_bytes(const char *name) { return strcspn(name, "."); }

/* Is blob i the first whose name begins with its prefix? */
static bool is_first(const AdvContainer *c, uint32_t i)
{
    const char *name = c->blobs[i].name;
    size_t n = prefix_bytes(name);
    if (!name[n] || !strncmp(name, "adv.", 4)) return false;
    for (uint32_t k = 0; k < i; k++)
        if (!strncmp(c->blobs[k].name, name, n + 1)) return false;
    return true;
}

static bool fits(const AdvSession *s, uint32_t state, const AdvBlob *b)
{
    return b && same_shape(b, &s->t->state_types[state]) && b->dtype != ADV_U8;
}

/* Has the file all that is wanted? */
static bool fits_all(const AdvSession *s, const AdvContainer *c, const Want *w)
{
    for (uint32_t i = 0; i < s->plan->n_states; i++)
        if (is_wanted(s, w, i) && !fits(s, i, find(s, c, i, w))) return false;
    return true;
}

static Want under(const Want *w, const char *name)
{
    return (Want){.model = w->model, .as = name, .n_as = prefix_bytes(name)};
}

/* The same model under the one other prefix of the file that has all of it; as wanted where that fits, or where more than one does. */
static Want other_name(const AdvSession *s, const AdvContainer *c, const Want *w, uint32_t *n_others)
{
    Want found = *w;
    *n_others = 0;
    if (!w->model || fits_all(s, c, w)) return *w;
    for (uint32_t i = 0; i < c->n_blobs; i++) {
        Want o = under(w, c->blobs[i].name);
        if (!is_first(c, i) || !fits_all(s, c, &o)) continue;
        found = o;
        ++*n_others;
    }
    return *n_others == 1 ? found : *w;
}

/* Which models the file seems to hold, where that may be why it does not fit. */
static void note_prefixes(AdvDiag *d, const AdvSession *s, const AdvContainer *c, const Want *w, uint32_t n_others)
{
    char list[256] = "";
    size_t n = 0;
    uint32_t n_all = 0;
    for (uint32_t i = 0; i < c->n_blobs; i++) {
        const char *name = c->blobs[i].name;
        Want o = under(w, name);
        if (!is_first(c, i) || (n_others && !fits_all(s, c, &o))) continue;
        if (n_all++ < 6 && n < sizeof list) n += (size_t)snprintf(list + n, sizeof list - n, "%s`%.*s`", n ? ", " : "", (int)o.n_as, name);
    }
    if (n_others > 1) {
        adv_diag_note(d, (AdvSpan){0, 0, 0}, "it has weights that fit under %s", list);
        adv_diag_help(d, "give the model one of these names in the recipe, so that it is clear which are meant");
    } else if (n_all) {
        adv_diag_note(d, (AdvSpan){0, 0, 0}, "its names begin with %s%s", list, n_all > 6 ? " and others" : "");
    }
}

/* n_others: under how many other names the file has all weights of a model. */
static AdvStatus check(const AdvSession *s, const AdvContainer *c, const Want *w, uint32_t n_others, const char *path, AdvDiags *ds)
{
    AdvDiag *d = NULL;
    uint32_t n_bad = 0, n_extra = 0;
    const char *extra = NULL;
    for (uint32_t i = 0; i < s->plan->n_states; i++) {
        if (!is_wanted(s, w, i)) continue;
        const AdvBlob *b = find(s, c, i, w);
        if (fits(s, i, b)) continue;
        if (!d) d = adv_diag(ds, ADV_D_WEIGHTS_MISSING, (AdvSpan){0, 0, 0}, "`%s` does not have the weights of this plan", path);
        if (n_bad++ < 5) note_misfit(d, adv_state_name(s, i), b, &s->t->state_types[i]);
    }
    if (n_bad > 5) adv_diag_note(d, (AdvSpan){0, 0, 0}, "and %u more", n_bad - 5);
    if (n_bad) note_prefixes(d, s, c, w, n_others);
    if (n_bad) return ADV_EDATA;
    if (w->model) return ADV_OK;  /* a file may hold more than one model */
    for (uint32_t i = 0; i < c->n_blobs; i++) {
        const char *name = c->blobs[i].name;
        bool is_known = !strncmp(name, "adv.", 4) || adv_plan_state(s->plan, name) != ADV_PLAN_NONE;
        for (uint32_t k = 0; !is_known && k < s->plan->n_states; k++) is_known = is_weight(s, k) && find(s, c, k, w) == &c->blobs[i];
        if (is_known) continue;
        if (!n_extra++) extra = name;
    }
    if (n_extra) adv_diag(ds, ADV_D_WEIGHTS_EXTRA, (AdvSpan){0, 0, 0}, "%u tensors of `%s` are not used, `%s` first", n_extra, path, extra);
    return ADV_OK;
}

static AdvStatus put(AdvSession *s, const AdvContainer *c, const Want *w, AdvDiags *ds)
{
    for (uint32_t i = 0; i < s->plan->n_states; i++) {
        if (!is_wanted(s, w, i)) continue;
        const AdvBlob *b = find(s, c, i, w);
        AdvTensorType t = s->t->state_types[i];
        t.dtype = b->dtype;
        void *aligned = adv_mem_new(&s->ctx->alloc, (size_t)b->n_bytes);
        if (!aligned) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while reading weights");
        memcpy(aligned, b->data, (size_t)b->n_bytes);
        AdvView v = adv_view_of(&t, aligned);
        AdvStatus st = adv_session_write(s, adv_state_name(s, i), &v, ds);
        adv_mem_free(&s->ctx->alloc, aligned, (size_t)b->n_bytes);
        ADV_TRY(st);
    }
    return ADV_OK;
}

/* A checkpoint's folder stands for the state in it. */
static AdvStatus find_file(const AdvSession *s, const char *path, AdvDiags *ds, char inside[ADV_PATH_BYTES], const char **out)
{
    static const char *const names[] = {"state.safetensors", "LATEST"};
    bool there = false;
    *out = path;
    for (size_t i = 0; i < 2 && !there; i++) {
        int n = snprintf(inside, ADV_PATH_BYTES, "%s/%s", path, names[i]);
        if (n < 0 || n >= ADV_PATH_BYTES) return ADV_OK; /* reading it says so */
        ADV_TRY(adv_has_file(s->ctx->io, inside, ds, &there));
        if (there && i)
            return adv_fail(ds, ADV_ENOENT, ADV_D_NO_FILE,
                            "`%s` is the folder of a run: name one of the checkpoints in it, %s/ckpt-...", path, path);
        if (there) *out = inside;
    }
    return ADV_OK;
}

static AdvStatus load(AdvSession *s, const char *path, Want w, AdvDiags *ds)
{
    void *data = NULL;
    uint64_t n_bytes = 0;
    uint32_t n_others = 0;
    AdvArena arena;
    AdvContainer c;
    char inside[ADV_PATH_BYTES];
    const char *file;
    ADV_TRY(find_file(s, path, ds, inside, &file));
    ADV_TRY(adv_read_file(s->ctx->io, &s->ctx->alloc, file, UINT64_C(1) << 40, ds, &data, &n_bytes));
    adv_arena_init(&arena, s->ctx->alloc);
    AdvStatus st = adv_container_parse(&arena, data, n_bytes, file, ds, &c);
    if (st == ADV_OK) w = other_name(s, &c, &w, &n_others);
    if (st == ADV_OK) st = check(s, &c, &w, n_others, file, ds);
    if (st == ADV_OK) st = put(s, &c, &w, ds);
    adv_arena_fini(&arena);
    adv_mem_free(&s->ctx->alloc, data, (size_t)n_bytes + 1);
    return st;
}

AdvStatus adv_session_load_weights(AdvSession *s, const char *path, AdvDiags *ds)
{
    ADV_TRY(adv_session_ready(s, ds));
    ADV_NEED(ds, path, "the path of the weights");
    return load(s, path, (Want){.model = NULL}, ds);
}

AdvStatus adv_weights_of_program(AdvSession *s, AdvDiags *ds)
{
    for (uint32_t i = 0; i < s->plan->prog->n_weights && !s->be->does_nothing; i++) {
        const AdvProgWeights *p = &s->plan->prog->weights[i];
        AdvStatus st = load(s, p->file, (Want){.model = p->model, .as = p->as, .n_as = strlen(p->as)}, ds);
        if (st != ADV_OK && ds && ds->last)
            adv_diag_note(ds->last, adv_recipe_span(s->plan, ds, p->off, p->len), "the weights that model `%s` begins with", p->model);
        ADV_TRY(st);
    }
    return ADV_OK;
}
