# SPDX-License-Identifier: MIT
"""Runs the programs and takes what they print.

A shared machine is not the same from one minute to the next, so everything that
is compared takes turns, in an order that changes from round to round, and what
counts is the median.
"""
import contextlib
import json
import multiprocessing
import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Callable, Iterator, NamedTuple


class Failed(Exception):
    """A measurement could not be made."""


class Engine(NamedTuple):
    """Something that commits records: a program and its arguments."""
    name: str
    program: Path
    arguments: tuple[str, ...] = ()
    ours: bool = False


PRESETS = ("latency", "balanced", "throughput")
PEERS = {"berkeleydb": "Berkeley DB", "rocksdb": "RocksDB",
         "mutex": "mutex + fdatasync"}


def cleaned(result: dict) -> dict:
    """Without what names this machine and not its kind."""
    device = result.get("device")
    if device:
        device.pop("disk", None)
        kernel = re.match(r"\d+\.\d+", device.get("kernel") or "")
        device["kernel"] = kernel[0] if kernel else None
    return result


class Bench:
    """The programs, where they work, and how often and how long."""

    def __init__(self, programs: Path, folder: Path, rounds: int,
                 runtime: float):
        self.walbench = programs / "walbench"
        self.peers = {name: programs / "peers" / f"peer-{name}"
                      for name in PEERS}
        self.raft = programs / "bench-raft"
        self.folder = folder
        self.rounds = rounds
        self.runtime = runtime
        # Files are prepared and caches warm before anything counts.
        self.ramp = min(1.0, runtime)
        self.has_fio = shutil.which("fio") is not None
        if not self.walbench.exists():
            raise Failed(f"{self.walbench}: not there; build the target "
                         "bench/all")

    def engines(self) -> list[Engine]:
        ours = [Engine(f"dwal, {preset}", self.walbench, ("--preset", preset),
                       True) for preset in PRESETS]
        return ours + [Engine(PEERS[name], path)
                       for name, path in self.peers.items() if path.exists()]

    def missing(self) -> list[str]:
        return [PEERS[name] for name, path in self.peers.items()
                if not path.exists()]

    def space(self) -> int:
        """Bytes that are free."""
        return shutil.disk_usage(self.folder).free

    def run(self, program: Path, *arguments: object) -> dict:
        asked = [] if program.name.startswith("bench-") else ["--json"]
        words = [str(program), *asked, *map(str, arguments),
                 str(self.folder)]
        done = subprocess.run(words, capture_output=True, text=True,
                              check=False)
        if done.stderr:
            sys.stderr.write(done.stderr)
        if done.returncode != 0:
            raise Failed(f"{' '.join(words)}: exit status {done.returncode}")
        return cleaned(json.loads(done.stdout))

    def timed(self) -> tuple[object, ...]:
        return ("--runtime", self.runtime, "--ramp_time", self.ramp)

    def commit(self, engine: Engine, *arguments: object) -> dict:
        result = self.run(engine.program, *engine.arguments, *self.timed(),
                          *arguments)
        result["name"] = engine.name
        return result

    def versus(self, *arguments: object) -> dict:
        return self.run(self.walbench, "--vs", "fio", "--rounds", self.rounds,
                        "--runtime", self.runtime, *arguments)

    def turns(self, what: list) -> Iterator[tuple[int, object]]:
        """All of it, once a round, beginning elsewhere each time."""
        for number in range(self.rounds):
            print(f"  round {number + 1} of {self.rounds}", file=sys.stderr)
            shift = number % len(what)
            for item in what[shift:] + what[:shift]:
                yield number, item


def spin() -> None:
    while True:
        pass


@contextlib.contextmanager
def cpu_hog() -> Iterator[None]:
    """One foreign process that takes all the CPU it gets."""
    process = multiprocessing.Process(target=spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def spread(results: list[dict], pick: Callable[[dict], float]) \
        -> tuple[float, float, float]:
    """Lowest, median, highest."""
    values = sorted(pick(result) for result in results)
    return values[0], median(values), values[-1]


def middle(results: list[dict], pick: Callable[[dict], float]) -> float:
    return spread(results, pick)[1]


def rate(result: dict) -> float:
    return result["records_per_s"]


def latency(percentile: str) -> Callable[[dict], float]:
    return lambda result: result["latency_us"][percentile]
