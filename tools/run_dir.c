/* run_dir.c: the folder of a run: runs/NAME, runs/NAME-2, ... with the recipe, the plan and what it ran on. */
#include "tools/recipe.h"
#include "tools/run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int fail(const Cli *cli, const char *what, const char *path)
{
    return cli_fail(cli, EXIT_IO, "cannot %s `%s`: %s", what, path, strerror(errno));
}

int run_dir_new(const Cli *cli, const char *recipe, char dir[RUN_PATH])
{
    const char *given = cli_get(cli, "run-dir");
    if (given) {
        char latest[RUN_PATH + 16];
        snprintf(dir, RUN_PATH, "%s", given);
        if (mkdir(dir, 0755) && errno != EEXIST) return fail(cli, "make folder", dir);
        snprintf(latest, sizeof latest, "%s/LATEST", dir);
        if (access(latest, F_OK)) return 0;
        return cli_fail(cli, EXIT_USAGE, "`%s` holds a run already: continue it with --resume=%s, or name another folder", dir, dir);
    }
    if (mkdir("runs", 0755) && errno != EEXIST) return fail(cli, "make folder", "runs");
    for (int k = 1; k < 100000; k++) {
        if (k == 1) snprintf(dir, RUN_PATH, "runs/%.200s", recipe);
        else snprintf(dir, RUN_PATH, "runs/%.200s-%d", recipe, k);
        if (!mkdir(dir, 0755)) return 0;
        if (errno != EEXIST) return fail(cli, "make folder", dir);
    }
    errno = EEXIST;
    return fail(cli, "make folder", dir);
}

int run_dir_claim(const Cli *cli, const char *dir)
{
    char path[RUN_PATH + 16];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return fail(cli, "open", path);
    if (!fcntl(fd, F_SETLK, &whole) || (errno != EACCES && errno != EAGAIN)) return 0; /* held until the process ends, however it does */
    if (fcntl(fd, F_GETLK, &whole) || whole.l_type == F_UNLCK) whole.l_pid = 0;
    close(fd);
    return cli_fail(cli, EXIT_USAGE, "`%s` is in use by another advrun (process %ld): wait for it, or name another folder", dir,
                    (long)whole.l_pid);
}

static bool same_plan(const char *dir, const RunPlan *plan)
{
    char path[RUN_PATH + 16];
    struct stat sb;
    snprintf(path, sizeof path, "%s/plan", dir);
    if (stat(path, &sb) || (uint64_t)sb.st_size != plan->n_bytes) return false;
    FILE *f = fopen(path, "rb");
    char *bytes = f ? malloc((size_t)plan->n_bytes + 1) : NULL;
    bool same = bytes && fread(bytes, 1, (size_t)plan->n_bytes, f) == plan->n_bytes && !memcmp(bytes, plan->bytes, (size_t)plan->n_bytes);
    free(bytes);
    if (f) fclose(f);
    return same;
}

int run_dir_find(const Cli *cli, const RunPlan *plan, const char *recipe, char dir[RUN_PATH])
{
    char path[RUN_PATH], latest[RUN_PATH + 16];
    time_t newest = 0;
    int n_other = 0;
    DIR *d = opendir("runs");
    dir[0] = 0;
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        struct stat sb;
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "runs/%s", e->d_name);
        snprintf(latest, sizeof latest, "%s/LATEST", path);
        if (stat(latest, &sb)) continue;
        if (!same_plan(path, plan)) {
            n_other += !strncmp(e->d_name, recipe, strlen(recipe));
            continue;
        }
        if (dir[0] && sb.st_mtime < newest) continue;
        newest = sb.st_mtime;
        snprintf(dir, RUN_PATH, "%s", path);
    }
    if (d) closedir(d);
    if (dir[0]) return 0;
    char others[2048] = "";
    size_t n = 0;
    d = n_other ? opendir("runs") : NULL;
    for (struct dirent *e = d ? readdir(d) : NULL; e && n < sizeof others; e = readdir(d))
        if (!strncmp(e->d_name, recipe, strlen(recipe)))
            n += (size_t)snprintf(others + n, sizeof others - n, "\n  runs/%s (advrun --resume=runs/%s continues it with its own plan)",
                                  e->d_name, e->d_name);
    if (d) closedir(d);
    return cli_fail(cli, EXIT_NO_INPUT, "no run under `runs` was made with this plan%s%s",
                    n_other ? "; those of this name have another plan:" : ": leave out --resume to begin one", others);
}

