#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of this folder that are killed leave nothing behind: no loop device, no
process, no folder; also while a disk hangs for good."""
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import rig

ROUNDS = 4


def remains(owner: int) -> list[str]:
    """What is there of the test with this process."""
    found = [device for device, pid in rig.loops() if pid == str(owner)]
    for folder in rig.scratch_parent().glob(f"{rig.PREFIX}{owner}-*"):
        found.append(str(folder))
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if f"/{rig.PREFIX}{owner}-".encode() in environment:
            found.append(str(process))
    return found


def main() -> None:
    rig.require((rig.EXT4.make[0],))
    draw = random.Random(int(os.environ.get("DWAL_SEED", "1")))
    test = str(Path(__file__).with_name("faults_test.py"))
    seen = 0
    for _ in range(ROUNDS):
        # Itself in a namespace, no other test sees it.
        process = subprocess.Popen([sys.executable, test, "ext4",
                                    "hang-for-good"],
                                   stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.3, 2.5))
        seen += len(remains(process.pid))
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while left := remains(process.pid):
            if time.monotonic() > deadline:
                sys.exit(f"left behind: {left}")
            time.sleep(0.05)
    if seen == 0:
        sys.exit("there was nothing at any time: this test sees nothing")
    print(f"{ROUNDS} tests killed; {seen} things seen, none left")


if __name__ == "__main__":
    main()
