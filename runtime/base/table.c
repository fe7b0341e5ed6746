/* table.c: see table.h. Widths are counted in characters, not bytes. */
#include "runtime/base/table.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

void adv_table_columns(AdvTable *t, const char *columns)
{
    while (*columns) {
        size_t n = strcspn(columns, "|");
        assert(n >= 2 && t->n_columns < ADV_TABLE_MAX);
        t->is_right[t->n_columns++] = columns[n - 1] == '>';
        *ADV_PUSH(t->arena, &t->cells) = adv_arena_strn(t->arena, columns, n - 2);
        columns += n + (columns[n] == '|');
    }
}

void adv_table_cell(AdvTable *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    *ADV_PUSH(t->arena, &t->cells) = adv_arena_vprintf(t->arena, fmt, ap);
    va_end(ap);
}

static uint32_t width(const char *s)
{
    uint32_t n = 0;
    for (; *s; s++) n += (*s & 0xc0) != 0x80;
    return n;
}

static void spaces(uint32_t n, AdvWriteFn *write, void *user)
{
    for (; n; n--) write(user, " ", 1);
}

static void print_line(const AdvTable *t, const char *const *cell, const uint32_t *widths, AdvWriteFn *write, void *user)
{
    uint32_t n_last = t->n_columns, due = 0;
    while (n_last && !cell[n_last - 1][0]) n_last--;
    for (uint32_t c = 0; c < n_last; c++) {
        uint32_t n = width(cell[c]), pad = widths[c] - n;
        spaces(due + (t->is_right[c] ? pad : 0), write, user);
        write(user, cell[c], strlen(cell[c]));
        due = 2 + (t->is_right[c] ? 0 : pad);
    }
    write(user, "\n", 1);
}

void adv_table_print(const AdvTable *t, AdvWriteFn *write, void *user)
{
    uint32_t widths[ADV_TABLE_MAX] = {0};
    for (uint32_t i = 0; i < t->cells.n; i++)
        if (width(t->cells.at[i]) > widths[i % t->n_columns]) widths[i % t->n_columns] = width(t->cells.at[i]);
    for (uint32_t i = 0; i + t->n_columns <= t->cells.n; i += t->n_columns) print_line(t, t->cells.at + i, widths, write, user);
}
