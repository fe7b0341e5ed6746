/* fake_rtc.c: NVRTC and loaded libraries: generated text becomes a shared library through g++ and the shim.
**
** A "cubin" is the library itself. Compiled texts are kept in $ADV_FAKE_CACHE by their hash, so that tests compile a text once.
*/
#include "tests/cuda/fake.h"
#include "tests/cuda/shim_kernel.h"

#include "runtime/base/hash.h"

#include <ctype.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As this build is. */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZE " -fsanitize=address,undefined"
#else
#define SANITIZE ""
#endif

enum { MAX_HEADERS = 16, MAX_PATH = 600 };

struct _nvrtcProgram {
    char *text;
    char *names[MAX_HEADERS], *headers[MAX_HEADERS];
    int n_headers;
    char *log, *code;
    size_t n_code;
};

static const char *error_string(nvrtcResult r) { return r == NVRTC_ERROR_COMPILATION ? "compilation failed" : "failed"; }

static nvrtcResult version(int *major, int *minor)
{
    *major = 13;
    *minor = 0;
    return NVRTC_SUCCESS;
}

static nvrtcResult create(nvrtcProgram *p, const char *text, const char *name, int n, const char *const *headers, const char *const *names)
{
    (void)name;
    if (adv_fake_call(true) != cudaSuccess) return NVRTC_ERROR_OUT_OF_MEMORY;
    *p = calloc(1, sizeof **p);
    (*p)->text = strdup(text);
    (*p)->n_headers = n;
    for (int i = 0; i < n; i++) {
        (*p)->names[i] = strdup(names[i]);
        (*p)->headers[i] = strdup(headers[i]);
    }
    return NVRTC_SUCCESS;
}

static nvrtcResult destroy(nvrtcProgram *p)
{
    for (int i = 0; i < (*p)->n_headers; i++) {
        free((*p)->names[i]);
        free((*p)->headers[i]);
    }
    free((*p)->text);
    free((*p)->log);
    free((*p)->code);
    free(*p);
    *p = NULL;
    return NVRTC_SUCCESS;
}

static char *read_all(const char *path, size_t *out_n)
{
    FILE *f = fopen(path, "rb");
    char *at = NULL;
    *out_n = 0;
    if (!f) return NULL;
    if (!fseek(f, 0, SEEK_END)) {
        long n = ftell(f);
        rewind(f);
        at = malloc((size_t)n + 1);
        if (at) {
            *out_n = fread(at, 1, (size_t)n, f);
            at[*out_n] = 0;
        }
    }
    fclose(f);
    return at;
}

static void write_all(const char *path, const char *text)
{
    char dir[2 * MAX_PATH];
    snprintf(dir, sizeof dir, "%s", path);
    for (char *s = dir + 1; (s = strchr(s, '/')); s++) {
        *s = 0;
        mkdir(dir, 0755);
        *s = '/';
    }
    FILE *f = fopen(path, "w");
    if (!f) return;
    fputs(text, f);
    fclose(f);
}

/* After each kernel's text its symbol: the word before the first '(' behind __global__. */
static void add_exports(FILE *f, const char *text)
{
    for (const char *at = text; (at = strstr(at, "__global__")); at++) {
        const char *open = strchr(at, '('), *end, *word;
        if (open && !strncmp(open - 17, "__launch_bounds__", 17)) open = strchr(open + 1, '(');
        if (!open) return;
        for (end = open; isspace((unsigned char)end[-1]); end--) { }
        for (word = end; isalnum((unsigned char)word[-1]) || word[-1] == '_'; word--) { }
        fprintf(f, "ADV_SHIM_EXPORT(%.*s)\n", (int)(end - word), word);
    }
}

static const char *root_dir(void)
{
    const char *root = getenv("ADV_SOURCE_ROOT");
    return root ? root : ".";
}

static uint64_t hash_of(const struct _nvrtcProgram *p)
{
    char path[MAX_PATH];
    size_t n;
    uint64_t h = adv_hash_str(ADV_HASH_START, p->text);
    for (int i = 0; i < p->n_headers; i++) h = adv_hash_str(h, p->headers[i]);
    snprintf(path, sizeof path, "%s/tests/cuda/shim.hpp", root_dir());
    char *shim = read_all(path, &n);
    if (shim) h = adv_hash_str(h, shim);
    free(shim);
    return h;
}

