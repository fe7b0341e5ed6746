/* fetch.c: files from elsewhere: from the publisher over HTTP, or a package through the ordinary package client, which knows
** where packages come from and how this machine reaches them.
**
** A download goes to NAME.part and is renamed when complete; a .part that is there is continued. Then it is checked, and what is wrong
** is deleted, so that another place is asked for it. Nothing is executed from a package: it is packed, not installed.
*/
#include "tools/data/data.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define CONNECT_SECONDS 5L
#define STALL_SECONDS 15L
#define MOST_REDIRECTS 5L
#define MOST_DOWNLOAD_BYTES ((curl_off_t)1 << 30)

extern char **environ;

static AdvStatus unavailable(const DataCtx *ctx, const char *what, const char *why)
{
    return adv_fail(ctx->ds, ADV_EUNAVAILABLE, ADV_D_DATA_FETCH, "%s: %s", what, why);
}

static AdvStatus too_long(const DataCtx *ctx, const char *path)
{
    return adv_fail(ctx->ds, ADV_EIO, ADV_D_IO, "the path `%s` is too long", path);
}

static void set_options(CURL *curl, const char *url, FILE *to, curl_off_t from, char error[CURL_ERROR_SIZE])
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, to); /* the default function is fwrite */
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, MOST_REDIRECTS);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, MOST_DOWNLOAD_BYTES);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    if (from > 0) curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, from);
}

/* Appends to `part` what it lacks. */
static AdvStatus download_part(const DataCtx *ctx, const char *url, const char *part)
{
    struct stat st;
    curl_off_t have = stat(part, &st) == 0 ? (curl_off_t)st.st_size : 0;
    FILE *to = fopen(part, "ab");
    if (!to) return adv_fail(ctx->ds, ADV_EIO, ADV_D_IO, "cannot write `%s`: %s", part, strerror(errno));
    CURL *curl = curl_easy_init();
    if (!curl) {
        fclose(to);
        return adv_fail(ctx->ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while fetching `%s`", url);
    }
    char error[CURL_ERROR_SIZE] = "";
    set_options(curl, url, to, have, error);
    CURLcode rc = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    bool is_written = fclose(to) == 0;
    if (rc == CURLE_WRITE_ERROR || !is_written) return adv_fail(ctx->ds, ADV_EIO, ADV_D_IO, "cannot write `%s`: %s", part, strerror(errno));
    if (rc == CURLE_OK) return ADV_OK;
    /* What cannot be continued is begun anew by the next attempt. That nothing follows (416) is no error for curl, and what a server that
    ** is busy or lacks the file answers says nothing of what is there. */
    if (have > 0 && (rc == CURLE_RANGE_ERROR || rc == CURLE_BAD_DOWNLOAD_RESUME)) (void)unlink(part);
    return unavailable(ctx, url, error[0] ? error : curl_easy_strerror(rc));
}

static AdvStatus download(const DataCtx *ctx, const char *url, const char *path)
{
    char part[PATH_BYTES], line[PATH_BYTES + 16];
    int n = snprintf(part, sizeof part, "%s.part", path);
    if (n < 0 || (size_t)n >= sizeof part) return too_long(ctx, path);
    snprintf(line, sizeof line, "fetching %s", url);
    ctx->say(ctx->user, line);
    AdvStatus st = download_part(ctx, url, part);
    struct stat got;
    if (st != ADV_OK) {
        if (stat(part, &got) == 0 && got.st_size == 0) (void)unlink(part);
        return st;
    }
    if (rename(part, path) != 0) return adv_fail(ctx->ds, ADV_EIO, ADV_D_IO, "cannot rename `%s`: %s", part, strerror(errno));
    return ADV_OK;
}

/* Downloads `name` from the folder url[0..url_len) to dir/name, unless it is there. */
static AdvStatus download_to(const DataCtx *ctx, const char *url, size_t url_len, const char *dir, const char *name, char path[PATH_BYTES])
{
    char full[PATH_BYTES];
    struct stat st;
    int n = snprintf(path, PATH_BYTES, "%s/%s", dir, name);
    int m = snprintf(full, sizeof full, "%.*s%s", (int)url_len, url, name);
    if (n < 0 || n >= PATH_BYTES || m < 0 || (size_t)m >= sizeof full) return too_long(ctx, dir);
    return stat(path, &st) == 0 ? ADV_OK : download(ctx, full, path);
}

/* All files of the form from one URL folder. A file that is not the published one is deleted, so that another place is asked. */
static AdvStatus fetch_from_publisher(const DataCtx *ctx, const DataTable *t, const DataFormDef *form, const char *url, size_t url_len,
                                      const char *dir, DataFiles *f)
{
    char path[PATH_BYTES];
    if (form->archive[0]) {
        ADV_TRY(download_to(ctx, url, url_len, dir, form->archive, path));
        AdvStatus st = data_check_archive(ctx, form, path);
        if (st == ADV_EDATA) (void)unlink(path);
        return st != ADV_OK ? st : data_gather_archive(ctx, path, f);
    }
    for (uint32_t i = 0; i < f->n; i++) {
        DataBlob *b = &f->at[i];
        if (&t->forms[b->def->form] != form) continue;
        ADV_TRY(download_to(ctx, url, url_len, dir, b->def->name, path));
        ADV_TRY(data_gather_folder(ctx, dir, f));
        AdvStatus st = data_check_file(ctx, b);
        if (st == ADV_OK) continue;
        (void)unlink(path);
        adv_mem_free(&ctx->alloc, b->bytes, b->n_allocated);
        *b = (DataBlob){.def = b->def};
        return st;
    }
    return ADV_OK;
}

/* Runs argv with its output in the file `log`; its exit code, or -1 when it could not be run. */
static int run_program(char *const argv[], const char *log)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) return -1;
    int rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0) rc = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (rc == 0) rc = posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    pid_t pid = -1;
    if (rc == 0) rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0) return -1;
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The last line of a log that says something, for the message. */
static void last_line(const char *path, char out[256])
{
    char line[256];
    FILE *log = fopen(path, "r");
    snprintf(out, 256, "it gave no reason");
    while (log && fgets(line, sizeof line, log)) {
        line[strcspn(line, "\r\n")] = 0;
        if (strstr(line, "rror") || strstr(line, "ERR")) memcpy(out, line, sizeof line);
    }
    if (log) fclose(log);
}

