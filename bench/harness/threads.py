# SPDX-License-Identifier: MIT
"""Threads that each commit one record and wait: ours and the peers'."""
from .chart import Line, Panel, draw
from .measure import (Bench, PEERS, cpu_hog, latency, middle, rate, spread)
from .section import Section, values, where
from .text import count, micros, reached, table, times

THREADS = (1, 2, 4, 8, 16, 32, 64)
HOG_THREADS = (16, 64)
RECORD = 512

# What is wanted of the default preset against the better of the two stores: the
# rate at least, and the p99 at most, so many times theirs.
WANTED = {16: (2.5, 0.45), 64: (3.3, 0.4)}
STORES = (PEERS["berkeleydb"], PEERS["rocksdb"])
DEFAULT = "dwal, balanced"

COLORS = {"dwal, latency": "#56b4e9", "dwal, balanced": "#0072b2",
          "dwal, throughput": "#009e73", PEERS["berkeleydb"]: "#e69f00",
          PEERS["rocksdb"]: "#d55e00", PEERS["mutex"]: "#777777"}


def measure_at(bench: Bench, threads: tuple[int, ...]) -> list[dict]:
    raw = []
    cases = [(engine, n) for n in threads for engine in bench.engines()]
    for number, (engine, n) in bench.turns(cases):
        result = bench.commit(engine, "--bs", RECORD, "--numjobs", n)
        raw.append({"round": number, **result})
    return raw


def measure(bench: Bench, _big: str) -> list[dict]:
    return measure_at(bench, THREADS)


def measure_hog(bench: Bench, _big: str) -> list[dict]:
    with cpu_hog():
        return measure_at(bench, HOG_THREADS)


def figures_table(raw: list[dict], pick, show) -> str:
    names = values(raw, "name")
    rows = [[str(n)] + [show(middle(where(raw, name=name, numjobs=n), pick))
                        for name in names]
            for n in sorted(values(raw, "numjobs"))]
    return table(["threads"] + names, rows)


def stores_best(raw: list[dict], n: int) -> tuple[float, float]:
    """The higher rate and the lower p99 of the two stores."""
    found = [where(raw, name=name, numjobs=n) for name in STORES]
    found = [results for results in found if results]
    return (max(middle(results, rate) for results in found),
            min(middle(results, latency("p99")) for results in found))


def ratio_table(raw: list[dict], wanted: dict) -> str:
    rows = []
    names = [name for name in values(raw, "name") if name.startswith("dwal")]
    for n in sorted(values(raw, "numjobs")):
        best_rate, best_p99 = stores_best(raw, n)
        row = [str(n)]
        for name in names:
            ours = where(raw, name=name, numjobs=n)
            rates = middle(ours, rate) / best_rate
            p99 = middle(ours, latency("p99")) / best_p99
            cell = f"{times(rates)}, p99 {times(p99)}"
            if name == DEFAULT and n in wanted:
                cell += (f" (rate {reached(rates, wanted[n][0], False)};"
                         f" p99 {reached(p99, wanted[n][1], True)})")
            row.append(cell)
        rows.append(row)
    return table(["threads"] + names, rows)


def tables(raw: list[dict], wanted: dict) -> str:
    out = ["Records a second:\n", figures_table(raw, rate, count),
           "p50:\n", figures_table(raw, latency("p50"), micros),
           "p99:\n", figures_table(raw, latency("p99"), micros),
           "p99.9:\n", figures_table(raw, latency("p99.9"), micros),
           "CPU time a record, that of the jobs included:\n",
           figures_table(raw, lambda one: one["cpu_us_per_record"], micros)]
    if any(where(raw, name=name) for name in STORES):
        out += ["Against the higher rate and the lower p99 of Berkeley DB and "
                "RocksDB:\n", ratio_table(raw, wanted)]
    return "\n".join(out)


def render(raw: list[dict]) -> str:
    return ("Each thread commits one record of 512 bytes and waits until it is "
            "durable.\n\n![Throughput and p99 over threads](threads.svg)\n\n"
            + tables(raw, WANTED))


def render_hog(raw: list[dict]) -> str:
    return ("The same, while a foreign process takes all the CPU time that it "
            "gets.\n\n" + tables(raw, {n: (1, 1) for n in HOG_THREADS}))


def chart(raw: list[dict]) -> str:
    def lines(pick) -> list[Line]:
        return [Line(name, COLORS[name], not name.startswith("dwal"),
                     {n: spread(where(raw, name=name, numjobs=n), pick)
                      for n in values(raw, "numjobs")})
                for name in values(raw, "name")]
    return draw("Commits a second and p99 over threads",
                [Panel("commits a second", "1/s", lines(rate)),
                 Panel("p99 of a commit", "µs", lines(latency("p99")))])


SECTIONS = [
    Section("threads", "Commits over threads", measure, render),
    Section("hog", "Commits beside a CPU hog", measure_hog, render_hog),
]
