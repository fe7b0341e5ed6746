/* data.c: data sets, augmentation, and the `batch` entry that fills the slots of a step. */
#include "compiler/elab/elab.h"
#include "runtime/base/hash.h"

#include <string.h>

const ElDataset el_datasets[] = {
    {"mnist", 60000, 10000, 28, 28, 1, 10},
    {"cifar10", 50000, 10000, 32, 32, 3, 10},
    {"cifar100", 50000, 10000, 32, 32, 3, 100},
    {0},
};

/* ---- the section ---- */

static bool key_int(El *el, AstId block, const char *key, int64_t lo, int64_t hi, int64_t *io)
{
    AstId v = el_section_key(el, block, key);
    const char *what = adv_arena_printf(el->arena, "`%s`", key);
    return !v.i || el_int(el, el_const_expr(el, el->recipe, NULL, v, what), what, lo, hi, io);
}

/* `shape = [2]`: the sizes of one example. */
static bool read_shape(El *el, AstId shape)
{
    ElData *d = &el->data;
    ElVal s = el_const_expr(el, el->recipe, NULL, shape, "`shape`");
    if (s.kind != EL_LIST || s.n < 1 || s.n > 3) {
        if (!el_bad(s)) el_error(el, ADV_D_ARGUMENT_KIND, s.span, "`shape` is a list of one to three sizes, as in `[2]`");
        return false;
    }
    for (uint32_t i = 0; i < s.n; i++)
        if (!el_int(el, s.list[i], "a size", 1, 4096, &d->dim[i])) return false;
    d->rank = s.n;
    return true;
}

/* `data own`: whoever runs the plan brings examples of a declared shape. */
static void read_own(El *el, AstId block)
{
    static const char *const keys[] = {"train", "test", "classes", "shape", "batch", "val", "augment", NULL};
    ElData *d = &el->data;
    if (!el_section_check(el, block, "data own", keys)) return;
    AstId shape = el_section_key(el, block, "shape");
    if (!shape.i || !el_section_key(el, block, "train").i || !el_section_key(el, block, "test").i ||
        !el_section_key(el, block, "classes").i) {
        el_error(el, ADV_D_SECTION_MISSING, d->at,
                 "`data own` needs `shape`, `classes`, and how many samples there are: `train` and `test`");
        return;
    }
    if (!key_int(el, block, "train", 1, 1 << 24, &d->n_train) || !key_int(el, block, "test", 1, 1 << 24, &d->n_test) ||
        !key_int(el, block, "classes", 2, 1 << 20, &d->classes) || !read_shape(el, shape))
        return;
    ElDataset *set = ADV_NEW(el->arena, ElDataset);
    *set = (ElDataset){.name = d->name, .n_train = d->n_train, .n_test = d->n_test, .classes = d->classes};
    if (!key_int(el, block, "val", 0, d->n_train - 1, &d->n_val)) return;
    d->n_train -= d->n_val;
    d->augment = el_section_key(el, block, "augment");
    d->set = set;
    d->is_own = d->given = true;
}

static void read_synthetic(El *el, AstId block)
{
    static const char *const keys[] = {"train", "test", "classes", "shape", "batch", "val", "x", "y", NULL};
    ElData *d = &el->data;
    if (!el_section_check(el, block, "data synthetic", keys)) return;
    d->n_train = 4096;
    d->n_test = 1024;
    d->classes = 2;
    if (!key_int(el, block, "train", 1, 1 << 24, &d->n_train) || !key_int(el, block, "test", 1, 1 << 24, &d->n_test) ||
        !key_int(el, block, "classes", 2, 1 << 20, &d->classes))
        return;
    if (!key_int(el, block, "val", 0, d->n_train - 1, &d->n_val)) return;
    d->n_train -= d->n_val;
    d->x = el_section_key(el, block, "x");
    d->y = el_section_key(el, block, "y");
    AstId shape = el_section_key(el, block, "shape");
    if (!d->x.i || !d->y.i || !shape.i) {
        el_error(el, ADV_D_SECTION_MISSING, d->at, "`data synthetic` needs `shape`, and `x` and `y` as expressions of `id`");
        return;
    }
    d->given = read_shape(el, shape);
}

