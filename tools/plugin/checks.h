/* checks.h: what is checked of a plugin, as a list of items that can be run one by one in any process that has loaded it. */
#ifndef ADV_TOOLS_PLUGIN_CHECKS_H
#define ADV_TOOLS_PLUGIN_CHECKS_H

#include "ops/plugin.h"
#include "tests/ops/op_suite.h"

/* Where a CUDA device is looked for. */
typedef struct ChecksPlace {
    const char *module;       /* adv_cuda.so, or NULL: it was not found */
    bool is_off;              /* it is not wanted */
    const char *library_dirs; /* as AdvSessionOpts.library_dirs */
} ChecksPlace;

typedef struct Checks {
    Suite suite;
    const AdvLoaded *plugin;
    SuiteDevice device;       /* device.self NULL: there is none, */
    char why_none[320];       /* for this reason */
    uint32_t n_cuda, n_rows;  /* the plugin's CUDA kernels, and its elementwise ops, whose kernels are generated */
    uint32_t n_cases, n_items;
    uint32_t *on_cuda, n_on_cuda; /* cases of ops that have kernels on the device */
} Checks;

#define CHECK_TEXT 200

/* Finds the device, loads the plugin if it is for that one, and opens the device where there is something to run on it. ADV_OK, or *fault
** says why not. */
AdvStatus checks_init(Checks *c, const char *path, const ChecksPlace *place, AdvPluginFault *fault);
void checks_fini(Checks *c);

/* What item `ix` is, for the case that it does not return: "kernels, in case `focal z=2x3 y=2`". */
void checks_describe(const Checks *c, uint32_t ix, char text[CHECK_TEXT]);

/* Does item `ix` run the op of another? Not one that only asks whether a case names it. */
bool checks_same_op(const Checks *c, uint32_t ix, uint32_t other);

/* Runs one; the number of findings, which have been printed. */
int checks_run(Checks *c, uint32_t ix);

/* False when a device was opened and answers no more: other items need another process. */
bool checks_can_go_on(Checks *c);

#endif
