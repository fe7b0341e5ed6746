/* recipe.h: recipes as tests use them: their text, small changes to it, the graph of a stage of the compiler, a plan.
**
**   Recipe *r = recipe_open("recipes/trades.adv");
**   recipe_put(r, "batch = 128", "batch = 4");            // ends the program if there is nothing to replace: a test's mistake
**   Setup *s = setup_new();
**   AdvGraph *g = recipe_graph(r, s, "graph");
**   setup_free(s);
**   recipe_free(r);
**
** Paths are below $ADV_SOURCE_ROOT. Not thread-safe.
*/
#ifndef ADV_TESTS_RECIPE_H
#define ADV_TESTS_RECIPE_H

#include "compiler/adv_compile.h"
#include "tests/compiler/setup.h"

typedef struct Recipe { char *name, *text; } Recipe;

Recipe *recipe_open(const char *path);
Recipe *recipe_of(const char *name, const char *text); /* copies both */
void recipe_free(Recipe *r);

bool recipe_has(const Recipe *r, const char *piece);
/* Replaces every `from`. */
void recipe_put(Recipe *r, const char *from, const char *to);
/* Puts number `n` where a whole number stands behind `key` ("batch = "); nothing where none does. */
void recipe_put_number(Recipe *r, const char *key, int n);
/* Puts text behind each line that holds `piece`. */
void recipe_after(Recipe *r, const char *piece, const char *line);

/* What advc prints with --dump=WHAT, to be freed. */
char *recipe_dump(const Recipe *r, const char *what);
/* The graph after a stage: "lowered" or "graph" (after the passes common to all targets), read from its text. NULL after
** printing why not. */
AdvGraph *recipe_graph(const Recipe *r, Setup *s, const char *stage);
/* The target's own passes and memory plan on a common graph; `checked`: every pass verified and sent through its own text. */
struct AdvMemPlan *recipe_target(Setup *s, AdvGraph **g, const Recipe *r, const char *target, bool checked);
/* Plan bytes, to be freed with recipe_plan_free; NULL after printing why not. `skip` as of advc --skip. */
void *recipe_plan(const Recipe *r, const char *targets, const char *skip, uint64_t *out_n);
void recipe_plan_free(void *plan, uint64_t n);

/* Names of all files of recipes/ ("recipes/ades.adv"), sorted, ended by NULL; made once, kept while the program runs. */
char **recipe_all(void);

#endif
