/* test_codes.c: the pages of codes (dsl/codes): every code has one, its wrong program gives that code and nothing else, its right
** one gives no message at all.
*/
#include "tests/compiler/check.h"
#include "tests/compiler/setup.h"
#include "tests/dsl/expect.h"

/* Codes of recipes for which no text that a page can show is the cause: too long, not UTF-8, or of the engine. */
static int has_no_program(uint32_t code) { return code == 2901 || code == 1007 || code == 1010; }

static void every_code_has_a_page(void)
{
    for (uint32_t i = 0; i < ADV_D_COUNT; i++) {
        char head[16];
        Text page = page_of(adv_diag_defs[i].code);
        snprintf(head, sizeof head, "ADV%u: ", adv_diag_defs[i].code);
        CHECK(page.at && strncmp(page.at, head, strlen(head)) == 0);
        /* a heading alone explains nothing */
        CHECK(page.at && strstr(page.at, "\n\n") && strlen(strstr(page.at, "\n\n")) > 40);
        if (page.at && adv_diag_defs[i].name[0]) CHECK(strstr(page.at, adv_diag_defs[i].name) != NULL);
        for (uint32_t k = 0; k < i; k++) CHECK(adv_diag_defs[k].code != adv_diag_defs[i].code);
        text_free(&page);
    }
}

/* "Wrong, with `--set a=1`:" -> "a=1" */
static int set_of(const Text *page, char *out, size_t n_out)
{
    const char *head = strstr(page->at, "\nWrong"), *end = head ? strchr(head + 1, '\n') : NULL,
               *set = head ? strstr(head, "`--set ") : NULL;
    out[0] = 0;
    if (!set || set > end) return 0;
    set += 7;
    snprintf(out, n_out, "%.*s", (int)strcspn(set, "`"), set);
    return 1;
}

static void check_page(uint32_t id, const Text *page)
{
    uint32_t code = adv_diag_defs[id].code;
    char set[64];
    const char *sets[2] = {set_of(page, set, sizeof set) ? set : NULL, NULL};
    Text wrong = program_of(page, "\nWrong"), right = program_of(page, "\nRight:"), mine = program_of(page, "\nFile `mine.adv`:");
    OneFile file = {"mine.adv", &mine};
    if ((!wrong.at || !right.at) && !has_no_program(code)) printf("ADV%u: no program\n", code);
    CHECK((wrong.at && right.at) == !has_no_program(code));
    if (wrong.at && right.at) {
        Checked c = check_recipe("wrong", wrong.at, wrong.n, sets, &file, NULL);
        int ok = c.ds->list.n > 0;
        for (uint32_t i = 0; i < c.ds->list.n; i++) ok &= c.ds->list.at[i]->id == id;
        if (!ok) printf("ADV%u, the wrong program:\n", code), check_show(&c);
        CHECK(ok);
        adv_diags_free(c.ds);
        c = check_recipe("right", right.at, right.n, sets, &file, NULL);
        if (c.ds->list.n) printf("ADV%u, the right program:\n", code), check_show(&c);
        CHECK_EQ(c.ds->list.n, 0);
        adv_diags_free(c.ds);
    }
    text_free(&wrong), text_free(&right), text_free(&mine);
}

static void pages_of_recipes(void)
{
    int n = 0;
    for (uint32_t i = 0; i < ADV_D_COUNT; i++) {
        uint32_t code = adv_diag_defs[i].code;
        if (code == 1050 || code >= 4000) continue; /* 1050: of graphs, below */
        Text page = page_of(code);
        if (page.at) check_page(i, &page);
        n += page.at != NULL;
        text_free(&page);
    }
    CHECK(n > 40);
}

static uint32_t graph_errors(const Text *program)
{
    Setup *s = setup_new();
    (void)setup_read(s, "page", program->at, program->n);
    uint32_t n = setup_count(s, ADV_D_GRAPH_TEXT);
    CHECK_EQ(n, s->diags->list.n);
    setup_free(s);
    return n;
}

static void page_of_graph_text(void)
{
    Text page = page_of(1050), wrong = program_of(&page, "\nWrong:"), right = program_of(&page, "\nRight:");
    CHECK(wrong.at && graph_errors(&wrong) == 1);
    CHECK(right.at && graph_errors(&right) == 0);
    text_free(&page), text_free(&wrong), text_free(&right);
}

/* The page as `advc explain` shows it is the file. */
static void explain(void)
{
    static char buffer[16384];
    for (uint32_t i = 0; i < ADV_D_COUNT; i++) {
        char name[16];
        Text page = page_of(adv_diag_defs[i].code);
        snprintf(name, sizeof name, i % 2 ? "ADV%u" : "%u", adv_diag_defs[i].code);
        const char *shown = adv_explain(name, buffer, sizeof buffer);
        if (!shown || !page.at || strcmp(shown, page.at) != 0) printf("%s is shown otherwise than it is written\n", name);
        CHECK(shown && page.at && strcmp(shown, page.at) == 0);
        text_free(&page);
    }
    const char *kl = adv_explain("kl", buffer, sizeof buffer);
    CHECK(kl && strstr(kl, "kl("));
    const char *conv = adv_explain("conv", buffer, sizeof buffer);
    CHECK(conv && strstr(conv, "layer"));
    CHECK(adv_explain("nothing_of_this_name", buffer, sizeof buffer) == NULL);
    CHECK(adv_explain("2104x", buffer, sizeof buffer) == NULL);
    CHECK(adv_explain("", buffer, sizeof buffer) == NULL);
    CHECK(adv_explain("ADV9999", buffer, sizeof buffer) == NULL);
    char small[16];
    const char *cut = adv_explain("ADV2010", small, sizeof small);
    CHECK(cut && strlen(cut) < sizeof small);
}

int main(void)
{
    RUN(every_code_has_a_page);
    RUN(pages_of_recipes);
    RUN(page_of_graph_text);
    RUN(explain);
    return ADV_TEST_END();
}
