/* move.h: what ops share that put the same elements elsewhere, or under other dimensions. */
#ifndef ADV_OPS_MOVE_H
#define ADV_OPS_MOVE_H

#include "ops/grad.h"
#include "ops/shape.h"
#include "ops/view.h"
#include "runtime/base/container.h" /* adv_dtype_bytes */
#include "runtime/base/diag.h"      /* ADV_TRY */

#define MAX_DIM 0x1p53

static const AdvPortDef any_x[] = {{"x", ADV_PORT_ANY, "any tensor"}, {0}};
static const AdvPortDef any_y[] = {{"y", ADV_PORT_ANY, "the same elements"}, {0}};

static inline AdvStatus ref_same(const AdvRefCall *c)
{
    adv_view_copy(&c->out[0], &c->in[0]);
    return ADV_OK;
}

#endif
