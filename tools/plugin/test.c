/* test.c: `advplugin test`: a parent that never loads the plugin, and children that do.
**
** A child goes through the items in order and tells the parent through a pipe which one it begins and how each ended. If it dies in
** one, the parent says in which, and starts another child behind it. So one crash hides nothing else. What did not return is not
** tried again: other items of its op are left out.
*/
#include "tools/plugin/checks.h"
#include "tools/plugin/plugin.h"
#include "tools/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOADED = 1, BEGIN, END, LEFT_OUT, DONE, AGAIN, REFUSED };
enum { MAX_HUNG = 8 };     /* ops that did not return, after which nothing more is tried */
typedef struct Note {
    uint32_t kind, item;
    int32_t n;             /* LOADED: is there a device? END: findings; REFUSED: exit code. AGAIN: the device failed, others go on */
    char text[CHECK_TEXT]; /* BEGIN: what it is */
} Note;

/* Where CUDA kernels are run, and whether nothing else will do. */
typedef struct Where { ChecksPlace place; bool must_cuda; } Where;

typedef struct Testing {
    uint32_t n_items, next, n_passed, n_failed, n_left_out;
    uint32_t hung[MAX_HUNG], n_hung; /* items that did not return */
    unsigned seconds;                /* an item may take */
    bool done, is_again;
    Where where;
    int refused;
    char doing[CHECK_TEXT];
} Testing;

static void tell(int to, Note n)
{
    if (write(to, &n, sizeof n) != sizeof n) _exit(EXIT_IO); /* a note is smaller than a pipe takes at once */
}

/* What runs on which device, or why it does not. */
static void say_device(const Checks *c)
{
    char kernels[160] = "", rows[64] = "", device[160];
    if (c->n_cuda) snprintf(kernels, sizeof kernels, "%u CUDA kernel%s (%.100s)", c->n_cuda, c->n_cuda == 1 ? "" : "s",
                            c->plugin->archs[0] ? c->plugin->archs : "no architecture");
    if (c->n_rows)
        snprintf(rows, sizeof rows, "%s%u elementwise op%s on CUDA", c->n_cuda ? " and " : "", c->n_rows, c->n_rows == 1 ? "" : "s");
    if (!c->n_cuda && !c->n_rows) return;
    if (c->device.self) c->device.be->device_info(c->device.self, device, sizeof device);
    if (c->device.self) printf("%s%s: on %s\n", kernels, rows, device);
    else printf("SKIP %s%s: %s\n", kernels, rows, c->why_none);
}

static void refuse(const Cli *cli, int to, AdvStatus st, const char *why, const char *help)
{
    cli_fail(cli, 0, help ? "%s: %s" : "%s", why, help);
    tell(to, (Note){.kind = REFUSED, .n = adv_status_exit(st)});
    _exit(0);
}

static bool is_hung(const Testing *r, const Checks *c, uint32_t ix)
{
    for (uint32_t k = 0; k < r->n_hung; k++)
        if (checks_same_op(c, ix, r->hung[k])) return true;
    return false;
}

static void child(const Cli *cli, const char *path, const Testing *r, int to)
{
    static Checks c;
    const Where *where = &r->where;
    uint32_t first = r->next;
    AdvPluginFault fault;
    alarm(r->seconds);
    AdvStatus st = checks_init(&c, path, &where->place, &fault);
    if (st != ADV_OK) refuse(cli, to, st, fault.text, fault.help);
    if (where->must_cuda && (c.n_cuda || c.n_rows) && !c.device.self) refuse(cli, to, ADV_EUNAVAILABLE, c.why_none, NULL);
    tell(to, (Note){.kind = LOADED, .item = c.n_items, .n = c.device.self != NULL});
    if (!first) say_device(&c);
    for (uint32_t i = first; i < c.n_items; i++) {
        Note n = {.kind = BEGIN, .item = i};
        if (is_hung(r, &c, i)) {
            tell(to, (Note){.kind = LEFT_OUT, .item = i});
            continue;
        }
        checks_describe(&c, i, n.text);
        fflush(stdout);
        tell(to, n);
        alarm(r->seconds);
        n = (Note){.kind = END, .item = i, .n = checks_run(&c, i)};
        fflush(stdout);
        tell(to, n);
        if (checks_can_go_on(&c)) continue;
        tell(to, (Note){.kind = AGAIN});
        _exit(0);
    }
    tell(to, (Note){.kind = DONE});
    checks_fini(&c);
    _exit(0);
}

