/* new.c: `advplugin new`: the files of tools/plugin/starter with the name put in for @NAME@. */
#include "tools/plugin/plugin.h"

#include "compiler/embed.h"
#include "tools/recipe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

extern const AdvText adv_starter_texts[];

static bool is_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return s[0] >= 'a' && s[0] <= 'z' && !s[n] && n < 64;
}

/* A line with the name put in. */
static size_t put_line(char *to, const char *line, const char *name)
{
    size_t at = 0;
    for (const char *s = line; *s;) {
        bool is_place = !strncmp(s, "@NAME@", 6);
        if (is_place)
            at += (size_t)sprintf(to + at, "%s", name);
        else
            to[at++] = *s;
        s += is_place ? 6 : 1;
    }
    return at;
}

/* The text for this name, NUL-terminated: of what stands between @CUDA@, @ELSE@ and @END@ one part. */
static char *fill_in(AdvArena *a, const AdvText *t, const char *name, bool cuda)
{
    size_t n_bytes = 1, at = 0;
    bool is_wanted = true;
    for (size_t i = 0; i < t->n_lines; i++) n_bytes += strlen(t->lines[i]) * (strlen(name) + 1);
    char *to = adv_arena_new(a, n_bytes);
    if (!to) return NULL;
    for (size_t i = 0; i < t->n_lines; i++) {
        const char *line = t->lines[i];
        if (!strcmp(line, "@CUDA@\n"))
            is_wanted = cuda;
        else if (!strcmp(line, "@ELSE@\n"))
            is_wanted = !cuda;
        else if (!strcmp(line, "@END@\n"))
            is_wanted = true;
        else if (is_wanted)
            at += put_line(to + at, line, name);
    }
    to[at] = 0;
    return to;
}

int plugin_new(const Cli *cli, const char *name, bool cuda)
{
    static const struct {
        const char *text, *ending;
    } files[] = {{"op", ".c"}, {"recipe", ".adv"}, {"build", NULL}, {"kernel", "_kernel.cu"}};
    char path[256];
    AdvArena arena;
    int rc = 0;
    if (!is_name(name)) return cli_fail(cli, EXIT_USAGE, "`%s` is no name for an op: lower case letters, digits and `_`", name);
    if (mkdir(name, 0777)) return cli_fail(cli, EXIT_IO, "cannot make the folder `%s`: %s", name, strerror(errno));
    adv_arena_init(&arena, adv_alloc_default());
    for (size_t i = 0; i < (cuda ? 4 : 3) && !rc; i++) {
        const char *text = fill_in(&arena, adv_text_find(adv_starter_texts, files[i].text), name, cuda), *ending = files[i].ending;
        snprintf(path, sizeof path, "%s/%s%s", name, ending ? name : "meson.build", ending ? ending : "");
        rc = text ? file_write(cli, path, text, strlen(text)) : adv_status_exit(ADV_ENOMEM);
        if (!rc) printf("%s\n", path);
    }
    adv_arena_fini(&arena);
    return rc;
}
