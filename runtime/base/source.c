/* source.c: source texts, and line and column from an offset by counting from the start: only messages ask. */
#include "runtime/base/source.h"

#include <assert.h>
#include <string.h>

void adv_sources_init(AdvSources *s, AdvArena *arena)
{
    *s = (AdvSources){.arena = arena};
}

uint32_t adv_sources_add(AdvSources *s, const char *name, const char *text, size_t n_bytes)
{
    if (n_bytes >= UINT32_MAX) return 0;
    AdvSource src = {.name = adv_arena_strn(s->arena, name, strlen(name)), .text = adv_arena_strn(s->arena, text, n_bytes)};
    if (!src.name || !src.text) return 0;
    src.n_bytes = (uint32_t)n_bytes;
    AdvSource *at = adv_vec_grow(s->arena, s->files.at, &s->files.n, &s->files.cap, sizeof src);
    if (!at) return 0;
    s->files.at = at;
    s->files.at[s->files.n - 1] = src;
    return s->files.n;
}

uint32_t adv_sources_need(AdvSources *s, const AdvArena *a, const char *name, const char *text, size_t n_bytes)
{
    assert(a->trap);
    uint32_t file = adv_sources_add(s, name, text, n_bytes);
    if (!file) longjmp(*a->trap, 1);
    return file;
}

const AdvSource *adv_source_of(const AdvSources *s, AdvSpan at)
{
    return at.file == 0 || at.file > s->files.n ? NULL : &s->files.at[at.file - 1];
}

AdvLineCol adv_line_col(const AdvSource *src, uint32_t off)
{
    AdvLineCol at = {1, 1};
    if (off > src->n_bytes) off = src->n_bytes;
    for (uint32_t i = 0; i < off; i++) {
        unsigned char c = (unsigned char)src->text[i];
        if (c == '\n') {
            at.line++;
            at.col = 1;
        } else if ((c & 0xC0) != 0x80) {
            at.col++;
        }
    }
    return at;
}

const char *adv_line_text(const AdvSource *src, uint32_t line, uint32_t *out_len)
{
    assert(line >= 1);
    const char *p = src->text, *end = src->text + src->n_bytes;
    for (; line > 1 && p < end; line--) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        p = nl ? nl + 1 : end;
    }
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    if (!nl) nl = end;
    if (nl > p && nl[-1] == '\r') nl--;
    *out_len = (uint32_t)(nl - p);
    return p;
}

AdvSpan adv_span_join(AdvSpan a, AdvSpan b)
{
    if (a.file == 0) return b;
    if (b.file == 0 || b.file != a.file) return a;
    uint32_t from = a.off < b.off ? a.off : b.off;
    uint32_t a_end = a.off + a.len, b_end = b.off + b.len;
    return (AdvSpan){a.file, from, (a_end > b_end ? a_end : b_end) - from};
}
