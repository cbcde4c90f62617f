# SPDX-License-Identifier: MIT
"""The tools of dwal, as tests run them.

DWAL_BUILD_DIR says where they lie. Every function that runs one has a time
limit, so that a tool that hangs fails the test instead of stopping it.
"""
import base64
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator, NamedTuple

TIMEOUT = 120  # seconds; far above what anything takes, sanitizers included


def tool(name: str) -> str:
    return str(Path(os.environ["DWAL_BUILD_DIR"]) / "fsck" / name)


class Result(NamedTuple):
    status: int
    out: bytes
    err: str


class Record(NamedTuple):
    lsn: int
    type: int
    flags: int
    tenant: int
    shard: int
    payload: bytes


def run(name: str, *arguments: str, stdin: bytes = b"",
        stdout: int = subprocess.PIPE) -> Result:
    done = subprocess.run([tool(name), *arguments], input=stdin,
                          stdout=stdout, stderr=subprocess.PIPE,
                          timeout=TIMEOUT, check=False)
    err = done.stderr.decode(errors="replace")
    if "Sanitizer" in err or "runtime error:" in err:
        raise AssertionError(f"{name} {arguments}: {err}")
    return Result(done.returncode, done.stdout or b"", err)


def records(log: Path) -> list[Record]:
    """All records that waldump finds; it must find the end of the log."""
    result = run("waldump", "--json", str(log))
    if result.status != 0:
        raise AssertionError(f"waldump exits {result.status}: {result.err}")
    found = []
    for line in result.out.splitlines():
        item = json.loads(line)
        if item["kind"] != "record":
            continue
        payload = base64.b64decode(item["payload"], validate=True)
        if len(payload) != item["size"]:
            raise AssertionError(f"size and payload differ: {line!r}")
        found.append(Record(item["lsn"], item["type"], item["flags"],
                            item["tenant"], item["shard"], payload))
    return found


def fsck_summary(log: Path, *arguments: str) -> tuple[int, dict]:
    result = run("walfsck", "--json", *arguments, str(log))
    lines = result.out.splitlines()
    if not lines:
        raise AssertionError(f"walfsck exits {result.status} and says nothing"
                             f" but: {result.err}")
    summary = json.loads(lines[-1])
    if summary["kind"] != "summary":
        raise AssertionError(f"the last line is no summary: {lines[-1]!r}")
    return result.status, summary


# Removes $1 when its standard input ends: with the test, however that ends, or
# when the test does not need it any more. It is nobody's child, and holds none
# of the test's descriptors.
KEEPER = 'exec 3<&0; (read -r none <&3; rm -rf -- "$1") </dev/null &'


@contextlib.contextmanager
def directory(prefix: str = "dwal-test-", parent: str | None = None
              ) -> Iterator[Path]:
    """A directory that is gone afterwards, also if the test is killed."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    keeper = subprocess.Popen(["sh", "-c", KEEPER, "sh", str(path)],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True)
    keeper.wait()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        keeper.stdin.close()


def seeded() -> random.Random:
    """A generator whose seed is printed; DWAL_SEED gives it back."""
    text = os.environ.get("DWAL_SEED")
    seed = random.randrange(2**32) if text is None else int(text, 0)
    print(f"DWAL_SEED={seed}", flush=True)
    return random.Random(seed)


def main(tests: dict) -> None:
    """Runs the functions whose names start with test_, all or those named."""
    chosen = sys.argv[1:] or [n for n in tests if n.startswith("test_")]
    failed = []
    for name in chosen:
        print(f"[ RUN  ] {name}", flush=True)
        try:
            tests[name]()
        except Exception as error:  # a test tells by any exception
            failed.append(name)
            print(f"[ FAIL ] {name}: {type(error).__name__}: {error}",
                  flush=True)
            import traceback
            traceback.print_exc(file=sys.stdout)
        else:
            print(f"[  OK  ] {name}", flush=True)
    print(f"{len(chosen)} tests, {len(failed)} failed: {' '.join(failed)}")
    sys.exit(1 if failed else 0)
