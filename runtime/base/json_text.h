/* json_text.h: a JSON value as text that is whole or not there. */
#ifndef ADV_BASE_JSON_TEXT_H
#define ADV_BASE_JSON_TEXT_H

#include "runtime/base/alloc.h"

#include <jansson.h>

/* `value` as text with the flags of json_dumps. Returns out_bytes bytes and a NUL behind them, in memory of `a` (out_bytes + 1 to give
** back), or NULL when memory is out. */
char *adv_json_text(const AdvAlloc *a, const json_t *value, size_t flags, size_t *out_bytes);

#endif
