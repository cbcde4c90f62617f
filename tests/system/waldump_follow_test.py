#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""waldump --follow behind a writer at full speed, which rotates and trims.

Record i of walput's input has the LSN i and says so in its payload, so each
follower can be checked line by line: nothing missed, nothing twice, nothing out
of order, nothing that the log does not hold afterwards.
"""
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402
from tools import directory, fsck_summary, run, tool  # noqa: E402

RECORDS = int(os.environ.get("DWAL_FOLLOW_RECORDS", "40000"))
KEEP = 8000
FILLER = "abcdefghijklmnopqrstuvwxyz" * 40


def check(condition: bool, what: object) -> None:
    if not condition:
        raise AssertionError(what)


def payload(lsn: int) -> bytes:
    return f"{lsn} {FILLER[:lsn * 7919 % 700]}\n".encode()


class Follower:
    """One waldump --follow; counts what it shows as it comes."""

    def __init__(self, log: Path, *arguments: str, lsn: int = 1):
        self.next_lsn = lsn
        self.gaps: list[tuple[int, int]] = []
        self.wrong = None
        self.moved = threading.Condition()
        self.process = subprocess.Popen(
            [tool("waldump"), "--follow", *arguments, str(log)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.json = "--json" in arguments
        self.threads = [threading.Thread(target=self.read),
                        threading.Thread(target=self.listen)]
        self.messages = b""
        self.stopping = False
        for thread in self.threads:
            thread.start()

    def listen(self) -> None:
        self.messages = self.process.stderr.read()

    def take(self, line: bytes) -> None:
        if not self.json:
            lsn = self.next_lsn
            if line != payload(lsn):
                self.wrong = self.wrong or (lsn, line)
            self.next_lsn = lsn + 1
            return
        item = json.loads(line)
        if item["kind"] == "gap":
            check(item["why"] == "trimmed", item)
            check(item["first_lsn"] == self.next_lsn, (item, self.next_lsn))
            self.gaps.append((item["first_lsn"], item["last_lsn"]))
            self.next_lsn = item["last_lsn"] + 1
        elif item["lsn"] != self.next_lsn:
            self.wrong = self.wrong or (self.next_lsn, item)
        else:
            check(item["size"] == len(payload(item["lsn"])) - 1, item)
            self.next_lsn += 1

    def read(self) -> None:
        for line in self.process.stdout:
            try:
                self.take(line)
            except Exception as error:  # told by wait_for, in the test's thread
                self.wrong = self.wrong or error
            with self.moved:
                self.moved.notify_all()
        with self.moved:
            self.wrong = self.wrong or (None if self.stopping else "it ended")
            self.moved.notify_all()

    def wait_for(self, lsn: int) -> None:
        with self.moved:
            done = self.moved.wait_for(
                lambda: self.next_lsn > lsn or self.wrong, tools.TIMEOUT)
        check(done and not self.wrong, (lsn, self.next_lsn, self.wrong))

    def stop(self, number: int = signal.SIGINT) -> str:
        """Ends it, and returns what it said on standard error."""
        self.stopping = True
        self.process.send_signal(number)
        status = self.process.wait(tools.TIMEOUT)
        for thread in self.threads:
            thread.join()
        check(status == 0, (status, self.messages))
        check(not self.wrong, self.wrong)
        return self.messages.decode()


def writer(log: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [tool("walput"), "--segment-size", "256K", *arguments, str(log)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE)


def feed(process: subprocess.Popen, first: int, last: int) -> None:
    process.stdin.write(b"".join(payload(i) for i in range(first, last + 1)))
    process.stdin.flush()


def finish(process: subprocess.Popen) -> None:
    process.stdin.close()
    messages = process.stderr.read()
    check(process.wait(tools.TIMEOUT) == 0, messages)
    process.stderr.close()


def begin(log: Path) -> None:
    """A log to follow must be there."""
    check(run("walput", "--segment-size", "256K", str(log),
              stdin=payload(1)).status == 0, "walput")


def test_full_speed():
    """No follower may miss a record: none falls so far behind that what it
    wants is trimmed, since the writer's input waits for them."""
    with directory() as d:
        log = d / "log"
        begin(log)
        followers = [Follower(log, "--json"), Follower(log, "--raw", "--lines")]
        put = writer(log, "--threads", "4", "--keep", str(KEEP))
        step = KEEP // 8
        for first in range(2, RECORDS + 1, step):
            last = min(first + step - 1, RECORDS)
            feed(put, first, last)
            for follower in followers:
                follower.wait_for(last - KEEP // 2)
        finish(put)
        for follower in followers:
            follower.wait_for(RECORDS)
        for follower, number in zip(followers, (signal.SIGINT,
                                                signal.SIGTERM)):
            check(follower.stop(number) == "", follower.messages)
            check(follower.next_lsn == RECORDS + 1, follower.next_lsn)
            check(follower.gaps == [], follower.gaps)
        first_lsn = fsck_summary(log)[1]["first_lsn"]
        check(first_lsn > RECORDS - 2 * KEEP, first_lsn)  # it did trim


def test_trimmed_away():
    """A follower that stood still says what it missed, and goes on."""
    with directory() as d:
        log = d / "log"
        begin(log)
        followers = [Follower(log, "--json"), Follower(log, "--json")]
        for follower in followers:
            follower.wait_for(1)
            follower.process.send_signal(signal.SIGSTOP)
        put = writer(log, "--keep", "500")
        feed(put, 2, 20000)
        finish(put)
        for follower in followers:
            follower.process.send_signal(signal.SIGCONT)
            follower.wait_for(20000)
        for follower in followers:
            messages = follower.stop()
            check(len(follower.gaps) >= 1, follower.gaps)
            told = re.findall(r"LSNs (\d+) to (\d+) were trimmed", messages)
            check([(int(a), int(b)) for a, b in told] == follower.gaps,
                  (messages, follower.gaps))


def test_start_trimmed():
    """--start at what is gone is said, and no error for who follows."""
    with directory() as d:
        log = d / "log"
        put = writer(log, "--keep", "500")
        feed(put, 1, 10000)
        finish(put)
        follower = Follower(log, "--json", "--start", "3", lsn=3)
        follower.wait_for(10000)
        check("LSNs 3 to " in follower.stop(), follower.messages)
        check(len(follower.gaps) == 1, follower.gaps)
        check(run("waldump", "--start", "3", str(log)).status == 8, "status")
        check(fsck_summary(log)[1]["first_lsn"] == 9501, "--keep")


def test_nothing_undurable():
    """What a follower showed is in the log, whenever the writer is killed."""
    for _ in range(5):
        with directory() as d:
            log = d / "log"
            begin(log)
            follower = Follower(log, "--json")
            put = writer(log, "--threads", "4", "--sync", "fdsync")
            feeder = threading.Thread(target=feed_until_killed, args=(put,))
            feeder.start()
            follower.wait_for(1000)
            put.kill()
            put.wait()
            feeder.join()
            put.stderr.close()
            status, summary = fsck_summary(log)
            check(status == 0, summary)
            follower.wait_for(summary["durable_lsn"])
            follower.stop()
            check(follower.next_lsn == summary["durable_lsn"] + 1,
                  (follower.next_lsn, summary))


def feed_until_killed(put: subprocess.Popen) -> None:
    try:
        for first in range(2, 1_000_000, 100):
            feed(put, first, first + 99)
    except OSError:
        pass
    try:
        put.stdin.close()
    except OSError:
        pass


def test_writers_come_and_go():
    with directory() as d:
        log = d / "log"
        begin(log)
        follower = Follower(log, "--json")
        for first in range(2, 800, 100):
            put = writer(log)
            feed(put, first, first + 99)
            finish(put)
            follower.wait_for(first + 99)
        check(follower.stop() == "", follower.messages)


def test_limits():
    """--limit and --end end it without a signal, also while it waits."""
    for arguments in (["-n", "3"], ["-e", "3"], ["-n", "1", "-s", "3"]):
        with directory() as d:
            log = d / "log"
            begin(log)
            follower = subprocess.Popen(
                [tool("waldump"), "-f", "--raw", "--lines", *arguments,
                 str(log)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            put = writer(log)
            feed(put, 2, 5)
            finish(put)
            out, err = follower.communicate(timeout=tools.TIMEOUT)
            check(follower.returncode == 0 and err == b"", err)
            check(out.endswith(payload(3)), out)


def test_reader_leaves():
    """Who waits for records notices that nobody wants them any more."""
    with directory() as d:
        log = d / "log"
        begin(log)
        follower = subprocess.Popen(
            [tool("waldump"), "-f", "--raw", "--lines", str(log)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        check(follower.stdout.readline() == payload(1), "first")
        follower.stdout.close()
        check(follower.wait(tools.TIMEOUT) == 8, follower.returncode)
        check(follower.stderr.read() == b"", "silent, as every writer is")
        follower.stderr.close()


def test_rests_while_nothing_happens():
    """With no writer it sleeps until inotify wakes it: a second in which it ran
    hardly ever."""
    with directory() as d:
        log = d / "log"
        begin(log)
        follower = Follower(log, "--json")
        follower.wait_for(1)
        status = Path(f"/proc/{follower.process.pid}/status")

        def switches() -> int:
            return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)",
                                 status.read_text(), re.M).group(1))

        # Until it has come to rest, then for a second.
        before = -1
        while before != switches():
            before = switches()
            time.sleep(0.1)
        time.sleep(1)
        check(switches() - before <= 2, switches() - before)
        follower.stop()


if __name__ == "__main__":
    tools.main(globals())
