/* embed.c: reading of the texts that are built in. */
#include "compiler/embed.h"

#include <string.h>

const AdvText *adv_text_find(const AdvText *table, const char *name)
{
    for (; table->name; table++)
        if (!strcmp(table->name, name)) return table;
    return NULL;
}

char *adv_text_join(AdvArena *a, const AdvText *t, size_t *out_bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_lines; i++) n += strlen(t->lines[i]);
    char *s = adv_arena_new(a, n + 1);
    *out_bytes = n;
    for (size_t i = 0, at = 0; i < t->n_lines; i++) {
        size_t len = strlen(t->lines[i]);
        memcpy(s + at, t->lines[i], len);
        at += len;
    }
    return s;
}
