/* test_base_text.c: interned strings, places in sources, nearest names, dtype names, statuses. */
#include "runtime/base/container.h"
#include "runtime/base/intern.h"
#include "runtime/base/json_text.h"
#include "runtime/base/number.h"
#include "tests/adv_test.h"
#include "tests/base/comma.h"
#include "tests/base/fault_alloc.h"

static void interns_one_id_each(void)
{
    AdvArena a;
    jmp_buf env;
    adv_arena_init(&a, adv_alloc_default());
    a.trap = &env;
    if (setjmp(env)) {
        CHECK(!"out of memory");
        return;
    }
    AdvInterns t;
    adv_interns_init(&t, &a);
    CHECK_EQ(adv_intern(&t, "").i, 0);
    CHECK_EQ(adv_intern_n(&t, NULL, 0).i, 0);
    char name[32];
    int wrong = 0;
    for (uint32_t i = 1; i <= 20000; i++) {
        snprintf(name, sizeof name, "name_%u", i);
        wrong += adv_intern(&t, name).i != i;
    }
    for (uint32_t i = 20000; i >= 1; i--) {
        snprintf(name, sizeof name, "name_%u", i);
        AdvStr s = adv_intern_n(&t, name, strlen(name));
        wrong += s.i != i || strcmp(adv_str(&t, s), name) != 0;
    }
    CHECK_EQ(wrong, 0);
    AdvStr ab = adv_intern(&t, "ab");
    CHECK(adv_str_eq(ab, adv_intern_n(&t, "abc", 2)));
    CHECK(!adv_str_eq(ab, adv_intern(&t, "abc")));
    CHECK(!adv_str_eq(ab, adv_intern(&t, "a")));
    CHECK(adv_str_eq(ab, adv_intern_n(&t, "ab\0cd", 5))); /* ends at a NUL */
    CHECK_STR(adv_str(&t, ab), "ab");
    adv_arena_fini(&a);
}

static void lines_and_columns(void)
{
    AdvArena a;
    adv_arena_init(&a, adv_alloc_default());
    AdvSources s;
    adv_sources_init(&s, &a);
    const char *text = "ab\ncd\r\n\n\xC3\xA4x\xE2\x82\xACy\nlast";
    CHECK_EQ(adv_sources_add(&s, "one.adv", text, strlen(text)), 1);
    CHECK_EQ(adv_sources_add(&s, "two.adv", "", 0), 2);
    CHECK(adv_source_of(&s, (AdvSpan){0, 5, 1}) == NULL);
    CHECK(adv_source_of(&s, (AdvSpan){3, 0, 0}) == NULL);
    const AdvSource *src = adv_source_of(&s, (AdvSpan){1, 0, 0});
    CHECK_STR(src->name, "one.adv");
    static const struct { uint32_t off, line, col; } places[] = {
        {0, 1, 1}, {1, 1, 2}, {2, 1, 3}, {3, 2, 1}, {5, 2, 3}, {6, 2, 4}, {7, 3, 1},  {8, 4, 1},
        {10, 4, 2}, /* x after a-umlaut */
        {11, 4, 3}, {14, 4, 4}, {16, 5, 1}, {20, 5, 5}, {4000, 5, 5},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        AdvLineCol at = adv_line_col(src, places[i].off);
        CHECK_EQ(at.line, places[i].line);
        CHECK_EQ(at.col, places[i].col);
    }
    static const char *const lines[] = {"ab", "cd", "", "\xC3\xA4x\xE2\x82\xACy", "last", "", ""};
    for (uint32_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        uint32_t len;
        const char *line = adv_line_text(src, i + 1, &len);
        CHECK(len == strlen(lines[i]) && memcmp(line, lines[i], len) == 0);
    }
    adv_arena_fini(&a);
}

static void spans_join(void)
{
    AdvSpan s = adv_span_join((AdvSpan){1, 10, 5}, (AdvSpan){1, 2, 3});
    CHECK(s.file == 1 && s.off == 2 && s.len == 13);
    s = adv_span_join((AdvSpan){0}, (AdvSpan){1, 2, 3});
    CHECK(s.file == 1 && s.off == 2 && s.len == 3);
    s = adv_span_join((AdvSpan){1, 2, 30}, (AdvSpan){1, 5, 1});
    CHECK(s.off == 2 && s.len == 30);
    s = adv_span_join((AdvSpan){1, 2, 3}, (AdvSpan){2, 0, 1});
    CHECK(s.file == 1 && s.off == 2 && s.len == 3);
}

static void source_without_memory(void)
{
    char big[40000];
    memset(big, 'x', sizeof big);
    uint32_t file = 0;
    long k = 1;
    for (; file == 0 && k < 10; k++) {
        FaultAlloc f = {.fail_at = k, .persistent = 1};
        AdvArena a;
        adv_arena_init(&a, fault_alloc(&f));
        AdvSources s;
        adv_sources_init(&s, &a);
        file = adv_sources_add(&s, "a", big, sizeof big);
        CHECK(file == (f.calls < k)); /* 1 as soon as nothing failed, 0 before */
        CHECK((adv_source_of(&s, (AdvSpan){1, 0, 0}) != NULL) == (file == 1));
        adv_arena_fini(&a);
        CHECK_EQ(f.n_live, 0);
    }
    CHECK(file == 1 && k > 3); /* name, text and table are in chunks of their own */
}