static void no_set(El *el, const char *name)
{
    ADV_VEC(const char *) known = {0};
    const char *all = "";
    for (const ElDataset *s = el_datasets; s->name; s++) {
        *ADV_PUSH(el->arena, &known) = s->name;
        all = adv_arena_printf(el->arena, "%s%s, ", all, s->name);
    }
    *ADV_PUSH(el->arena, &known) = "synthetic";
    *ADV_PUSH(el->arena, &known) = "own";
    AdvDiag *d = el_diag(el, ADV_D_DATASET, el->data.at, "no data set is called `%s`", name);
    const char *near = adv_nearest(name, known.at, known.n);
    if (near) adv_diag_help(d, "did you mean `%s`?", near);
    adv_diag_help(d, "there are %ssynthetic, whose x and y are expressions, and own, which you bring", all);
}

static void read_stored(El *el, AstId block, const char *name)
{
    static const char *const keys[] = {"batch", "augment", "val", "first", NULL};
    ElData *d = &el->data;
    for (const ElDataset *s = el_datasets; s->name; s++)
        if (!strcmp(s->name, name)) d->set = s;
    if (!d->set) {
        no_set(el, name);
        return;
    }
    if (!el_section_check(el, block, "data", keys)) return;
    d->n_train = d->set->n_train;
    d->n_test = d->set->n_test;
    d->classes = d->set->classes;
    d->rank = 3;
    d->dim[0] = d->set->channels;
    d->dim[1] = d->set->height;
    d->dim[2] = d->set->width;
    d->augment = el_section_key(el, block, "augment");
    if (!key_int(el, block, "val", 0, d->n_train - 1, &d->n_val)) return;
    d->n_train -= d->n_val;
    int64_t first = d->n_train;
    if (!key_int(el, block, "first", 1, d->n_train, &first)) return;
    d->n_train = first;
    d->given = true;
}

void el_data_read(El *el)
{
    ElItem *it = el_section(el, "data");
    if (!it) {
        el_error(el, ADV_D_SECTION_MISSING, (AdvSpan){el->recipe->file, 0, 0},
                 "a recipe needs a `data` section, as in `data mnist { batch = 128 }`");
        return;
    }
    ElData *d = &el->data;
    AstId block = el_section_block(el, it);
    d->at = ast(el->recipe->ast, it->node)->key;
    d->name = adv_str(el->names, ast(el->recipe->ast, it->node)->name2);
    d->batch = 128;
    if (!d->name[0]) {
        el_error(el, ADV_D_DATASET, d->at, "a `data` section names its data set, as in `data mnist { batch = 128 }`");
        return;
    }
    if (!key_int(el, block, "batch", 1, 1 << 20, &d->batch)) return;
    if (!strcmp(d->name, "synthetic")) read_synthetic(el, block);
    else if (!strcmp(d->name, "own")) read_own(el, block);
    else read_stored(el, block, d->name);
    if (!d->given) return;
    if (d->batch > d->n_train) {
        AstId given = el_section_key(el, block, "batch");
        el_error(el, ADV_D_OUT_OF_RANGE, given.i ? ast(el->recipe->ast, given)->span : d->at,
                 "a batch of %lld is larger than the %lld training samples", (long long)d->batch, (long long)d->n_train);
        d->given = false;
        return;
    }
    el->steps = d->n_train / d->batch;
    if (d->n_train % d->batch)
        el_diag(el, ADV_D_BATCH_TAIL, d->at,
                "the last %lld of %lld samples do not fill a batch of %lld and are left out, others in each epoch",
                (long long)(d->n_train % d->batch), (long long)d->n_train, (long long)d->batch);
}

/* ---- fetching ---- */

static AdvValueId data_state(El *el, const char *name, AdvTensorType t)
{
    return el_state(el, el_slot(el, name, t, ADV_STATE_DATA, false));
}

