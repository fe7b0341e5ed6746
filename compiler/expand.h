/* expand.h: a recipe with nothing left to know: what `advc expand` writes. Imports stay imports: their text is the same everywhere;
** what they leave open is written out where they are used.
*/
#ifndef ADV_COMPILER_EXPAND_H
#define ADV_COMPILER_EXPAND_H

#include "compiler/elab/elab.h"

typedef struct AdvSet AdvSet;

/* The recipe's text (in el->arena) with overrides put in place and defaults written out: keys of sections, arguments of
** optimisers, and arguments of imported nets, attacks and functions whose default is a number, a text or a list of them. Not yet in
** canonical form. `el` has elaborated the recipe without errors. */
char *adv_expand_text(El *el, const AdvSet *sets, uint32_t n_sets, size_t *out_bytes);

#endif
