/* backend_host.c: memory and the running of definitions, shared by `ref`, `cpu` and `null`.
**
** Definitions of fused ops need room for intermediate values (ops: expand). They get it from a pool that is empty again at
** each launch and only ever grows, on an instruction's first launch; growth later is counted, because it must not happen.
*/
#include "runtime/backend.h"
#include "runtime/base/checked.h"

#include <stdio.h>
#include <string.h>

struct AdvHostBlock {
    AdvHostBlock *next;
    uint64_t n_bytes;   /* with this header */
    uint64_t used;      /* pool: after the header */
    char pad[64 - sizeof(void *) - 2 * sizeof(uint64_t)];
};

enum { HEAD = sizeof(AdvHostBlock), POOL_MIN = 1 << 20 };

static void free_list(const AdvAlloc *a, AdvHostBlock *b)
{
    while (b) {
        AdvHostBlock *next = b->next;
        adv_mem_free(a, b, b->n_bytes);
        b = next;
    }
}

AdvStatus adv_host_open(const AdvBackendOpts *o, AdvDiags *ds, void **out_self)
{
    AdvHostSelf *h = adv_mem_new0(&o->alloc, sizeof *h);
    *out_self = NULL;
    if (!h) return adv_fail(ds, ADV_ENOMEM, ADV_D_NO_MEMORY, "out of memory while opening the back end");
    h->opts = *o;
    *out_self = h;
    return ADV_OK;
}

void adv_host_fini(AdvHostSelf *h)
{
    free_list(&h->opts.alloc, h->blocks);
    free_list(&h->opts.alloc, h->pool);
}

void adv_host_close(void *self)
{
    AdvHostSelf *h = self;
    if (!h) return;
    AdvAlloc a = h->opts.alloc;
    adv_host_fini(h);
    adv_mem_free(&a, h, sizeof *h);
}

void *adv_host_alloc(void *self, uint64_t n_bytes)
{
    AdvHostSelf *h = self;
    if (n_bytes > SIZE_MAX / 2) return NULL;
    return adv_mem_new(&h->opts.alloc, (size_t)n_bytes);
}

void adv_host_free(void *self, void *p, uint64_t n_bytes)
{
    AdvHostSelf *h = self;
    adv_mem_free(&h->opts.alloc, p, (size_t)n_bytes);
}

AdvStatus adv_host_copy(void *self, void *dst, const void *src, uint64_t n_bytes, int32_t direction)
{
    (void)self;
    (void)direction;
    if (n_bytes) memcpy(dst, src, (size_t)n_bytes);
    return ADV_OK;
}

AdvStatus adv_host_fill(void *self, void *dst, int byte, uint64_t n_bytes)
{
    (void)self;
    if (n_bytes) memset(dst, byte, (size_t)n_bytes);
    return ADV_OK;
}

AdvStatus adv_host_sync(void *self)
{
    (void)self;
    return ADV_OK;
}

void adv_host_device_info(void *self, char *text, size_t n_bytes)
{
    const AdvHostSelf *h = self;
    snprintf(text, n_bytes, "host, %u thread%s", h->opts.n_threads, h->opts.n_threads == 1 ? "" : "s");
}

uint64_t adv_host_n_run_allocs(const void *self)
{
    return ((const AdvHostSelf *)self)->n_run_allocs;
}

static AdvHostBlock *new_block(AdvHostSelf *h, uint64_t body_bytes, AdvHostBlock **list)
{
    if (body_bytes > SIZE_MAX / 2) return NULL;
    AdvHostBlock *b = adv_mem_new0(&h->opts.alloc, (size_t)body_bytes + HEAD);
    if (!b) return NULL;
    b->n_bytes = body_bytes + HEAD;
    b->next = *list;
    *list = b;
    return b;
}

void *adv_host_keep(AdvHostSelf *h, size_t n_bytes)
{
    AdvHostBlock *b = new_block(h, n_bytes ? n_bytes : 1, &h->blocks);
    return b ? (char *)b + HEAD : NULL;
}

static void *pool_take(AdvHostSelf *h, uint64_t n_bytes)
{
    uint64_t need = adv_round_up(n_bytes, 64);
    for (AdvHostBlock *b = h->pool; b; b = b->next) {
        if (b->n_bytes - HEAD - b->used < need) continue;
        void *p = (char *)b + HEAD + b->used;
        b->used += need;
        return p;
    }
    AdvHostBlock *b = new_block(h, need < POOL_MIN ? POOL_MIN : need, &h->pool);
    if (!b) return NULL;
    if (!h->is_first) h->n_run_allocs++;
    b->used = need;
    return (char *)b + HEAD;
}

/* The AdvAlloc that definitions see. Freeing gives nothing back: the next launch does. */
static void *pool_fn(void *user, void *p, size_t old_bytes, size_t new_bytes)
{
    if (!new_bytes) return NULL;
    if (p && new_bytes <= old_bytes) return p;
    void *q = pool_take(user, new_bytes);
    if (q && p) memcpy(q, p, old_bytes);
    return q;
}

AdvStatus adv_host_run_ref(AdvHostSelf *h, AdvBound *b)
{
    AdvAlloc a = {pool_fn, h};
    for (AdvHostBlock *p = h->pool; p; p = p->next) p->used = 0;
    h->is_first = !b->has_run;
    AdvStatus st = adv_op_run_ref(h->opts.reg, b->sig.op, b->sig.in, b->sig.n_in, b->sig.attr, b->sig.out, b->sig.n_out, &a);
    b->has_run = true;
    return st;
}
