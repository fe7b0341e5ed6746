/* plugin_note.c: the note of a plugin, from the bytes of a file that may be anything.
**
** Every offset and length of the file goes through checked.h before it is used, and every struct is copied out, so no byte is
** trusted for place or alignment. Notes are found by the program headers, which stripping leaves alone.
*/
#include "ops/plugin.h"

#include "runtime/base/checked.h"

#include <elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_NOTES      4096
#define MAX_NOTE_BYTES (1u << 20)

typedef struct Reader {
    const unsigned char *bytes;
    uint64_t n;
    const char *path;
    AdvPluginFault *fault;
} Reader;

static AdvStatus refuse(const Reader *r, const char *fmt, ...) ADV_PRINTF(2, 3);
static AdvStatus refuse(const Reader *r, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(r->fault->text, sizeof r->fault->text, "plugin `%s` ", r->path);
    va_start(ap, fmt);
    if (n > 0 && (size_t)n < sizeof r->fault->text) vsnprintf(r->fault->text + n, sizeof r->fault->text - (size_t)n, fmt, ap);
    va_end(ap);
    r->fault->id = ADV_D_PLUGIN_ABI;
    r->fault->help = NULL;
    return ADV_EDATA;
}

static bool take(const Reader *r, uint64_t off, void *to, uint64_t n)
{
    if (!adv_range_ok(off, n, r->n)) return false;
    memcpy(to, r->bytes + off, (size_t)n);
    return true;
}

static const char *machine_name(uint16_t m)
{
    return m == EM_X86_64 ? "x86-64" : m == EM_AARCH64 ? "aarch64" : m == EM_386 ? "x86" : m == EM_RISCV ? "risc-v" : "another processor";
}

#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#else
#define OWN_MACHINE EM_NONE
#endif

static AdvStatus check_elf(const Reader *r, Elf64_Ehdr *h)
{
    if (!take(r, 0, h, sizeof *h) || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0) return refuse(r, "is no shared object");
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != OWN_MACHINE)
        return refuse(r, "is made for %s, but this program runs on %s",
                      h->e_ident[EI_CLASS] == ELFCLASS64 ? machine_name(h->e_machine) : "a 32-bit machine", machine_name(OWN_MACHINE));
    if (h->e_type != ET_DYN || h->e_phentsize != sizeof(Elf64_Phdr)) return refuse(r, "is no shared object");
    return ADV_OK;
}

/* The four texts behind the head, each ended by NUL within the note. */
static bool take_texts(const unsigned char *at, uint64_t n, AdvNoteView *out)
{
    const char **to[4] = {&out->name, &out->version, &out->ops, &out->archs};
    for (int k = 0; k < 4; k++) {
        const unsigned char *end = memchr(at, 0, (size_t)n);
        if (!end) return false;
        *to[k] = (const char *)at;
        n -= (uint64_t)(end - at) + 1;
        at = end + 1;
    }
    return out->name[0] && out->version[0];
}

/* Another version, or the same with other structs? */
static AdvStatus check_version(const Reader *r, const AdvNoteView *v)
{
    static const uint32_t own[ADV_NOTE_N_SIZES] = ADV_NOTE_SIZES;
    static const char *const names[ADV_NOTE_N_SIZES] = {"AdvOpDef", "AdvKernel",   "AdvPlugin", "AdvAttr",
                                                        "AdvView",  "AdvInferCtx", "AdvPrep",   "AdvLaunch"};
    const AdvNote *h = &v->head;
    if (h->abi_major != ADV_OP_ABI || h->abi_minor > ADV_OP_ABI_MINOR)
        return refuse(r, "was built for plugin interface %u.%u, but this program has %u.%u: %s", h->abi_major, h->abi_minor, ADV_OP_ABI,
                      ADV_OP_ABI_MINOR,
                      h->abi_major < ADV_OP_ABI ? "build it again with this version's adv_op.h" : "a newer program is needed");
    for (int k = 0; k < ADV_NOTE_N_SIZES; k++)
        if (h->sizes[k] != own[k])
            return refuse(r, "says interface %u.%u, but its %s has %u bytes and this program's has %u: build it again with this adv_op.h",
                          h->abi_major, h->abi_minor, names[k], h->sizes[k], own[k]);
    return ADV_OK;
}

static AdvStatus read_note(const Reader *r, uint64_t off, uint64_t n, AdvNoteView *out)
{
    uint64_t head = sizeof out->head;
    if (n < head || !take(r, off, &out->head, head) || !take_texts(r->bytes + off + head, n - head, out))
        return refuse(r, "has a note that is cut short: it was damaged, or not made by ADV_PLUGIN");
    return check_version(r, out);
}

/* Walks one segment of notes; *found once ours was read. */
static AdvStatus walk(const Reader *r, uint64_t off, uint64_t n, AdvNoteView *out, bool *found)
{
    for (int k = 0; k < MAX_NOTES && n >= sizeof(Elf64_Nhdr); k++) {
        Elf64_Nhdr h;
        uint64_t size;
        char owner[4];
        if (!take(r, off, &h, sizeof h)) return refuse(r, "has notes outside the file: it was cut short");
        size = sizeof h + (((uint64_t)h.n_namesz + 3) & ~UINT64_C(3)) + (((uint64_t)h.n_descsz + 3) & ~UINT64_C(3));
        if (h.n_type == ADV_NOTE_TYPE && h.n_namesz == 4 && take(r, off + sizeof h, owner, 4) && memcmp(owner, "ADV", 4) == 0) {
            *found = true;
            if (h.n_descsz > MAX_NOTE_BYTES || !adv_range_ok(off, sizeof h + 4 + (uint64_t)h.n_descsz, r->n) ||
                sizeof h + 4 + (uint64_t)h.n_descsz > n)
                return refuse(r, "has a note that is cut short: it was damaged, or not made by ADV_PLUGIN");
            return read_note(r, off, sizeof h + 4 + h.n_descsz, out);
        }
        if (size > n) break;
        off += size;
        n -= size;
    }
    return ADV_OK;
}

AdvStatus adv_plugin_note(const void *bytes, uint64_t n_bytes, const char *path, AdvNoteView *out, AdvPluginFault *fault)
{
    Reader r = {bytes, n_bytes, path, fault};
    Elf64_Ehdr h;
    bool found = false;
    memset(out, 0, sizeof *out);
    AdvStatus st = check_elf(&r, &h);
    for (uint32_t i = 0; st == ADV_OK && i < h.e_phnum; i++) {
        Elf64_Phdr p;
        uint64_t at;
        if (!adv_add_ok(h.e_phoff, (uint64_t)i * sizeof p, &at) || !take(&r, at, &p, sizeof p))
            st = refuse(&r, "is cut short: its program headers lie outside the file");
        else if ((p.p_type == PT_NOTE || p.p_type == PT_LOAD) && !adv_range_ok(p.p_offset, p.p_filesz, n_bytes))
            st = refuse(&r, "is cut short: what it would load lies outside the file"); /* opening it would crash */
        else if (p.p_type == PT_NOTE && !found)
            st = walk(&r, p.p_offset, p.p_filesz, out, &found);
    }
    if (st == ADV_OK && !found)
        st = refuse(&r, "has no note of ours: it was not made with ADV_PLUGIN of adv_op.h (this program's interface is %u.%u)", ADV_OP_ABI,
                    ADV_OP_ABI_MINOR);
    return st;
}
