/* wgmma.cuh: words of PTX for the matrix units of compute capability 9.0, as wgmma.cu needs them (PTX ISA 8.0, 9.7.15).
**
** A warpgroup is 128 threads. A product of 64 rows, 160 columns and 16 in between runs on its own while the threads go on: it takes rows
** from registers and columns from shared memory, and adds to registers. Products are handed over in groups, as are copies from memory to
** shared memory; waiting lets at most N of the youngest groups be under way. Until its group is over, nothing that a product reads may be
** written, and nothing that it writes read.
**
** Registers of lane l of warp w (both within the warpgroup): of the rows a[0..3] the pairs at row 16w + l/4 (a[1], a[3]: 8 more), between
** 2(l%4) (a[2], a[3]: 8 more); of the result d[4j], d[4j+1] columns 8j + 2(l%4) and the next, same row, d[4j+2], d[4j+3] 8 rows on.
**
** The tests' meaning of these words is tests/cuda/shim_wgmma.hpp.
*/
#ifndef ADV_OPS_CUDA_WGMMA_CUH
#define ADV_OPS_CUDA_WGMMA_CUH

#include "ops/cuda/kernel.cuh"

#ifndef ADV_CUDA_SHIM

/* Address of shared memory. */
ADV_DEVICE unsigned adv_shared_at(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }

/* Of code that exists for 9.0 alone: elsewhere a call would end the kernel, and the host makes none. */
#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* ---- copies --------------------------------------------------------------------------------------------------------- */

/* 16 bytes, past the first-level cache; zeros where there is nothing to copy. */
ADV_DEVICE void adv_copy16(unsigned to, const void *from, bool is_there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(__cvta_generic_to_global(from)), "r"(is_there ? 16 : 0)
                 : "memory");
}
ADV_DEVICE void adv_copies_end_group(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> ADV_DEVICE void adv_copies_wait(void) { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

/* A line of memory that will be read soon, into the second-level cache. */
ADV_DEVICE void adv_prefetch(const void *p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(p))); }

/* What this thread has written to shared memory is seen by products that begin later. */
ADV_DEVICE void adv_shared_for_products(void) { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/* ---- products ------------------------------------------------------------------------------------------------------- */

/* The rows of a warp, 16 of 16: lane l gives the address of 16 bytes of row l % 16, from element 8(l/16) on. */
ADV_DEVICE void adv_load_rows(unsigned a[4], unsigned at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
                 : "r"(at)
                 : "memory");
}

/* Before the first product, and where registers of one have been written since. */
ADV_DEVICE void adv_products_begin(void) { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
ADV_DEVICE void adv_products_end_group(void) { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> ADV_DEVICE void adv_products_wait(void) { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }

/* After waiting for all of them, and after writing what they will add to: the compiler moves no number of a result across. */
ADV_DEVICE void adv_products_are(float (&d)[80])
{
    ADV_UNROLL(80)
    for (int i = 0; i < 80; i++) asm volatile("" : "+f"(d[i])::"memory");
}

/* d += a*b. b: adv_columns. BY_COLUMN: 0 where what is in between lies side by side, 1 where columns do. */
template <int BY_COLUMN> ADV_DEVICE void adv_product_160(float (&d)[80], const unsigned (&a)[4], unsigned long long b)
{
#define D(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n160k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
        "}, {%80, %81, %82, %83}, %84, 1, 1, 1, %85;"
        : D(0), D(8), D(16), D(24), D(32), D(40), D(48), D(56), D(64), D(72)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(BY_COLUMN));
#undef D
}

#endif
#endif

/* Columns in shared memory, for adv_product_160: in rows of 64 bytes, 8 of which make a part of 512 bytes, aligned to that; within a part
** 16 bytes at offset u lie at u ^ (u / 128 % 4 * 16). A row is a column and 32 elements of it (next_part: from one eight columns to the
** next), or an element of 32 columns (next_part: from one eight elements to the next, next_columns: from one 32 columns to the next).
** All in bytes. */
ADV_DEVICE unsigned long long adv_columns(unsigned at, unsigned next_part, unsigned next_columns)
{
    return 2ull << 62 | (unsigned long long)(next_part >> 4) << 32 | (unsigned long long)(next_columns >> 4) << 16 | (at & 0x3ffffu) >> 4;
}

/* Where 16 bytes at offset u lie. */
ADV_DEVICE unsigned adv_columns_at(unsigned u) { return u ^ (u >> 7 & 3u) << 4; }

#endif
