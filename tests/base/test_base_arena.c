/* test_base_arena.c: allocator, arena, vectors: alignment, zeroing, marks, lack of memory with and without a trap. */
#include "runtime/base/vec.h"
#include "tests/adv_test.h"
#include "tests/base/fault_alloc.h"

#include <stdbool.h>

typedef struct Wide {
    char at[100];
} Wide;

static bool all_bytes(const void *p, size_t n, unsigned char want)
{
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++)
        if (b[i] != want) return false;
    return true;
}

static void default_allocator(void)
{
    AdvAlloc a = adv_alloc_default();
    CHECK(adv_mem_new(&a, 0) == NULL);
    CHECK(adv_mem_new(&a, SIZE_MAX) == NULL);
    unsigned char *p = adv_mem_new0(&a, 100);
    CHECK(p && ((uintptr_t)p & 63) == 0 && all_bytes(p, 100, 0));
    memset(p, 7, 100);
    unsigned char *q = a.fn(a.user, p, 100, 1000);
    CHECK(q && ((uintptr_t)q & 63) == 0 && all_bytes(q, 100, 7));
    unsigned char *r = a.fn(a.user, q, 1000, 10);
    CHECK(r && all_bytes(r, 10, 7));
    CHECK(a.fn(a.user, r, 10, SIZE_MAX - 3) == NULL);
    CHECK(all_bytes(r, 10, 7));
    adv_mem_free(&a, r, 10);
    adv_mem_free(&a, NULL, 0);
}

static void pieces_are_aligned_and_zeroed(void)
{
    FaultAlloc f = {0};
    AdvArena a;
    adv_arena_init(&a, fault_alloc(&f));
    CHECK_EQ(f.calls, 0);
    for (size_t n = 0; n < 3000; n += 7) {
        unsigned char *p = adv_arena_new(&a, n);
        CHECK(p && ((uintptr_t)p & 15) == 0 && all_bytes(p, n, 0));
        memset(p, 0xEE, n);
    }
    unsigned char *big = adv_arena_new(&a, (size_t)5 << 20);
    CHECK(big && all_bytes(big, (size_t)5 << 20, 0));
    CHECK(a.used_bytes >= (size_t)5 << 20);
    adv_arena_fini(&a);
    CHECK_EQ(a.used_bytes, 0);
    CHECK_EQ(f.n_live, 0);
    CHECK_EQ(f.n_wrong_sizes, 0);
    CHECK(adv_arena_new(&a, 1) != NULL); /* may be used again */
    adv_arena_fini(&a);
    CHECK_EQ(f.n_live, 0);
}

static void marks_nest(void)
{
    FaultAlloc f = {0};
    AdvArena a;
    adv_arena_init(&a, fault_alloc(&f));
    AdvArenaMark empty = adv_arena_mark(&a);
    char *keep = adv_arena_strn(&a, "keep", 4);
    size_t used = a.used_bytes;
    AdvArenaMark m = adv_arena_mark(&a);
    char *first = adv_arena_new(&a, 64);
    AdvArenaMark inner = adv_arena_mark(&a);
    for (int i = 0; i < 1000; i++) memset(adv_arena_new(&a, 1000), 0xFF, 1000);
    adv_arena_release(&a, inner);
    memset(first, 1, 64);
    adv_arena_release(&a, m);
    CHECK_EQ(a.used_bytes, used);
    CHECK_EQ(f.n_live, 1);
    char *again = adv_arena_new(&a, 64);
    CHECK(again == first && all_bytes(again, 64, 0)); /* same place, zeroed though it was written to */
    CHECK_STR(keep, "keep");
    adv_arena_release(&a, empty);
    CHECK_EQ(f.n_live, 0);
    CHECK_EQ(a.used_bytes, 0);
    adv_arena_fini(&a);
}

