/* plugin.h: shared objects that add ops and kernels to a registry.
**
** A plugin is read as a file first: its note (adv_op.h) must be for this version and this machine, and for the device if the caller
** knows one; where a plan names it, size and SHA-256 must be the plan's. Only then is it opened, and what it hands over must be what
** its note promised. Only the path given is opened; nothing is searched for. A plugin stays loaded until the process ends: ops and
** kernels point into it.
** A plugin is native code with all rights of the process; none of this protects from a malicious one.
*/
#ifndef ADV_OPS_PLUGIN_H
#define ADV_OPS_PLUGIN_H

#include "ops/registry.h"
#include "runtime/base/io.h"
#include "runtime/base/sha256.h"

#define ADV_PLUGIN_MAX_BYTES (UINT64_C(1) << 30)
#define ADV_PLUGIN_MSG       600

/* A plugin that a registry has. Texts are the registry's. */
typedef struct AdvLoaded {
    const char *path; /* absolute, without links */
    const char *name, *version;
    const char *ops, *archs; /* lists of the note */
    uint64_t n_bytes;
    uint8_t sha256[ADV_SHA256_BYTES];
    const AdvPlugin *table;
    struct AdvLoaded *next;
} AdvLoaded;

/* What a note says, pointing into the bytes of the file. */
typedef struct AdvNoteView {
    AdvNote head;
    const char *name, *version, *ops, *archs;
} AdvNoteView;

/* Why a plugin was refused: a diagnostic for the caller to place, and a status. */
typedef struct AdvPluginFault {
    AdvDiagId id;
    char text[ADV_PLUGIN_MSG];
    const char *help; /* what to do about it, constant text; NULL: the sentence says it */
} AdvPluginFault;

/* Loads the plugin at `path` into the registry; one that is there already (the same bytes) is found and not loaded again.
** `want`: size and digest that it must have, or NULL. cuda_sm: the CUDA device it is to run on, compute capability 10*major + minor: a
** plugin that has CUDA kernels, all for others, is refused unopened; 0: not known. ADV_ENOENT, ADV_EIO, ADV_ENOMEM, or ADV_EDATA, with
** *fault filled. */
AdvStatus adv_plugin_load(AdvRegistry *r, const AdvIo *io, const char *path, const AdvLoaded *want, int32_t cuda_sm, AdvPluginFault *fault,
                          const AdvLoaded **out) ADV_MUST_USE;

/* The plugin of the registry that an op comes from, or NULL. */
const AdvLoaded *adv_plugin_of(const AdvRegistry *r, const AdvOpDef *op);
/* The plugin with that digest, or NULL. */
const AdvLoaded *adv_plugin_by_digest(const AdvRegistry *r, const uint8_t sha256[ADV_SHA256_BYTES]);

/* Reads the note in the bytes of a shared object and checks that it is for this version and machine. No code runs. */
AdvStatus adv_plugin_note(const void *bytes, uint64_t n_bytes, const char *path, AdvNoteView *out, AdvPluginFault *fault) ADV_MUST_USE;

/* Does one of the architectures of a note run on a device of this compute capability? The rule of adv_op.h (ADV_PLUGIN). */
bool adv_plugin_fits_cuda(const char *archs, int32_t cuda_sm);

/* For back end "cuda", when it takes a kernel, since who loaded the plugin may not have known the device: may this kernel run on it?
** ADV_EDATA: it is of a plugin that was compiled for others, which *fault says. */
AdvStatus adv_plugin_check_cuda(const AdvRegistry *r, const AdvKernel *k, int32_t cuda_sm, AdvPluginFault *fault) ADV_MUST_USE;

void adv_plugins_free(AdvRegistry *r); /* adv_registry_fini */

#endif
