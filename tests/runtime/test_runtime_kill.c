/* test_runtime_kill.c: a run killed at any moment (SIGKILL, so nothing can tidy up) and resumed, over and over, ends with the
** bits of a run that was left alone. Also: a stop asked for by a signal handler ends after the step with a checkpoint.
*/
#include "tests/adv_test.h"
#include "tests/base/scratch.h"
#include "tests/runtime/toy.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_KILLS = 40 };

static void wait_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

/* So slow that no run of 24 steps ends before it was killed. */
static int32_t slow_down(void *user, const AdvEvent *e)
{
    (void)user;
    if (e->kind == ADV_EVENT_STEP) wait_ms(3);
    return 0;
}

/* Runs on from what is in `dir`; 0 when the program came to its end. In a child process. */
static int run_on(const char *dir)
{
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir, .save_every_steps = 1, .progress = slow_down};
    AdvStatus st = adv_session_resume(t.s, dir, t.ds);
    if (st == ADV_OK || st == ADV_ENOENT) st = adv_session_train(t.s, &o, st == ADV_OK ? t.ds : NULL);
    if (st != ADV_OK) toy_show(&t);
    toy_close(&t);
    return st != ADV_OK;
}

static void killed_anywhere(void)
{
    char dir[64];
    uint32_t seed = 12345;
    int status = 1, n_kills = 0;
    scratch_make(dir);
    Toy want = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_train(want.s, NULL, want.ds), ADV_OK);
    for (int k = 0; k <= MAX_KILLS; k++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid < 0) abort();
        if (!pid) _exit(run_on(dir));
        seed = seed * 1664525u + 1013904223u;
        if (k < MAX_KILLS) {
            wait_ms(1 + (long)(seed >> 16) % 40);
            kill(pid, SIGKILL);
        }
        if (waitpid(pid, &status, 0) != pid) abort();
        if (WIFEXITED(status)) break;
        n_kills++;
    }
    CHECK(n_kills > 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_OK);
    CHECK(adv_session_is_done(t.s));
    CHECK(toy_hash(&t) == toy_hash(&want));
    printf("killed %d times\n", n_kills);
    toy_close(&t);
    toy_close(&want);
    scratch_remove(dir);
}

static AdvSession *stopping;
static void on_signal(int sig)
{
    (void)sig;
    adv_session_cancel(stopping);
}

static int32_t raise_at_step_5(void *user, const AdvEvent *e)
{
    (void)user;
    if (e->kind == ADV_EVENT_STEP && e->total_step == 5) raise(SIGUSR1);
    return 0;
}

static void signal_ends_after_the_step(void)
{
    char dir[64];
    double step;
    scratch_make(dir);
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    AdvTrainOpts o = {.struct_size = sizeof o, .run_dir = dir, .progress = raise_at_step_5};
    stopping = t.s;
    signal(SIGUSR1, on_signal);
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_ECANCELLED);
    CHECK_EQ(adv_status_exit(ADV_ECANCELLED), 75);
    CHECK_EQ(adv_session_get(t.s, "run.step", &step), ADV_OK);
    CHECK_EQ(step, 5);
    signal(SIGUSR1, SIG_DFL);
    toy_close(&t);
    t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    CHECK_EQ(adv_session_resume(t.s, dir, t.ds), ADV_OK);
    CHECK_EQ(adv_session_get(t.s, "run.step", &step), ADV_OK);
    CHECK_EQ(step, 5);
    toy_close(&t);
    scratch_remove(dir);
}

/* Calls back into the session from a callback are refused. */
static int32_t call_back(void *user, const AdvEvent *e)
{
    AdvSession *s = user;
    double x;
    if (e->kind == ADV_EVENT_STEP) CHECK_EQ(adv_session_get(s, "run.step", &x), ADV_EBUSY);
    if (e->kind == ADV_EVENT_STEP) CHECK_EQ(adv_session_step(s, 1, NULL), ADV_EBUSY);
    return 0;
}

static void callbacks_may_not_call_back(void)
{
    Toy t = toy_open("cpu", "cpu", NULL, ADV_CHECK_OFF, 0);
    AdvTrainOpts o = {.struct_size = sizeof o, .progress = call_back, .user = t.s, .max_steps = 2};
    CHECK_EQ(adv_session_train(t.s, &o, t.ds), ADV_OK);
    toy_close(&t);
}

int main(void)
{
    RUN(killed_anywhere);
    RUN(signal_ends_after_the_step);
    RUN(callbacks_may_not_call_back);
    return ADV_TEST_END();
}
