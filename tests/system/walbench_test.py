#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""walbench and its peers measure what they say, for a moment: the figures are
there and fit each other, nothing is left behind, and no option is ignored. How
fast anything is, is not looked at."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402

BENCH = Path(os.environ["DWAL_BUILD_DIR"]) / "bench"
WALBENCH = BENCH / "walbench"
PEERS = sorted((BENCH / "peers").glob("peer-*"))
SEGMENTS = ("--segment-size", "1M")


def check(condition: bool, what: object) -> None:
    if not condition:
        raise AssertionError(what)


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """A directory that must be empty again afterwards."""
    with tools.directory() as path:
        yield path
        check(os.listdir(path) == [], f"left behind: {os.listdir(path)}")


def run(program: Path, *arguments: object, status: int = 0) -> tuple[str, str]:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True,
                          text=True, timeout=tools.TIMEOUT, check=False)
    check(done.returncode == status and "Sanitizer" not in done.stderr,
          (arguments, done))
    return done.stdout, done.stderr


def measure(program: Path, *arguments: object, status: int = 0) -> dict:
    out, err = run(program, "--json", *arguments, status=status)
    check(out.count("\n") == 1 and out.endswith("\n"), out)
    return json.loads(out)


def timed(program: Path, *arguments: object) -> tuple[float, dict]:
    """Measures for a moment; for a longer one where the disk is too slow for a
    single record to be durable in it. The moment, and the result."""
    for runtime in (0.2, 1, 5, 25):
        done = subprocess.run(
            [program, "--json", "--runtime", str(runtime),
             *map(str, arguments)], capture_output=True, text=True,
            timeout=tools.TIMEOUT, check=False)
        if "no record became durable" in done.stderr:
            continue
        check(done.returncode == 0 and done.stderr == "", (arguments, done))
        return runtime, json.loads(done.stdout)
    raise AssertionError("no record became durable")


def figures(result: dict) -> None:
    """What holds for each measurement."""
    latency = result["latency_us"]
    check(result["seconds"] > 0 and result["records"] > 0, result)
    for name in ("records_per_s", "payload_bytes_per_s", "cpu_us_per_record"):
        check(result[name] > 0, (name, result))
    row = [latency[name] for name in
           ("p50", "p90", "p99", "p99.9", "p99.99", "max")]
    check(row == sorted(row) and row[0] > 0, latency)
    check(0 < latency["mean"] <= latency["max"] and latency["count"] > 0,
          latency)
    rate = result["records"] / result["seconds"]
    check(abs(rate / result["records_per_s"] - 1) < 1e-3, result)
    for name in ("voluntary_switches_per_record",
                 "involuntary_switches_per_record"):
        check(result[name] >= 0, result)


def batches(result: dict) -> None:
    """The writes of the library, as they were counted at io_submit."""
    check(result["batches"] > 0, result)
    # A batch holds a record and its header, padded to a block.
    check(result["batch_bytes_per_payload_byte"] > 1, result)
    if result["written_bytes_per_payload_byte"] is not None:
        check(result["written_bytes_per_payload_byte"] > 1, result)


def test_commit():
    for preset in ("latency", "balanced", "throughput"):
        with directory() as d:
            result = measure(WALBENCH, "--size", "100K", "--numjobs", 3,
                             "--preset", preset, d)
            figures(result)
            batches(result)
            check(result["mode"] == "commit" and result["engine"] == "dwal"
                  and result["preset"] == preset and result["numjobs"] == 3
                  and result["bs"] == 512 and result["iodepth"] == 1
                  and not result["cancelled"], result)
            check(result["device"]["cpus"] >= 1 and result["device"]["kernel"]
                  and "filesystem" in result["device"], result)


def test_ramp_time():
    """What begins before measuring does not count: it would be five times as
    much. The jobs end shortly after what is counted."""
    with directory() as d:
        runtime, result = timed(WALBENCH, "--ramp_time", 1, d)
        figures(result)
        if runtime < 1:
            check(result["latency_us"]["count"] < 3 * result["records"] + 10,
                  result)


