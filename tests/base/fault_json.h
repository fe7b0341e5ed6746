/* fault_json.h: memory of the JSON library for tests, which counts and can be told to fail: at the k-th call (once), or from there on.
**
** Blocks of 32, 64, 128, ... bytes are always given: of these sizes is the room for a token, and when jansson 2.14 cannot have it
** while it reads, it goes on as if it had (docs/reliability.md).
*/
#ifndef ADV_TEST_FAULT_JSON_H
#define ADV_TEST_FAULT_JSON_H

#include <jansson.h>
#include <stdlib.h>

static struct { long calls, fail_at; int persistent; } json;

static void *failing_new(size_t n)
{
    if (n >= 32 && (n & (n - 1)) == 0) return malloc(n);
    json.calls++;
    if (json.fail_at && (json.persistent ? json.calls >= json.fail_at : json.calls == json.fail_at)) return NULL;
    return malloc(n);
}

#endif