/* `my.cutout(size = 8)`: an op of a plugin that makes an image from an image. It gets what its ports ask for by name. */
static void augment_by_op(El *el, AstId callee, AstId entry)
{
    const Ast *t = el->recipe->ast;
    AdvSpan at = ast(t, entry)->span;
    ElVal f = el_expr(el, el->recipe, NULL, callee);
    uint32_t n = 0;
    if (el_bad(f)) return;
    if (f.kind != EL_FN || f.fn->kind != EL_FN_OP) {
        el_error(el, ADV_D_NOT_CALLABLE, at, "an augmentation is `pad_crop(pad = 4)`, `hflip` or an op of a plugin");
        return;
    }
    ElArg *given = ast(t, entry)->kind == AST_CALL ? el_args(el, el->recipe, NULL, entry, 1, &n) : NULL;
    ElArg *args = ADV_NEW_ARRAY(el->arena, ElArg, n + 5);
    for (uint32_t i = 0; i < n; i++) args[i] = given[i];
    const struct { const char *name; ElVal val;
    } own[] = {{"x", el->x},
               {"seed", el_number((double)el->seed, at)},
               {"epoch", el_tensor(el, el_counter(el, "run.epoch"), ADV_RATE_EPOCH, EL_NUM, at)},
               {"ids", el->ids},
               {"purpose", el_number((double)el_purpose(el, f.fn->name), at)}};
    for (size_t k = 0; k < sizeof own / sizeof *own; k++)
        if (el_op_has(f.fn->op, own[k].name))
            args[n++] = (ElArg){.name = adv_intern(el->names, own[k].name), .val = own[k].val, .span = at};
    ElVal x = el_op_call(el, f.fn->op, args, n, at);
    if (el_bad(x)) return;
    if (x.kind != EL_TENSOR || !adv_shape_eq(adv_value_type(el->g, x.t), adv_value_type(el->g, el->x.t)))
        el_error(el, ADV_D_PLUGIN_OP, at, "an augmentation gives images of the same shape, but `%s` gives %s", f.fn->name,
                 el_describe(el, x));
    else el->x = x;
}

static void augment_one(El *el, AstId entry)
{
    const Ast *t = el->recipe->ast;
    bool is_call = ast(t, entry)->kind == AST_CALL;
    const AstNode *callee = is_call ? ast(t, ast(t, entry)->first) : ast(t, entry);
    if (callee->kind == AST_DOT) {
        augment_by_op(el, is_call ? ast(t, entry)->first : entry, entry);
        return;
    }
    const char *name = callee->kind == AST_ID ? adv_str(el->names, callee->name) : "";
    AdvSpan at = ast(t, entry)->span;
    bool crop = !strcmp(name, "pad_crop"), flip = !strcmp(name, "hflip");
    if (!crop && !flip) {
        el_error(el, ADV_D_UNKNOWN_NAME, at, "no augmentation is called `%s`: there are `pad_crop(pad = 4)` and `hflip`", name);
        return;
    }
    if (el->data.rank != 3) {
        el_error(el, ADV_D_DATASET, at, "`%s` is for images", name);
        return;
    }
    const AdvOpDef *op = adv_registry_op(el->g->reg, name);
    AdvAttr a[ADV_MAX_ATTRS];
    adv_op_default_attrs(op, a);
    uint32_t n = 0;
    ElArg *args = is_call ? el_args(el, el->recipe, NULL, entry, 1, &n) : NULL;
    uint32_t before = el->ds->n_errors;
    bool has_pad = flip;
    for (uint32_t i = 0; i < n; i++) {
        const char *word = adv_str(el->names, args[i].name);
        int64_t pad;
        has_pad |= !strcmp(word, "pad");
        if (crop && !strcmp(word, "pad") &&
            el_int(el, args[i].val, "`pad`", 0, (el->data.dim[1] < el->data.dim[2] ? el->data.dim[1] : el->data.dim[2]) - 1, &pad))
            el_attr_set(op, a, "pad", adv_attr_i(pad));
        else if (crop && !strcmp(word, "mode") && args[i].val.kind == EL_NAME && !strcmp(adv_str(el->names, args[i].val.name), "reflect"))
            el_attr_set(op, a, "mode", adv_attr_i(1));
        else if (crop && !strcmp(word, "mode") && args[i].val.kind == EL_NAME && !strcmp(adv_str(el->names, args[i].val.name), "zero"))
            el_attr_set(op, a, "mode", adv_attr_i(0));
        else if (!el_bad(args[i].val) && !(crop && !strcmp(word, "pad")))
            el_error(el, ADV_D_ARGUMENT, args[i].span, "`%s` takes %s", name,
                     crop ? "`pad = 4` and `mode = zero` or `reflect`" : "no arguments");
    }
    if (!has_pad && el->ds->n_errors == before) el_error(el, ADV_D_ARGUMENT, at, "`pad_crop` needs `pad`, the largest shift in pixels");
    if (!has_pad || el->ds->n_errors > before) return;
    el_attr_set(op, a, "purpose", adv_attr_i((int64_t)el_purpose(el, name)));
    AdvValueId in[4] = {el->x.t, el_const(el, (double)el->seed, ADV_I64), el_counter(el, "run.epoch"), el->ids.t};
    el->x = el_tensor(el, el_node(el, at, name, in, 4, a), ADV_RATE_SAMPLE, EL_NUM, at);
}

