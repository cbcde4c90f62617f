# SPDX-License-Identifier: MIT
"""What gathering makes of a device of known speed, and what idle logs cost."""
from .measure import Bench, middle, rate
from .section import Section, values, where
from .text import count, reached, table

FLUSH_US = (500, 1000, 5000)
WANTED = {2: 1.8, 8: 1.8, 64: 1.6}
IDLE_LOGS, IDLE_SECONDS = 1000, 10


def measure(bench: Bench, _big: str) -> list[dict]:
    cases = [(flush, jobs, gather) for flush in FLUSH_US for jobs in WANTED
             for gather in ("auto", "off")]
    return [{"round": number,
             **bench.run(bench.walbench, *bench.timed(), "--flush-us", flush,
                         "--numjobs", jobs, "--gather", gather)}
            for number, (flush, jobs, gather) in bench.turns(cases)]


def render(raw: list[dict]) -> str:
    rows = []
    for flush in values(raw, "flush_us"):
        for jobs, wanted in WANTED.items():
            found = {gather: middle(where(raw, flush_us=flush, numjobs=jobs,
                                          gather=gather), rate)
                     for gather in ("auto", "off")}
            half = jobs / 2 / (flush / 1e6)
            ratio = found["auto"] / half
            rows.append([f"{flush / 1000:g} ms", str(jobs), count(half),
                         count(found["off"]), count(found["auto"]),
                         f"{ratio:.2f} ×", reached(ratio, wanted, False)])
    return ("Commits a second on a simulated device whose flushes take turns. "
            "Natural batching puts half of the threads on each flush: the "
            "column *half* is that, calculated. Ours wakes those who were "
            "released before it seals, and so does better even without "
            "gathering.\n\n"
            + table(["flush", "threads", "half", "without", "gathering",
                     "gathering to half", "wanted"], rows))


def measure_idle(bench: Bench, _big: str) -> list[dict]:
    return [bench.run(bench.walbench.with_name("bench-idle"), IDLE_LOGS,
                      IDLE_SECONDS)]


def render_idle(raw: list[dict]) -> str:
    one = raw[0]
    return (f"{one['logs']} logs are open in one process, each with one record "
            f"committed. In {one['seconds']} s their {one['threads']} threads "
            f"ran {one['context_switches']} times (a thread that makes a "
            "system call has run). A log takes "
            f"{one['memory_bytes_opened'] / 1024:.0f} KiB of memory once it is "
            f"open, and {one['memory_bytes_used'] / 1024:.0f} KiB once it was "
            "used a little; staging memory is touched as it is needed, up to "
            "`queue_bytes_max`.\n")


SECTIONS = [
    Section("gathering", "Gathering", measure, render),
    Section("idle", "Idle logs", measure_idle, render_idle),
]
