# SPDX-License-Identifier: MIT
"""What a change of segment adds to a commit."""
from .measure import Bench, latency, middle, rate
from .section import Section, where
from .text import count, micros, reached, table, times

SMALL = 1 << 20
LARGE = 1 << 30
THREADS = 16
WANTED = 1.5


def measure(bench: Bench, _big: str) -> list[dict]:
    raw = []
    engine = bench.engines()[1]  # the default preset
    for number, size in bench.turns([SMALL, LARGE]):
        # Longer than the other runs: rare events need time.
        result = bench.commit(engine, "--numjobs", THREADS, "--segment-size",
                              size, "--runtime", bench.runtime * 3)
        raw.append({"round": number, **result})
    return raw


def changes(one: dict) -> float:
    """Of segments, in the time that was measured."""
    payload = one["records"] * one["bs"]
    return payload * one["batch_bytes_per_payload_byte"] / one["segment_size"]


def render(raw: list[dict]) -> str:
    rows = []
    for size, name in ((SMALL, "1 MiB"), (LARGE, "1 GiB")):
        found = where(raw, segment_size=size)
        rows.append([name, f"{middle(found, changes):.0f}",
                     count(middle(found, rate)),
                     micros(middle(found, latency("p50"))),
                     micros(middle(found, latency("p99"))),
                     micros(middle(found, latency("p99.9")))])
    ratio = (middle(where(raw, segment_size=SMALL), latency("p99.9"))
             / middle(where(raw, segment_size=LARGE), latency("p99.9")))
    return (f"{THREADS} threads commit records of 512 bytes into small "
            "segments and into one large one.\n\n"
            + table(["segment", "changes", "records a second", "p50", "p99",
                     "p99.9"], rows)
            + f"\np99.9 with changes is {times(ratio)} that without"
              f" ({reached(ratio, WANTED, True)}).\n")


SECTIONS = [Section("segments", "Changes of segment", measure, render)]
