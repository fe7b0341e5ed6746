/* scratch.h: a folder of a test's own. In memory where the system has such a place, because tests write thousands of checkpoints, and
** each of them waits for the disk. Removed without a shell, which takes longer to start than most of what is tried in the folder.
*/
#ifndef ADV_TESTS_SCRATCH_H
#define ADV_TESTS_SCRATCH_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline void scratch_make(char dir[64])
{
    snprintf(dir, 64, "%s/adv_test_XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(dir)) abort();
}

/* A folder with all in it, or a file. */
static inline void scratch_remove(const char *path)
{
    DIR *d = opendir(path);
    char sub[4096];
    if (!d) {
        unlink(path);
        return;
    }
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (snprintf(sub, sizeof sub, "%s/%s", path, e->d_name) < (int)sizeof sub) scratch_remove(sub);
    }
    closedir(d);
    rmdir(path);
}

/* Shell commands in the folder, which are short; false if they fail. */
static inline bool scratch_do(const char *dir, const char *commands)
{
    char line[512];
    if (snprintf(line, sizeof line, "cd %s && %s", dir, commands) >= (int)sizeof line) abort();
    return system(line) == 0;
}

#endif
