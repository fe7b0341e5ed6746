/* memplan_place.c: offsets for storages whose lives are known: the "dynamic storage allocation" problem, by best fit.
**
** Finding the optimum is NP-hard; best fit in a good order comes within a few percent of the liveness bound. Which order is good
** depends on the graph (deep nets want large ones first, loops want long-lived ones first), so a few are tried and the best kept.
** Ties are broken by index, so the result does not depend on the C library's sort.
*/
#include "compiler/plan/memplan_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BY_SIZE, BY_AREA, BY_START, BY_LENGTH, N_ORDERS };

typedef struct Key {
    uint64_t major, minor;
    uint32_t ix;
} Key;

static uint64_t length_of(const MemItem *it)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < it->n_lives; i++) n += (uint64_t)it->lives[i].to - it->lives[i].from + 1;
    return n;
}

static int key_cmp(const void *pa, const void *pb)
{
    const Key *a = pa, *b = pb;
    if (a->major != b->major) return a->major > b->major ? -1 : 1;
    if (a->minor != b->minor) return a->minor > b->minor ? -1 : 1;
    return a->ix < b->ix ? -1 : a->ix > b->ix;
}

static void order_items(const MemItem *items, uint32_t n, int how, Key *keys)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t len = length_of(&items[i]), start = UINT32_MAX - items[i].lives[0].from;
        uint64_t area = len && items[i].n_bytes > UINT64_MAX / len ? UINT64_MAX : items[i].n_bytes * len;
        Key k = {0, 0, i};
        switch (how) {
        case BY_SIZE:
            k.major = items[i].n_bytes;
            k.minor = len;
            break;
        case BY_AREA:
            k.major = area;
            k.minor = items[i].n_bytes;
            break;
        case BY_START:
            k.major = start;
            k.minor = items[i].n_bytes;
            break;
        default:
            k.major = len;
            k.minor = items[i].n_bytes;
            break;
        }
        keys[i] = k;
    }
    qsort(keys, n, sizeof *keys, key_cmp);
}

static bool live_at_once(const MemItem *a, const MemItem *b)
{
    uint32_t i = 0, j = 0;
    while (i < a->n_lives && j < b->n_lives) {
        if (a->lives[i].to < b->lives[j].from)
            i++;
        else if (b->lives[j].to < a->lives[i].from)
            j++;
        else
            return true;
    }
    return false;
}

/* The smallest hole that an item fits in among the placed ones (by offset) that live with it, else the end. */
static uint64_t best_fit(const MemItem *items, const MemItem *it, const uint32_t *placed, uint32_t n)
{
    uint64_t at = 0, best = UINT64_MAX, best_at = 0;
    for (uint32_t i = 0; i < n; i++) {
        const MemItem *o = &items[placed[i]];
        if (o->offset + o->n_bytes <= at || !live_at_once(it, o)) continue;
        if (o->offset > at && o->offset - at >= it->n_bytes && o->offset - at < best) {
            best = o->offset - at;
            best_at = at;
        }
        at = o->offset + o->n_bytes;
    }
    return best == UINT64_MAX ? at : best_at;
}

static uint64_t place_in_order(MemItem *items, uint32_t n, const Key *keys, uint32_t *placed)
{
    uint64_t top = 0;
    for (uint32_t i = 0; i < n; i++) {
        MemItem *it = &items[keys[i].ix];
        uint32_t at = i;
        it->offset = best_fit(items, it, placed, i);
        for (; at > 0 && items[placed[at - 1]].offset > it->offset; at--) placed[at] = placed[at - 1];
        placed[at] = keys[i].ix;
        if (it->offset + it->n_bytes > top) top = it->offset + it->n_bytes;
    }
    return top;
}

static uint64_t most_at_once(AdvArena *scratch, const MemItem *items, uint32_t n, uint32_t n_positions)
{
    int64_t *delta = ADV_NEW_ARRAY(scratch, int64_t, (size_t)n_positions + 2), now = 0, most = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < items[i].n_lives; k++) {
            uint32_t to = items[i].lives[k].to < n_positions ? items[i].lives[k].to : n_positions;
            delta[items[i].lives[k].from] += (int64_t)items[i].n_bytes;
            delta[to + 1] -= (int64_t)items[i].n_bytes;
        }
    }
    for (uint32_t i = 0; i <= n_positions; i++) {
        now += delta[i];
        if (now > most) most = now;
    }
    return (uint64_t)most;
}

uint64_t adv_mem_place(AdvArena *scratch, MemItem *items, uint32_t n_items, uint32_t n_positions, uint64_t *out_bound)
{
    Key *keys = ADV_NEW_ARRAY(scratch, Key, n_items);
    uint32_t *placed = ADV_NEW_ARRAY(scratch, uint32_t, n_items);
    uint64_t *best_offset = ADV_NEW_ARRAY(scratch, uint64_t, n_items), best = UINT64_MAX;
    *out_bound = most_at_once(scratch, items, n_items, n_positions);
    for (int how = 0; how < N_ORDERS && best > *out_bound; how++) {
        uint64_t top;
        order_items(items, n_items, how, keys);
        top = place_in_order(items, n_items, keys, placed);
        if (top >= best) continue;
        best = top;
        for (uint32_t i = 0; i < n_items; i++) best_offset[i] = items[i].offset;
    }
    if (n_items == 0) return 0;
    for (uint32_t i = 0; i < n_items; i++) items[i].offset = best_offset[i];
    assert(best >= *out_bound);
    return best;
}
