/* decode.c: from the files of one form to images and labels. Which reader a file needs is a column of the table. */
#include "tools/data/data.h"

#include <assert.h>
#include <inttypes.h>
#include <sha2.h>
#include <string.h>

void data_sha256(const void *bytes, uint64_t n_bytes, char out_hex[65])
{
    SHA2_CTX state;
    SHA256Init(&state);
    if (n_bytes) SHA256Update(&state, bytes, n_bytes);
    SHA256End(&state, out_hex);
}

void data_content_sha256(const DataSetDef *set, DataRows train, DataRows test, char out_hex[65])
{
    SHA2_CTX state;
    SHA256Init(&state);
    SHA256Update(&state, train.x, set->n_train * data_image_bytes(set));
    SHA256Update(&state, (const uint8_t *)train.y, set->n_train * sizeof *train.y);
    SHA256Update(&state, test.x, set->n_test * data_image_bytes(set));
    SHA256Update(&state, (const uint8_t *)test.y, set->n_test * sizeof *test.y);
    SHA256End(&state, out_hex);
}

AdvStatus data_check_labels(const DataCtx *ctx, const DataSetDef *set, const char *name, const int32_t *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (y[i] >= 0 && (uint32_t)y[i] < set->n_classes) continue;
        return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_LABEL,
                        "`%s`: label %" PRIu32 " is %" PRId32 ", but there are the classes 0 to %" PRIu32, name, i, y[i],
                        set->n_classes - 1);
    }
    return ADV_OK;
}

AdvStatus data_files_init(const DataCtx *ctx, const DataTable *t, const DataSetDef *set, DataFiles *out)
{
    uint32_t n = 0;
    *out = (DataFiles){0};
    for (uint32_t i = 0; i < t->n_files; i++) n += strcmp(t->forms[t->files[i].form].set, set->name) == 0;
    assert(n && "every data set has files");
    out->at = adv_mem_new0(&ctx->alloc, n * sizeof *out->at);
    if (!out->at) return adv_fail(ctx->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < t->n_files; i++)
        if (strcmp(t->forms[t->files[i].form].set, set->name) == 0) out->at[out->n++].def = &t->files[i];
    return ADV_OK;
}

void data_files_fini(const DataCtx *ctx, DataFiles *f)
{
    for (uint32_t i = 0; i < f->n; i++) adv_mem_free(&ctx->alloc, f->at[i].bytes, f->at[i].n_allocated);
    adv_mem_free(&ctx->alloc, f->at, f->n * sizeof *f->at);
    *f = (DataFiles){0};
}

AdvStatus data_check_file(const DataCtx *ctx, const DataBlob *b)
{
    const DataFileDef *def = b->def;
    if (def->n_bytes && b->n_bytes != def->n_bytes) {
        AdvDiag *d =
            adv_diag(ctx->ds, ADV_D_DATA_NOT_ORIGINAL, (AdvSpan){0},
                     "`%s` is not the published file: it has %" PRIu64 " bytes, expected %" PRIu64, def->name, b->n_bytes, def->n_bytes);
        if (b->n_bytes && b->bytes[0] == '<')
            adv_diag_note(d, (AdvSpan){0}, "it begins with `<`: perhaps a web page was saved in its place");
        return ADV_EDATA;
    }
    if (!def->sha256[0]) return ADV_OK;
    char hex[65];
    data_sha256(b->bytes, b->n_bytes, hex);
    if (strcmp(hex, def->sha256) == 0) return ADV_OK;
    return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_NOT_ORIGINAL, "`%s` is not the published file: its SHA-256 is %s, expected %s",
                    def->name, hex, def->sha256);
}

/* Files of the form there are in f, and one that is not there (NULL if none). */
static uint32_t count_form(const DataFiles *f, uint32_t form, const DataFileDef **out_missing)
{
    uint32_t n = 0;
    *out_missing = NULL;
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->at[i].def->form != form) continue;
        if (f->at[i].bytes) n++;
        else if (!*out_missing) *out_missing = f->at[i].def;
    }
    return n;
}

