/* shim_wgmma.hpp: what ops/cuda/wgmma.cuh promises, for the host (part of shim.hpp). Layouts are those of the PTX ISA, 9.7.15.5: which lane
** holds which numbers, and where the unit finds columns in shared memory.
**
** Products happen as late as they may, when somebody waits for their group; copies as late in every other grid and at once in the next.
** So what is read before it was waited for is old in one, and what is overwritten too early wrong in the other. A product reads shared
** memory that was copied there only after adv_shared_for_products.
*/
#ifndef ADV_TEST_CUDA_SHIM_WGMMA_HPP
#define ADV_TEST_CUDA_SHIM_WGMMA_HPP

enum { ADV_SHIM_SHARED_AT = 1024 }; /* address of the first byte */

static inline unsigned adv_shared_at(const void *p) { return ADV_SHIM_SHARED_AT + (unsigned)((const unsigned char *)p - adv_shim.dynamic); }

static inline unsigned char *adv_shim_shared(unsigned at, unsigned n)
{
    if (at < ADV_SHIM_SHARED_AT || at + n > ADV_SHIM_SHARED_AT + adv_shim.dynamic_bytes)
        adv_shim_wrong("is outside of the shared memory asked for");
    return adv_shim.dynamic + (at - ADV_SHIM_SHARED_AT);
}

static inline AdvShimAsync &adv_shim_async(void)
{
    if (adv_shim.async.empty()) adv_shim.async.resize(adv_shim.n_threads);
    return adv_shim.async[adv_shim.running->thread];
}

/* ---- copies --------------------------------------------------------------------------------------------------------- */

static inline void adv_shim_copy(const AdvShimCopy &c)
{
    if (c.is_there) memcpy(c.to, c.from, 16);
    else memset(c.to, 0, 16);
}

static inline void adv_copy16(unsigned to, const void *from, bool is_there)
{
    if (to % 16 || (uintptr_t)from % 16) adv_shim_wrong("copies 16 bytes that are not aligned");
    AdvShimCopy c = {adv_shim_shared(to, 16), from, is_there};
    if (adv_shim.is_backward) adv_shim_copy(c);
    adv_shim_async().copies.back().push_back(c);
}
static inline void adv_copies_end_group(void) { adv_shim_async().copies.emplace_back(); }

template <int N> static inline void adv_copies_wait(void)
{
    AdvShimAsync &a = adv_shim_async();
    while (a.copies.size() > N + 1) { /* the last one is open */
        for (const AdvShimCopy &c : a.copies.front()) {
            if (!adv_shim.is_backward) adv_shim_copy(c);
            a.is_unseen = true;
        }
        a.copies.pop_front();
    }
}

static inline void adv_prefetch(const void *) {}

static inline void adv_shared_for_products(void) { adv_shim_async().is_unseen = false; }

/* ---- products ------------------------------------------------------------------------------------------------------- */

static inline void adv_load_rows(unsigned a[4], unsigned at)
{
    if (at % 16) adv_shim_wrong("loads rows that are not aligned");
    const uint64_t *all = adv_shim_exchange(0xffffffffu, at);
    for (unsigned m = 0, lane = adv_shim_lane(); m < 4; m++)
        memcpy(&a[m], adv_shim_shared((unsigned)all[8 * m + lane / 4], 16) + lane % 4 * 4, 4);
}

static inline void adv_products_begin(void) { adv_shim_async().has_begun = true; }
static inline void adv_products_end_group(void)
{
    adv_shim_async().products.emplace_back();
    adv_shim_async().has_begun = false;
}

/* Element i of column n. */
static inline float adv_shim_column(uint64_t b, bool by_column, unsigned n, unsigned i)
{
    unsigned at = (unsigned)(b & 0x3fff) << 4, leading = (unsigned)(b >> 16 & 0x3fff) << 4, stride = (unsigned)(b >> 32 & 0x3fff) << 4;
    if (b >> 62 != 2 || b >> 49 & 7) adv_shim_wrong("has columns that are not in rows of 64 bytes");
    at += by_column ? n / 32 * leading + i / 8 * stride + i % 8 * 64 + n % 32 * 2 : n / 8 * stride + n % 8 * 64 + i * 2;
    unsigned short bits;
    memcpy(&bits, adv_shim_shared(at ^ (at >> 7 & 3) << 4, 2), 2);
    return __uint_as_float((unsigned)bits << 16);
}

/* A lane's share: the rows are dealt to the four lanes that share them. */
static inline void adv_shim_multiply(const AdvShimProduct &p)
{
    unsigned lane = adv_shim_lane(), regs[4][4];
    float row[2][16];
    for (unsigned k = 0; k < 4; k++)
        for (unsigned j = 0; j < 4; j++) regs[j][k] = __shfl_sync(0xffffffffu, p.a[k], lane / 4 * 4 + j);
    for (unsigned i = 0; i < 16; i++)
        for (unsigned r = 0; r < 2; r++)
            row[r][i] = __uint_as_float(regs[i % 8 / 2][i / 8 * 2 + r] >> i % 2 * 16 << 16);
    for (unsigned k = 0; k < 80; k++) {
        float s = p.d[k];
        unsigned column = k / 4 * 8 + lane % 4 * 2 + k % 2;
        for (unsigned i = 0; i < 16; i++) s = fmaf(row[k / 2 % 2][i], adv_shim_column(p.b, p.by_column, column, i), s);
        p.d[k] = s;
    }
}

template <int N> static inline void adv_products_wait(void)
{
    AdvShimAsync &a = adv_shim_async();
    while (a.products.size() > N + 1) {
        for (const AdvShimProduct &p : a.products.front()) adv_shim_multiply(p);
        a.products.pop_front();
    }
}

static inline void adv_products_are(float (&)[80]) {}

template <int BY_COLUMN> static inline void adv_product_160(float (&d)[80], const unsigned (&a)[4], unsigned long long b)
{
    if (!adv_shim_async().has_begun) adv_shim_wrong("multiplies registers that it has written, without adv_products_begin");
    adv_shim_async().products.back().push_back({d, a, b, BY_COLUMN != 0});
}

#endif
