/* intern.c: open addressing with linear probing over ids; the table is rebuilt at three quarters full. */
#include "runtime/base/intern.h"
#include "runtime/base/hash.h"

#include <assert.h>
#include <string.h>

#define FIRST_SLOTS 64u

static uint32_t hash_of(const char *s, size_t len)
{
    uint64_t h = adv_hash_bytes(ADV_HASH_START, s, len);
    return (uint32_t)(h ^ h >> 32);
}

/* A table of n (a power of two) slots with all present ids. */
static void rebuild(AdvInterns *t, uint32_t n)
{
    t->slots = ADV_NEW_ARRAY(t->arena, uint32_t, n);
    t->n_slots = n;
    for (uint32_t id = 0; id < t->text.n; id++) {
        const char *s = t->text.at[id];
        uint32_t at = hash_of(s, strlen(s)) & (n - 1);
        while (t->slots[at]) at = (at + 1) & (n - 1);
        t->slots[at] = id + 1;
    }
}

void adv_interns_init(AdvInterns *t, AdvArena *arena)
{
    assert(arena->trap && "the table cannot report a lack of memory itself");
    *t = (AdvInterns){.arena = arena};
    *ADV_PUSH(arena, &t->text) = adv_arena_strn(arena, "", 0);
    rebuild(t, FIRST_SLOTS);
}

AdvStr adv_intern_n(AdvInterns *t, const char *s, size_t len)
{
    const char *end = len ? memchr(s, 0, len) : NULL;
    if (end) len = (size_t)(end - s);
    uint32_t at = hash_of(s, len) & (t->n_slots - 1);
    while (t->slots[at]) {
        const char *known = t->text.at[t->slots[at] - 1];
        if ((len == 0 || strncmp(known, s, len) == 0) && known[len] == '\0') return (AdvStr){t->slots[at] - 1};
        at = (at + 1) & (t->n_slots - 1);
    }
    uint32_t id = t->text.n;
    const char *copy = adv_arena_strn(t->arena, s, len);
    *ADV_PUSH(t->arena, &t->text) = copy;
    t->slots[at] = id + 1;
    if (t->text.n > t->n_slots / 4 * 3) rebuild(t, 2 * t->n_slots);
    return (AdvStr){id};
}

AdvStr adv_intern(AdvInterns *t, const char *s)
{
    return adv_intern_n(t, s, strlen(s));
}

const char *adv_str(const AdvInterns *t, AdvStr s)
{
    assert(s.i < t->text.n);
    return t->text.at[s.i];
}
