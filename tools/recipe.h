/* recipe.h: files that the programs read, and a recipe with what it imports and its overrides, ready for the compiler. */
#ifndef ADV_TOOLS_RECIPE_H
#define ADV_TOOLS_RECIPE_H

#include "compiler/adv_compile.h"
#include "tools/cli.h"

#include <stdint.h>

enum { RECIPE_MAX_FILES = 64 };

typedef struct Recipe {
    AdvCompileOpts opts;  /* name, text, load, sets, targets, allow, deny, plugins are set */
    const Cli *cli;
    AdvSet sets[CLI_MAX];
    const char *plugins[CLI_MAX];
    char *texts[RECIPE_MAX_FILES]; /* the recipe, then imports */
    char *set_texts[CLI_MAX], *allow, *deny;
    uint32_t n_texts;
} Recipe;

/* Reads at most `max` bytes of a file ("-": stdin), with a NUL behind them, to be freed. NULL with errno set. */
void *file_read(const char *path, uint64_t max, uint64_t *out_n);

/* Writes beside the target and renames: the file is there whole or not at all. 0, or 74 after a message. */
int file_write(const Cli *cli, const char *path, const void *bytes, uint64_t n);

/* Can each file of --plugin be read, also one that nothing will need? 0, or an exit code after a message. */
int plugins_are_there(const Cli *cli);

/* Reads a recipe and the options --set, --target, --allow, --deny, --plugin. 0, or an exit code after a message; recipe_free in
** either case. */
int recipe_read(Recipe *r, const Cli *cli, const char *path);
void recipe_free(Recipe *r);

#endif