def test_sync():
    for sync in ("dsync", "fdsync"):
        with directory() as d:
            result = measure(WALBENCH, "--size", "50K", "--sync", sync, d)
            figures(result)
            check((result["syncs"] > 0) == (sync == "fdsync"), result)


def test_size():
    """All records of --size, whatever number of jobs shares them."""
    for mode in ("commit", "append"):
        for jobs in (1, 3):
            with directory() as d:
                result = measure(WALBENCH, "--mode", mode, "--size", "50001",
                                 "--bs", 500, "--numjobs", jobs, d)
                figures(result)
                check(result["records"] == 101, result)


def test_append():
    for arguments in (["--bs", "1", "--size", "50000"],
                      ["--bs", "4k", "--numjobs", "2", "--size", "10M"],
                      ["--iodepth", "1", "--size", "50K"],
                      ["--iodepth", "7", "--size", "100K"],
                      ["--bs", "3000000", "--preset", "throughput", "--size",
                       "30M"]):
        with directory() as d:
            result = measure(WALBENCH, "--mode", "append", *arguments, d)
            figures(result)
            batches(result)


def test_empty_records():
    with directory() as d:
        _, result = timed(WALBENCH, "--bs", 0, d)
        check(result["records_per_s"] > 0
              and result["payload_bytes_per_s"] == 0
              and result["batch_bytes_per_payload_byte"] is None, result)


def test_trim():
    """The log stays small: without the trims it would have 64 segments."""
    with directory() as d:
        result = measure(WALBENCH, "--mode", "append", "--size", "64M", "--bs",
                         "4k", *SEGMENTS, "--trim", "4M", "--warmup", "2M", d)
        figures(result)
        check(result["records"] == 16384, result)


def test_logs():
    with directory() as d:
        result = measure(WALBENCH, "--logs", 3, "--numjobs", 2, "--size",
                         "50K", *SEGMENTS, d)
        figures(result)
        check(result["logs"] == 3, result)


def test_open_loop():
    """Every record that was due in the time counts, begun or not."""
    for mode in ("commit", "append"):
        with directory() as d:
            runtime, result = timed(WALBENCH, "--mode", mode, "--rate", 1000,
                                    "--numjobs", 2, d)
            figures(result)
            check(result["latency_us"]["count"] == 1000 * runtime, result)


def test_open_loop_tells_overload():
    with directory() as d:
        runtime, result = timed(WALBENCH, "--rate", 1000000, d)
        due = 1000000 * runtime
        latency = result["latency_us"]
        check(latency["count"] == due, result)
        check(result["records"] + result["not_begun"] <= due, result)
        if result["records"] < due / 2:
            check(result["not_begun"] > 0 and latency["max"] >= 1e5, result)


def test_reading():
    for mode in ("scan", "load", "recover"):
        with directory() as d:
            result = measure(WALBENCH, "--mode", mode, "--size", "3M", "--bs",
                             1000, "--runtime", 0.2, *SEGMENTS, d)
            figures(result)
            check(result["passes"] == result["latency_us"]["count"] >= 1,
                  result)
            check(result["records"] == result["passes"] * 3146, result)
            check(abs(result["record_bytes_per_s"] * result["seconds"]
                      / (result["records"] * 1032) - 1) < 1e-3, result)


def test_get():
    """At random: a read of the disk a record, once the index knows it."""
    for by in ("index", "seek"):
        with directory() as d:
            result = measure(WALBENCH, "--mode", "get", "--by", by, "--size",
                             "3M", "--bs", 1000, "--batch", "4K", "--runtime",
                             0.2, *SEGMENTS, d)
            figures(result)
            check(result["records"] == result["latency_us"]["count"] >= 1,
                  result)
            check(result["reads_per_record"] >= (0.5 if by == "index" else 1),
                  result)


def test_text():
    for mode in ("commit", "append", "scan", "load", "get", "recover"):
        with directory() as d:
            moment = ["--runtime", 0.1] if mode in ("scan", "load", "get",
                                                     "recover") else []
            out, err = run(WALBENCH, "--mode", mode, "--size", "200K",
                           *SEGMENTS, *moment, d)
            for word in (mode, "device", "records", "latency", "p99.99", "max",
                         "cpu"):
                check(word in out, out)
            check(err == "", err)


