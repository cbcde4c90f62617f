#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The shared library exports what its public headers declare, and nothing else.

usage: exports_test.py LIBRARY HEADER...
"""
import re
import subprocess
import sys
from pathlib import Path

library = sys.argv[1]
text = "".join(Path(name).read_text() for name in sys.argv[2:])
text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
declared = set(re.findall(r"^[a-z].*?\b(dwal_\w+)\(", text, re.M))
lines = subprocess.run(["nm", "-D", "--defined-only", library], check=True,
                       capture_output=True, text=True).stdout.splitlines()
exported = {line.split()[-1].split("@")[0] for line in lines
            if line.split()[-2] != "A"}  # A: the version's own name

for name in sorted(declared - exported):
    print(f"{name} is declared and not exported")
for name in sorted(exported - declared):
    print(f"{name} is exported and not declared")
print(f"{len(declared)} functions declared, {len(exported)} exported")
sys.exit(0 if declared == exported and declared else 1)
