/* crew.c: jobs on all threads of a session, while it opens.
**
** The thread that opens the session works too, and alone where no other thread can be had. A list under one lock: jobs take seconds or
** milliseconds, so nothing finer is worth its trouble. Threads end when the list is empty and no job runs that could add to it. Where
** memory runs out the jobs not begun are dropped, and the opening thread says so. Signals stay with the program's own threads.
*/
#include "runtime/cuda/cuda_back.h"

#include <signal.h>

enum { MAX_THREADS = 64 };

AdvStatus adv_cuda_crew_open(AdvCudaBack *b, AdvCudaCrew *crew)
{
    *crew = (AdvCudaCrew){.back = b, .n_threads = b->host.opts.n_threads < MAX_THREADS ? b->host.opts.n_threads : MAX_THREADS};
    crew->last = &crew->first;
    if (pthread_mutex_init(&crew->lock, NULL)) return adv_cuda_fail(b, ADV_ENOMEM, "out of memory for threads");
    if (pthread_cond_init(&crew->news, NULL) == 0) return ADV_OK;
    (void)pthread_mutex_destroy(&crew->lock);
    return adv_cuda_fail(b, ADV_ENOMEM, "out of memory for threads");
}

void adv_cuda_crew_alone(AdvCudaCrew *crew) { crew->n_threads = 1; }

void adv_cuda_crew_add(AdvCudaCrew *crew, AdvCudaJob *job)
{
    (void)pthread_mutex_lock(&crew->lock);
    if (!crew->is_stopped) {
        job->next = NULL;
        *crew->last = job;
        crew->last = &job->next;
        (void)pthread_cond_signal(&crew->news);
    }
    (void)pthread_mutex_unlock(&crew->lock);
}

/* With the lock held: nothing more is begun. */
static void stop(AdvCudaCrew *crew)
{
    crew->is_stopped = true;
    crew->first = NULL;
    crew->last = &crew->first;
}

static AdvCudaJob *take(AdvCudaCrew *crew)
{
    while (!crew->first && crew->n_running) (void)pthread_cond_wait(&crew->news, &crew->lock);
    AdvCudaJob *job = crew->first;
    if (!job) return NULL;
    crew->first = job->next;
    if (!crew->first) crew->last = &crew->first;
    crew->n_running++;
    return job;
}

static void work(AdvCudaCrew *crew)
{
    AdvCudaJob *job;
    (void)pthread_mutex_lock(&crew->lock);
    while ((job = take(crew)) != NULL) {
        (void)pthread_mutex_unlock(&crew->lock);
        bool ok = job->run(job, crew);
        (void)pthread_mutex_lock(&crew->lock);
        crew->n_running--;
        if (!ok) stop(crew), crew->is_out_of_memory = true;
        if (!crew->first && !crew->n_running) (void)pthread_cond_broadcast(&crew->news);
    }
    (void)pthread_mutex_unlock(&crew->lock);
}

/* A thread of its own needs to be told which device is meant. */
static void *work_beside(void *user)
{
    AdvCudaCrew *crew = user;
    const AdvCuda *c = &crew->back->cuda;
    cudaError_t e = c->api->cudaSetDevice(c->device);
    if (e == cudaSuccess) {
        work(crew);
        return NULL;
    }
    (void)pthread_mutex_lock(&crew->lock);
    stop(crew);
    crew->error = e;
    (void)pthread_mutex_unlock(&crew->lock);
    return NULL;
}

AdvStatus adv_cuda_crew_close(AdvCudaCrew *crew, AdvStatus st)
{
    pthread_t thread[MAX_THREADS];
    sigset_t all, before;
    uint32_t n = 0;
    if (st == ADV_OK && crew->first) {
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        while (n + 1 < crew->n_threads && pthread_create(&thread[n], NULL, work_beside, crew) == 0) n++;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        work(crew);
    }
    while (n > 0) (void)pthread_join(thread[--n], NULL);
    (void)pthread_cond_destroy(&crew->news);
    (void)pthread_mutex_destroy(&crew->lock);
    if (st != ADV_OK) return st;
    ADV_TRY(adv_cuda_check(&crew->back->cuda, crew->error, "cudaSetDevice"));
    return crew->is_out_of_memory ? adv_cuda_fail(crew->back, ADV_ENOMEM, "out of memory while cuDNN and NVRTC build code") : ADV_OK;
}
