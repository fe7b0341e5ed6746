/* adv_dlpack.h: DLPack 1.0, the exchange format for tensors that NumPy, PyTorch, JAX and others read and write without copying.
**
** The declarations that adv_session_export, adv_session_bind_tensor and adv_dlpack_view need, laid out as the specification
** (https://dmlc.github.io/dlpack/latest/c_api.html) says. A program that has the project's own dlpack.h includes that first, and
** this header adds nothing.
**
** A tensor says where its memory is and not when it may be read: who hands one over to adv_session_bind_tensor, and who gets one from
** adv_session_export, finds the rule there.
**
** Whoever holds a tensor calls its deleter once, when it needs the memory no more. A tensor whose major version is not 1 may only
** be given to its deleter.
*/
#ifndef ADV_DLPACK_H
#define ADV_DLPACK_H

#include <stdint.h>

#ifndef DLPACK_DLPACK_H_

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the specification that these declarations follow. */
#define DLPACK_MAJOR_VERSION 1
#define DLPACK_MINOR_VERSION 0

/* Bits of DLManagedTensorVersioned.flags: its memory may not be written; it was copied for this exchange. */
#define DLPACK_FLAG_BITMASK_READ_ONLY (1UL << 0UL)
#define DLPACK_FLAG_BITMASK_IS_COPIED (1UL << 1UL)

/* Where memory is: of the host; of a CUDA device; of the host, known to CUDA; anywhere CUDA manages. */
typedef enum { kDLCPU = 1, kDLCUDA = 2, kDLCUDAHost = 3, kDLCUDAManaged = 13 } DLDeviceType;

/* Kinds of elements. */
typedef enum { kDLInt = 0, kDLUInt = 1, kDLFloat = 2, kDLBfloat = 4 } DLDataTypeCode;

/* The version a tensor was made for. */
typedef struct { uint32_t major, minor; } DLPackVersion;

/* A device and its number. */
typedef struct { DLDeviceType device_type; int32_t device_id; } DLDevice;

/* An element: its kind, its bits, and how many of them stand together (1). */
typedef struct { uint8_t code, bits; uint16_t lanes; } DLDataType;

/* A strided tensor: element (i0,i1,..) is at data + byte_offset + sum(ik*strides[k]) elements. strides NULL: row order. */
typedef struct {
    void *data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape;
    int64_t *strides;
    uint64_t byte_offset;
} DLTensor;

/* A tensor with its owner. */
typedef struct DLManagedTensorVersioned {
    DLPackVersion version;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensorVersioned *self); /* NULL: there is nothing to free */
    uint64_t flags;                                         /* DLPACK_FLAG_BITMASK_* */
    DLTensor dl_tensor;
} DLManagedTensorVersioned;

#ifdef __cplusplus
}
#endif

#endif
#endif
