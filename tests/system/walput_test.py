#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""walput as a person or a script meets it: what it appends, what it prints, and
what it exits with."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402
from tools import directory, records, run  # noqa: E402


def check(condition: bool, what: object) -> None:
    if not condition:
        raise AssertionError(what)


def put(log: Path, data: bytes, *arguments: str, status: int = 0):
    result = run("walput", *arguments, str(log), stdin=data)
    check(result.status == status, result)
    return result


def payloads(log: Path) -> list[bytes]:
    return [record.payload for record in records(log)]


def frame(*blobs: bytes) -> bytes:
    return b"".join(len(b).to_bytes(4, "little") + b for b in blobs)


def test_lines():
    with directory() as d:
        put(d / "log", b"one\n\ntwo\0x\r\nlast")
        check(payloads(d / "log") == [b"one", b"", b"two\0x\r", b"last"], 1)
        put(d / "log", b"more\n")
        found = records(d / "log")
        check([r.lsn for r in found] == [1, 2, 3, 4, 5], found)
        check(found[4].payload == b"more", found)


def test_nothing():
    with directory() as d:
        result = put(d / "log", b"", "--ack", "-v")
        check(result.out == b"", result)
        check("no records" in result.err, result)
        check(records(d / "log") == [], "records")


def test_framed():
    blobs = [b"", b"a\nb\n", bytes(range(256)) * 50, b"\n"]
    with directory() as d:
        put(d / "log", frame(*blobs), "--framed")
        check(payloads(d / "log") == blobs, "blobs")


def test_framed_cut_short():
    """What was whole is durable; the rest is told, and not guessed."""
    with directory() as d:
        data = frame(b"whole", b"cut short")[:-3]
        result = put(d / "log", data, "--framed", "--ack", status=8)
        check(result.out == b"1\n", result)
        check("record 2" in result.err and "6 of 9" in result.err, result)
        check(payloads(d / "log") == [b"whole"], "blobs")


def test_attributes():
    with directory() as d:
        put(d / "log", b"a\n", "--type", "65535", "--flags", "0x1234",
            "--tenant", "4294967295", "--shard", "7")
        put(d / "log", b"b\n")
        check(records(d / "log") == [
            tools.Record(1, 65535, 0x1234, 4294967295, 7, b"a"),
            tools.Record(2, 0, 0, 0, 0, b"b")], records(d / "log"))


def test_acknowledgements():
    """Each LSN once, from any number of threads; records in input order."""
    lines = [f"line {i} ".encode() * (i % 50) for i in range(3000)]
    for threads in (1, 8, 64):
        with directory() as d:
            result = put(d / "log", b"".join(x + b"\n" for x in lines),
                         "--ack", "--threads", str(threads))
            acked = [int(x) for x in result.out.splitlines()]
            check(sorted(acked) == list(range(1, 3001)), "LSNs")
            check(threads > 1 or acked == sorted(acked), "order")
            check(payloads(d / "log") == lines, "payloads")


def test_no_acknowledgements_unasked():
    with directory() as d:
        result = put(d / "log", b"a\nb\n", "--threads", "4")
        check(result.out == b"" and result.err == "", result)
        check(payloads(d / "log") == [b"a", b"b"], "payloads")


