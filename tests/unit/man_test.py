#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The manual says what is there: every option of --help and no other; every
exported function, with the declaration and the codes that dwal.h has; every
option, code and field of the public headers. Pages name pages that exist, and
are free of warnings where groff or mandoc is installed.

usage: man_test.py SOURCE_DIR
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

root = Path(sys.argv[1])
build = Path(os.environ["DWAL_BUILD_DIR"])
man = root / "man"
faults: list[str] = []

TOOLS = {"walput.1": "fsck", "waldump.1": "fsck", "walfsck.8": "fsck",
         "walbench.1": "bench"}


def plain(roff: str) -> str:
    """Text and macros without fonts, quotes and escapes."""
    text = re.sub(r"\\f(\(..|.)", "", roff)
    text = text.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
    return text.replace('"', "")


def target(path: Path) -> Path:
    """Where a .so line leads."""
    match = re.match(r"\.so man\d/(\S+)\n", path.read_text())
    return man / match[1] if match else path


# ---- the tools ----

def help_options(tool: Path) -> set[str]:
    text = subprocess.run([tool, "--help"], check=True, capture_output=True,
                          text=True, timeout=60).stdout
    heads = re.findall(r"^ {2,6}(-.*)$", text, re.M)
    found: set[str] = set()
    for head in heads:
        while match := re.match(r"(?:, | )?(--?[A-Za-z][\w-]*)"
                                r"(?:[= ](?:[A-Z]+|fio)\b|\[=\w+\])?", head):
            found.add(match[1])
            head = head[match.end():]
    return found


