#!/usr/bin/env python3
"""check_frames.py MODULE: that the kernels of adv_cuda.so keep nothing in local memory on an H200.

A kernel has a stack frame where an array is indexed by what the compiler does not know, or where registers were too few. Either makes
it slow, and nothing else shows it without a device. What a kernel takes is read from the module as it was linked: a fat binary holds an
ELF file for each architecture, whose section .nv.info says it. Nothing is compiled. --all prints what every kernel takes.
"""

import struct
import sys

SM = 90
KNOWN = {"adv_narrow_": 24, "reduce_": 16}  # part of a name: bytes that are put up with

FAT_BINARY, ELF_KIND = 0xBA55ED50, 2
FRAME, REGISTERS, SIZED = 0x11, 0x2F, 4  # records of .nv.info, and the form of those that say how long they are


def code(module):
    """The ELF files for SM."""
    magic = struct.pack("<I", FAT_BINARY)
    at = module.find(magic)
    while at >= 0:
        header, size = struct.unpack_from("<6xHQ", module, at)
        entry, end = at + header, at + header + size
        while entry < end:
            kind, begin, n, sm = struct.unpack_from("<H2xIQ12xI", module, entry)
            if kind == ELF_KIND and sm == SM:
                yield module[entry + begin : entry + begin + n]
            entry += begin + n
        at = module.find(magic, max(at + 1, end))


def text_at(text, at):
    return text[at : text.index(b"\0", at)].decode()


def sections(elf):
    """{name: bytes}"""
    (table,) = struct.unpack_from("<Q", elf, 40)
    n, names = struct.unpack_from("<HH", elf, 60)
    rows = [struct.unpack_from("<I20xQQ", elf, table + 64 * i) for i in range(n)]
    data = [elf[at : at + size] for _, at, size in rows]
    return {text_at(data[names], name): d for (name, _, _), d in zip(rows, data)}


def usage(elf):
    """{kernel: {record: number}}; functions that kernels call have no number of registers."""
    part = sections(elf)
    info, at, found = part[".nv.info"], 0, {}
    while at < len(info):
        form, record, n = struct.unpack_from("<BBH", info, at)
        if form == SIZED and record in (FRAME, REGISTERS):
            symbol, number = struct.unpack_from("<II", info, at + 4)
            (name,) = struct.unpack_from("<I", part[".symtab"], 24 * symbol)
            found.setdefault(text_at(part[".strtab"], name), {})[record] = number
        at += 4 + (n if form == SIZED else 0)
    return {name: u for name, u in found.items() if REGISTERS in u}


def main():
    with open(sys.argv[1], "rb") as f:
        files = list(code(f.read()))
    if any(elf[:4] != b"\x7fELF" for elf in files):
        print("SKIP check_frames: this nvcc compresses code")
        return 0
    kernels = {name: u for elf in files for name, u in usage(elf).items()}
    bad = 0
    for name, u in sorted(kernels.items()):
        is_bad = u[FRAME] > max([most for part, most in KNOWN.items() if part in name], default=0)
        bad += is_bad
        if is_bad or "--all" in sys.argv:
            print(f"{name}: {u[FRAME]} bytes of local memory a thread, {u[REGISTERS]} registers")
    print(f"{len(kernels)} kernels for sm_{SM}, {bad} with more local memory than they should")
    return 1 if bad or not kernels else 0


sys.exit(main())