static void texts(void)
{
    AdvArena a;
    adv_arena_init(&a, adv_alloc_default());
    CHECK_STR(adv_arena_strn(&a, "abcdef", 3), "abc");
    CHECK_STR(adv_arena_strn(&a, NULL, 0), "");
    CHECK_STR(adv_arena_printf(&a, "%s-%d", "x", 42), "x-42");
    char wide[5000];
    memset(wide, 'w', sizeof wide - 1);
    wide[sizeof wide - 1] = 0;
    CHECK_STR(adv_arena_printf(&a, "%s", wide), wide);
    adv_arena_fini(&a);
}

static void sizes_are_checked(void)
{
    AdvArena a;
    adv_arena_init(&a, adv_alloc_default());
    CHECK(adv_arena_new(&a, SIZE_MAX) == NULL);
    CHECK(adv_arena_new(&a, SIZE_MAX - 20) == NULL);
    CHECK(adv_arena_array(&a, SIZE_MAX / 2, 3) == NULL);
    CHECK(adv_arena_array(&a, (size_t)1 << 33, (size_t)1 << 33) == NULL);
    CHECK(adv_arena_strn(&a, "", SIZE_MAX) == NULL);
    CHECK_EQ(a.used_bytes, 0);
    adv_arena_fini(&a);
}

/* Takes 200 pieces; the arena's trap must be where the failing one ends. */
static bool fills_with_trap(AdvArena *a)
{
    jmp_buf env;
    a->trap = &env;
    bool is_done = false;
    if (setjmp(env) == 0) {
        for (int i = 0; i < 200; i++) memset(adv_arena_new(a, 4000), 1, 4000);
        is_done = true;
        a->trap = NULL;
        return is_done;
    }
    a->trap = NULL;
    return false;
}

static void lack_of_memory(void)
{
    long n_failed = 0;
    for (long k = 1;; k++) {
        FaultAlloc f = {.fail_at = k};
        AdvArena a;
        adv_arena_init(&a, fault_alloc(&f));
        bool done = fills_with_trap(&a);
        CHECK(done == (f.calls < k));
        adv_arena_fini(&a);
        CHECK_EQ(f.n_live, 0);
        if (done) break;
        n_failed++;
    }
    CHECK(n_failed > 3);
    FaultAlloc f = {.fail_at = 1};
    AdvArena a;
    adv_arena_init(&a, fault_alloc(&f));
    CHECK(adv_arena_new(&a, 10) == NULL); /* no trap */
    CHECK(adv_arena_new(&a, 10) != NULL);
    adv_arena_fini(&a);
}

static void vectors(void)
{
    FaultAlloc f = {0};
    AdvArena a;
    adv_arena_init(&a, fault_alloc(&f));
    ADV_VEC(int) v = {0};
    for (int i = 0; i < 10000; i++) {
        int *p = ADV_PUSH(&a, &v);
        CHECK(*p == 0);
        *p = i;
    }
    CHECK_EQ(v.n, 10000);
    CHECK(v.cap >= v.n);
    int wrong = 0;
    for (uint32_t i = 0; i < v.n; i++) wrong += v.at[i] != (int)i;
    CHECK_EQ(wrong, 0);
    v.n = 3;
    CHECK_EQ(*ADV_PUSH(&a, &v), 0); /* a used place is zeroed again */

    ADV_VEC(Wide) w = {0};
    void *grown = adv_vec_grow(&a, w.at, &w.n, &w.cap, sizeof *w.at);
    CHECK(grown && w.n == 1);
    f.fail_at = f.calls + 1;
    f.persistent = 1;
    w.at = grown;
    uint32_t n = w.n;
    for (int i = 0; i < 100000 && (grown = adv_vec_grow(&a, w.at, &w.n, &w.cap, sizeof *w.at)) != NULL; i++) {
        w.at = grown;
        n = w.n;
    }
    CHECK(grown == NULL);
    CHECK_EQ(w.n, n); /* nothing changed by the failure */
    adv_arena_fini(&a);
    CHECK_EQ(f.n_live, 0);
}

int main(void)
{
    RUN(default_allocator);
    RUN(pieces_are_aligned_and_zeroed);
    RUN(marks_nest);
    RUN(texts);
    RUN(sizes_are_checked);
    RUN(lack_of_memory);
    RUN(vectors);
    return ADV_TEST_END();
}