def test_refused():
    """Options that mean nothing here, and what is no option at all."""
    with directory() as d:
        for arguments in (["--iodepth", "4"], ["--mode", "scan", "--trim", "1"],
                          ["--mode", "recover", "--numjobs", "2"],
                          ["--mode", "scan", "--rate", "5"],
                          ["--mode", "scan", "--by", "seek"],
                          ["--batch", "4K"],
                          ["--verify", "1M"], ["--rounds", "2"],
                          ["--bs", "0", "--size", "1M"], ["--runtime", "0"],
                          ["--runtime", "1x"], ["--runtime", "-1"],
                          ["--vs", "fio", "--rate", "5"], ["--mode", "x"],
                          ["--vs", "dd"], ["--numjobs", "0"], ["--what"],
                          [str(d)]):
            out, err = run(WALBENCH, *arguments, d, status=16)
            check(out == "" and "walbench: " in err, (arguments, err))
        run(WALBENCH, status=16)
        for peer in PEERS:
            run(peer, "--preset", "latency", d, status=16)


def test_help():
    for program in (WALBENCH, *PEERS):
        out, err = run(program, "--help")
        check("--numjobs N" in out and err == "", (out, err))
        check(max(map(len, out.splitlines())) < 80, out)
        run(program, "--version")


def test_failure():
    with directory() as d:
        _, err = run(WALBENCH, d / "none", status=8)
        check("none" in err, err)
        # Larger than what fits into a segment, which the library refuses.
        _, err = run(WALBENCH, "--bs", "2M", *SEGMENTS, "--runtime", 0.1, d,
                     status=8)
        check(err.startswith("walbench: "), err)


def test_signal():
    """What was measured until then is printed, and the files are removed."""
    with directory() as d:
        process = subprocess.Popen([WALBENCH, "--json", "--runtime", "600", d],
                                   stdout=subprocess.PIPE)
        limit = time.monotonic() + tools.TIMEOUT
        while not list(d.glob("*/*/log-0/LOCK")):
            check(process.poll() is None and time.monotonic() < limit,
                  "it does not begin")
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=tools.TIMEOUT)
        check(process.returncode == 32, process.returncode)
        check(json.loads(out)["cancelled"] is True, out)


def test_peers():
    check(PEERS, "not even the one that needs no package")
    for peer in PEERS:
        with directory() as d:
            _, result = timed(peer, "--numjobs", 3, d)
            figures(result)
            check(peer.name == f"peer-{result['engine']}", result)
            result = measure(peer, "--size", "5k", "--bs", 100, d)
            check(result["records"] == 52, result)
            runtime, result = timed(peer, "--rate", 500, d)
            check(result["latency_us"]["count"] == 500 * runtime, result)


def test_versus_fio():
    if shutil.which("fio") is None:
        print("without fio, which is not installed")
        return
    for arguments in (["--numjobs", "2"], ["--mode", "append"],
                      ["--mode", "scan", "--size", "2M"],
                      ["--mode", "get", "--size", "2M"],
                      ["--mode", "recover", "--size", "2M"]):
        with directory() as d:
            _, result = timed(WALBENCH, "--vs", "fio", "--rounds", 2,
                              *SEGMENTS, *arguments, d)
            check(result["kind"] == "versus" and len(result["rounds"]) == 2,
                  result)
            for one in result["rounds"]:
                figures(one)
                fio = one["fio"]
                check(fio["bytes_per_s"] > 0 and fio["ios_per_s"] > 0
                      and 0 < fio["latency_us"]["p50"]
                      <= fio["latency_us"]["max"], fio)
            for row in result["medians"]:
                check(abs(row["ratio"] / (row["dwal"] / row["fio"]) - 1)
                      < 1e-3, row)
    with directory() as d:
        out, _ = run(WALBENCH, "--vs", "fio", "--rounds", 1, "--runtime", 2, d)
        check("ratio" in out and "p99.9" in out, out)


if __name__ == "__main__":
    tools.main(globals())
