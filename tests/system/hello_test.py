#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example of README.md does what it shows, and another one follows it.

usage: hello_test.py HELLO TAIL
"""
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402


def hello(path: Path) -> tuple[int, str, str]:
    done = subprocess.run([sys.argv[1], str(path)], capture_output=True,
                          text=True, timeout=tools.TIMEOUT, check=False)
    return done.returncode, done.stdout, done.stderr


def check(got: tuple[int, str, str], status: int, out: str) -> None:
    if got[:2] != (status, out) or (status == 0) != (got[2] == ""):
        sys.exit(f"expected {status} {out!r}, got {got}")


with tools.directory() as directory:
    check(hello(directory / "log"), 0, "record 1 is on the disk\n1 hello\n")
    check(hello(directory / "log"), 0,
          "record 2 is on the disk\n1 hello\n2 hello\n")
    check(hello(directory / "no" / "log"), 1, "")
    (directory / "file").write_text("not a log")
    check(hello(directory / "file"), 1, "")

# tail, in a process of its own, from before the records are there.
with tools.directory() as directory:
    check(hello(directory / "log"), 0, "record 1 is on the disk\n1 hello\n")
    tail = subprocess.Popen([sys.argv[2], str(directory / "log"), "1",
                             str(tools.TIMEOUT * 1000)],
                            stdout=subprocess.PIPE, text=True)
    for lsn in range(1, 4):
        line = tail.stdout.readline()
        if line != f"{lsn} hello\n":
            sys.exit(f"tail: expected LSN {lsn}, got {line!r}")
        hello(directory / "log")
    tail.kill()
    tail.communicate()
    done = subprocess.run([sys.argv[2], str(directory / "log"), "4", "1"],
                          capture_output=True, text=True,
                          timeout=tools.TIMEOUT, check=False)
    if (done.returncode, done.stdout) != (0, "4 hello\n"):
        sys.exit(f"tail: {done}")
