#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may include and call whom.

usage: layers_test.py SOURCE_DIR [LAYER=OBJECT;OBJECT...]...

Checks the #include lines of every source of a layer against the table below,
that each source is listed in its folder's CMakeLists.txt, and the undefined
symbols of the object files: format calls nothing but string functions and the
CRC, and in recover and src only the files named below talk to the kernel.
"""
import re
import subprocess
import sys
from pathlib import Path

LAYERS = {
    "format": set(),
    "recover": {"format"},
    "src": {"recover", "format"},
    "fsck": {"recover", "format"},
}
# A client of the public library, which happens to live beside the tools.
CLIENTS = {"fsck/walput.c": {"walput.h", "cli.h", "walput_input.h",
                             "walput_stats.h"},
           "fsck/walput_stats.h": {"dwal.h", "walput.h"},
           "fsck/walput_stats.c": {"walput_stats.h", "cli.h", "json.h"},
           "fsck/walput.h": {"dwal.h"},
           "fsck/walput_options.c": {"walput.h", "cli.h"}}

# Installed side by side, so the one names the other without a folder.
PUBLIC = {"src/dwal.h": {"dwal_error.h"}}

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')

# What format may leave undefined; whatever else it calls would be a system
# call, the heap or a thread sooner or later.
FORMAT_SYMBOLS = re.compile(
    r"(dwal_\w+"
    r"|mem(cpy|set|cmp|move|chr)|str(len|nlen|cmp|ncmp|chr|rchr|error|error_r)"
    r"|__xpg_strerror_r|v?snprintf|__\w+_chk"
    r"|crc32_z|crc32_gzip_refl|libdeflate_crc32"
    r"|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_"
    r"|__(asan|ubsan|tsan|gcov|sanitizer|llvm)_\w+)$")

# System calls, and the files of a layer that may make them.
KERNEL_FILES = {"recover": {"disk.c", "disk_sync.c"}, "src": {"sys.c", "aio.c"}}
KERNEL_SYMBOLS = re.compile(
    r"(open|openat|creat|close|read|pread|readv|preadv2?|write|pwrite|writev"
    r"|pwritev2?|lseek|fsync|fdatasync|sync|syncfs|sync_file_range|rename"
    r"|renameat2?|link|linkat|unlink|unlinkat|mkdir|mkdirat|rmdir|truncate"
    r"|ftruncate|fallocate|posix_fallocate|posix_fadvise|stat|lstat|fstat"
    r"|fstatat|statx|statfs|fstatfs|statvfs|fstatvfs|fcntl|flock|lockf|ioctl"
    r"|opendir|fdopendir|readdir|closedir|fopen|fdopen|fread|fwrite|fclose"
    r"|io_\w+|aio_\w+|syscall|eventfd|epoll_\w+|poll|select|getrandom)"
    r"(64)?(@.*)?$")

faults: list[str] = []


def fault(text: str) -> None:
    faults.append(text)


def check_includes(root: Path, path: Path, layer: str) -> None:
    name = str(path.relative_to(root))
    allowed = LAYERS[layer] | {layer}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match is None:
            continue
        place = f"{name}:{number}: {line.strip()}"
        if match[1] == "<":
            if any((root / folder / match[2]).exists() for folder in LAYERS):
                fault(f"{place}: ours, so in quotes")
            continue
        if name in CLIENTS:
            if Path(match[2]).name not in CLIENTS[name]:
                fault(f"{place}: only {sorted(CLIENTS[name])} here")
            continue
        if match[2] in PUBLIC.get(name, ()):
            continue
        target = (path.parent / match[2]).resolve()
        if not target.exists():
            target = (root / match[2]).resolve()
        if not target.is_relative_to(root) or not target.exists():
            fault(f"{place}: not found, write it relative to this file")
        elif target.relative_to(root).parts[0] not in allowed:
            fault(f"{place}: {layer} may include {sorted(allowed)} only")


def check_listed(root: Path, layer: str) -> None:
    text = (root / layer / "CMakeLists.txt").read_text()
    listed = set(re.findall(r"[\w.-]+\.c\b", text))
    if "GLOB" in text:
        fault(f"{layer}/CMakeLists.txt: sources are listed one by one")
    for path in sorted((root / layer).glob("*.c")):
        if path.name not in listed:
            fault(f"{layer}/{path.name}: not in {layer}/CMakeLists.txt")


def undefined(path: str) -> list[str]:
    lines = subprocess.run(["nm", "-u", path], check=True, text=True,
                           capture_output=True).stdout.splitlines()
    return [line.split()[-1] for line in lines if line.split()]


def check_object(layer: str, path: str) -> None:
    source = Path(path).name.removesuffix(".o")
    for symbol in undefined(path):
        if layer == "format" and not FORMAT_SYMBOLS.match(symbol):
            fault(f"format/{source} calls {symbol}")
        if (layer in KERNEL_FILES and source not in KERNEL_FILES[layer]
                and KERNEL_SYMBOLS.match(symbol)):
            fault(f"{layer}/{source} calls {symbol}: that belongs into "
                  f"{sorted(KERNEL_FILES[layer])}")


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    sources = objects = 0
    for layer in LAYERS:
        check_listed(root, layer)
        for path in sorted((root / layer).glob("*.[ch]")):
            check_includes(root, path, layer)
            sources += 1
    for argument in sys.argv[2:]:
        layer, _, paths = argument.partition("=")
        for path in filter(None, re.split("[;,]", paths)):
            check_object(layer, path)
            objects += 1
    for text in faults:
        print(text)
    print(f"{sources} files, {objects} objects, {len(faults)} faults")
    return 1 if faults or sources == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