static void nearest_names(void)
{
    static const char *const names[] = {"momentum", "weight_decay", "nesterov", "lr", "steps", "step", "size"};
    const size_t n = sizeof names / sizeof names[0];
    CHECK_STR(adv_nearest("momentun", names, n), "momentum");
    CHECK_STR(adv_nearest("mometnum", names, n), "momentum");
    CHECK_STR(adv_nearest("wieght_deacy", names, n), "weight_decay");
    CHECK_STR(adv_nearest("weightdecay", names, n), "weight_decay");
    CHECK_STR(adv_nearest("stesp", names, n), "steps");
    CHECK_STR(adv_nearest("stepz", names, n), "steps"); /* as near as `step`, and earlier */
    CHECK_STR(adv_nearest("size", names, n), "size");
    CHECK_STR(adv_nearest("rl", names, n), "lr");
    CHECK(adv_nearest("epochs", names, n) == NULL);
    CHECK(adv_nearest("x", names, n) == NULL);
    CHECK(adv_nearest("", names, n) == NULL);
    CHECK(adv_nearest("momentum", names, 0) == NULL);
    char longer[200];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    const char *const odd[] = {longer, longer + 100};
    CHECK(adv_nearest(longer, odd, 2) == NULL);
    CHECK(adv_nearest(longer + 199 - 64, odd, 2) == NULL);
    CHECK(adv_nearest(longer + 199 - 20, odd, 1) == NULL);
}

static void dtypes(void)
{
    static const struct { uint8_t dtype; uint32_t bytes; const char *name, *st; } rows[] = {
        {ADV_F32, 4, "f32", "F32"}, {ADV_F64, 8, "f64", "F64"}, {ADV_BF16, 2, "bf16", "BF16"}, {ADV_F16, 2, "f16", "F16"},
        {ADV_I32, 4, "i32", "I32"}, {ADV_I64, 8, "i64", "I64"}, {ADV_U8, 1, "u8", "U8"},
    };
    CHECK_EQ(sizeof rows / sizeof rows[0], ADV_DTYPE_COUNT - 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_EQ(adv_dtype_bytes(rows[i].dtype), rows[i].bytes);
        CHECK_STR(adv_dtype_name(rows[i].dtype), rows[i].name);
        CHECK_STR(adv_dtype_st_name(rows[i].dtype), rows[i].st);
    }
    CHECK_EQ(adv_dtype_bytes(200), 0);
    CHECK_STR(adv_dtype_name(200), "none");
}

static void statuses(void)
{
    static const struct { AdvStatus st; const char *name; int exit_code; } rows[] = {
        {ADV_OK, "ADV_OK", 0},
        {ADV_EINVAL, "ADV_EINVAL", 64},
        {ADV_ERECIPE, "ADV_ERECIPE", 65},
        {ADV_EDATA, "ADV_EDATA", 65},
        {ADV_ENOENT, "ADV_ENOENT", 66},
        {ADV_EUNAVAILABLE, "ADV_EUNAVAILABLE", 69},
        {ADV_ENOMEM, "ADV_ENOMEM", 71},
        {ADV_EIO, "ADV_EIO", 74},
        {ADV_ECANCELLED, "ADV_ECANCELLED", 75},
        {ADV_ENUMERIC, "ADV_ENUMERIC", 80},
        {ADV_EBUSY, "ADV_EBUSY", 70},
        {ADV_EPOISONED, "ADV_EPOISONED", 70},
        {ADV_EDIFFERS, "ADV_EDIFFERS", 1},
        {ADV_EINTERNAL, "ADV_EINTERNAL", 70},
        {1, "unknown status", 70},
        {-100, "unknown status", 70},
        {INT32_MIN, "unknown status", 70},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_STR(adv_status_name(rows[i].st), rows[i].name);
        CHECK_EQ(adv_status_exit(rows[i].st), rows[i].exit_code);
    }
}

/* The same in any locale, there and back. */
static void numbers(void)
{
    for (int k = 0; k < 2; k++) {
        if (k && !comma_begin()) return;
        char text[32] = "-12.5e-1", *end;
        AdvAlloc a = adv_alloc_default();
        AdvJsonError err;
        CHECK_STR(adv_number_text(0.25, 9).at, "0.25");
        CHECK_STR(adv_number_text(-1e-300, 17).at, "-1e-300");
        CHECK_STR(adv_number_text(3, 9).at, "3");
        CHECK_STR(adv_number_fixed(1234567.0625, 3).at, "1234567.062");
        CHECK_STR(adv_number_hex(1.5).at, "0x1.8p+0");
        CHECK(adv_number_read(text, &end) == -1.25 && !*end);
        json_t *list = adv_json_read(&a, "[0.25, 1e3]", 11, &err);
        CHECK(json_real_value(json_array_get(list, 0)) == 0.25 && json_real_value(json_array_get(list, 1)) == 1000);
        json_decref(list);
        if (k) comma_end();
    }
}

int main(void)
{
    RUN(interns_one_id_each);
    RUN(lines_and_columns);
    RUN(spans_join);
    RUN(source_without_memory);
    RUN(nearest_names);
    RUN(dtypes);
    RUN(statuses);
    RUN(numbers);
    return ADV_TEST_END();
}
