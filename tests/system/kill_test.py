#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGKILL at random moments: nothing acknowledged is lost.

A writer with eight threads is killed again and again, each time on the log that
the kill before left behind. After each kill:

- every LSN that was acknowledged is in the log;
- LSNs are dense from the first to the last;
- the records are, unchanged and in order, a beginning of what was fed;
- walfsck, asked to repair a torn tail or not, exits 0 or 1, and then 0.

DWAL_KILLS sets the number of kills, 20 unless set. The kill comes after a random
number of acknowledgements, so its place in the writer's life does not depend on
the machine's speed; some come a random time after the start, in the middle of
creation or recovery.
"""
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402

KILLS = int(os.environ.get("DWAL_KILLS", "20"))
KILLS_PER_LOG = 10  # then a new one, so that creation is hit as well
LINES = 4000  # fed in one life, more than are acknowledged before the kill
ACKS_MAX = 2000


def line_make(random, life: int, index: int) -> bytes:
    """Tells where it belongs, and has any length, some over several blocks."""
    size = random.choice((0, 10, 100, 500, 2000, random.randrange(12000)))
    filler = random.randbytes((size + 1) // 2).hex()[:size]
    return f"{life}.{index}.{filler}".encode()


def options(random) -> list[str]:
    """How this life's writer is set up: it must not matter."""
    return ["--segment-size", random.choice(("128K", "1M", "4M")),
            "--preset", random.choice(("latency", "balanced", "throughput")),
            "--sync", random.choice(("auto", "dsync", "fdsync"))]


def feed(stream, lines: list[bytes]) -> None:
    try:
        for line in lines:
            stream.write(line + b"\n")
        stream.flush()
    except BrokenPipeError:
        pass  # the writer was killed, as it should be
    # Not closed: the writer waits for more until it is killed.


def life_run(random, log: Path, lines: list[bytes]) -> list[int]:
    """Feeds a writer, kills it, returns what it acknowledged."""
    command = [tools.tool("walput"), "--ack", "--threads", "8",
               *options(random), str(log)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    watchdog = threading.Timer(tools.TIMEOUT, writer.kill)
    watchdog.start()
    feeder = threading.Thread(target=feed, args=(writer.stdin, lines))
    feeder.start()
    acked = []
    if random.random() < 0.25:
        time.sleep(random.random() * 0.03)  # a moment, not a synchronisation
    else:
        for _ in range(random.randrange(1, ACKS_MAX)):
            acked.append(writer.stdout.readline())
            if not acked[-1]:
                break  # it ended by itself: found out below
    alive = writer.poll() is None
    writer.send_signal(signal.SIGKILL)
    acked += writer.stdout.readlines()
    errors = writer.stderr.read().decode(errors="replace")
    status = writer.wait()
    late = not watchdog.is_alive()
    watchdog.cancel()
    feeder.join()
    try:
        writer.stdin.close()
    except BrokenPipeError:
        pass
    if (not alive or late or status != -signal.SIGKILL
            or "Sanitizer" in errors or "runtime error:" in errors):
        raise AssertionError(f"{command}: exit {status}, late: {late}:"
                             f" {errors}")
    # The last line may have been cut: then it is no acknowledgement.
    return [int(line) for line in acked if line.endswith(b"\n")]


def log_exists(log: Path) -> bool:
    """False while not even the creation was complete. walfsck says so."""
    result = tools.run("walfsck", str(log))
    if result.status in (0, 1):
        return True
    if result.status == 8 and not (log / "LOCK").exists():
        return False
    raise AssertionError(f"walfsck exits {result.status}: "
                         f"{result.out.decode()} {result.err}")


def fsck_check(random, log: Path) -> str:
    repair = random.random() < 0.5
    status, summary = tools.fsck_summary(log, *(["-p"] if repair else []))
    if status not in ((0, 1) if repair else (0,)):
        raise AssertionError(f"walfsck exits {status}: {summary}")
    again, second = tools.fsck_summary(log)
    if again != 0:
        raise AssertionError(f"walfsck exits {again}: {second}")
    if repair and second["verdict"] != "clean":
        raise AssertionError(f"not clean after a repair: {second}")
    return summary["verdict"]


def content_check(log: Path, known: list[bytes], fed: list[bytes],
                  acked: list[int]) -> list[bytes]:
    """Returns the payloads that are in the log, for the next life."""
    records = tools.records(log)
    for index, record in enumerate(records):
        if record.lsn != index + 1:
            raise AssertionError(f"LSN {record.lsn} comes where {index + 1}"
                                 " should")
    payloads = [record.payload for record in records]
    if len(payloads) < len(known):
        raise AssertionError(f"{len(known)} records had been found, now there"
                             f" are {len(payloads)}")
    expected = known + fed
    for index, payload in enumerate(payloads):
        if payload != expected[index]:
            raise AssertionError(f"LSN {index + 1} is {payload[:40]!r}…, not"
                                 f" {expected[index][:40]!r}…")
    if len(set(acked)) != len(acked):
        raise AssertionError("an LSN was acknowledged twice")
    lost = [lsn for lsn in acked if not len(known) < lsn <= len(payloads)]
    if lost:
        raise AssertionError(f"acknowledged, and not among the new records"
                             f" {len(known) + 1} to {len(payloads)}: {lost}")
    return payloads


def main() -> int:
    random = tools.seeded()
    total_acked = total_found = 0
    for first in range(0, KILLS, KILLS_PER_LOG):
        with tools.directory() as directory:
            log = directory / "log"
            known: list[bytes] = []
            for life in range(first, min(first + KILLS_PER_LOG, KILLS)):
                fed = [line_make(random, life, i) for i in range(LINES)]
                acked = life_run(random, log, fed)
                if not log_exists(log):
                    if acked or known:
                        raise AssertionError("the log is gone")
                    print(f"kill {life + 1}: before there was a log")
                    continue
                verdict = fsck_check(random, log)
                found = content_check(log, known, fed, acked)
                print(f"kill {life + 1}: {len(acked)} acknowledged,"
                      f" {len(found) - len(known)} found, {verdict}",
                      flush=True)
                total_acked += len(acked)
                total_found += len(found) - len(known)
                known = found
    print(f"{KILLS} kills: {total_acked} records acknowledged and all there,"
          f" in order and unchanged; {total_found} found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