static AdvStatus choose_form(const DataCtx *ctx, const DataTable *t, const DataSetDef *set, const DataFiles *f, uint32_t *out_form)
{
    uint32_t most = 0;
    const DataFileDef *missing_of_most = NULL;
    for (uint32_t form = 0; form < t->n_forms; form++) {
        const DataFileDef *missing;
        if (strcmp(t->forms[form].set, set->name) != 0) continue;
        uint32_t n = count_form(f, form, &missing);
        if (!missing && n) {
            *out_form = form;
            return ADV_OK;
        }
        if (n > most || !missing_of_most) missing_of_most = missing;
        if (n > most) most = n;
    }
    assert(missing_of_most); /* every set of the table has a form */
    if (most == 0)
        return adv_fail(ctx->ds, ADV_ENOENT, ADV_D_NO_FILE, "none of the files of `%s` is there, e.g. `%s`", set->name,
                        missing_of_most->name);
    return adv_fail(ctx->ds, ADV_ENOENT, ADV_D_NO_FILE, "`%s` is missing beside the other files of `%s`", missing_of_most->name, set->name);
}

/* Reads one file to where the `*at`-th sample of its role goes, and moves on. */
static AdvStatus read_file(const DataCtx *ctx, const DataSetDef *set, const DataBlob *b, DataRows rows, uint32_t *x_at, uint32_t *y_at)
{
    const DataFileDef *def = b->def;
    bool has_x = def->role != DATA_TRAIN_Y && def->role != DATA_TEST_Y, has_y = def->role != DATA_TRAIN_X && def->role != DATA_TEST_X;
    DataRows to = {has_x ? rows.x + *x_at * data_image_bytes(set) : NULL, has_y ? rows.y + *y_at : NULL};
    if (has_x) *x_at += def->n;
    if (has_y) *y_at += def->n;
    ADV_TRY(data_check_file(ctx, b));
    return def->read(ctx, set, b, to);
}

static AdvStatus read_form(const DataCtx *ctx, const DataFiles *f, uint32_t form, DataDecoded *d)
{
    uint32_t train_x = 0, train_y = 0, test_x = 0, test_y = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->at[i].def->form != form) continue;
        bool is_train = f->at[i].def->role <= DATA_TRAIN_XY;
        ADV_TRY(
            read_file(ctx, d->set, &f->at[i], is_train ? d->train : d->test, is_train ? &train_x : &test_x, is_train ? &train_y : &test_y));
    }
    assert(train_x == d->set->n_train && train_y == train_x && test_x == d->set->n_test && test_y == test_x && "the table is consistent");
    return ADV_OK;
}

static AdvStatus check_content(const DataCtx *ctx, const DataDecoded *d)
{
    char hex[65];
    if (!d->set->content_sha256[0]) return ADV_OK;
    data_content_sha256(d->set, d->train, d->test, hex);
    if (strcmp(hex, d->set->content_sha256) == 0) return ADV_OK;
    return adv_fail(ctx->ds, ADV_EDATA, ADV_D_DATA_NOT_ORIGINAL,
                    "the decoded content of `%s` is not the published one: its SHA-256 is %s, expected %s", d->set->name, hex,
                    d->set->content_sha256);
}

AdvStatus data_decode(const DataCtx *ctx, const DataTable *t, const DataSetDef *set, const DataFiles *f, DataDecoded *out)
{
    uint32_t form = 0;
    *out = (DataDecoded){.set = set};
    ADV_TRY(choose_form(ctx, t, set, f, &form));
    out->train.x = adv_mem_new(&ctx->alloc, set->n_train * data_image_bytes(set));
    out->train.y = adv_mem_new(&ctx->alloc, set->n_train * sizeof *out->train.y);
    out->test.x = adv_mem_new(&ctx->alloc, set->n_test * data_image_bytes(set));
    out->test.y = adv_mem_new(&ctx->alloc, set->n_test * sizeof *out->test.y);
    AdvStatus st = ADV_OK;
    if (!out->train.x || !out->train.y || !out->test.x || !out->test.y) {
        st = adv_fail(ctx->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory: `%s` decoded does not fit", set->name);
    }
    if (st == ADV_OK) st = read_form(ctx, f, form, out);
    if (st == ADV_OK) st = check_content(ctx, out);
    if (st != ADV_OK) data_decoded_fini(ctx, out);
    return st;
}

void data_decoded_fini(const DataCtx *ctx, DataDecoded *d)
{
    if (!d->set) return;
    adv_mem_free(&ctx->alloc, d->train.x, d->set->n_train * data_image_bytes(d->set));
    adv_mem_free(&ctx->alloc, d->train.y, d->set->n_train * sizeof *d->train.y);
    adv_mem_free(&ctx->alloc, d->test.x, d->set->n_test * data_image_bytes(d->set));
    adv_mem_free(&ctx->alloc, d->test.y, d->set->n_test * sizeof *d->test.y);
    *d = (DataDecoded){0};
}
