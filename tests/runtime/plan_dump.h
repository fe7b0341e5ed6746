/* plan_dump.h: all of a plan as text, so that a test reads every index and length that the loader let pass. */
#ifndef ADV_TESTS_PLAN_DUMP_H
#define ADV_TESTS_PLAN_DUMP_H

#include "runtime/plan_load.h"

void plan_dump(const AdvPlan *plan, AdvWriteFn *write, void *user);

#endif
