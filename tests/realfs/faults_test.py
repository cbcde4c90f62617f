#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A disk that fails, tears, hangs, shrinks or is shut down under a log.

usage: faults_test.py ext4|xfs [SCENE...]

In every scene callers are at work when it happens. Whatever it is, they come
back in time, nothing is acknowledged that is not durable, and afterwards the
log is found with all that was: on the disk as it is then, and on that which a
power cut would have left at any position. See README.md.
"""
import ctypes
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import rig

IO_TIMEOUT_MS = 2000
SLACK_MS = 6000  # of a machine that does something else, too
STATES = 60  # replayed after each scene
DSYNC, FDSYNC = 1, 2  # enum dwal_sync
# In a hang, the filesystem may not return from io_submit either. Whoever is in
# there comes back with it; with a thread for that, no caller is.
THREAD = ("--submit", 0)  # enum dwal_submit
FS_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, u32)
SHUTDOWN_NOLOGFLUSH = 2


def require(condition: bool, what: str, *details: object) -> None:
    if not condition:
        raise AssertionError(" ".join([what, *map(str, details)]))


# ---- callers at work ----

class Work:
    """A workload that goes on until it fails, or is told how much to do."""

    def __init__(self, on: rig.Disk, seed: int, life: int, *more: object
                 ) -> None:
        self.process = subprocess.Popen(
            rig.work_command(on, seed, life, "--faults", "--threads", 6,
                             "--io-timeout", IO_TIMEOUT_MS, *more),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def result(self, seconds: float) -> dict:
        """What it prints; it may not be able to exit yet."""
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        require(bool(ready), "no caller came back for", seconds, "s")
        line = self.process.stdout.readline()
        require(bool(line), "the workload died:",
                self.process.stderr.read().decode() if not line else "")
        return json.loads(line)

    def end(self, seconds: float = 30) -> None:
        self.process.wait(timeout=seconds)


def entries(on: rig.Disk) -> int:
    with open(on.log, "rb") as stream:
        return int.from_bytes(stream.read(24)[16:], "little")


def entries_wait(on: rig.Disk, more: int) -> None:
    """Until the disk has logged so many more: callers are at work."""
    goal, deadline = entries(on) + more, time.monotonic() + 20
    while entries(on) < goal:
        require(time.monotonic() < deadline, "the workload does not get on")
        time.sleep(0.002)


def failed_check(result: dict) -> None:
    require(result["failed"], "the callers were not told:", result)
    require(result["close"] != 0, "the close was not told:", result)
    limit = IO_TIMEOUT_MS + SLACK_MS
    require(result["longest_ms"] <= limit, "a call took too long:", result)
    require(result["close_ms"] <= limit, "the close took too long:", result)


def again_check(on: rig.Disk, seed: int) -> None:
    """Mounts again, finds all that was promised, and goes on."""
    on.unmount()
    for operation in ("write", "flush"):
        on.tell(f"fail {operation} 0 0")  # a disk that works
    on.mount()
    past_check(on, seed)


def past_check(on: rig.Disk, seed: int) -> None:
    rig.compare(on)
    rig.work(on, seed, 3, "--records", 100)
    on.unmount()
    on.mount()
    rig.compare(on)
    on.unmount()


def states_check(on: rig.Disk, seed: int) -> None:
    rig.replay(on.log, on.filesystem, "--seed", seed, "--states", STATES,
               jobs=2)


# ---- scenes: each gets a disk with a filesystem that has just been made ----

def command_scene(command: str, sync: int) -> Callable[[rig.Disk, int], None]:
    """The disk is told something, and the log, which syncs in one way or the
    other, fails of it."""
    def scene(on: rig.Disk, seed: int) -> None:
        rig.work(on, seed, 1, "--records", 100)
        on.tell(command)
        work = Work(on, seed, 2, "--records", 100000, "--sync", sync)
        failed_check(work.result(30))
        work.end()
        again_check(on, seed)
    return scene


def hang_scene(on: rig.Disk, seed: int) -> None:
    """Ten seconds without an answer, then everything is answered."""
    rig.work(on, seed, 1, "--records", 100)
    work = Work(on, seed, 2, "--records", 100000, *THREAD)
    entries_wait(on, 200)
    on.tell("hang write 5 10000")
    begin = time.monotonic()
    failed_check(work.result(9))
    require(work.process.poll() is None or time.monotonic() - begin > 9,
            "the writer left, with I/O under way")
    busy_check(on, seed)
    work.end()  # once its I/O came back
    again_check(on, seed)


def hang_for_good_scene(on: rig.Disk, seed: int) -> None:
    """Never an answer: the power is taken away, and comes back."""
    rig.work(on, seed, 1, "--records", 100)
    work = Work(on, seed, 2, "--records", 100000, *THREAD)
    entries_wait(on, 200)
    on.tell("hang flush 2 0")
    failed_check(work.result(60))
    busy_check(on, seed)
    on.stop()  # all that waits for the disk gets an error
    work.end()
    on.start()
    on.mount()
    past_check(on, seed)


def busy_check(on: rig.Disk, seed: int) -> None:
    """Nobody opens the log under I/O that may still come back."""
    probe = subprocess.Popen(rig.work_command(on, seed, 9, "--probe"),
                             stdout=subprocess.PIPE)
    ready, _, _ = select.select([probe.stdout], [], [], 5)
    if not ready:  # stuck in a read: not open either
        probe.kill()
        return
    result = json.loads(probe.stdout.readline())
    require(result["busy"], "somebody else could open it:", result)
    probe.wait(timeout=30)


def pause_scene(on: rig.Disk, seed: int) -> None:
    """Shorter than the timeout: nobody is told anything."""
    on.tell(f"hang flush 20 {IO_TIMEOUT_MS // 4}")
    work = Work(on, seed, 1, "--records", 500)
    result = work.result(30)
    work.end()
    require(not result["failed"] and result["close"] == 0,
            "a pause was taken for a failure:", result)
    require(result["longest_ms"] >= IO_TIMEOUT_MS / 4, "no pause:", result)
    again_check(on, seed)


def gone_scene(on: rig.Disk, seed: int) -> None:
    """The device shrinks to almost nothing, as one does that is pulled."""
    work = Work(on, seed, 1, "--records", 100000)
    entries_wait(on, 300)
    on.tell("size 65536")
    on.loop.capacity_update()
    failed_check(work.result(30))
    work.end()
    on.tell(f"size {on.filesystem.size}")
    on.loop.capacity_update()
    again_check(on, seed)


def shutdown_scene(on: rig.Disk, seed: int) -> None:
    """The filesystem stops at once and drops what its journal had in memory."""
    work = Work(on, seed, 1, "--records", 100000)
    entries_wait(on, 300)
    fd = os.open(on.mounted, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FS_IOC_SHUTDOWN,
                    ctypes.c_uint32(SHUTDOWN_NOLOGFLUSH))
    finally:
        os.close(fd)
    failed_check(work.result(30))
    work.end()
    again_check(on, seed)


SCENES: dict[str, Callable[[rig.Disk, int], None]] = {
    # A single one loses nothing: it may be the filesystem's own, and what that
    # loses no log can notice. Of some, one is the log's, so the first loses.
    "flush-error-0": command_scene("fail flush 24 1", FDSYNC),
    "flush-error-1": command_scene("fail flush 37 1", FDSYNC),
    "flush-error-2": command_scene("fail flush 50 1", FDSYNC),
    "flush-error-3": command_scene("fail flush 63 1", FDSYNC),
    "flush-error-lost": command_scene("fail flush 25 6", FDSYNC),
    "flush-error-dsync": command_scene("fail flush 25 6", DSYNC),
    "flush-errors": command_scene("fail flush 40 1000000", FDSYNC),
    "write-error": command_scene("fail write 30 1", FDSYNC),
    "write-errors": command_scene("fail write 60 1000000", DSYNC),
    "torn-write": command_scene("tear 35", FDSYNC),
    "torn-write-dsync": command_scene("tear 35", DSYNC),
    "hang": hang_scene,
    "hang-for-good": hang_for_good_scene,
    "pause": pause_scene,
    "gone": gone_scene,
    "shutdown": shutdown_scene,
}


def main() -> None:
    filesystems = {"ext4": rig.EXT4, "xfs": rig.XFS}
    if len(sys.argv) < 2 or sys.argv[1] not in filesystems:
        sys.exit(__doc__)
    filesystem = filesystems[sys.argv[1]]
    chosen = sys.argv[2:] or list(SCENES)
    scratch = rig.enter((filesystem.make[0],))
    rig.require_filesystem(scratch, filesystem)
    seed = int(os.environ.get("DWAL_SEED", "1"))
    for number, name in enumerate(chosen):
        # Sectors of both sizes get their turn.
        sector = 512 if (number + seed) % 2 else 4096
        begin = time.monotonic()
        with rig.disk(scratch / name, filesystem, sector=sector,
                      seed=seed) as on:
            on.make()
            on.mount()
            os.sync()
            on.tell("mark begin")
            SCENES[name](on, seed)
        states_check(on, seed)
        (scratch / name / "image").unlink()
        print(f"{name}: {filesystem.name}, sectors of {sector}: "
              f"{time.monotonic() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    main()
