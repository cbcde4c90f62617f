#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Another project links the library from its source tree, static and shared,
with nothing but its own flags."""
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402

here = Path(__file__).resolve().parent


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=250, check=False)
    if done.returncode != 0:
        sys.exit(f"{command} exits {done.returncode}:\n{done.stdout}")
    return done.stdout


with tools.directory() as directory:
    build = directory / "build"
    run("cmake", "-S", here / "consumer", "-B", build, "-G", "Ninja",
        f"-DDWAL_SOURCE_DIR={os.environ['DWAL_SOURCE_DIR']}")
    run("cmake", "--build", build, "-j", "2")
    for kind in ("static", "shared"):
        out = run(build / f"hello_{kind}", directory / kind)
        if out != "record 1 is on the disk\n1 hello\n":
            sys.exit(f"{kind}: {out!r}")
        print(f"{kind}: linked and run")
