#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is installed is all that it takes: programs are built against it, in C
and C++, shared and static, through pkg-config and find_package. The C program
is the one that man/dwal.3 shows; the other examples of the manual compile, too.

The tree is moved after it was installed, so nothing may name where it was.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402

HERE = Path(__file__).resolve().parent
SOURCE = Path(os.environ["DWAL_SOURCE_DIR"])
BUILD = Path(os.environ["DWAL_BUILD_DIR"])
EXPECTED = "record 1 is on the disk\n1 hello\n"
WARNINGS = ["-std=c17", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
# libuv's header needs more than the standard.
WITH_UV = ["-D_GNU_SOURCE"]


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(list(map(str, command)), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=os.environ | environment, timeout=250,
                          check=False)
    if done.returncode != 0:
        sys.exit(f"{command} exits {done.returncode}:\n{done.stdout}")
    return done.stdout


def check(what: str, program: Path, log: Path, library: str = "") -> None:
    out = run(program, log, LD_LIBRARY_PATH=library)
    if out != EXPECTED:
        sys.exit(f"{what}: {out!r}")
    print(f"{what}: built and run")


def needed(program: Path) -> set[str]:
    out = run("readelf", "-d", program)
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", out))


def examples(page: Path) -> list[str]:
    """The C in a page."""
    blocks = re.findall(r"^\.EX\n(.*?)^\.EE", page.read_text(), re.M | re.S)
    text = [block.replace("\\e", "\\").replace("\\-", "-").replace("\\&", "")
            for block in blocks]
    return [block for block in text if "#include" in block]


def install(directory: Path) -> Path:
    run("cmake", "--install", BUILD, "--prefix", directory / "first")
    prefix = directory / "moved"
    (directory / "first").rename(prefix)
    for path in prefix.rglob("*"):
        if path.suffix in (".pc", ".cmake", ".h", ".3"):
            text = path.read_text()
            for place in (SOURCE, BUILD, directory):
                if str(place) in text:
                    sys.exit(f"{path} names {place}")
    return prefix


def check_library(prefix: Path) -> Path:
    library = next(prefix.rglob("libdwal.so"))
    links = {path.name for path in library.parent.glob("libdwal*")}
    if not {"libdwal.a", "libdwal.so", "libdwal.so.0"} <= links:
        sys.exit(f"libraries: {links}")
    if "[libdwal.so.0]" not in run("readelf", "-d", library):
        sys.exit("the SONAME is not libdwal.so.0")
    if "DWAL_0" not in run("readelf", "-V", library):
        sys.exit("the symbols have no version")
    return library.parent


def check_pkg_config(directory: Path, libraries: Path) -> None:
    path = str(libraries / "pkgconfig")

    def ask(*words: str) -> list[str]:
        return run("pkg-config", *words, "dwal", PKG_CONFIG_PATH=path).split()

    program = directory / "program.c"
    cflags = ask("--cflags")
    run("cc", *WARNINGS, program, *cflags, *ask("--libs"), "-o",
        directory / "shared")
    if "libdwal.so.0" not in needed(directory / "shared"):
        sys.exit("the program does not need libdwal.so.0")
    check("pkg-config, shared", directory / "shared", directory / "log1",
          str(libraries))
    # As man/dwal.3 says.
    flags = ask("--libs", "--static")
    flags.remove("-ldwal")
    run("cc", *WARNINGS, program, *cflags, f"-L{libraries}", "-Wl,-Bstatic",
        "-ldwal", "-Wl,-Bdynamic", *flags, "-o", directory / "static")
    if "libdwal.so.0" in needed(directory / "static"):
        sys.exit("the static program needs libdwal.so.0")
    check("pkg-config, static", directory / "static", directory / "log2")


def check_cmake(directory: Path, prefix: Path, libraries: Path) -> None:
    shutil.copy(HERE / "installed/program.cpp", directory)
    build = directory / "cmake"
    raft = (prefix / "include/dwal_raft.h").exists()
    run("cmake", "-S", HERE / "installed", "-B", build, "-G", "Ninja",
        f"-DPROGRAMS={directory}", f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DRAFT={'ON' if raft else 'OFF'}")
    run("cmake", "--build", build)
    for language in ("c", "cpp"):
        for kind in ("shared", "static"):
            name = f"{language}_{kind}"
            has = "libdwal.so.0" in needed(build / name)
            if has != (kind == "shared"):
                sys.exit(f"{name} needs {needed(build / name)}")
            check(f"find_package, {name}", build / name,
                  directory / f"log-{name}", str(libraries))


def check_raft(directory: Path, prefix: Path, libraries: Path) -> None:
    """The adapter, where it was built: by CMake, and by dwal-raft.pc."""
    if not (prefix / "include/dwal_raft.h").exists():
        print("adapters/raft was not built")
        return
    flags = run("pkg-config", "--cflags", "--libs", "dwal-raft",
                PKG_CONFIG_PATH=str(libraries / "pkgconfig")).split()
    run("cc", *WARNINGS, *WITH_UV, HERE / "installed/raft.c", *flags, "-o",
        directory / "raft")
    for program in (directory / "raft", directory / "cmake/raft",
                    directory / "cmake/raft-static"):
        has = "libdwal-raft.so.0" in needed(program)
        if has != (program.name == "raft"):
            sys.exit(f"{program.name} needs {needed(program)}")
        out = run(program, directory / f"node-{program.parent.name}-"
                  f"{program.name}", LD_LIBRARY_PATH=str(libraries))
        if out != "term 7\n":
            sys.exit(f"{program}: {out!r}")
        print(f"{program.relative_to(directory)}: built and run")


def check_examples(directory: Path, prefix: Path) -> None:
    count = 0
    for page in sorted((prefix / "share/man/man3").glob("*.3")):
        for text in examples(page):
            source = directory / "example.c"
            source.write_text(text)
            more = WITH_UV if page.name.startswith("dwal_raft") else []
            run("cc", *WARNINGS, *more, "-c", source, f"-I{prefix}/include",
                "-o", directory / "example.o")
            count += 1
    print(f"{count} examples of the manual compile")
    if count < 3:
        sys.exit("the manual has lost its examples")


def main() -> None:
    with tools.directory() as directory:
        prefix = install(directory)
        libraries = check_library(prefix)
        programs = examples(prefix / "share/man/man3/dwal.3")
        (directory / "program.c").write_text(programs[0])
        check_examples(directory, prefix)
        check_cmake(directory, prefix, libraries)
        check_raft(directory, prefix, libraries)
        if shutil.which("pkg-config"):
            check_pkg_config(directory, libraries)
        else:
            print("pkg-config is not installed: dwal.pc is not checked")


main()