static bool fetch_synthetic(El *el, bool test)
{
    ElData *d = &el->data;
    ElScope *s = el_scope_new(el, NULL);
    AdvAttr f32 = adv_attr_i(0), i32 = adv_attr_i(4);
    if (test) el->ids.t = el_n2(el, d->at, "add", el->ids.t, el_const(el, (double)(d->n_train + d->n_val), ADV_I64));
    ElVal id = el_tensor(el, el_node(el, d->at, "cast", &el->ids.t, 1, &f32), ADV_RATE_SAMPLE, EL_NUM, d->at);
    el_bind(el, s, adv_intern(el->names, "id"), id, d->at);
    bool was_eval = el->in_eval;
    int64_t seed = el->seed;
    el->in_eval = true;  /* the data are the same in every epoch and for every seed: draws leave them out */
    el->seed = 0;
    ElFrame frame;
    el_push(el, &frame, "data", (AdvSpan){0, 0, 0});
    frame.place = adv_hash_str(ADV_HASH_START, "data");
    ElVal y = el_expr(el, el->recipe, s, d->y);
    int64_t dims[ADV_MAX_RANK] = {el->n_batch}, *keep = ADV_NEW_ARRAY(el->arena, int64_t, ADV_MAX_RANK);
    for (uint32_t i = 0; i < d->rank; i++) dims[i + 1] = d->dim[i];
    memcpy(keep, dims, sizeof dims);
    AdvValueId zero = el_const(el, 0, el->g->float_dtype);
    AdvAttr shape = adv_attr_ints(keep, d->rank + 1);
    ElVal zeros = el_tensor(el, el_node(el, d->at, "broadcast", &zero, 1, &shape), ADV_RATE_SAMPLE, EL_NUM, d->at);
    el_bind(el, s, adv_intern(el->names, "y"), y, d->at);
    el_bind(el, s, adv_intern(el->names, "x"), zeros, d->at);
    ElVal x = el_expr(el, el->recipe, s, d->x);
    ElVal sum[2] = {zeros, x};
    x = el_elementwise(el, d->at, "x", "add", sum, 2, EL_NUM);
    el_pop(el);
    el->in_eval = was_eval;
    el->seed = seed;
    if (el_bad(x) || el_bad(y)) return false;
    if (!adv_shape_eq(adv_value_type(el->g, x.t), adv_value_type(el->g, zeros.t)) || y.rate != ADV_RATE_SAMPLE || el_rank(el, y)) {
        el_error(el, ADV_D_SHAPE_FIT, d->at, "`x` must be of the declared shape and `y` one class per sample, but they are %s and %s",
                 el_describe(el, x), el_describe(el, y));
        return false;
    }
    AdvValueId g = el_graph(el, y);
    el->x = x;
    el->y = el_class(el, el_node(el, d->at, "cast", &g, 1, &i32), d->classes, d->at);
    return true;
}

