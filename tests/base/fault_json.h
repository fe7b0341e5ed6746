/* fault_json.h: memory of the JSON library for tests, which counts and can be told to fail: at the k-th call (once), or from there on.
*/
#ifndef ADV_TEST_FAULT_JSON_H
#define ADV_TEST_FAULT_JSON_H

#include <jansson.h>
#include <stdlib.h>

static struct { long calls, fail_at; int persistent; } json;

static void *failing_new(size_t n)
{
    json.calls++;
    if (json.fail_at && (json.persistent ? json.calls >= json.fail_at : json.calls == json.fail_at)) return NULL;
    return malloc(n);
}

#endif
