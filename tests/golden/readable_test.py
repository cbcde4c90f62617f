#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every released version of the format stays readable, and can be gone on with.

usage: readable_test.py GOLDEN_DIR
"""
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402
from tools import Record  # noqa: E402

golden = Path(sys.argv[1])

# LSN 1 is below the trim point.
V1 = [Record(2, 0x8002, 0x0100, 0xFFFFFFFF, 0x00010000, b"second"),
      Record(3, 0, 0, 0, 0, bytes((i * 7 + 1) % 256 for i in range(600))),
      Record(4, 0, 0, 0, 0, b"")]


def check(condition: bool, what: object) -> None:
    if not condition:
        raise AssertionError(what)


def content(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in path.iterdir()}


def summary_check(log: Path, last: int) -> None:
    status, summary = tools.fsck_summary(log)
    check(status == 0 and summary["verdict"] == "clean", summary)
    check(summary["first_lsn"] == 2, summary)
    check(summary["durable_lsn"] == last, summary)
    check(summary["undecidable"] is None, summary)


def main() -> int:
    with tools.directory() as directory:
        log = directory / "log"
        shutil.copytree(golden, log)
        summary_check(log, 4)
        check(tools.records(log) == V1, tools.records(log))
        check(content(log) == content(golden), "looking changed something")
        result = tools.run("walput", "--create", "never", "--ack", str(log),
                           stdin=b"newer\n")
        check(result.status == 0 and result.out == b"5\n", result)
        summary_check(log, 5)
        check(tools.records(log) == V1 + [Record(5, 0, 0, 0, 0, b"newer")],
              tools.records(log))
    print(f"{golden.name}: read, and gone on with")
    return 0


if __name__ == "__main__":
    sys.exit(main())