static nvrtcResult build(struct _nvrtcProgram *p, const char *dir, const char *out)
{
    char path[2 * MAX_PATH], command[6 * MAX_PATH];
    for (int i = 0; i < p->n_headers; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, p->names[i]);
        write_all(path, p->headers[i]);
    }
    snprintf(path, sizeof path, "%s/unit.cpp", dir);
    FILE *f = fopen(path, "w");
    if (!f) return NVRTC_ERROR_INTERNAL_ERROR;
    fprintf(f, "#include \"tests/cuda/shim.hpp\"\n%s\n", p->text);
    add_exports(f, p->text);
    fclose(f);
    snprintf(command, sizeof command,
             "g++ -std=c++17 -O1 -w" SANITIZE
             " -shared -fPIC -fvisibility=hidden -ffp-contract=off -I%s -I%s -o %s.tmp %s > %s/log 2>&1 && mv %s.tmp %s",
             dir, root_dir(), out, path, dir, out, out);
    int rc = system(command);
    size_t n;
    snprintf(path, sizeof path, "%s/log", dir);
    p->log = read_all(path, &n);
    return rc ? NVRTC_ERROR_COMPILATION : NVRTC_SUCCESS;
}

static nvrtcResult compile(nvrtcProgram p, int n_options, const char *const *options)
{
    char dir[] = "/tmp/adv-fake-XXXXXX", out[MAX_PATH], command[64];
    const char *cache = getenv("ADV_FAKE_CACHE");
    (void)n_options;
    (void)options;
    adv_fake_build_begin();
    adv_fake_build_end(&adv_fake.n_asked);
    if (adv_fake_call(true) != cudaSuccess) return NVRTC_ERROR_OUT_OF_MEMORY;
    if (!mkdtemp(dir)) return NVRTC_ERROR_INTERNAL_ERROR;
    snprintf(out, sizeof out, "%s/%016" PRIx64 ".so", cache ? cache : dir, hash_of(p));
    if (cache) mkdir(cache, 0755);
    p->code = read_all(out, &p->n_code);
    nvrtcResult r = p->code ? NVRTC_SUCCESS : build(p, dir, out);
    if (r == NVRTC_SUCCESS && !p->code) p->code = read_all(out, &p->n_code);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    (void)!system(command);
    return r != NVRTC_SUCCESS || p->code ? r : NVRTC_ERROR_INTERNAL_ERROR;
}

static nvrtcResult log_size(nvrtcProgram p, size_t *n)
{
    *n = p->log ? strlen(p->log) + 1 : 1;
    return NVRTC_SUCCESS;
}

static nvrtcResult get_log(nvrtcProgram p, char *text)
{
    strcpy(text, p->log ? p->log : "");
    return NVRTC_SUCCESS;
}

/* The length stands before the bytes, because loading is told none. */
static nvrtcResult code_size(nvrtcProgram p, size_t *n)
{
    *n = p->n_code + sizeof p->n_code;
    return NVRTC_SUCCESS;
}

static nvrtcResult get_code(nvrtcProgram p, char *bytes)
{
    memcpy(bytes, &p->n_code, sizeof p->n_code);
    memcpy(bytes + sizeof p->n_code, p->code, p->n_code);
    return NVRTC_SUCCESS;
}

void adv_fake_fill_rtc(AdvCudaApi *a)
{
    a->nvrtcGetErrorString = error_string;
    a->nvrtcVersion = version;
    a->nvrtcCreateProgram = create;
    a->nvrtcDestroyProgram = destroy;
    a->nvrtcCompileProgram = compile;
    a->nvrtcGetProgramLogSize = log_size;
    a->nvrtcGetProgramLog = get_log;
    a->nvrtcGetCUBINSize = code_size;
    a->nvrtcGetCUBIN = get_code;
}

/* ---- loaded libraries ------------------------------------------------------------------------------------------------ */

cudaError_t adv_fake_library_load(cudaLibrary_t *lib, const void *code)
{
    char path[] = "/tmp/adv-fake-lib-XXXXXX";
    size_t n;
    int fd = mkstemp(path);
    *lib = NULL;
    memcpy(&n, code, sizeof n);
    if (fd < 0 || write(fd, (const char *)code + sizeof n, n) != (ssize_t)n) return cudaErrorInvalidValue;
    close(fd);
    *lib = (cudaLibrary_t)dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*lib) printf("fake device: %s\n", dlerror());
    unlink(path);
    return *lib ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t adv_fake_library_unload(cudaLibrary_t lib)
{
    dlclose(lib);
    return cudaSuccess;
}

cudaError_t adv_fake_library_kernel(cudaKernel_t *kernel, cudaLibrary_t lib, const char *name)
{
    char symbol[512];
    snprintf(symbol, sizeof symbol, ADV_SHIM_SYMBOL_PREFIX "%s", name);
    *kernel = (cudaKernel_t)dlsym(lib, symbol);
    return *kernel ? cudaSuccess : cudaErrorSymbolNotFound;
}
