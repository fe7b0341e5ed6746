/* run_folder.h: which names lie in a run folder, and which checkpoint in it is the newest. What is in them: checkpoint.c.
**
**   RUN/ckpt-NNNNNNNN, RUN/best-NNNNNNNN   N is the step; a second one of a step gets "-2" and so on
**   RUN/LATEST, RUN/BEST                   names of the newest whole ones
*/
#ifndef ADV_RUNTIME_RUN_FOLDER_H
#define ADV_RUNTIME_RUN_FOLDER_H

#include "runtime/ctx.h"

enum { ADV_FOLDER_NAME = 32, ADV_MOST_FOLDERS = 4096 };
#define ADV_STATE_FILE "state.safetensors"
#define ADV_MANIFEST_FILE "MANIFEST.json" /* written last: without it a folder is no checkpoint */

typedef struct AdvFolder { char name[ADV_FOLDER_NAME]; int64_t step; int k; } AdvFolder;

/* "dir/a", or "dir/a/b" where b is not NULL, into ADV_PATH_BYTES. ADV_EINVAL: it is too long. */
AdvStatus adv_run_path(char *path, const char *dir, const char *a, const char *b, AdvDiags *ds) ADV_MUST_USE;

/* Is that the name of a folder of a kind ("ckpt", "best")? */
bool adv_folder_parse(const char *name, const char *kind, AdvFolder *out);

/* Folders of a kind in `dir`, newest first, at most ADV_MOST_FOLDERS; 0, or -errno when not all of them could be seen. */
int adv_folders_list(const AdvCtx *ctx, const char *dir, const char *kind, AdvFolder *out, uint32_t *out_n);

/* The checkpoints in `dir`, best first: the one that LATEST names, whether it is there or not, then all that were finished, newest first.
** `out` has room for one more than ADV_MOST_FOLDERS. 0, or -errno as adv_folders_list. */
int adv_checkpoints_find(const AdvCtx *ctx, const char *dir, AdvFolder *out, uint32_t *out_n);

#endif
