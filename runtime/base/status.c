/* status.c: the names of statuses and the exit codes the programs give for them. */
#include "runtime/base/diag.h"

#define EXIT_DIFFERS 1
#define EXIT_USAGE 64
#define EXIT_DATA 65
#define EXIT_NO_INPUT 66
#define EXIT_UNAVAILABLE 69
#define EXIT_INTERNAL 70
#define EXIT_NO_MEMORY 71
#define EXIT_IO 74
#define EXIT_RESUMABLE 75
#define EXIT_NUMERIC 80

typedef struct StatusRow {
    const char *name;
    int exit_code;
} StatusRow;

/* By -status. */
static const StatusRow status_rows[] = {
    [0] = {"ADV_OK", 0},
    [-ADV_EINVAL] = {"ADV_EINVAL", EXIT_USAGE},
    [-ADV_ERECIPE] = {"ADV_ERECIPE", EXIT_DATA},
    [-ADV_EDATA] = {"ADV_EDATA", EXIT_DATA},
    [-ADV_ENOENT] = {"ADV_ENOENT", EXIT_NO_INPUT},
    [-ADV_EUNAVAILABLE] = {"ADV_EUNAVAILABLE", EXIT_UNAVAILABLE},
    [-ADV_ENOMEM] = {"ADV_ENOMEM", EXIT_NO_MEMORY},
    [-ADV_EIO] = {"ADV_EIO", EXIT_IO},
    [-ADV_ECANCELLED] = {"ADV_ECANCELLED", EXIT_RESUMABLE},
    [-ADV_ENUMERIC] = {"ADV_ENUMERIC", EXIT_NUMERIC},
    [-ADV_EBUSY] = {"ADV_EBUSY", EXIT_INTERNAL},
    [-ADV_EPOISONED] = {"ADV_EPOISONED", EXIT_INTERNAL},
    [-ADV_EDIFFERS] = {"ADV_EDIFFERS", EXIT_DIFFERS},
    [-ADV_EINTERNAL] = {"ADV_EINTERNAL", EXIT_INTERNAL},
};

static const StatusRow *row_of(AdvStatus st)
{
    const int n = (int)(sizeof status_rows / sizeof status_rows[0]);
    return st > 0 || st <= -n ? NULL : &status_rows[-st];
}

const char *adv_status_name(AdvStatus st)
{
    const StatusRow *r = row_of(st);
    return r ? r->name : "unknown status";
}

int adv_status_exit(AdvStatus st)
{
    const StatusRow *r = row_of(st);
    return r ? r->exit_code : EXIT_INTERNAL;
}