def page_options(page: Path) -> set[str]:
    """Those that a paragraph begins with."""
    heads = re.findall(r"^\.TP\n\.B[IR]* (-.*)$", plain(page.read_text()), re.M)
    return {name for head in heads
            for name in re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", head)}


def check_tools() -> int:
    checked = 0
    for page, folder in TOOLS.items():
        tool = build / folder / page.partition(".")[0]
        if not tool.exists():
            print(f"{page}: {tool.name} is not built, its options are not "
                  "checked")
            continue
        told, documented = help_options(tool), page_options(man / page)
        for name in sorted(told - documented):
            faults.append(f"man/{page} lacks {name}, which --help names")
        for name in sorted(documented - told):
            faults.append(f"man/{page} has {name}, which --help lacks")
        if len(told) < 5:
            faults.append(f"{tool.name} --help: found only {told}")
        checked += len(told)
    return checked


# ---- the library ----

# What is exported, where it is declared, and the page that names all of it.
LIBRARIES = (
    ("src/dwal.map", ("src/dwal.h", "format/dwal_error.h"), "dwal.3"),
    ("adapters/raft/dwal_raft.map", ("adapters/raft/dwal_raft.h",),
     "dwal_raft.3"),
)
headers = "".join((root / name).read_text()
                  for _, names, _ in LIBRARIES for name in names)
code = re.sub(r"/\*.*?\*/", "", headers, flags=re.S)


def tight(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def check_functions(exports: Path, overview: Path) -> int:
    names = re.findall(r"^\s+(dwal_\w+);", exports.read_text(), re.M)
    for name in names:
        page = man / f"{name}.3"
        if not page.exists():
            faults.append(f"man/{name}.3 is missing: {name} is exported")
            continue
        match = re.search(rf"^[a-z][^;{{}}]*\b{name}\([^;]*\);", code, re.M)
        text = plain(target(page).read_text())
        synopsis = tight(re.sub(r"^\.\w+ ?", "", text, flags=re.M))
        if match is None:
            faults.append(f"{name} is exported and not declared")
        elif tight(match[0]) not in synopsis:
            faults.append(f"man/{target(page).name} declares {name} otherwise "
                          f"than dwal.h: {tight(match[0])}")
        if name not in plain(overview.read_text()):
            faults.append(f"man/{overview.name} does not name {name}")
    return len(names)


def check_codes() -> None:
    """What dwal.h says that a function returns, its page says, too."""
    for comment, declarations in re.findall(
            r"/\*((?:(?!\*/).)*)\*/\s*\n((?:[a-z][^;{}]*;\n)+)", headers, re.S):
        codes = set(re.findall(r"\bDWAL_E\w+", comment))
        for name in re.findall(r"\b(dwal_\w+)\(", declarations):
            page = man / f"{name}.3"
            if not page.exists():
                continue  # check_functions has told
            text = target(page).read_text()
            for each in sorted(codes):
                if each not in text:
                    faults.append(f"man/{target(page).name} lacks {each}, "
                                  f"which dwal.h says of {name}")


def check_names() -> int:
    """Constants, and the fields of structs, in the pages about functions."""
    pages = plain("".join(path.read_text() for path in sorted(man.glob("*.3"))))
    pages = re.sub(r"^\.TH .*", "", pages, flags=re.M)  # all capitals
    known = set(re.findall(r"\bDWAL_[A-Z0-9_]+\b", code)) - {
        "DWAL_H", "DWAL_ERROR_H", "DWAL_RAFT_H", "DWAL_X", "DWAL_ERROR_LIST"}
    named = set(re.findall(r"\bDWAL_[A-Z0-9_]+\b", pages))
    for name in sorted(known - named):
        faults.append(f"no page names {name}")
    for name in sorted(named - known):
        faults.append(f"a page names {name}, which no header has")
    fields = 0
    for struct, body in re.findall(r"struct (dwal_\w+) \{(.*?)\n\};", code,
                                   re.S):
        page = man / f"{struct}.3"
        text = (plain(target(page).read_text()) if page.exists() else pages)
        # "int (*log)(…)" is a field, and its arguments are none.
        body = re.sub(r"\(\*(\w+)\)\([^)]*\)", r"\1", body)
        for line in body.split(";")[:-1]:
            for part in line.split(","):
                name = re.search(r"(\w+)(\[\w+\])?$", part.strip())
                if name is None:
                    faults.append(f"struct {struct}: what is {line!r}?")
                    continue
                fields += 1
                if not re.search(rf"^\.(BI|I) .*\b{name[1]}\b", text, re.M):
                    faults.append(f"struct {struct}: no page has the field "
                                  f"{name[1]}")
    return len(known) + fields


# ---- all pages ----

def check_links(path: Path) -> None:
    if not target(path).exists():
        faults.append(f"{path.name}: {target(path).name} is not there")
        return
    text = plain(path.read_text())
    for name, section in re.findall(r"^\.BR (wal\w+|dwal\w*) \((\d)\)", text,
                                    re.M):
        if not (man / f"{name}.{section}").exists():
            faults.append(f"{path.name} names {name}({section})")


def check_warnings(pages: list[Path]) -> None:
    pages = [path for path in pages if target(path) == path]
    if shutil.which("mandoc"):
        done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", *pages],
                              capture_output=True, text=True, timeout=60,
                              check=False)
        faults.extend(done.stdout.splitlines())
    else:
        print("mandoc is not installed")
    if shutil.which("groff"):
        for path in pages:
            done = subprocess.run(
                ["groff", "-mandoc", "-Tutf8", "-ww", "-rLL=78n", "-z", path],
                capture_output=True, text=True, timeout=60, check=False)
            faults.extend(done.stderr.splitlines())
    else:
        print("groff is not installed")


all_pages = sorted(man.glob("*.[1-9]"))
options = check_tools()
functions = sum(check_functions(root / exports, man / overview)
                for exports, _, overview in LIBRARIES)
check_codes()
names = check_names()
for each in all_pages:
    check_links(each)
check_warnings(all_pages)
print("\n".join(faults))
print(f"{len(all_pages)} pages, {options} options, {functions} functions, "
      f"{names} names, {len(faults)} faults")
sys.exit(1 if faults or not functions or not options else 0)
