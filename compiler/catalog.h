/* catalog.h: everything that has a name, as data: one table a kind, made from what the compiler itself works with (op structs,
** built-in tables, message table, the standard library's text). Lists and manual pages are printed from it and nothing else.
*/
#ifndef ADV_COMPILER_CATALOG_H
#define ADV_COMPILER_CATALOG_H

#include "runtime/base/diag.h"

#include <jansson.h>

/* An array of objects, each with "name" and "doc" (may be ""), most with "signature". What else:
**   ops       version, in [{name,kind,repeat,doc}], out, attrs [{name,kind,default,min,max,choices,doc}], facts [text],
**             gradient "rule" | "zero" | "never", fused
**   lints, codes  code, level, lint (codes only)
**   std       module, kind ("attack", "fn", "loss", "net")
**   datasets  train, test, shape, classes          targets  float, low, layout, gflops, gbytes
** Owned by the caller. *out NULL: ADV_EINVAL no such kind, ADV_ENOMEM. */
AdvStatus adv_catalog(const char *kind, json_t **out) ADV_MUST_USE;

/* The same as kind "ops" for the ops of plugins alone. ADV_ENOENT or ADV_EDATA with a diagnostic where one cannot be loaded. */
AdvStatus adv_catalog_plugins(const char *const *paths, uint32_t n_paths, AdvDiags *ds, json_t **out) ADV_MUST_USE;

#endif
