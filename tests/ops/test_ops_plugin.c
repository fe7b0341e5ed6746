/* test_ops_plugin.c: the note of a plugin, read from bytes that may be anything; SHA-256; which devices architectures fit.
** Whole plugins, good and bad, are built and loaded by tests/plugins/run.sh.
*/
#include "tests/adv_test.h"

#include "ops/plugin.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

/* A shared object of nothing but a note. */
typedef struct Object {
    Elf64_Ehdr head;
    Elf64_Phdr phdr[2];
    AdvNote note;
    char text[40];
} Object;

#define TEXT                                                                                                                               \
    "margin\0"                                                                                                                             \
    "1.0\0"                                                                                                                                \
    "a b\0"                                                                                                                                \
    "sm_80"

static Object object(void)
{
    Object o = {
        .head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                 .e_type = ET_DYN,
                 .e_machine = EM_X86_64,
                 .e_phoff = offsetof(Object, phdr),
                 .e_phentsize = sizeof(Elf64_Phdr),
                 .e_phnum = 2},
        .phdr = {{.p_type = PT_LOAD}, {.p_type = PT_NOTE, .p_offset = offsetof(Object, note), .p_filesz = sizeof(AdvNote) + sizeof TEXT}},
        .note = {4, sizeof(AdvNote) - 16 + sizeof TEXT, ADV_NOTE_TYPE, "ADV", ADV_OP_ABI, ADV_OP_ABI_MINOR, ADV_NOTE_SIZES}};
#if defined(__aarch64__)
    o.head.e_machine = EM_AARCH64;
#endif
    memcpy(o.text, TEXT, sizeof TEXT);
    return o;
}

static AdvStatus read_object(const Object *o, AdvNoteView *v, AdvPluginFault *f) { return adv_plugin_note(o, sizeof *o, "p.so", v, f); }

static void a_good_note(void)
{
    Object o = object();
    AdvNoteView v;
    AdvPluginFault f = {0};
    CHECK_EQ(read_object(&o, &v, &f), ADV_OK);
    CHECK_STR(v.name, "margin");
    CHECK_STR(v.version, "1.0");
    CHECK_STR(v.ops, "a b");
    CHECK_STR(v.archs, "sm_80");
}

static void check_refused(Object o, const char *why)
{
    AdvNoteView v;
    AdvPluginFault f = {0};
    CHECK_EQ(read_object(&o, &v, &f), ADV_EDATA);
    CHECK_EQ(f.id, ADV_D_PLUGIN_ABI);
    if (!strstr(f.text, why)) printf("`%s` does not say `%s`\n", f.text, why);
    CHECK(strstr(f.text, why) != NULL);
}

static void refusals_say_both_versions(void)
{
    Object o = object();
    o.note.abi_major = 2;
    check_refused(o, "built for plugin interface 2.0, but this program has 1.0");
    o = object(), o.note.abi_minor = 7;
    check_refused(o, "built for plugin interface 1.7, but this program has 1.0: a newer program is needed");
    o = object(), o.note.sizes[0] = 8;
    check_refused(o, "its AdvOpDef has 8 bytes");
    o = object(), o.head.e_machine = EM_RISCV;
    check_refused(o, "is made for risc-v, but this program runs on");
    o = object(), o.head.e_ident[EI_CLASS] = ELFCLASS32;
    check_refused(o, "is made for a 32-bit machine");
    o = object(), o.head.e_type = ET_EXEC;
    check_refused(o, "is no shared object");
    o = object(), o.note.type = 9;
    check_refused(o, "has no note of ours");
    o = object(), o.note.desc_bytes -= 4;
    check_refused(o, "cut short");
    o = object(), o.note.desc_bytes = UINT32_MAX;
    check_refused(o, "cut short");
    o = object(), o.phdr[1].p_filesz = sizeof(AdvNote) / 2;
    check_refused(o, "cut short");
    o = object(), o.phdr[1].p_offset = UINT64_MAX - 3;
    check_refused(o, "cut short");
    o = object(), o.phdr[0].p_filesz = sizeof o + 1; /* the part that is loaded */
    check_refused(o, "lies outside the file");
    o = object(), o.text[0] = 0;
    check_refused(o, "cut short");
}

/* No length and no flipped bit makes the reader do anything but answer. Copies are of the exact size, so that sanitizers see. */
static void no_bytes_are_trusted(void)
{
    Object o = object();
    AdvNoteView v;
    AdvPluginFault f;
    uint32_t n_refused = 0;
    for (size_t n = 0; n <= sizeof o; n++) {
        unsigned char *cut = malloc(n ? n : 1);
        memcpy(cut, &o, n);
        n_refused += adv_plugin_note(cut, n, "p.so", &v, &f) != ADV_OK;
        free(cut);
    }
    CHECK_EQ(n_refused, offsetof(Object, text) + sizeof TEXT);
    for (size_t i = 0; i < 8 * sizeof o; i++) {
        unsigned char *flipped = malloc(sizeof o);
        memcpy(flipped, &o, sizeof o);
        flipped[i / 8] ^= (unsigned char)(1u << i % 8);
        AdvStatus st = adv_plugin_note(flipped, sizeof o, "p.so", &v, &f);
        CHECK(st == ADV_OK || (st == ADV_EDATA && f.text[0]));
        free(flipped);
    }
}

