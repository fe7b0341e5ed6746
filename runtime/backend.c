/* backend.c: the back ends that are always there, by name. Others are modules (module.h). */
#include "runtime/backend.h"

#include <string.h>

const AdvBackend *adv_backend_find(const char *name)
{
    static const AdvBackend *const all[] = {&adv_backend_ref, &adv_backend_cpu, &adv_backend_null};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(all[i]->name, name)) return all[i];
    return NULL;
}