/* Samples `ids` of the images as stored, or of what somebody brings. */
static AdvValueId fetch_x(El *el, AdvValueId ids, bool test, int64_t n)
{
    const ElData *d = &el->data;
    const char *name = test ? "data.test.x" : "data.train.x";
    int64_t bytes[4] = {n, d->set->height, d->set->width, d->set->channels}, own[1 + ADV_MAX_RANK] = {n};
    if (!d->is_own) return el_n2(el, d->at, "image_fetch", data_state(el, name, el_type(ADV_U8, 4, bytes)), ids);
    memcpy(own + 1, d->dim, d->rank * sizeof *own);
    return el_n2(el, d->at, "gather", data_state(el, name, el_type(ADV_F32, d->rank + 1, own)), ids);
}

bool el_data_fetch(El *el, AdvValueId ids, bool test, bool augment)
{
    ElData *d = &el->data;
    el->ids = el_tensor(el, ids, ADV_RATE_SAMPLE, EL_NUM, d->at);
    if (!d->set) return fetch_synthetic(el, test);
    int64_t n = test ? d->set->n_test : d->set->n_train;
    el->x = el_tensor(el, fetch_x(el, ids, test, n), ADV_RATE_SAMPLE, EL_NUM, d->at);
    AdvValueId y = data_state(el, test ? "data.test.y" : "data.train.y", el_type(ADV_I32, 1, &n));
    el->y = el_class(el, el_n2(el, d->at, "gather", y, ids), d->classes, d->at);
    if (!augment || !d->augment.i) return !el_bad(el->x);
    const Ast *t = el->recipe->ast;
    if (ast(t, d->augment)->kind != AST_LIST) {
        el_error(el, ADV_D_ARGUMENT_KIND, ast(t, d->augment)->span, "`augment` is a list, as in `[pad_crop(pad = 4), hflip]`");
        return false;
    }
    for (AstId c = ast(t, d->augment)->first; c.i; c = ast(t, c)->next) augment_one(el, c);
    return !el_bad(el->x);
}

static AdvTensorType batch_type(const El *el, uint8_t dtype, uint32_t rank, const int64_t *dim)
{
    int64_t dims[ADV_MAX_RANK] = {el->data.batch};
    for (uint32_t i = 0; i < rank; i++) dims[i + 1] = dim[i];
    return el_type(dtype, rank + 1, dims);
}

void el_batch_slots(El *el, AdvStateId *x, AdvStateId *y, AdvStateId *ids)
{
    *x = el_slot(el, "x", batch_type(el, ADV_F32, el->data.rank, el->data.dim), ADV_STATE_SLOT, false);
    *y = el_slot(el, "y", batch_type(el, ADV_I32, 0, NULL), ADV_STATE_SLOT, false);
    *ids = el_slot(el, "ids", batch_type(el, ADV_I64, 0, NULL), ADV_STATE_SLOT, false);
}

void el_data_entry(El *el)
{
    AdvStateId x, y, ids;
    ElData *d = &el->data;
    el_entry_begin(el, "batch", d->at, d->batch);
    const AdvOpDef *op = adv_registry_op(el->g->reg, "perm_ids");
    AdvAttr a[ADV_MAX_ATTRS];
    adv_op_default_attrs(op, a);
    el_attr_set(op, a, "n", adv_attr_i(d->n_train));
    el_attr_set(op, a, "batch", adv_attr_i(d->batch));
    el_attr_set(op, a, "purpose", adv_attr_i((int64_t)(adv_hash_str(ADV_HASH_START, "order") >> 12)));
    AdvValueId in[3] = {el_const(el, (double)el->seed, ADV_I64), el_counter(el, "run.epoch"), el_counter(el, "run.step")};
    AdvValueId v = el_node(el, d->at, "perm_ids", in, 3, a);
    if (el_data_fetch(el, v, false, true)) {
        el_batch_slots(el, &x, &y, &ids);
        el_state_set(el, x, el->x.t);
        el_state_set(el, y, el->y.t);
        el_state_set(el, ids, v);
    }
    el_entry_end(el);
}
