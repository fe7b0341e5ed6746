/* api_load.c: opens cuBLAS, cuDNN and NVRTC by name. Version numbers are tried newest first; folders in order: those that the
** caller named, what the loader knows, where CUDA is usually installed, and the packages that Python programs bring them in.
*/
#include "runtime/cuda/api_load.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

typedef struct Row { AdvCudaLib lib; const char *symbol; size_t at; } Row;
enum { LIB_RT = ADV_CUDA_RT, LIB_BLAS = ADV_CUDA_BLAS, LIB_DNN = ADV_CUDA_DNN, LIB_RTC = ADV_CUDA_RTC };
static const Row rows[] = {
#define API(library, result, name, arguments) {(AdvCudaLib)LIB_##library, #name, offsetof(AdvCudaApi, name)},
#include "runtime/cuda/api.def"
};

typedef struct Names { const char *what, *files[6]; } Names;
static const Names names[ADV_CUDA_LIBS] = {
    [ADV_CUDA_RT] = {"CUDA", {NULL}},
    [ADV_CUDA_BLAS] = {"cuBLAS", {"libcublas.so.13", "libcublas.so.12", "libcublas.so"}},
    [ADV_CUDA_DNN] = {"cuDNN", {"libcudnn.so.9", "libcudnn.so"}},
    [ADV_CUDA_RTC] = {"NVRTC", {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"}},
};

/* Patterns of folders. */
static const char *const places[] = {
    "/usr/local/cuda/lib64", "/usr/local/cuda/lib", "/usr/local/cuda-*/lib64", "/usr/local/cuda-*/targets/x86_64-linux/lib", "/opt/cuda/lib64",
    "/usr/lib/x86_64-linux-gnu", "/usr/local/lib/python3*/*-packages/nvidia/*/lib", "/usr/lib/python3*/*-packages/nvidia/*/lib",
    "/opt/*/lib/python3*/site-packages/nvidia/*/lib", "/root/*/lib/python3*/site-packages/nvidia/*/lib",
    "/home/*/*/lib/python3*/site-packages/nvidia/*/lib"};

static void *open_in(const char *dir, const Names *n)
{
    char path[4200];
    for (uint32_t i = 0; n->files[i]; i++) {
        int len = dir ? snprintf(path, sizeof path, "%s/%s", dir, n->files[i]) : snprintf(path, sizeof path, "%s", n->files[i]);
        void *lib = len > 0 && (size_t)len < sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
        if (lib) return lib;
    }
    return NULL;
}

/* dirs: split by ':'; patterns are allowed. */
static void *open_in_dirs(const char *dirs, const Names *n)
{
    void *lib = NULL;
    while (dirs && *dirs && !lib) {
        char pattern[4200];
        size_t len = strcspn(dirs, ":");
        glob_t g;
        if (len && len < sizeof pattern) {
            memcpy(pattern, dirs, len);
            pattern[len] = 0;
            if (!glob(pattern, 0, NULL, &g)) {
                for (size_t i = 0; i < g.gl_pathc && !lib; i++) lib = open_in(g.gl_pathv[i], n);
                globfree(&g);
            }
        }
        dirs += len + (dirs[len] == ':');
    }
    return lib;
}

static void *open_library(const Names *n, const char *dirs)
{
    void *lib = open_in_dirs(dirs, n);
    if (!lib) lib = open_in(NULL, n);
    for (size_t i = 0; i < sizeof places / sizeof *places && !lib; i++) lib = open_in_dirs(places[i], n);
    return lib;
}

AdvStatus adv_cuda_api_load(AdvCudaApi *api, AdvCudaLib which, const char *dirs, AdvDiags *ds)
{
    void *lib = open_library(&names[which], dirs);
    if (!lib) {
        AdvStatus st = adv_fail(ds, ADV_EUNAVAILABLE, ADV_D_BACKEND, "%s is not found: no `%s`", names[which].what, names[which].files[0]);
        return adv_fail_while(ds, st, "looking in %s%sthe loader's folders, /usr/local/cuda and the nvidia packages of Python", dirs ? dirs : "",
                              dirs ? ", " : "");
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].lib != which) continue;
        void *symbol = dlsym(lib, rows[i].symbol);
        if (!symbol)
            return adv_fail(ds, ADV_EUNAVAILABLE, ADV_D_BACKEND, "the %s that was found is too old: it has no `%s`", names[which].what,
                            rows[i].symbol);
        memcpy((char *)api + rows[i].at, &symbol, sizeof symbol);
    }
    return ADV_OK;
}
