/* target.h: the table of targets. The passes of the target part are in passes.def, one file each; what AdvTarget means is said
** in pass.h.
*/
#ifndef ADV_COMPILER_TARGET_H
#define ADV_COMPILER_TARGET_H

#include "compiler/pass/pass.h"

/* All targets, ended by name NULL, in the order of targets.def. */
extern const AdvTarget adv_targets[];

#endif
