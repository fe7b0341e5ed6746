/* vec.h: typed growable arrays in an arena with a trap (arena.h), so that growing cannot fail where it stands.
**
**   ADV_VEC(AdvNode) nodes = {0};               // a struct { AdvNode *at; uint32_t n, cap; }
**   AdvNode *p = ADV_PUSH(arena, &nodes);       // one more element, zeroed; older pointers into `at` are void
**   for (uint32_t i = 0; i < nodes.n; i++) use(&nodes.at[i]);
**
** Growing copies into fresh arena memory (the old block stays with the arena). Keep indices, not pointers.
*/
#ifndef ADV_BASE_VEC_H
#define ADV_BASE_VEC_H

#include "runtime/base/arena.h"

#define ADV_VEC(type) struct { type *at; uint32_t n, cap; }

/* Appends one zeroed element and returns its address. */
#define ADV_PUSH(arena, v) \
    ((v)->at = adv_vec_grow((arena), (v)->at, &(v)->n, &(v)->cap, sizeof *(v)->at), &(v)->at[(v)->n - 1])

/* One more zeroed element: returns the array's (new) start and raises *n. In an arena without a trap: NULL when memory is
** out, and nothing has changed. */
void *adv_vec_grow(AdvArena *arena, void *at, uint32_t *n, uint32_t *cap, size_t elem_bytes);

#endif
