/* backend_cpu.c: runs each instruction on the first kernel of the cpu tables that can, else on its definition.
**
** The choice depends on the signature and on nothing else (no timing), so two opens of a plan compute the same bits.
** Kernels that use OpenMP share its one pool of threads; the number is set in the thread that launches.
*/
#include "runtime/backend.h"

#include <stdarg.h>
#include <stdio.h>
#ifdef _OPENMP
#include <omp.h>
#endif

typedef struct PrepHost { AdvHostSelf *h; AdvDiags *ds; const AdvKernel *k; } PrepHost;

typedef struct Cpu {
    AdvHostSelf host;       /* first: the shared functions take a Cpu as an AdvHostSelf */
    struct Release *release;
} Cpu;

struct Release {
    struct Release *next;
    const AdvKernel *k;
    void *state;
};

static AdvStatus open_cpu(const AdvBackendOpts *o, AdvDiags *ds, void **out_self)
{
    Cpu *c = adv_mem_new0(&o->alloc, sizeof *c);
    *out_self = NULL;
    if (!c) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening the back end");
    c->host.opts = *o;
    *out_self = c;
    return ADV_OK;
}

static void close_cpu(void *self)
{
    Cpu *c = self;
    if (!c) return;
    for (struct Release *r = c->release; r; r = r->next) r->k->release(r->state);
    adv_host_fini(&c->host);
    AdvAlloc a = c->host.opts.alloc;
    adv_mem_free(&a, c, sizeof *c);
}

static void *prep_alloc(AdvPrep *p, size_t bytes)
{
    return adv_host_keep(((PrepHost *)p->host)->h, bytes);
}

static AdvStatus prep_fail(AdvPrep *p, AdvStatus st, const char *fmt, ...)
{
    PrepHost *ph = p->host;
    char msg[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return adv_fail(ph->ds, st, ADV_D_KERNEL, "kernel `%s` of `%s`: %s", ph->k->name, ph->k->op, msg);
}

static AdvStatus prepare_kernel(Cpu *c, AdvBound *b, const AdvKernel *k, AdvDiags *ds)
{
    PrepHost ph = {&c->host, ds, k};
    AdvPrep p = {.sig = &b->sig, .n_threads = c->host.opts.n_threads, .alloc = prep_alloc, .fail = prep_fail, .host = &ph};
    struct Release *r = NULL;
    if (k->release) {
        r = adv_host_keep(&c->host, sizeof *r);
        if (!r) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while preparing `%s`", k->op);
    }
    if (k->prepare) ADV_TRY(k->prepare(&p, &b->state));
    if (r) {
        r->k = k;
        r->state = b->state;
        r->next = c->release;
        c->release = r;
    }
    b->kernel = k;
    b->scratch_bytes = p.scratch_bytes;
    return ADV_OK;
}

static AdvStatus prepare(void *self, AdvBound *b, AdvDiags *ds)
{
    Cpu *c = self;
    const AdvBackendOpts *o = &c->host.opts;
    uint32_t n;
    const AdvKernel *const *ks = adv_registry_kernels(o->reg, "cpu", b->sig.op->name, &n);
    for (uint32_t i = 0; i < n; i++) {
        const char *why;
        if (adv_kernel_can(ks[i], &b->sig, &why)) return prepare_kernel(c, b, ks[i], ds);
        if (o->refused) o->refused(o->user, &b->sig, ks[i], why);
    }
    b->is_ref = true;
    return ADV_OK;
}

static AdvStatus launch(void *self, AdvBound *b, void *scratch)
{
    Cpu *c = self;
    if (!b->kernel) return adv_host_run_ref(&c->host, b);
#ifdef _OPENMP
    if (omp_get_max_threads() != (int)c->host.opts.n_threads) omp_set_num_threads((int)c->host.opts.n_threads);
#endif
    AdvLaunch l = {.in = b->sig.in, .out = b->sig.out, .attr = b->sig.attr, .scratch = scratch, .n_threads = c->host.opts.n_threads};
    b->has_run = true;
    return b->kernel->run(&l, b->state);
}

const AdvBackend adv_backend_cpu = {
    .name = "cpu", .target = "cpu", .is_host = true,
    .open = open_cpu, .close = close_cpu, .alloc = adv_host_alloc, .free = adv_host_free,
    .copy = adv_host_copy, .fill = adv_host_fill, .prepare = prepare, .launch = launch, .sync = adv_host_sync,
    .device_info = adv_host_device_info, .n_run_allocs = adv_host_n_run_allocs,
};