/* ---- files ----------------------------------------------------------------------------------------------------------- */

static int write_file(const Cli *cli, const char *dir, const char *name, const void *data, size_t n)
{
    char path[RUN_PATH + 64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return file_write(cli, path, data, n);
}

static void put_pair(FILE *f, const char *key, const char *value)
{
    fprintf(f, ",\n \"%s\": ", key);
    cli_put_json(f, value);
}

static void put_env(FILE *f, const AdvPlan *p, const AdvSession *s, const char *data_path, int argc, char **argv)
{
    AdvPlanInfo pi = {.struct_size = sizeof pi};
    AdvSessionInfo si = {.struct_size = sizeof si};
    struct utsname u;
    char now[64] = "";
    time_t t = time(NULL);
    struct tm tm;
    if (adv_plan_info(p, &pi) || adv_session_info(s, &si)) return;
    if (gmtime_r(&t, &tm)) strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &tm);
    fprintf(f, "{\"program\": \"advrun\"");
    put_pair(f, "began", now);
    put_pair(f, "recipe", pi.recipe);
    put_pair(f, "plan", pi.hash);
    put_pair(f, "backend", si.backend);
    put_pair(f, "device", si.device);
    put_pair(f, "target", si.target);
    put_pair(f, "precision", pi.precision);
    fprintf(f, ",\n \"threads\": %u, \"seed\": %lld", si.n_threads, (long long)pi.seed);
    put_pair(f, "data", data_path);
    put_pair(f, "data_digest", si.data_digest);
    if (!uname(&u)) {
        put_pair(f, "system", u.sysname);
        put_pair(f, "release", u.release);
        put_pair(f, "machine", u.machine);
        put_pair(f, "host", u.nodename);
    }
#ifdef __VERSION__
    put_pair(f, "compiler", __VERSION__);
#endif
    fprintf(f, ",\n \"params\": {");
    const char *name, *origin;
    double value;
    for (uint32_t k = 0; !adv_plan_param(p, k, &name, &value, &origin); k++) {
        fprintf(f, "%s\n  ", k ? "," : "");
        cli_put_json(f, name);
        fprintf(f, ": {\"value\": %.17g, \"origin\": ", value);
        cli_put_json(f, origin);
        fputc('}', f);
    }
    fprintf(f, "},\n \"command\": [");
    for (int i = 0; i < argc; i++) {
        if (i) fputs(", ", f);
        cli_put_json(f, argv[i]);
    }
    fputs("]}\n", f);
}

int run_dir_fill(const Cli *cli, const char *dir, const RunPlan *plan, const AdvPlan *p, const AdvSession *s, const char *data_path,
                 int argc, char **argv)
{
    const char *name, *text;
    size_t n;
    char *env = NULL;
    size_t n_env = 0;
    int rc = write_file(cli, dir, "plan", plan->bytes, (size_t)plan->n_bytes);
    if (!rc && !adv_plan_source(p, 0, &name, &text, &n)) rc = write_file(cli, dir, "recipe.adv", text, n);
    if (rc) return rc;
    FILE *f = open_memstream(&env, &n_env);
    if (!f) return fail(cli, "write env.json in", dir);
    put_env(f, p, s, data_path, argc, argv);
    if (fclose(f)) rc = fail(cli, "write env.json in", dir);
    else rc = write_file(cli, dir, "env.json", env, n_env);
    free(env);
    return rc;
}
