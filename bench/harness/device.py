# SPDX-License-Identifier: MIT
"""The log against fio on the same filesystem: what the disk could do."""
from .measure import PRESETS, Bench
from .section import Section, where
from .text import micros, per_second, reached, table, times

GIB = 1 << 30
# Of a run that only grows: what it may take, before and during measuring.
GROW_BYTES_PER_S = 4 * GIB


def medians(one: dict) -> dict[str, dict]:
    return {row["name"]: row for row in one["medians"]}


# ---- one commit at a time ----

SINGLE_WANTED = {"latency": 1.0, "balanced": 1.15}


def measure_single(bench: Bench, _big: str) -> list[dict]:
    if not bench.has_fio:
        return []
    return [bench.versus("--preset", preset, "--bs", 512, "--ramp_time",
                         bench.ramp) for preset in PRESETS]


def render_single(raw: list[dict]) -> str:
    rows = []
    for one in raw:
        found = medians(one)
        p50, p99 = found["p50"], found["p99"]
        wanted = SINGLE_WANTED.get(one["preset"])
        rows.append([one["preset"], micros(p50["dwal"]), micros(p50["fio"]),
                     times(p50["ratio"]), micros(p99["dwal"]),
                     micros(p99["fio"]),
                     reached(p50["ratio"], wanted, True) if wanted else ""])
    return ("One thread commits records of 512 bytes; fio overwrites 4 KiB "
            "with RWF_DSYNC, one at a time. Its latency is from submission to "
            "completion.\n\n"
            + table(["preset", "p50", "fio", "ratio", "p99", "fio",
                     "p50 wanted"], rows))


# ---- appending ----

# (trimmed, jobs, payload): wanted of fio's bytes a second, at least.
APPEND_WANTED = {(True, 1, 512): 1.0, (True, 1, 4096): 1.0,
                 (True, 2, 512): 0.95, (True, 2, 4096): 0.95,
                 (False, 1, 512): 0.95, (False, 1, 4096): 0.95,
                 (False, 1, 128): 0.75}
RECORDS_WANTED = 10e6  # a second, of 128 bytes, one producer


def measure_append(bench: Bench, _big: str) -> list[dict]:
    raw = []
    if not bench.has_fio:
        return raw
    room = (bench.runtime + bench.ramp) * GROW_BYTES_PER_S
    for trimmed in (True, False):
        if not trimmed and bench.space() < room:
            print(f"  needs {room / GIB:.0f} GiB of free space: left out")
            continue
        for size in (128, 512, 4096):
            for jobs in (1, 2):
                extra = (["--trim", "512M", "--warmup", "1G"] if trimmed
                         else [])
                raw.append(bench.versus(
                    "--mode", "append", "--preset", "throughput", "--bs", size,
                    "--numjobs", jobs, "--ramp_time", bench.ramp, *extra))
    return raw


def append_row(one: dict) -> list[str]:
    found = medians(one)["payload bytes a second"]
    key = (one["trim"] != 0, one["numjobs"], one["bs"])
    wanted = APPEND_WANTED.get(key)
    records = found["dwal"] / one["bs"]
    return [str(one["bs"]), str(one["numjobs"]), f"{records / 1e6:.2f} M",
            per_second(found["dwal"]), per_second(found["fio"]),
            times(found["ratio"]),
            reached(found["ratio"], wanted, False) if wanted else ""]


def append_notes(raw: list[dict]) -> str:
    """What is wanted beside the ratios."""
    small = where(raw, bs=128)
    rates = {(one["trim"] != 0, one["numjobs"]):
             medians(one)["payload bytes a second"]["dwal"] / 128
             for one in small}
    out = []
    for trimmed, name in ((True, "trimmed"), (False, "growing")):
        if (trimmed, 1) not in rates or (trimmed, 2) not in rates:
            continue
        one, two = rates[trimmed, 1], rates[trimmed, 2]
        out.append(f"- 128 bytes, {name}: one producer "
                   + reached(one / RECORDS_WANTED, 1, False)
                   .replace("1 ×", "10 M a second")
                   + "; two are not slower than one: "
                   + ("yes" if two >= one else "**no**"))
    return "\n".join(out) + "\n"


def render_append(raw: list[dict]) -> str:
    head = ["payload", "producers", "records a second", "payload", "fio",
            "ratio", "wanted"]
    out = []
    for trimmed, words in (
            (True, "A log that is trimmed as it goes, so that it overwrites "
                   "segments; fio overwrites a file, 1 MiB, four at a time, "
                   "with RWF_DSYNC:"),
            (False, "A log that only grows; fio writes into preallocated "
                    "space, likewise:")):
        rows = [append_row(one) for one in raw if (one["trim"] != 0) == trimmed]
        if rows:
            out += [words + "\n", table(head, rows)]
    return ("Producers append without waiting, preset throughput.\n\n"
            + "\n".join(out) + "\n" + append_notes(raw))


# ---- reading ----

READ_WANTED = 0.9


def measure_reading(bench: Bench, _big: str) -> list[dict]:
    if not bench.has_fio:
        return []
    return [bench.versus("--mode", mode, "--size", "1G", "--bs", size)
            for mode in ("recover", "scan") for size in (512, 4096)]


def render_reading(raw: list[dict]) -> str:
    rows = []
    for one in raw:
        found = medians(one)["bytes of records a second"]
        rows.append([one["mode"], str(one["bs"]), per_second(found["dwal"]),
                     per_second(found["fio"]), times(found["ratio"]),
                     reached(found["ratio"], READ_WANTED, False)
                     if one["mode"] == "recover" else ""])
    return ("A log of 1 GiB of payload from the disk, every CRC verified: "
            "recovery when a writer opens it, and a scan by a cursor. Bytes "
            "are those of the records with their headers; fio reads a file of "
            "the same size, 1 MiB, eight at a time.\n\n"
            + table(["", "payload", "records read", "fio", "ratio", "wanted"],
                    rows))


# ---- opening ----

OPEN_SMALL = "256M"
OPEN_WANTED = 2.0


def measure_opening(bench: Bench, big: str) -> list[dict]:
    """What the library checks at open by default, of two logs."""
    return [bench.run(bench.walbench, "--mode", "recover", "--bs", 4096,
                      "--verify", "256M", "--size", size, "--runtime",
                      bench.runtime * bench.rounds)
            for size in (OPEN_SMALL, big)]


def render_opening(raw: list[dict]) -> str:
    rows = [[f"{one['size'] / GIB:g} GiB", micros(one["latency_us"]["p50"]),
             micros(one["latency_us"]["max"]), str(one["passes"])]
            for one in raw]
    ratio = raw[1]["latency_us"]["p50"] / raw[0]["latency_us"]["p50"]
    return ("How long `dwal_open` takes with the default `verify_bytes` of "
            "256 MiB.\n\n"
            + table(["payload in the log", "median", "max", "times"], rows)
            + f"\nThe larger one takes {times(ratio)} as long"
              f" ({reached(ratio, OPEN_WANTED, True)}).\n")


SECTIONS = [
    Section("single", "One commit at a time", measure_single, render_single),
    Section("append", "Appending without waiting", measure_append,
            render_append),
    Section("reading", "Reading", measure_reading, render_reading),
    Section("opening", "Opening", measure_opening, render_opening),
]
