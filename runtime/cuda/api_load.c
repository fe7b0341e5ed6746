/* api_load.c: opens cuBLAS, cuDNN and NVRTC by name. Version numbers are tried newest first; folders in order: those that the
** caller named, what the loader knows, where CUDA is usually installed, and the packages that Python programs bring them in.
**
** A library that is there but does not load (one that it needs is missing) is passed over; if none loads, the loader's words are told.
*/
#include "runtime/cuda/api_load.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The table declares what the libraries' headers declare. */
#define API(library, result, name, arguments) _Static_assert(_Generic(&name, result(*) arguments : 1, default : 0), #name);
#include "runtime/cuda/api.def"

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

/* Patterns of folders. A `*` takes no name that begins with a dot (.venv, .local), `.[!.]*` does. */
static const char *const places[] = {
    "/usr/local/cuda/lib64", "/usr/local/cuda/lib", "/usr/local/cuda-*/lib64", "/usr/local/cuda-*/targets/x86_64-linux/lib",
    "/usr/local/cuda-*/targets/sbsa-linux/lib", "/opt/cuda/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
    "/usr/local/lib/python3*/*-packages/nvidia/*/lib", "/usr/lib/python3*/*-packages/nvidia/*/lib",
    "/opt/*/lib/python3*/site-packages/nvidia/*/lib", "/opt/*/.[!.]*/lib/python3*/site-packages/nvidia/*/lib",
    "/root/*/lib/python3*/site-packages/nvidia/*/lib", "/root/.[!.]*/lib/python3*/site-packages/nvidia/*/lib",
    "/home/*/*/lib/python3*/site-packages/nvidia/*/lib", "/home/*/.[!.]*/lib/python3*/site-packages/nvidia/*/lib"};

/* A library being looked for, and why the first file that was there did not load. */
typedef struct Search { const Names *names; char why[300]; } Search;

/* NVRTC opens the file of its built-in functions by name alone, which the loader knows if it is open already. */
static void open_builtins(const char *dir)
{
    char pattern[ADV_PATH_BYTES];
    glob_t g;
    int len = snprintf(pattern, sizeof pattern, "%s/libnvrtc-builtins.so.*", dir);
    if (len < 0 || (size_t)len >= sizeof pattern || glob(pattern, 0, NULL, &g)) return;
    for (size_t i = 0; i < g.gl_pathc; i++) (void)dlopen(g.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&g);
}

static void *open_in(const char *dir, Search *s)
{
    char path[ADV_PATH_BYTES];
    for (uint32_t i = 0; s->names->files[i]; i++) {
        const char *file = s->names->files[i];
        int len = dir ? snprintf(path, sizeof path, "%s/%s", dir, file) : snprintf(path, sizeof path, "%s", file);
        void *lib = len > 0 && (size_t)len < sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
        if (lib && dir && s->names == &names[ADV_CUDA_RTC]) open_builtins(dir);
        if (lib) return lib;
        const char *why = dlerror();
        if (!s->why[0] && why && dir && !access(path, R_OK)) snprintf(s->why, sizeof s->why, "%s", why);
    }
    return NULL;
}

/* dirs: split by ':'; patterns are allowed. */
static void *open_in_dirs(const char *dirs, Search *s)
{
    void *lib = NULL;
    while (dirs && *dirs && !lib) {
        char pattern[ADV_PATH_BYTES];
        size_t len = strcspn(dirs, ":");
        glob_t g;
        if (len && len < sizeof pattern) {
            memcpy(pattern, dirs, len);
            pattern[len] = 0;
            if (!glob(pattern, 0, NULL, &g)) {
                for (size_t i = 0; i < g.gl_pathc && !lib; i++) lib = open_in(g.gl_pathv[i], s);
                globfree(&g);
            }
        }
        dirs += len + (dirs[len] == ':');
    }
    return lib;
}

static void *open_library(Search *s, const char *dirs)
{
    void *lib = open_in_dirs(dirs, s);
    if (!lib) lib = open_in(NULL, s);
    for (size_t i = 0; i < sizeof places / sizeof *places && !lib; i++) lib = open_in_dirs(places[i], s);
    return lib;
}

AdvStatus adv_cuda_api_load(AdvCudaApi *api, AdvCudaLib which, const char *dirs, AdvDiags *ds)
{
    Search s = {&names[which], ""};
    void *lib = open_library(&s, dirs);
    if (!lib) {
        AdvStatus st = adv_fail(ds, ADV_EUNAVAILABLE, ADV_D_BACKEND, "%s is not found: no `%s`", names[which].what, names[which].files[0]);
        if (s.why[0]) st = adv_fail_while(ds, st, "one is there but does not load: %s", s.why);
        return adv_fail_while(ds, st, "looking in %s%sthe loader's folders, /usr/local/cuda and the nvidia packages of Python",
                              dirs ? dirs : "", dirs ? ", " : "");
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
