/* advplugin: makes and tests plugins. See tools/plugin/plugin.h and docs/plugins.md. */
#include "tools/plugin/plugin.h"

#include <stdio.h>
#include <string.h>

static const CliVerb verbs[] = {
    {"new", "[--cuda] NAME", "write a plugin to begin with into the folder NAME: op, build file, test, recipe"},
    {"test", "libNAME.so", "run its cases: definitions, gradients, kernels of the CPU and of CUDA, odd sizes, NaN"},
    {NULL, NULL, NULL},
};

static const CliOption options[] = {
    {"cuda", "", "new: with a CUDA kernel", false, NULL},
    {"backend", "NAME", "test: auto (also CUDA kernels if a device answers), cuda (or end with 69), cpu", false, "auto|cuda|cpu"},
    {"seconds", "N", "test: how long one check may take (60)", false, NULL},
    {"backend-dir", "FOLDER", "test: where adv_cuda.so lies, if not where advrun finds it", false, NULL},
    {"library-dirs", "A:B", "test: folders to look for cuBLAS, cuDNN and NVRTC in first", false, NULL},
    CLI_COMMON,
};

static const CliProgram program = {
    "advplugin", "makes and tests plugins", verbs, options,
    "A plugin is native code. `test` runs it in child processes, which keeps the program alive and nothing else "
    "safe: test only what you would run."};

int main(int argc, char **argv)
{
    Cli cli;
    int rc = 0;
    if (!cli_parse(&cli, &program, argc, argv)) return EXIT_USAGE;
    if (!cli_common(&cli)) {
        const char *verb = cli.n_args == 2 ? cli.args[0] : "";
        if (!strcmp(verb, "new"))
            rc = plugin_new(&cli, cli.args[1], cli_get(&cli, "cuda") != NULL);
        else if (!strcmp(verb, "test"))
            rc = plugin_test(&cli, cli.args[1]);
        else
            return cli_usage(&cli);
    }
    return cli_end(&cli, rc);
}