static AdvStatus fetch_from_package(const DataCtx *ctx, const DataFormDef *form, const char *dir, DataFiles *f)
{
    char path[PATH_BYTES], log[PATH_BYTES], to[PATH_BYTES], spec[256], line[512], why[256];
    int n = snprintf(path, sizeof path, "%s/%s", dir, form->archive);
    int m = snprintf(log, sizeof log, "%s/npm.log", dir);
    int k = snprintf(to, sizeof to, "--pack-destination=%s", dir);
    if (n < 0 || m < 0 || k < 0 || (size_t)n >= sizeof path || (size_t)m >= sizeof log || (size_t)k >= sizeof to) return too_long(ctx, dir);
    snprintf(spec, sizeof spec, "%s", form->from);
    snprintf(line, sizeof line, "fetching the package %s with npm", spec);
    ctx->say(ctx->user, line);
    (void)unlink(path);
    char npm[] = "npm", pack[] = "pack", retries[] = "--fetch-retries=1";
    char *const argv[] = {npm, pack, spec, to, retries, NULL};
    int rc = run_program(argv, log);
    last_line(log, why);
    (void)unlink(log);
    if (rc < 0 || rc == 127) return unavailable(ctx, "npm", "it is not installed or cannot be run");
    if (rc != 0) return unavailable(ctx, "npm pack", why);
    ADV_TRY(data_check_archive(ctx, form, path));
    return data_gather_archive(ctx, path, f);
}

/* One place. A place that does not have the files is no error of the whole: the reason is said, and the next place is asked.
** What asking elsewhere would not mend (no memory, full disk) is passed on. */
static AdvStatus attempt(const DataCtx *ctx, const DataTable *t, const DataFormDef *form, const char *from, size_t from_len,
                         const char *dir, DataFiles *f)
{
    DataCtx own = *ctx;
    own.ds = adv_diags_new(ctx->alloc);
    AdvStatus st = form->route == DATA_PUBLISHER ? fetch_from_publisher(&own, t, form, from, from_len, dir, f)
                                                 : fetch_from_package(&own, form, dir, f);
    const AdvDiag *d = own.ds ? own.ds->last : NULL;
    if (st == ADV_EIO || st == ADV_ENOMEM) {
        (void)adv_fail(ctx->ds, st, d ? (AdvDiagId)d->id : ADV_D_DATA_FETCH, "%s", d ? d->message : "fetching failed");
    } else if (st != ADV_OK) {
        char line[1024];
        snprintf(line, sizeof line, "skipped: %s", d ? d->message : "it does not have the files");
        ctx->say(ctx->user, line);
    }
    adv_diags_free(own.ds);
    return st;
}

AdvStatus data_fetch(const DataCtx *ctx, const DataTable *t, const DataSetDef *set, const char *dir, DataFiles *f)
{
    bool has_package = false;
    for (uint32_t i = 0; i < t->n_forms; i++) {
        const DataFormDef *form = &t->forms[i];
        if (strcmp(form->set, set->name) != 0) continue;
        has_package |= form->route == DATA_PACKAGE;
        for (const char *from = form->from; *from;) {
            size_t len = strcspn(from, " ");
            AdvStatus st = attempt(ctx, t, form, from, len, dir, f);
            if (st == ADV_OK || st == ADV_EIO || st == ADV_ENOMEM) return st;
            from += len;
            from += strspn(from, " ");
        }
    }
    AdvDiag *d = adv_diag(ctx->ds, ADV_D_DATA_FETCH, (AdvSpan){0}, "`%s` could not be fetched from anywhere", set->name);
    if (!has_package) adv_diag_note(d, (AdvSpan){0}, "only its publisher has it: no package carries it");
    adv_diag_help(d, "fetch its files on another machine and give the folder or archive: `advdata fetch %s --from=PATH`", set->name);
    return ADV_EUNAVAILABLE;
}
