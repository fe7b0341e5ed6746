/* target.c: the table of targets. */
#include "compiler/pass/target.h"

#include <string.h>

const AdvTarget adv_targets[] = {
#define TARGET(name, ...) {#name, __VA_ARGS__},
#include "compiler/pass/targets.def"
#undef TARGET
    {NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0},
};

const AdvTarget *adv_target_find(const char *name)
{
    for (const AdvTarget *t = adv_targets; t->name; t++)
        if (strcmp(t->name, name) == 0) return t;
    return NULL;
}
