/* json_text.h: JSON from text and to text, whole or not at all: with every lack of memory noticed, which jansson 2.14 does not do. */
#ifndef ADV_BASE_JSON_TEXT_H
#define ADV_BASE_JSON_TEXT_H

#include "runtime/base/alloc.h"

#include <jansson.h>
#include <stdbool.h>

/* `value` as text with the flags of json_dumps. Returns out_bytes bytes and a NUL behind them, in memory of `a` (out_bytes + 1 to give
** back), or NULL when memory is out. */
char *adv_json_text(const AdvAlloc *a, const json_t *value, size_t flags, size_t *out_bytes);

/* Why a text was refused: what was expected or found, at which byte; or memory was out. */
typedef struct AdvJsonError { const char *what; size_t at; bool is_memory; } AdvJsonError;

/* The one object or array that is n_bytes of text, without duplicate keys; NULL with *out_err set. Room for strings is taken from `a` and
** given back; the values are jansson's. */
json_t *adv_json_read(const AdvAlloc *a, const char *text, size_t n_bytes, AdvJsonError *out_err);

#endif