static void take(Testing *r, const Note *n)
{
    switch (n->kind) {
    case LOADED:
        r->n_items = n->item;
        r->where.must_cuda |= n->n != 0; /* items are counted with it */
        break;
    case BEGIN:
        r->next = n->item + 1;
        memcpy(r->doing, n->text, sizeof r->doing);
        break;
    case END:
        r->doing[0] = 0;
        if (n->n)
            r->n_failed++;
        else
            r->n_passed++;
        break;
    case LEFT_OUT:
        r->next = n->item + 1;
        r->n_left_out++;
        break;
    case DONE: r->done = true; break;
    case AGAIN: r->is_again = true; break;
    default: r->refused = n->n;
    }
}

/* What became of a child that did not come to the end. */
static void say_death(Testing *r, const char *path, int status)
{
    const char *where = r->doing[0] ? r->doing : "loading it";
    bool is_hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    if (is_hung) printf("%s: did not return within %u s: %s\n", path, r->seconds, where);
    if (is_hung && r->doing[0]) r->hung[r->n_hung++] = r->next - 1;
    else if (is_hung) r->n_hung = MAX_HUNG;
    else if (WIFSIGNALED(status))
        printf("%s: died of signal %d (%s): %s\n", path, WTERMSIG(status), strsignal(WTERMSIG(status)), where);
    else
        printf("%s: ended the process with exit code %d: %s\n", path, WEXITSTATUS(status), where);
    r->n_failed++;
    r->doing[0] = 0;
}

static int one_child(Testing *r, const Cli *cli, const char *path)
{
    int ends[2], status = 0;
    Note n;
    fflush(stdout);
    r->is_again = false;
    if (pipe(ends)) return cli_fail(cli, EXIT_IO, "cannot start a child process: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0) return cli_fail(cli, EXIT_IO, "cannot start a child process: %s", strerror(errno));
    if (!pid) {
        close(ends[0]);
        child(cli, path, r, ends[1]);
    }
    close(ends[1]);
    for (;;) {
        ssize_t got = read(ends[0], &n, sizeof n);
        if (got < 0 && errno == EINTR) continue;
        if (got != (ssize_t)sizeof n) break;
        take(r, &n);
    }
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!r->done && !r->is_again && !r->refused) say_death(r, path, status);
    return 0;
}

int plugin_test(const Cli *cli, const char *path)
{
    Testing r = {0};
    long long seconds;
    char dir[RUN_PATH], module[RUN_PATH + 16];
    const char *given = cli_get(cli, "backend"), *backend = given ? given : "auto";
    bool is_wanted = strcmp(backend, "cpu") != 0;
    if (is_wanted && run_backend_dir(cli, dir)) {
        snprintf(module, sizeof module, "%s/adv_cuda.so", dir);
        r.where.place.module = module;
    }
    r.where.place.library_dirs = cli_get(cli, "library-dirs");
    r.where.place.is_off = !is_wanted;
    r.where.must_cuda = !strcmp(backend, "cuda");
    if (!cli_get_int(cli, "seconds", 1, 86400, 60, &seconds)) return EXIT_USAGE;
    r.seconds = (unsigned)seconds;
    while (!r.done && r.n_hung < MAX_HUNG) {
        uint32_t before = r.next;
        int rc = one_child(&r, cli, path);
        if (rc) return rc;
        if (r.refused) return r.refused;
        if (r.next == before && !r.done) break; /* it dies before it begins anything */
        if (r.next >= r.n_items) break;         /* it died in the last item */
    }
    if (r.n_left_out) printf("%s: %u checks of ops that did not return were left out\n", path, r.n_left_out);
    printf("%u passed, %u failed\n", r.n_passed, r.n_failed);
    return r.n_failed ? adv_status_exit(ADV_EDIFFERS) : 0;
}
