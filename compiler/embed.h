/* embed.h: texts built into the library by embed.sh: the standard library (models/) and the pages of codes (dsl/codes/). */
#ifndef ADV_COMPILER_EMBED_H
#define ADV_COMPILER_EMBED_H

#include "runtime/base/arena.h"

#include <stddef.h>

typedef struct AdvText {
    const char *name;
    const char *const *lines;  /* each with its newline */
    size_t n_lines;
} AdvText;

extern const AdvText adv_std_texts[];   /* ended by name NULL */
extern const AdvText adv_code_pages[];

/* The text of that name, or NULL. / All of it as one string, NUL-terminated, in `a`. */
const AdvText *adv_text_find(const AdvText *table, const char *name);
char *adv_text_join(AdvArena *a, const AdvText *t, size_t *out_bytes);

#endif