def test_acknowledged_at_once():
    """One line through a pipe is acknowledged while the next is not there."""
    with directory() as d:
        with subprocess.Popen([tools.tool("walput"), "--ack", "--threads", "4",
                               str(d / "log")], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            for lsn in range(1, 30):
                process.stdin.write(b"line\n")
                process.stdin.flush()
                check(process.stdout.readline() == b"%d\n" % lsn, lsn)
            process.stdin.close()
            check(process.wait(tools.TIMEOUT) == 0, process)


def test_too_large():
    """Refused before it gets an LSN; what came before is durable."""
    with directory() as d:
        arguments = ("--segment-size", "128K", "--ack")
        data = b"small\n" + b"x" * 200_000 + b"\nnever\n"
        result = put(d / "log", data, *arguments, status=8)
        check(result.out == b"1\n", result)
        check("record 2" in result.err and "--segment-size" in result.err,
              result)
        check(payloads(d / "log") == [b"small"], "payloads")


def test_large_records():
    blobs = [os.urandom(16 << 20), b"between", os.urandom((16 << 20) - 1)]
    with directory() as d:
        put(d / "log", frame(*blobs), "--framed", "--ack")
        check(payloads(d / "log") == blobs, "blobs")


def test_many_segments():
    lines = [os.urandom(700).hex().encode() for _ in range(1500)]
    with directory() as d:
        put(d / "log", b"".join(x + b"\n" for x in lines), "--threads", "8",
            "--segment-size", "128K")
        check(len(list((d / "log").glob("*.wal"))) > 10, "segments")
        check(payloads(d / "log") == lines, "payloads")


def test_every_setting():
    with directory() as d:
        expected = []
        for preset in ("latency", "balanced", "throughput"):
            for sync in ("auto", "dsync", "fdsync"):
                for direct in ("preferred", "off"):
                    line = f"{preset} {sync} {direct}".encode()
                    put(d / "log", line + b"\n", "--preset", preset, "--sync",
                        sync, "--direct", direct, "--ack", "--block-size",
                        "4096", "--segment-size", "1M")
                    expected.append(line)
        check(payloads(d / "log") == expected, "payloads")


def test_create():
    with directory() as d:
        log = d / "log"
        result = put(log, b"a\n", "--create", "never", status=8)
        check(str(log) in result.err, result)
        check(not log.exists(), "it made something")
        put(log, b"a\n", "--create", "new")
        put(log, b"a\n", "--create", "new", status=8)
        put(log, b"b\n", "--create", "never")
        check(payloads(log) == [b"a", b"b"], "payloads")
        result = put(d / "no" / "parent", b"a\n", status=8)
        check("no/parent" in result.err, result)


def test_damage_is_refused():
    """A log that lost its newer segments: nothing is appended to it."""
    with directory() as d:
        log = d / "log"
        put(log, b"a\nb\n")
        for path in sorted(log.glob("*.wal"))[1:]:
            path.unlink()
        before = {p.name: p.read_bytes() for p in log.iterdir()}
        result = put(log, b"c\n", "--ack", status=8)
        check(result.out == b"", result)
        check("walfsck" in result.err, result)
        check({p.name: p.read_bytes() for p in log.iterdir()} == before,
              "it changed something")


def test_lost_lock():
    """Segments without LOCK are no empty directory; the message says where."""
    with directory() as d:
        log = d / "log"
        put(log, b"a\n")
        (log / "LOCK").unlink()
        before = {p.name: p.read_bytes() for p in log.iterdir()}
        for create in "if-absent", "new", "never":
            result = put(log, b"b\n", "--create", create, status=8)
            check(str(log) in result.err and "LOCK" in result.err, result)
        check({p.name: p.read_bytes() for p in log.iterdir()} == before,
              "it changed something")


def test_locked():
    with directory() as d:
        with subprocess.Popen([tools.tool("walput"), "--ack", str(d / "log")],
                              stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            process.stdin.write(b"mine\n")
            process.stdin.flush()
            check(process.stdout.readline() == b"1\n", "ack")
            result = put(d / "log", b"yours\n", status=8)
            check("lock" in result.err and str(process.pid) in result.err,
                  result)
            process.stdin.close()
            check(process.wait(tools.TIMEOUT) == 0, process)
        check(payloads(d / "log") == [b"mine"], "payloads")


def test_signal():
    """SIGINT and SIGTERM: what was read is durable, and the exit says so."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with directory() as d:
            with subprocess.Popen([tools.tool("walput"), "--ack", "-t", "8",
                                   str(d / "log")], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE) as process:
                process.stdin.write(b"one\ntwo\nhalf a li")
                process.stdin.flush()
                acks = {process.stdout.readline(), process.stdout.readline()}
                check(acks == {b"1\n", b"2\n"}, acks)
                process.send_signal(number)
                check(process.stdout.read() == b"", "more acks")
                check(process.wait(tools.TIMEOUT) == 32, process.returncode)
            check(payloads(d / "log") == [b"one", b"two"], "payloads")
            status, summary = tools.fsck_summary(d / "log")
            check((status, summary["verdict"]) == (0, "clean"), summary)


def test_nobody_reads_acknowledgements():
    """The reader of acknowledgements left: not success, and no endless run."""
    with directory() as d:
        reader, writer = os.pipe()
        os.close(reader)
        result = run("walput", "--ack", "-t", "4", str(d / "log"),
                     stdin=b"a\n" * 1000, stdout=writer)
        os.close(writer)
        check(result.status == 8, result)
        check("standard output" in result.err, result)


def test_full_standard_output():
    with directory() as d, open("/dev/full", "wb") as full:
        result = run("walput", "--ack", str(d / "log"), stdin=b"a\nb\n",
                     stdout=full.fileno())
        check(result.status == 8, result)
        check("No space left" in result.err, result)


def test_closed_streams():
    """No file of the log gets the descriptor of a stream that is closed."""
    streams = {0: 8, 1: 8, 2: 0}  # what is closed, and the exit status
    with directory() as d:
        for fd, status in streams.items():
            log = d / f"log{fd}"
            put(log, b"first\n")
            lock = (log / "LOCK").read_bytes()
            result = subprocess.run(
                ["sh", "-c", f'exec "$0" "$@" {fd}>&-', tools.tool("walput"),
                 "-v", "--ack", str(log)], input=b"line\n",
                capture_output=True, timeout=60)
            check(result.returncode == status, result)
            check((log / "LOCK").read_bytes() == lock, fd)
            left = [b"first"] if fd == 0 else [b"first", b"line"]
            check(payloads(log) == left, (fd, result))
            if fd != 2:
                check(b"Bad file descriptor" in result.stderr, result)


def test_file_size_limit():
    """ulimit -f is an error that is told, and leaves a place to start in."""
    with directory() as d:
        log = d / "log"
        result = subprocess.run(
            ["sh", "-c", 'ulimit -f 8; exec "$0" "$@"', tools.tool("walput"),
             str(log)], input=b"line\n", capture_output=True, timeout=60)
        check(result.returncode == 8, result)
        check(b"File too large" in result.stderr, result)
        put(log, b"line\n")
        check(payloads(log) == [b"line"], "afterwards")


def test_usage():
    for arguments in ([], ["a", "b"], ["--threads", "0", "x"],
                      ["--threads", "1025", "x"], ["--threads", "many", "x"],
                      ["--type", "65536", "x"], ["--flags", "-1", "x"],
                      ["--tenant", "4294967296", "x"], ["--no-such", "x"],
                      ["--create", "perhaps", "x"], ["--sync", "", "x"],
                      ["--segment-size", "1K", "x"], ["--preset", "fast", "x"],
                      ["--color", "blue", "x"], ["--ack=yes", "x"]):
        with directory() as d:
            os.chdir(d)
            result = run("walput", *arguments)
            os.chdir("/")
            check(result.status == 16, (arguments, result))
            check("--help" in result.err, (arguments, result))
            check(result.out == b"" and not list(d.iterdir()), arguments)


def test_option_that_the_library_refuses():
    with directory() as d:
        result = put(d / "log", b"a\n", "--segment-size", "100000", status=16)
        check("segment_size" in result.err, result)
        check(not (d / "log").exists(), "nothing is made")


def test_help_and_version():
    result = run("walput", "--help")
    check(result.status == 0 and result.err == "", result)
    check(all(len(x) <= 80 for x in result.out.decode().splitlines()), "width")
    for word in (b"--threads", b"--ack", b"--framed", b"Exit status"):
        check(word in result.out, word)
    result = run("walput", "--version")
    check(result.status == 0 and result.out.startswith(b"walput (dwal) 0."),
          result)


def test_report():
    with directory() as d:
        result = put(d / "log", b"a\nb\n", "-v")
        check("2 records" in result.err and "LSN 1 to 2" in result.err, result)
        result = put(d / "log", b"a\nb\n", "-q", "-v")
        check(result.err == "", result)


def test_report_counts_what_was_appended():
    """Not what was read: frames, newlines, a record that was too large."""
    with directory() as d:
        result = put(d / "log", frame(b"a" * 1000, b"b" * 24), "--framed",
                     "-v")
        check(" 2 records, 1 KiB, " in result.err, result)
        data = b"c" * 512 + b"\n" + b"d" * 70000 + b"\n"
        result = put(d / "small", data, "--segment-size", "64K", "-v", status=8)
        check(" 1 records, 512 B, " in result.err, result)


def test_only_into_a_directory_of_its_own():
    """A home or a project, named by mistake, is not filled with segments."""
    with directory() as d:
        home = d / "home"
        home.mkdir()
        (home / "letter").write_text("dear")
        for how in ("if-absent", "new"):
            result = put(home, b"a\n", "--create", how, status=8)
            check("letter" in result.err and "home/log" in result.err, result)
        check([p.name for p in home.iterdir()] == ["letter"], "left alone")
        (home / ".hidden").write_text("")
        (home / "letter").unlink()
        put(home, b"a\n", status=8)
        (home / ".hidden").unlink()
        put(home, b"a\n")  # empty
        (home / "notes").write_text("mine")
        put(home, b"b\n")  # a log already: what else is there is not ours
        check(payloads(home) == [b"a", b"b"], "payloads")
        mount = d / "mount"
        (mount / "lost+found").mkdir(parents=True)
        put(mount, b"a\n")


def test_failed_creation_leaves_nothing():
    with directory() as d:
        done = subprocess.run(
            ["bash", "-c", 'ulimit -f 100; exec "$0" "$@"',
             tools.tool("walput"), str(d / "log")],
            input=b"a\n", stderr=subprocess.PIPE, timeout=tools.TIMEOUT,
            check=False)
        check(done.returncode == 8, done)
        check(list(d.iterdir()) == [], list(d.iterdir()))
        (d / "there").mkdir()
        subprocess.run(
            ["bash", "-c", 'ulimit -f 100; exec "$0" "$@"',
             tools.tool("walput"), str(d / "there")],
            input=b"a\n", stderr=subprocess.PIPE, timeout=tools.TIMEOUT,
            check=False)
        check((d / "there").is_dir(), "was there before")


def test_keep():
    """--keep trims: at least so many stay, and not the whole input."""
    with directory() as d:
        data = b"".join(b"%d" % i + b"k" * 100 + b"\n"
                        for i in range(1, 5001))
        put(d / "log", data, "--keep", "300", "--segment-size", "64K",
            "--threads", "3")
        found = records(d / "log")
        check(found[-1].lsn == 5000 and 300 <= len(found) < 5000, len(found))
        check([r.payload for r in found] == data.splitlines()[-len(found):],
              "payloads")
        files = len(list((d / "log").glob("*.wal")))
        put(d / "log", data, "--keep", "300", "--segment-size", "64K")
        again = len(list((d / "log").glob("*.wal")))
        check(again < files + 6, (files, again))  # used again


def test_retain():
    """--retain-bytes trims whole segments; the newest records stay."""
    with directory() as d:
        data = b"".join(b"%d" % i + b"k" * 1000 + b"\n"
                        for i in range(1, 2001))
        put(d / "log", data, "--retain-bytes", "256K", "--segment-size", "64K")
        put(d / "log", b"more\n", "--retain-bytes", "256K",
            "--segment-size", "64K")
        found = records(d / "log")
        # One to a block at least, in the four segments that are kept.
        check(found[-1].lsn == 2001 and 4 * 15 <= len(found) < 600, len(found))
        bad = subprocess.run([tools.tool("walput"), "--retain-bytes", "1M",
                              str(d / "bad")], input=b"", check=False,
                             stderr=subprocess.PIPE, timeout=tools.TIMEOUT)
        check(bad.returncode == 16 and b"retain_bytes" in bad.stderr, bad)


def test_stats():
    with directory() as d:
        result = put(d / "log", b"a\nb\nc\n", "--stats=json", "-q")
        stats = json.loads(result.err)
        check(stats["kind"] == "stats" and stats["records_durable"] == 3, stats)
        check(stats["latency_ns"]["write"]["count"] == stats["batches"], stats)
        result = put(d / "log", b"d\n", "--stats", "--ack")
        check(result.out == b"4\n", result)
        check("batches   1; closed: 1 natural\n" in result.err, result)
        put(d / "log", b"", "--stats=xml", status=16)


if __name__ == "__main__":
    tools.main(globals())
