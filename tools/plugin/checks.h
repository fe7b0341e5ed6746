/* checks.h: what is checked of a plugin, as a list of items that can be run one by one in any process that has loaded it. */
#ifndef ADV_TOOLS_PLUGIN_CHECKS_H
#define ADV_TOOLS_PLUGIN_CHECKS_H

#include "ops/plugin.h"
#include "tests/ops/op_suite.h"

typedef struct Checks {
    Suite suite;
    const AdvLoaded *plugin;
    uint32_t n_cases, n_items;
} Checks;

#define CHECK_TEXT 200

/* Loads the plugin. ADV_OK, or *fault says why not. */
AdvStatus checks_init(Checks *c, const char *path, AdvPluginFault *fault);
void checks_fini(Checks *c);

/* What item `ix` is, for the case that it does not return: "focal z=2x3 y=2: kernels". */
void checks_describe(const Checks *c, uint32_t ix, char text[CHECK_TEXT]);

/* Runs one; the number of findings, which have been printed. */
int checks_run(Checks *c, uint32_t ix);

#endif
