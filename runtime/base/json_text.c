/* json_text.c: why not json_dumps: it takes no notice when the room for a key cannot be had, and goes on without the key.
**
** So the text is made twice, first to be counted and then into memory of that size, neither of which needs more room on the way.
*/
#include "runtime/base/json_text.h"

char *adv_json_text(const AdvAlloc *a, const json_t *value, size_t flags, size_t *out_bytes)
{
    size_t n = value ? json_dumpb(value, NULL, 0, flags) : 0;
    char *text = n ? adv_mem_new(a, n + 1) : NULL;
    if (!text) return NULL;
    if (json_dumpb(value, text, n, flags) != n) {
        adv_mem_free(a, text, n + 1);
        return NULL;
    }
    text[n] = 0;
    *out_bytes = n;
    return text;
}
