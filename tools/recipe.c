/* recipe.c: see recipe.h. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "tools/recipe.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_RECIPE (1 << 20)

/* Grows as it reads: stdin and pipes have no size. */
static char *read_all(FILE *f, uint64_t max, uint64_t *out_n)
{
    uint64_t cap = 1 << 16, n = 0;
    char *data = malloc(cap);
    while (data) {
        uint64_t want = cap - 1 < max ? cap - 1 : max;
        n += fread(data + n, 1, want - n, f);
        if (n < want || n == max || ferror(f)) break;
        char *more = realloc(data, cap *= 2);
        if (!more) free(data);
        data = more;
    }
    if (data) data[n] = 0;
    *out_n = n;
    return data;
}

void *file_read(const char *path, uint64_t max, uint64_t *out_n)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    if (!f) return NULL;
    errno = 0;
    char *data = read_all(f, max, out_n);
    int err = !data ? ENOMEM : ferror(f) ? errno ? errno : EIO : 0;
    if (f != stdin) fclose(f);
    if (!err) return data;
    free(data);
    errno = err;
    return NULL;
}

/* A pipe or a device: it is written to, and stays what it is. */
static int write_through(const Cli *cli, const char *path, const void *bytes, uint64_t n)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes, 1, n, f) == n;
    if (f && fclose(f)) ok = false;
    return ok ? 0 : cli_fail(cli, EXIT_IO, "cannot write `%s`: %s", path, strerror(errno));
}

int file_write(const Cli *cli, const char *path, const void *bytes, uint64_t n)
{
    char tmp[4096], real[PATH_MAX];
    struct stat sb;
    bool is_there = stat(path, &sb) == 0;
    if (is_there && !S_ISREG(sb.st_mode)) return write_through(cli, path, bytes, n);
    if (is_there && realpath(path, real)) path = real; /* what a link leads to, not the link */
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", path) >= sizeof tmp)
        return cli_fail(cli, EXIT_IO, "cannot write `%s`: its name is too long", path);
    FILE *f = fopen(tmp, "wb");
    bool ok = f && (!is_there || !fchmod(fileno(f), sb.st_mode & 07777));
    ok = ok && fwrite(bytes, 1, n, f) == n && !fflush(f) && !fsync(fileno(f));
    if (f && fclose(f)) ok = false;
    if (ok && !rename(tmp, path)) return 0;
    int err = errno;
    remove(tmp);
    return cli_fail(cli, EXIT_IO, "cannot write `%s`: %s", path, strerror(err));
}

/* A byte more than a recipe may have is read, so that the compiler can say that it is too long. */
static char *load_text(Recipe *r, const char *path, size_t *out_n)
{
    uint64_t n = 0;
    errno = EMFILE;
    char *text = r->n_texts < RECIPE_MAX_FILES ? file_read(path, MAX_RECIPE + 1, &n) : NULL;
    if (text) r->texts[r->n_texts++] = text;
    *out_n = (size_t)n;
    return text;
}

static const char *load_import(void *user, const char *path, size_t *out_n) { return load_text(user, path, out_n); }

static int read_sets(Recipe *r)
{
    for (const char *s; (s = cli_get_nth(r->cli, "set", r->opts.n_sets)); r->opts.n_sets++) {
        char *copy = r->set_texts[r->opts.n_sets] = strdup(s), *eq = copy ? strchr(copy, '=') : NULL;
        if (!copy) return cli_fail(r->cli, adv_status_exit(ADV_ENOMEM), "out of memory");
        assert(eq); /* cli_parse asks for it */
        *eq = 0;
        r->sets[r->opts.n_sets] = (AdvSet){copy, eq + 1};
    }
    return 0;
}

/* The values of an option that may be repeated with commas between, NULL if there are none; false: out of memory. */
static bool join(const Cli *cli, const char *name, char **out)
{
    size_t n = 1;
    *out = NULL;
    for (size_t k = 0; cli_get_nth(cli, name, k); k++) n += strlen(cli_get_nth(cli, name, k)) + 1;
    if (n == 1) return true;
    char *to = *out = malloc(n);
    for (size_t k = 0; to && cli_get_nth(cli, name, k); k++) to += sprintf(to, "%s%s", k ? "," : "", cli_get_nth(cli, name, k));
    return to != NULL;
}

int plugins_are_there(const Cli *cli)
{
    const char *path;
    for (size_t i = 0; (path = cli_get_nth(cli, "plugin", i)); i++)
        if (access(path, R_OK)) return cli_fail_input(cli, path);
    return 0;
}

/* A plan is a container, whose header stands behind its length of 8 bytes (runtime/plan.h). */
static bool is_plan(const char *text, size_t n)
{
    static const char head[] = "{\"__metadata__\"", mark[] = "\"adv.plan\"";
    char start[256] = "";
    if (n < 8 + sizeof start) return false;
    memcpy(start, text + 8, sizeof start - 1);
    return !strncmp(start, head, sizeof head - 1) && strstr(start, mark);
}

int recipe_read(Recipe *r, const Cli *cli, const char *path)
{
    memset(r, 0, sizeof *r);
    r->cli = cli;
    r->opts = (AdvCompileOpts){.struct_size = sizeof r->opts,
                               .name = path,
                               .load = load_import,
                               .load_user = r,
                               .sets = r->sets,
                               .targets = cli_get(cli, "target")};
    int rc = read_sets(r);
    if (rc) return rc;
    if (!join(cli, "allow", &r->allow) || !join(cli, "deny", &r->deny)) return cli_fail(cli, adv_status_exit(ADV_ENOMEM), "out of memory");
    r->opts.allow = r->allow;
    r->opts.deny = r->deny;
    r->opts.plugins = r->plugins;
    r->opts.n_plugins = cli_all(cli, "plugin", r->plugins);
    rc = plugins_are_there(cli);
    if (rc) return rc;
    r->opts.text = load_text(r, path, &r->opts.n_bytes);
    if (!r->opts.text) return cli_fail_input(cli, path);
    if (!is_plan(r->opts.text, r->opts.n_bytes)) return 0;
    return cli_fail(cli, EXIT_USAGE, "`%s` is a plan, which advc has made of a recipe: run it with\n  advrun %s", path, path);
}

void recipe_free(Recipe *r)
{
    for (uint32_t i = 0; i < r->n_texts; i++) free(r->texts[i]);
    for (uint32_t i = 0; i < CLI_MAX; i++) free(r->set_texts[i]);
    free(r->allow);
    free(r->deny);
}
