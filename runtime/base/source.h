/* source.h: source texts and places in them. Lines and columns are computed when a message is printed, not while lexing. */
#ifndef ADV_BASE_SOURCE_H
#define ADV_BASE_SOURCE_H

#include "runtime/base/vec.h"

/* Bytes off..off+len of source `file` (1-based; file 0 is "no place"). */
typedef struct AdvSpan { uint32_t file, off, len; } AdvSpan;

typedef struct AdvSource {
    const char *name;  /* as shown to people, e.g. "recipes/mine.adv" or "std.attacks" */
    const char *text;  /* NUL-terminated; bytes[n_bytes] == 0 */
    uint32_t n_bytes;
} AdvSource;

typedef struct AdvSources {
    AdvArena *arena;
    ADV_VEC(AdvSource) files;  /* at[0] is file 1 */
} AdvSources;

typedef struct AdvLineCol { uint32_t line, col; } AdvLineCol;  /* both 1-based; col counts Unicode code points */

void adv_sources_init(AdvSources *s, AdvArena *arena);

/* Copies name and text; returns the file's number (1..), or 0 (no place) when an arena without a trap has no memory. */
uint32_t adv_sources_add(AdvSources *s, const char *name, const char *text, size_t n_bytes);

/* As adv_sources_add, but lack of memory springs the trap of `a`: what is made of the text could not do without its place. */
uint32_t adv_sources_need(AdvSources *s, const AdvArena *a, const char *name, const char *text, size_t n_bytes);

/* The source of a span, or NULL for file 0. */
const AdvSource *adv_source_of(const AdvSources *s, AdvSpan at);

/* Line and column of offset `off`. */
AdvLineCol adv_line_col(const AdvSource *src, uint32_t off);

/* The text of line `line` (1-based) without its newline; *out_len bytes. A line after the last is empty. */
const char *adv_line_text(const AdvSource *src, uint32_t line, uint32_t *out_len);

/* The smallest span that covers both (same file; a span of file 0 gives the other). */
AdvSpan adv_span_join(AdvSpan a, AdvSpan b);

#endif
