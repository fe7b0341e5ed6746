/* fuzz_note.c: any bytes as a shared object whose note is read. What is accepted says names that end within the bytes; what is refused
** says why. Nothing is ever opened.
*/
#include "tests/fuzz/fuzz.h"

#include "ops/plugin.h"

#include <elf.h>
#include <string.h>

static int lies_within(const char *text, const uint8_t *data, size_t size)
{
    const uint8_t *at = (const uint8_t *)text;
    return at >= data && at < data + size && memchr(at, 0, (size_t)(data + size - at)) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AdvNoteView v;
    AdvPluginFault f = {0};
    AdvStatus st = adv_plugin_note(data, size, "p.so", &v, &f);
    MUST(st == ADV_OK || (st == ADV_EDATA && f.text[0]));
    if (st != ADV_OK) return 0;
    MUST(lies_within(v.name, data, size) && lies_within(v.version, data, size));
    MUST(lies_within(v.ops, data, size) && lies_within(v.archs, data, size));
    (void)adv_plugin_fits_cuda(v.archs, 90);
    return 0;
}

/* A right object, or the input as it is; then some bytes of it change. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    FuzzRng r = {seed};
    const struct {
        Elf64_Ehdr head;
        Elf64_Phdr phdr;
        AdvNote note;
        char text[16];
    } o = {{.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
            .e_type = ET_DYN,
            .e_machine = EM_X86_64,
            .e_phoff = sizeof(Elf64_Ehdr),
            .e_phentsize = sizeof(Elf64_Phdr),
            .e_phnum = 1},
           {.p_type = PT_NOTE, .p_offset = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), .p_filesz = sizeof(AdvNote) + 16},
           {4, sizeof(AdvNote) - 16 + 16, ADV_NOTE_TYPE, "ADV", ADV_OP_ABI, ADV_OP_ABI_MINOR, ADV_NOTE_SIZES},
           "p\0"
           "1\0"
           "a b\0"
           "sm_80"};
    if ((size < 64 || fuzz_rng(&r, 8) == 0) && max_size >= sizeof o) memcpy(data, &o, size = sizeof o);
    for (uint32_t k = fuzz_rng(&r, 4); k-- > 0 && size;) data[fuzz_rng(&r, (uint32_t)size)] = (uint8_t)fuzz_rng(&r, 256);
    return fuzz_rng(&r, 16) == 0 && size ? fuzz_rng(&r, (uint32_t)size) : size;
}
