#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Crashes on real filesystems: everything acknowledged survives.

usage: realfs_test.py ext4|xfs|btrfs [STATES]

Records workloads on a disk that logs its writes and flushes, and replays the log
to its positions: see README.md. A chain begins with a filesystem made anew;
from a crashed state of each recording the next one goes on, so that recovery,
of the filesystem and of the log, is recorded and crashed as well.

DWAL_REALFS=nightly is ten times as much as is done otherwise. DWAL_SEED is where
chains are numbered from. DWAL_REALFS_SLICE=I/N does the I-th of N parts (from 0),
for machines where a night is short.
"""
import os
import random
import sys
import time
from pathlib import Path
from typing import NamedTuple

import rig

# States in CI; ten times as many at night.
STATES = {"ext4": 2000, "xfs": 500, "btrfs": 60}
FILESYSTEMS = {"ext4": rig.EXT4, "xfs": rig.XFS, "btrfs": rig.BTRFS}
DEPTH = 3  # recordings in a chain
CHAIN_STATES = {"ext4": 1000, "xfs": 250, "btrfs": 60}
# btrfs knows its filesystems by name: one at a time is mounted.
JOBS = {"ext4": 3, "xfs": 3, "btrfs": 1}


class Setup(NamedTuple):
    """How a chain's disk is; follows from its seed."""
    sector: int
    direct: bool
    jitter: int


def lives_record(on: rig.Disk, draw: random.Random, seed: int, life: int
                 ) -> int:
    """One to three lives, some of which are killed; returns the next number."""
    for _ in range(draw.randrange(1, 4)):
        more = ["--threads", draw.choice((1, 2, 4, 8, 16)),
                "--records", draw.choice((50, 150, 400))]
        if draw.random() < 0.4:
            more.append("--abrupt")
        rig.work(on, seed, life, *more)
        life += 1
    return life


def record(folder: Path, filesystem: rig.Filesystem, draw: random.Random,
           setup: Setup, seed: int, life: int, base: Path | None
           ) -> tuple[Path, int]:
    """Records lives on a new filesystem, or going on where @base ends."""
    folder.mkdir()
    if base is not None:
        base.rename(folder / "log")
    with rig.disk(folder, filesystem, sector=setup.sector, direct=setup.direct,
                  seed=seed) as on:
        if base is None:
            on.make()
            on.mount()
            os.sync()
            on.tell("mark begin")
        else:
            on.mount()
        if setup.jitter:
            on.tell(f"jitter {setup.jitter}")
        life = lives_record(on, draw, seed, life)
        if draw.random() < 0.5:
            on.unmount()  # so that this is crashed, too
    (folder / "image").unlink()
    return folder / "log", life


def chain_run(scratch: Path, name: str, seed: int, states: int) -> dict:
    """A recording, its replay, and so on from one of its states."""
    draw = random.Random(f"{name} {seed}")
    setup = Setup(512 if seed % 2 else 4096, draw.random() < 0.7,
                  draw.choice((0, 100, 1000)))
    filesystem = FILESYSTEMS[name]
    total: dict = {}
    base, life = None, 1
    for generation in range(DEPTH):
        folder = scratch / f"{name}-{seed}-{generation}"
        log, life = record(folder, filesystem, draw, setup, seed, life, base)
        share = states * (generation + 1) // DEPTH \
            - states * generation // DEPTH
        found = rig.replay(log, filesystem, "--seed", seed, "--states", share,
                           jobs=JOBS[name])
        for key, value in found.items():
            total[key] = total.get(key, 0) + value
        rig.tools_check(folder, log, filesystem, draw)
        if generation + 1 < DEPTH:
            base = scratch / "base"
            rig.successor_make(log, filesystem, draw, base)
        log.unlink()
    print(f"  chain {seed}: {setup}: {total['states']} states, "
          f"{total['torn']} torn, {total['gone_on']} gone on with", flush=True)
    return total


def amount(name: str) -> int:
    if len(sys.argv) > 2:
        return int(sys.argv[2])
    nightly = os.environ.get("DWAL_REALFS") == "nightly"
    return STATES[name] * (10 if nightly else 1)


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in FILESYSTEMS:
        sys.exit(__doc__)
    name = sys.argv[1]
    scratch = rig.enter((FILESYSTEMS[name].make[0],))
    rig.require_filesystem(scratch, FILESYSTEMS[name])
    seed = int(os.environ.get("DWAL_SEED", "1"))
    part, parts = map(int, os.environ.get("DWAL_REALFS_SLICE", "0/1").split("/"))
    chains = -(-amount(name) // CHAIN_STATES[name])
    total: dict = {}
    begin = time.monotonic()
    for chain in range(chains * part // parts, chains * (part + 1) // parts):
        found = chain_run(scratch, name, seed + chain, CHAIN_STATES[name])
        for key, value in found.items():
            total[key] = total.get(key, 0) + value
    took = time.monotonic() - begin
    print(f"{name}: {total['states']} states ({total['prefix']} prefix, "
          f"{total['flushed']} flushed, {total['random']} random), "
          f"{total['torn']} torn, {total['absent']} before there was a log, "
          f"{total['gone_on']} gone on with, in {took:.0f} s")


if __name__ == "__main__":
    main()
