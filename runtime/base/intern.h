/* intern.h: every distinct string once; an AdvStr is its index, so names compare as numbers. Id 0 is "". */
#ifndef ADV_BASE_INTERN_H
#define ADV_BASE_INTERN_H

#include "runtime/base/vec.h"

typedef struct AdvStr { uint32_t i; } AdvStr;

typedef struct AdvInterns {
    AdvArena *arena;
    ADV_VEC(const char *) text;  /* by id */
    uint32_t *slots;             /* open addressing: id + 1, 0 is free */
    uint32_t n_slots;
} AdvInterns;

/* `arena` must have a trap and outlive the table. */
void adv_interns_init(AdvInterns *t, AdvArena *arena);

/* The id of s[0..len), which ends earlier at a NUL, / of a NUL-terminated string, entered if new. */
AdvStr adv_intern_n(AdvInterns *t, const char *s, size_t len);
AdvStr adv_intern(AdvInterns *t, const char *s);

/* The text of an id, valid as long as the arena. */
const char *adv_str(const AdvInterns *t, AdvStr s);

static inline int adv_str_eq(AdvStr a, AdvStr b) { return a.i == b.i; }

#endif
