#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the models of the hand-over, of the event descriptor and of a loop that
does the log's work with spin, and that they can fail: with a step left out an error must be found. Skipped without
spin or a C compiler."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MUTANTS = {"handover.pml": range(1, 8), "events.pml": range(1, 7),
           "loop.pml": range(1, 6)}
SKIP = 77


def errors(folder: str, compiler: str, model: str,
           *defines: str) -> tuple[int, int]:
    """What spin finds, and in how many states."""
    path = Path(__file__).with_name(model)
    subprocess.run(["spin", *defines, "-a", path], cwd=folder, check=True)
    subprocess.run([compiler, "-O2", "-w", "-DSAFETY", "-DCOLLAPSE",
                    "-DMEMLIM=6000", "-o", "pan", "pan.c"], cwd=folder,
                   check=True)
    done = subprocess.run(["./pan", "-m1000000"], cwd=folder, text=True,
                          capture_output=True, check=False)
    found = re.search(r"errors: (\d+)", done.stdout)
    states = re.search(r"(\d+) states, stored", done.stdout)
    if found is None or states is None or "max search depth" in done.stdout:
        sys.exit(f"spin did not finish:\n{done.stdout}{done.stderr}")
    return int(found[1]), int(states[1])


def main() -> int:
    compiler = os.environ.get("CC") or shutil.which("cc")
    if shutil.which("spin") is None or compiler is None:
        print("skipped: spin or a C compiler is missing (Debian: spin, gcc)")
        return SKIP
    callers = "-DCALLERS=" + os.environ.get("DWAL_MODEL_CALLERS", "2")
    status = 0
    with tempfile.TemporaryDirectory(prefix="dwal-model-") as folder:
        for model, mutants in MUTANTS.items():
            found, states = errors(folder, compiler, model, callers)
            print(f"{model}: {found} errors in {states} states")
            status |= found != 0
            for mutant in mutants:
                found, states = errors(folder, compiler, model, callers,
                                       f"-DMUTANT={mutant}")
                print(f"{model}, mutant {mutant}: "
                      + ("found" if found else "NOT FOUND")
                      + f" after {states} states")
                status |= found == 0
    return status


if __name__ == "__main__":
    sys.exit(main())
