/* place.cuh: element i of images as (n, channel, row, column), channels fastest, as images lie: neighbours read neighbours. */
#ifndef ADV_OPS_CUDA_PLACE_CUH
#define ADV_OPS_CUDA_PLACE_CUH

#include "ops/cuda/device.cuh"

struct Place { int n, c, h, w; };

template <class I> ADV_DEVICE Place adv_place_of(I i, I c, I h, I w)
{
    Place p;
    p.c = (int)(i % c), i /= c;
    p.w = (int)(i % w), i /= w;
    p.h = (int)(i % h);
    p.n = (int)(i / h);
    return p;
}

/* Of this thread's element; false: there is none. Positions below 2^32 are divided in 32 bits, which takes a quarter of the time. */
ADV_DEVICE bool adv_place(int n, int c, int h, int w, Place *out)
{
    long long i = adv_thread();
    if (i >= (long long)n * c * h * w) return false;
    *out = i <= 0xffffffffLL ? adv_place_of<unsigned>((unsigned)i, (unsigned)c, (unsigned)h, (unsigned)w)
                             : adv_place_of<long long>(i, c, h, w);
    return true;
}

/* Offset of an element by strides of n, channel, row, column. */
ADV_DEVICE long long adv_at4(const long long s[4], long long n, int c, int h, int w) { return n * s[0] + c * s[1] + h * s[2] + w * s[3]; }

#endif
