/* images.cu: images out of the data set's bytes, and augmentation: a thread an element of the result.
**
** The data set lies on the device as bytes, so a batch costs a read of a quarter of what it writes. Each thread draws its image's
** random numbers anew, which is cheaper than a launch that would write them down. Seed, epoch and ids are read from memory, as they
** change while a captured graph is replayed. Expected limit: memory bandwidth. Not measured on a device yet.
*/
#include "ops/cuda/kernel.cuh"

#include "ops/cuda/images.h"
#include "ops/cuda/place.cuh"

extern "C" __global__ void adv_image_fetch(AdvImageForm f, const unsigned char *data, const void *ids, float *y, unsigned *fault,
                                           unsigned code)
{
    Place p;
    if (!adv_place(f.n, f.c, f.h, f.w, &p)) return;
    long long id = adv_integer_at(ids, f.is_wide[0], p.n * f.id_step);
    if (id < 0 || id >= f.rows) {
        adv_fault(fault, code);
        return;
    }
    y[adv_at4(f.result, p.n, p.c, p.h, p.w)] = (float)data[adv_at4(f.source, id, p.c, p.h, p.w)] / 255.0f;
}

/* i as a place of 0..len-1; -1: outside. */
ADV_DEVICE int inside(int i, int len, int reflects)
{
    if (i >= 0 && i < len) return i;
    if (!reflects) return -1;
    return i < 0 ? -i : 2 * (len - 1) - i;
}

template <class T> ADV_DEVICE void pad_crop(const AdvImageForm &f, const T *x, const void *seed, const void *epoch, const void *ids, T *y)
{
    Place p;
    uint32_t off[2];
    if (!adv_place(f.n, f.c, f.h, f.w, &p)) return;
    uint64_t key = adv_rng_key(adv_integer_at(seed, f.is_wide[0], 0), f.purpose);
    adv_rng_crop(key, adv_integer_at(epoch, f.is_wide[1], 0), adv_integer_at(ids, f.is_wide[2], p.n * f.id_step), (uint32_t)f.pad, off);
    int h = inside(p.h + (int)off[0] - f.pad, f.h, f.reflects), w = inside(p.w + (int)off[1] - f.pad, f.w, f.reflects);
    T zero = {0};
    y[adv_at4(f.result, p.n, p.c, p.h, p.w)] = h < 0 || w < 0 ? zero : x[adv_at4(f.source, p.n, p.c, h, w)];
}

template <class T> ADV_DEVICE void hflip(const AdvImageForm &f, const T *x, const void *seed, const void *epoch, const void *ids, T *y)
{
    Place p;
    if (!adv_place(f.n, f.c, f.h, f.w, &p)) return;
    uint64_t key = adv_rng_key(adv_integer_at(seed, f.is_wide[0], 0), f.purpose);
    int flip = adv_rng_flip(key, adv_integer_at(epoch, f.is_wide[1], 0), adv_integer_at(ids, f.is_wide[2], p.n * f.id_step));
    y[adv_at4(f.result, p.n, p.c, p.h, p.w)] = x[adv_at4(f.source, p.n, p.c, p.h, flip ? f.w - 1 - p.w : p.w)];
}

#define IMAGE_KERNELS(t, T) \
    extern "C" __global__ void adv_pad_crop_##t(AdvImageForm f, const T *x, const void *seed, const void *epoch, const void *ids, T *y) \
    { \
        pad_crop(f, x, seed, epoch, ids, y); \
    } \
    extern "C" __global__ void adv_hflip_##t(AdvImageForm f, const T *x, const void *seed, const void *epoch, const void *ids, T *y) \
    { \
        hflip(f, x, seed, epoch, ids, y); \
    }

IMAGE_KERNELS(f32, float)
IMAGE_KERNELS(bf16, AdvBf16)

ADV_CUDA_TABLE(adv_cuda_fns_images)
ADV_CUDA_FN(adv_image_fetch)
ADV_CUDA_FN(adv_pad_crop_f32) ADV_CUDA_FN(adv_pad_crop_bf16) ADV_CUDA_FN(adv_hflip_f32) ADV_CUDA_FN(adv_hflip_bf16)
ADV_CUDA_END
