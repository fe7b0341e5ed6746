/* plugin.h: the two verbs of advplugin, each with the exit code it ends with. */
#ifndef ADV_TOOLS_PLUGIN_H
#define ADV_TOOLS_PLUGIN_H

#include "tools/cli.h"

/* Writes the files of a new plugin into the folder NAME, which must not exist: op, build file with a test, recipe; with `cuda` a
** kernel for it too. 64: no name for an op; 74. */
int plugin_new(const Cli *cli, const char *name, bool cuda);

/* Runs the plugin's cases in child processes, because its code may crash, end the process or never return: definitions, gradients
** and kernels by the suite that the engine's own ops go through, the same with NaN among the operands and with other sizes. 66, 65:
** it cannot be loaded; 1: a finding, each of which has been printed. */
int plugin_test(const Cli *cli, const char *path);

#endif
