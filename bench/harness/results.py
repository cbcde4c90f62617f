# SPDX-License-Identifier: MIT
"""Writes RESULTS.md, the chart and the raw data."""
import json
import subprocess
from datetime import date
from pathlib import Path

from . import threads
from .measure import Bench
from .section import Section


def known(value: object, words: str) -> str:
    return words.format(value) if value is not None else ""


def machine(device: dict) -> str:
    """The kind of machine, in a sentence."""
    fua = {True: ", with FUA", False: ", without FUA"}.get(device["fua"], "")
    cache = known(device["write_cache"], " ({} cache" + fua + ")")
    return (f"{device['cpus']} CPUs, Linux {device['kernel']}, "
            f"{device['filesystem'] or 'an unknown filesystem'} on a "
            f"{'block device' + cache if device['write_cache'] else 'memory'}"
            + known(device["dio_offset_alignment"],
                    ", direct I/O aligned to {} bytes"))


def versions(done: list[tuple[Section, list[dict]]], has_fio: bool) -> str:
    found = {}
    for _, raw in done:
        for one in raw:
            if "engine" in one:
                found.setdefault(one["engine"], one["engine_version"])
    names = [f"{engine} {version}" for engine, version in found.items()]
    if has_fio:
        fio = subprocess.run(["fio", "--version"], capture_output=True,
                             text=True, check=True).stdout.strip()
        names.append(fio)
    return ", ".join(names)


def head(bench: Bench, done: list[tuple[Section, list[dict]]]) -> str:
    first = next(one for _, raw in done for one in raw if "device" in one)
    lines = ["# Results", "",
             "Written by `bench/run`; [README.md](README.md) says what the "
             "figures mean. What is in one section was measured in one run, in "
             f"turns: medians of {bench.rounds} rounds of {bench.runtime:g} s "
             "each. Machines that "
             "are shared differ from day to day: look at the ratios, not at "
             "the figures. The raw data is in [results/](results/).", "",
             f"{date.today().isoformat()}: {machine(first['device'])}. "
             f"{versions(done, bench.has_fio)}."]
    if bench.missing():
        lines += ["", f"Not installed, so not measured: "
                  f"{', '.join(bench.missing())}."]
    if not bench.has_fio:
        lines += ["", "Not installed, so not compared with: fio."]
    return "\n".join(lines) + "\n"


def kept(out: Path, section: Section) -> list[dict]:
    """What an earlier run found."""
    path = out / "results" / f"{section.name}.json"
    return json.loads(path.read_text()) if path.exists() else []


def write(out: Path, bench: Bench,
          done: list[tuple[Section, list[dict]]]) -> None:
    folder = out / "results"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()  # nothing of another run stays beside this one
    parts = [head(bench, done)]
    for section, raw in done:
        lines = ",\n".join(json.dumps(one) for one in raw)
        (folder / f"{section.name}.json").write_text(f"[{lines}]\n")
        if raw:
            parts.append(f"## {section.title}\n\n{section.render(raw)}")
        if section.name == "threads":
            (out / "threads.svg").write_text(threads.chart(raw),
                                             encoding="utf-8")
    (out / "RESULTS.md").write_text("\n".join(parts), encoding="utf-8")
