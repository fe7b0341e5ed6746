/* table.h: aligned columns of text, for the tables that people read.
**
**   AdvTable t = {.arena = a};
**   adv_table_columns(&t, "op <|MB >|place <");        // `>`: numbers, aligned at their right end
**   adv_table_cell(&t, "conv2d"); adv_table_cell(&t, "%.1f", mb); adv_table_cell(&t, "%s", place);
**   adv_table_print(&t, write, user);
**
** A line ends with its last column. Columns are two spaces apart; nothing stands behind the last text of a line.
*/
#ifndef ADV_BASE_TABLE_H
#define ADV_BASE_TABLE_H

#include "runtime/base/arena.h"
#include "runtime/base/diag.h"

#include <stdbool.h>

#define ADV_TABLE_MAX 16

typedef struct AdvTable {
    AdvArena *arena;                  /* needs a trap */
    uint32_t n_columns;
    bool is_right[ADV_TABLE_MAX];
    ADV_VEC(const char *) cells;      /* line by line, the heads first */
} AdvTable;

/* "name <|name >": heads and sides, split by `|`. */
void adv_table_columns(AdvTable *t, const char *columns);
void adv_table_cell(AdvTable *t, const char *fmt, ...) ADV_PRINTF(2, 3);
void adv_table_print(const AdvTable *t, AdvWriteFn *write, void *user);

#endif
