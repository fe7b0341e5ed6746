/* table.c: datasets.def as tables, and finding a row. */
#include "tools/data/data.h"

#include <string.h>

#define MOST_SETS 64

#define SET(name, title, classes, height, width, channels, n_train, n_test, content, class_names) \
    {name, title, classes, height, width, channels, n_train, n_test, content, class_names},
static const DataSetDef sets[] = {
#include "tools/data/datasets.def"
};
#undef SET

enum {
#define FORM(id, set, route, archive, n_bytes, sha256, md5, from) FORM_##id,
#include "tools/data/datasets.def"
#undef FORM
};

#define FORM(id, set, route, archive, n_bytes, sha256, md5, from) {set, route, archive, n_bytes, sha256, md5, from},
static const DataFormDef forms[] = {
#include "tools/data/datasets.def"
};
#undef FORM

#define FILE_OF(form, name, role, read, n, n_bytes, sha256) {FORM_##form, name, role, read, n, n_bytes, sha256},
static const DataFileDef files[] = {
#include "tools/data/datasets.def"
};
#undef FILE_OF

const DataTable data_table = {sets,  sizeof sets / sizeof sets[0],   forms, sizeof forms / sizeof forms[0],
                              files, sizeof files / sizeof files[0]};

const DataSetDef *data_find(const DataCtx *ctx, const DataTable *t, const char *name)
{
    const char *names[MOST_SETS];
    uint32_t n = t->n_sets < MOST_SETS ? t->n_sets : MOST_SETS;
    for (uint32_t i = 0; i < n; i++) {
        names[i] = t->sets[i].name;
        if (strcmp(name, names[i]) == 0) return &t->sets[i];
    }
    AdvDiag *d = adv_diag(ctx->ds, ADV_D_DATA_UNKNOWN, (AdvSpan){0}, "there is no data set `%s`", name);
    const char *near = adv_nearest(name, names, n);
    if (near) adv_diag_help(d, "did you mean `%s`?", near);
    else adv_diag_help(d, "`advdata list` shows the known ones");
    return NULL;
}
