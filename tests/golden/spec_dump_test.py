#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The hex dump of SPEC.md, section 13, is the golden log, byte for byte.

usage: spec_dump_test.py SPEC.md GOLDEN_DIR

Every table row `| offset | bytes | meaning |` of the section is compared. The
rows must follow each other without a gap from the start of the segment to the
end of its first batch, padding included.
"""
import re
import sys
from pathlib import Path

ROW = re.compile(r"^\| ([0-9A-F]{4}) \| ([0-9A-F]{2}(?: [0-9A-F]{2})*)"
                 r"(?: × (\d+))? \| .+ \|$")
LOCK = re.compile(r"`(dwal lock [^`]*)`")
END = 0x400  # behind the first batch


def section(text: str) -> list[str]:
    lines = text.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("## 13 "))
    end = next(i for i, line in enumerate(lines) if line.startswith("## 14 "))
    return lines[begin:end]


def main() -> int:
    lines = section(Path(sys.argv[1]).read_text(encoding="utf-8"))
    golden = Path(sys.argv[2])
    segment = (golden / "0000000000000001.wal").read_bytes()
    at = 0
    rows = 0
    for line in lines:
        match = ROW.match(line)
        if match is None:
            if re.match(r"^\| [0-9A-Fa-f]{4} ", line):
                sys.exit(f"a row that cannot be read: {line}")
            continue
        offset = int(match[1], 16)
        data = bytes.fromhex(match[2]) * int(match[3] or 1)
        if offset != at:
            sys.exit(f"row {match[1]} comes where {at:04X} should: {line}")
        if segment[at:at + len(data)] != data:
            sys.exit(f"at {at:04X} the golden file has "
                     f"{segment[at:at + len(data)].hex(' ').upper()}: {line}")
        at += len(data)
        rows += 1
    if at != END:
        sys.exit(f"the dump ends at {at:04X}, not at {END:04X}")
    lock = next(m[1] for m in map(LOCK.search, lines) if m)
    if (lock + "\n").encode() != (golden / "LOCK").read_bytes():
        sys.exit(f"LOCK is not as the section says: {lock}")
    print(f"{rows} rows, {at} bytes, and LOCK")
    return 0


if __name__ == "__main__":
    sys.exit(main())
