/* fuzz.h: what the fuzzed programs share: the entry points of libFuzzer, a check that ends the program, an allocator that
** gives a bounded amount, and messages rendered in every form.
**
** An input may be refused, with a message, or accepted; then what was accepted is used. MUST states what holds either way.
*/
#ifndef ADV_TESTS_FUZZ_H
#define ADV_TESTS_FUZZ_H

#include "runtime/base/diag.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#define MUST(cond) \
    do { \
        if (!(cond)) { \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond); \
            abort(); \
        } \
    } while (0)

/* As if `arg` stood behind the program's name, so that a later one of the caller's wins. */
static inline void fuzz_option(int *argc, char ***argv, const char *arg)
{
    char **all = calloc((size_t)*argc + 2, sizeof *all);
    MUST(all);
    all[0] = (*argv)[0];
    all[1] = strdup(arg);
    for (int i = 1; i < *argc; i++) all[i + 1] = (*argv)[i];
    ++*argc;
    *argv = all; /* lives as long as the program */
}

static inline void fuzz_count(void *user, const char *text, size_t n)
{
    (void)text;
    *(size_t *)user += n;
}

/* Every form of every message; there is one if and only if something failed. */
static inline void fuzz_messages(const AdvDiags *ds, AdvStatus st)
{
    size_t n = 0;
    MUST((st != ADV_OK) == (ds->n_errors > 0));
    adv_diags_print_human(ds, 1, fuzz_count, &n);
    adv_diags_print_short(ds, fuzz_count, &n);
    adv_diags_print_json(ds, fuzz_count, &n);
    MUST(st == ADV_OK || n > 0);
}

/* The C library's, until `left` bytes have been given: an input may not take all memory, but ask for it. */
typedef struct FuzzAlloc { uint64_t left; } FuzzAlloc;

static inline void *fuzz_alloc_fn(void *user, void *p, size_t old_bytes, size_t new_bytes)
{
    FuzzAlloc *f = user;
    AdvAlloc a = adv_alloc_default();
    if (new_bytes > f->left + old_bytes) return NULL;
    void *q = a.fn(a.user, p, old_bytes, new_bytes);
    if (q || !new_bytes) f->left = f->left + old_bytes - new_bytes;
    return q;
}

/* A small generator for mutators: libFuzzer gives the seed. */
typedef struct FuzzRng { uint64_t x; } FuzzRng;

static inline uint32_t fuzz_rng(FuzzRng *r, uint32_t below)
{
    r->x = r->x * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->x >> 33) % below;
}

#endif
