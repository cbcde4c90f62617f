#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""README.md tells the truth: its C is examples/hello.c, the commands and links
in it exist, and the options that it names are those of the tools.

usage: readme_test.py SOURCE_DIR
"""
import os
import re
import subprocess
import sys
from pathlib import Path

root = Path(sys.argv[1])
build = Path(os.environ["DWAL_BUILD_DIR"])
text = (root / "README.md").read_text(encoding="utf-8")
faults = []

blocks = re.findall(r"^```c\n(.*?)^```", text, re.M | re.S)
if blocks != [(root / "examples/hello.c").read_text()]:
    faults.append("the C in README.md is not examples/hello.c")

for target in re.findall(r"\]\(([^)#:]+)\)", text):
    if not (root / target).exists():
        faults.append(f"{target}: linked, but not there")

for command in re.findall(r"^(?:examples|tests|\.ci)/\S+", text, re.M):
    if not os.access(root / command, os.X_OK):
        faults.append(f"{command}: no such command")

for line in text.splitlines():
    tools = re.findall(r"\b(walput|walfsck|waldump)\b", line)
    if len(set(tools)) != 1:
        continue
    help_text = subprocess.run([build / "fsck" / tools[0], "--help"],
                               capture_output=True, text=True, timeout=60,
                               check=True).stdout
    after = line[line.index(tools[0]):]
    for option in re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", after):
        if not re.search(rf"(?<![\w-]){option}(?![\w-])", help_text):
            faults.append(f"{tools[0]} has no {option}: {line}")

print("\n".join(faults) or "README.md is right")
sys.exit(1 if faults else 0)
