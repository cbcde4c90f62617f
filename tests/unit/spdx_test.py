#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every file of ours that can hold a comment says its licence at the top.

usage: spdx_test.py SOURCE_DIR
"""
import subprocess
import sys
from pathlib import Path

root = Path(sys.argv[1])
LINE = "SPDX-License-Identifier: MIT"
# The licence itself, and what has no comments or is data.
WITHOUT = {"LICENSE", ".clang-format", ".gitattributes", ".gitignore",
           "CMakePresets.json", "cmake/debian/changelog",
           "cmake/debian/shlibs.in", "cmake/debian/triggers", "tests/mutants/list.txt"}
WITHOUT_SUFFIX = {".md", ".wal", ".json", ".png", ".svg", ".xz", ".csv"}
WITHOUT_FOLDER = ("tests/images/", "tests/golden/v", "tests/fuzz/corpus/",
                  "bench/results/")
OURS_IN_IMAGES = {".py", ".c", ".h"}

try:
    done = subprocess.run(["git", "-C", root, "ls-files", "-z"], check=True,
                          capture_output=True, text=True)
except (FileNotFoundError, subprocess.CalledProcessError):
    print("no git, or no checkout: it cannot be told which files are ours")
    sys.exit(77)
checked, missing = 0, []
for name in filter(None, done.stdout.split("\0")):
    path = root / name
    data = name.startswith(WITHOUT_FOLDER) and path.suffix not in OURS_IN_IMAGES
    if (name in WITHOUT or path.suffix in WITHOUT_SUFFIX or data
            or path.is_symlink() or not path.exists()):
        continue
    checked += 1
    with path.open("rb") as file:
        head = b"".join(file.readlines(2000)[:5])
    if LINE.encode() not in head:
        missing.append(name)
for name in missing:
    print(f"{name}: no '{LINE}' in its first lines")
print(f"{checked} files, {len(missing)} without")
sys.exit(1 if missing or not checked else 0)
