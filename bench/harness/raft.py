# SPDX-License-Identifier: MIT
"""The storage of a raft node: adapters/raft beside libraft's own."""
from .measure import Bench, Failed, latency, middle, rate
from .section import Section, where
from .text import count, micros, reached, table, times

OURS, THEIRS = "dwal-raft", "libraft"
SIZES = (512, 4096)
DEPTHS = (1, 16, 64)
WANTED = 1


def measure(bench: Bench, _big: str) -> list[dict]:
    if not bench.raft.exists():
        raise Failed("bench-raft is not built: libraft-dev 0.15 and "
                     "libuv1-dev are needed")
    raw = []
    what = [(engine, depth, size) for size in SIZES for depth in DEPTHS
            for engine in (OURS, THEIRS)]
    for number, (engine, depth, size) in bench.turns(what):
        result = bench.run(bench.raft, engine, depth, size,
                           round(bench.runtime * 1000))
        raw.append({"round": number, **result})
    return raw


def render(raw: list[dict]) -> str:
    rows = []
    for size in SIZES:
        for depth in DEPTHS:
            ours, theirs = (where(raw, bs=size, outstanding=depth, name=name)
                            for name in (OURS, THEIRS))
            ratio = middle(ours, rate) / middle(theirs, rate)
            rows.append([str(size), str(depth), count(middle(ours, rate)),
                         count(middle(theirs, rate)), times(ratio),
                         micros(middle(ours, latency("p99"))),
                         micros(middle(theirs, latency("p99"))),
                         reached(ratio, WANTED, False)])
    return ("`raft_io` append of one entry at a time, so many outstanding, by "
            "one thread with an event loop: on `libdwal-raft` "
            "([adapters/raft](../adapters/raft/README.md)), and on libraft's "
            "own libuv backend, 0.15. Latency is from the call to the "
            "callback.\n\n"
            + table(["payload", "outstanding", "dwal-raft, a second",
                     "libraft, a second", "ratio", "p99 dwal-raft",
                     "p99 libraft", "wanted"], rows))


SECTIONS = [Section("raft", "A raft node", measure, render)]