static void check_sha(const char *text, uint64_t n, const char *want)
{
    uint8_t d[ADV_SHA256_BYTES];
    char hex[ADV_SHA256_TEXT];
    adv_sha256(text, n, d);
    adv_sha256_text(d, hex);
    CHECK_STR(hex, want);
}

/* FIPS 180-4 examples, and lengths around a block. */
static void sha256(void)
{
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    check_sha("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_sha(million, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    check_sha(million, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    check_sha(million, 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    free(million);
}

static void architectures(void)
{
    CHECK(adv_plugin_fits_cuda("sm_80 sm_90", 90));
    CHECK(adv_plugin_fits_cuda("sm_80", 86));
    CHECK(!adv_plugin_fits_cuda("sm_86", 80));
    CHECK(!adv_plugin_fits_cuda("sm_80", 90));
    CHECK(adv_plugin_fits_cuda("sm_80 compute_80", 90));
    CHECK(!adv_plugin_fits_cuda("compute_90", 80));
    CHECK(!adv_plugin_fits_cuda("", 80));
    CHECK(!adv_plugin_fits_cuda("gfx90a", 90));
    static const AdvKernel its = {ADV_KERNEL_HEADER, .backend = "cuda"}, another = {ADV_KERNEL_HEADER, .backend = "cuda"};
    static const AdvKernel *const kernels[] = {&its, NULL};
    static const AdvPlugin table = {.kernels = kernels};
    AdvLoaded p = {.path = "/p.so", .name = "margin", .version = "1.0", .archs = "sm_80", .table = &table};
    AdvRegistry r = {.plugins = &p};
    AdvPluginFault f = {0};
    CHECK_EQ(adv_plugin_check_cuda(&r, &another, 100, &f), ADV_OK);
    CHECK_EQ(adv_plugin_check_cuda(&r, &its, 80, &f), ADV_OK);
    CHECK_EQ(adv_plugin_check_cuda(&r, &its, 100, &f), ADV_EDATA);
    CHECK_STR(f.text, "plugin `margin` 1.0 (`/p.so`) has CUDA kernels for sm_80, but the device is sm_100");
}

typedef struct Limit { int left, n_live; } Limit;

static void *limited(void *user, void *p, size_t old_bytes, size_t new_bytes)
{
    Limit *l = user;
    AdvAlloc a = adv_alloc_default();
    if (new_bytes && l->left-- <= 0) return NULL;
    if (!p && new_bytes) l->n_live++;
    if (p && !new_bytes) l->n_live--;
    return a.fn(a.user, p, old_bytes, new_bytes);
}

/* Loading a plugin with the k-th allocation failing: it is there or not, and nothing is lost. */
static void every_allocation_may_fail(void)
{
    const char *path = getenv("ADV_TEST_ROWS");
    AdvStatus st = ADV_ENOMEM;
    if (!path) {
        printf("SKIP loading a plugin: ADV_TEST_ROWS does not name it\n");
        return;
    }
    for (int k = 0; st != ADV_OK && k < 200; k++) {
        Limit l = {k, 0};
        AdvAlloc a = {limited, &l};
        AdvRegistry r;
        AdvPluginFault f = {0};
        const AdvLoaded *p = NULL;
        st = adv_registry_init(&r, a);
        if (st == ADV_OK) st = adv_plugin_load(&r, NULL, path, NULL, 0, &f, &p);
        CHECK(st == ADV_OK || st == ADV_ENOMEM);
        CHECK((st == ADV_OK) == (p != NULL));
        CHECK((p != NULL) == (adv_registry_op(&r, "twin_mul") != NULL));
        if (p) CHECK(adv_plugin_of(&r, adv_registry_op(&r, "twin_mul")) == p);
        adv_registry_fini(&r);
        CHECK_EQ(l.n_live, 0);
    }
    CHECK_EQ(st, ADV_OK);
}

/* A second load finds the first; a plugin of other bytes with the same ops is refused, and so is one whose digest is not wanted. */
static void loading_twice(void)
{
    const char *path = getenv("ADV_TEST_ROWS");
    const AdvLoaded *p, *again;
    AdvRegistry r;
    AdvPluginFault f = {0};
    if (!path) return;
    CHECK_EQ(adv_registry_init(&r, adv_alloc_default()), ADV_OK);
    CHECK_EQ(adv_plugin_load(&r, NULL, path, NULL, 0, &f, &p), ADV_OK);
    CHECK_EQ(adv_plugin_load(&r, NULL, path, p, 0, &f, &again), ADV_OK);
    CHECK(again == p && adv_plugin_by_digest(&r, p->sha256) == p);
    AdvLoaded want = *p;
    want.sha256[0] ^= 1;
    CHECK_EQ(adv_plugin_load(&r, NULL, path, &want, 0, &f, &again), ADV_EDATA);
    CHECK_EQ(f.id, ADV_D_PLUGIN_OTHER);
    CHECK_EQ(adv_plugin_load(&r, NULL, "/no/such/plugin.so", NULL, 0, &f, &again), ADV_ENOENT);
    CHECK_EQ(f.id, ADV_D_PLUGIN_FILE);
    adv_registry_fini(&r);
}

int main(void)
{
    RUN(a_good_note);
    RUN(refusals_say_both_versions);
    RUN(no_bytes_are_trusted);
    RUN(sha256);
    RUN(architectures);
    RUN(every_allocation_may_fail);
    RUN(loading_twice);
    return ADV_TEST_END();
}
