#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""walfsck as an operator or a script meets it: what it finds, what it changes,
what it prints, and what it exits with. The log is the golden one, whose bytes
SPEC.md explains, with damage done to it."""
import fcntl
import json
import os
import shlex
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "support"))
import tools  # noqa: E402
from tools import directory, fsck_summary, records, run  # noqa: E402

ONE = "0000000000000001.wal"
TWO = "0000000000000002.wal"
LAST = 0x0E00  # the last batch of segment 1, a close; LSN 4 is before it
LSN_4 = 0x0C00


def check(condition: bool, what: object) -> None:
    if not condition:
        raise AssertionError(what)


def golden(path: Path) -> Path:
    shutil.copytree(ROOT / "golden" / "v1", path)
    return path


def state(log: Path) -> dict:
    """All names with their bytes; what a repair leaves beside them is not."""
    return {p.name: p.read_bytes() if p.is_file() else None
            for p in log.iterdir() if not p.name.endswith(".undo")}


def scramble(log: Path, offset: int, size: int = 16, name: str = ONE) -> None:
    with open(log / name, "r+b") as f:
        f.seek(offset)
        old = f.read(size)
        f.seek(offset)
        f.write(bytes(b ^ 0x5A for b in old))


def flip(log: Path, offset: int, bit: int, name: str = ONE) -> None:
    with open(log / name, "r+b") as f:
        f.seek(offset)
        old = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([old ^ 1 << bit]))


def lines(log: Path, *arguments: str) -> tuple[int, list[dict]]:
    result = run("walfsck", "--json", *arguments, str(log))
    return result.status, [json.loads(x) for x in result.out.splitlines()]


def problems(log: Path) -> list[dict]:
    return [x for x in lines(log)[1] if x["kind"] == "problem"]


# ---- looking ----

def test_clean():
    with directory() as d:
        log = golden(d / "log")
        status, found = lines(log)
        check(status == 0, found)
        summary = found[-1]
        check([x["kind"] for x in found if x["kind"] == "problem"] == [], found)
        expected = {"kind": "summary", "schema": 1, "verdict": "clean",
                    "first_lsn": 2, "durable_lsn": 4, "undecidable": None,
                    "segments": 2, "batches": 6, "records": 3, "problems": 0,
                    "repaired": 0, "exit": 0}
        for key, value in expected.items():
            check(summary.get(key) == value, (key, summary))
        result = run("walfsck", str(log))
        check(result.status == 0 and result.err == "", result)
        first = result.out.decode().splitlines()[0]
        check("clean" in first and "LSNs 2 to 4" in first, first)
        check(run("walfsck", "-p", str(log)).status == 0, "-p")
        check(run("walfsck", "-y", "--strict", str(log)).status == 0, "-y")


def test_looking_changes_nothing():
    with directory() as d:
        for name, (damage, *_) in DAMAGES.items():
            log = golden(d / name)
            damage(log)
            before = state(log)
            times = {p.name: p.stat().st_mtime_ns for p in log.iterdir()}
            for arguments in [], ["-n"], ["--json"], ["--strict", "-v"]:
                run("walfsck", *arguments, str(log))
            check(state(log) == before, name)
            check(times == {p.name: p.stat().st_mtime_ns
                            for p in log.iterdir()}, name)


def test_torn():
    with directory() as d:
        log = golden(d / "log")
        scramble(log, LAST)
        status, summary = fsck_summary(log)
        check(status == 0 and summary["verdict"] == "torn", summary)
        check(summary["undecidable"] == {"from": 5, "to": None}, summary)
        result = run("walfsck", str(log))
        check(result.status == 0, result)
        text = result.out.decode()
        check("torn" in text.splitlines()[0], text)
        check("nothing has to be done" in text.splitlines()[-1], text)
        check(run("walfsck", "--strict", str(log)).status == 4, "--strict")


def flips(log: Path, count: int, used_of_two: int
          ) -> Iterator[tuple[str, int, int]]:
    """Flips bits of @log, one at a time, and names each: file, offset, bit. Who
    asks for the next has put the one before back."""
    random = tools.seeded()
    for _ in range(count):
        name = random.choice([ONE, ONE, ONE, TWO])
        used = 0x1000 if name == ONE else used_of_two
        offset, bit = random.randrange(used), random.randrange(8)
        flip(log, offset, bit, name)
        yield name, offset, bit


def test_flipped_bits():
    """Any bit of what was written, found with its place; none is repaired by
    -p."""
    with directory() as d:
        log = golden(d / "log")
        before = state(log)
        for name, offset, bit in flips(log, 60, 0x200):
            damaged = state(log)
            found = problems(log)
            place = (name, offset, bit, found)
            check(run("walfsck", str(log)).status == 4, place)
            check(run("walfsck", "-p", str(log)).status == 4, place)
            check(state(log) == damaged, place)
            check(any(p["file"] == name and p["offset"] is not None
                      for p in found), place)
            check(all((p["offset"], p["bit"]) == (offset, bit)
                      for p in found if p["name"] == "tail-flipped"), place)
            flip(log, offset, bit, name)
            check(state(log) == before, place)
        for offset in range(58):
            flip(log, offset, 1, "LOCK")
            check([p["name"] for p in problems(log)] == ["lock-bad"], offset)
            flip(log, offset, 1, "LOCK")


def test_require():
    with directory() as d:
        log = golden(d / "log")
        check(run("walfsck", "--require", "4", str(log)).status == 0, 4)
        result = run("walfsck", "--require", "5", str(log))
        check(result.status == 4, result)
        # The log is clean: there is nothing that -y could do.
        check(b"walfsck -y" not in result.out, result)
        check(b"next: restore the missing records" in result.out, result)
        scramble(log, LAST)
        before = state(log)
        check(run("walfsck", "--require", "4", str(log)).status == 0, 4)
        for mode in "-n", "-p", "-y":
            status, found = lines(log, mode, "--require", "7")
            check(status == 4, found)
            missing = [x for x in found if x.get("number") == 107]
            check(missing[0]["lsns"] == {"from": 5, "to": 7}, found)
            check(state(log) == before, mode)
        check(run("walfsck", "-p", "--require", "4", str(log)).status == 1, 4)


# ---- repairing ----

def lock_remove(log: Path) -> None:
    (log / "LOCK").unlink()


def lock_longer(log: Path) -> None:
    with open(log / "LOCK", "ab") as f:
        f.write(b"x")


def segments_remove(log: Path) -> None:
    (log / ONE).unlink()
    (log / TWO).unlink()


def swap(log: Path) -> None:
    (log / ONE).rename(log / "x")
    (log / TWO).rename(log / ONE)
    (log / "x").rename(log / TWO)


def truncate(log: Path, size: int) -> None:
    os.truncate(log / TWO, size)


def stranger(log: Path) -> None:
    """A segment of another log."""
    shutil.copy(log / TWO, log / "0000000000000003.wal")
    with open(log / "0000000000000003.wal", "r+b") as f:
        header = bytearray(f.read(128))
        header[32:48] = bytes(16)
        struct.pack_into("<Q", header, 48, 3)
        struct.pack_into("<I", header, 8, crc32(bytes(header[12:])))
        f.seek(0)
        f.write(header)


def crc32(data: bytes) -> int:
    import zlib
    return zlib.crc32(data)


# name: (damage, problem, verdict, by -p, durable_lsn afterwards)
DAMAGES = {
    "torn header": (lambda l: scramble(l, LAST), "tail-bad-head", "torn",
                    True, 4),
    "torn record": (lambda l: scramble(l, LAST + 0x88), "tail-torn", "torn",
                    True, 4),
    "flipped": (lambda l: flip(l, LAST + 0x84, 3), "tail-flipped", "torn",
                False, 4),
    "middle": (lambda l: scramble(l, LSN_4 + 0x88), "batch-bad", "corrupt",
               False, 3),
    "first": (lambda l: scramble(l, 0x200), "batch-bad", "corrupt", False, 4),
    "LOCK missing": (lock_remove, "lock-missing", "corrupt", False, 4),
    "LOCK bad": (lambda l: scramble(l, 20, 9, "LOCK"), "lock-bad", "corrupt",
                 False, 4),
    "LOCK longer": (lock_longer, "lock-bad", "corrupt", False, 4),
    "segments lost": (segments_remove, "segments-lost", "corrupt", False, 0),
    "successor": (lambda l: (l / TWO).unlink(), "successor-missing", "corrupt",
                  False, 4),
    "segment": (lambda l: (l / ONE).unlink(), "segment-missing", "corrupt",
                False, 0),
    "header": (lambda l: scramble(l, 40, 4, TWO), "header-bad", "corrupt",
               False, 4),
    "swapped": (swap, "header-number", "corrupt", False, 4),
    "stranger": (stranger, "header-uuid", "corrupt", False, 4),
    "short": (lambda l: truncate(l, 4096), "file-size", "corrupt", False, 4),
    "empty": (lambda l: truncate(l, 0), "header-bad", "corrupt", False, 4),
    "directory": (lambda l: (l / "x.wal").mkdir(), "name-bad", "corrupt",
                  False, 4),
    "name": (lambda l: (l / "x.wal").touch(), "name-bad", "corrupt", False, 4),
}


def undo_command(out: bytes) -> list[str]:
    found = [x.strip() for x in out.decode().splitlines()
             if x.strip().startswith("walfsck --undo-apply")]
    check(len(found) == 1, out)
    return shlex.split(found[0])[1:]


def test_repairs():
    with directory() as d:
        for name, (damage, problem, verdict, preen, durable) in DAMAGES.items():
            log = golden(d / name)
            damage(log)
            before = state(log)
            found = problems(log)
            check(problem in [p["name"] for p in found], (name, found))
            check(fsck_summary(log)[1]["verdict"] == verdict, name)
            if "LOCK" in name:  # readers blame no segment for it
                said = run("waldump", str(log)).err
                check(": LOCK: " in said and ".wal" not in said, (name, said))
            if not preen:
                check(run("walfsck", "-p", str(log)).status == 4, name)
                check(state(log) == before, name)
            result = run("walfsck", "-p" if preen else "-y", str(log))
            check(result.status == 1, (name, result))
            status, summary = fsck_summary(log, "--strict")
            check(status == 0 and summary["verdict"] == "clean", (name, summary))
            check(summary["durable_lsn"] == durable, (name, summary))
            again = state(log)
            check(run("walfsck", "-y", str(log)).status == 0, name)
            check(state(log) == again, name)
            undone = run("walfsck", *undo_command(result.out))
            check(undone.status == 0, (name, undone))
            check(state(log) == before, name)
            check(problems(log) == found, name)


def test_repaired_log_is_written():
    """What a repair made is a log to the library."""
    with directory() as d:
        for name, (damage, _, _, preen, durable) in DAMAGES.items():
            log = golden(d / name)
            damage(log)
            run("walfsck", "-p" if preen else "-y", str(log))
            result = run("walput", "--ack", "--segment-size", "64K", str(log),
                         stdin=b"more\n")
            check(result.status == 0, (name, result))
            check(result.out == b"%d\n" % (durable + 1), (name, result))
            check(records(log)[-1].payload == b"more", name)
            status, summary = fsck_summary(log, "--strict")
            check(status == 0, (name, summary))
            check(summary["durable_lsn"] == durable + 1, (name, summary))


def test_repair_is_told():
    with directory() as d:
        log = golden(d / "log")
        scramble(log, LSN_4 + 0x88)
        status, found = lines(log, "-y")
        check(status == 1, found)
        kinds = [x["kind"] for x in found]
        order = [kinds.index(k) for k in ("problem", "plan", "undo", "repair",
                                          "summary")]
        check(order == sorted(order), kinds)
        plan = found[kinds.index("plan")]
        check(plan["done"] and plan["lsns"] == {"from": 4, "to": 4}, plan)
        summary = found[-1]
        check(summary["verdict"] == "clean", summary)
        check(summary["verdict_before"] == "corrupt", summary)
        check(summary["problems"] == summary["repaired"] > 0, summary)
        check(Path(summary["undo"]).is_file(), summary)
        check(Path(summary["undo"]).stat().st_mode & 0o077 == 0, "private")


def test_unreadable():
    with directory() as d:
        log = golden(d / "log")
        (log / TWO).unlink()
        (log / TWO).mkdir()
        for mode in "-n", "-p", "-y":
            status, summary = fsck_summary(log, mode)
            check(status == 4 and summary["verdict"] == "unreadable", summary)
        check((log / TWO).is_dir(), "left alone")
        found = problems(log)[0]
        check(found["name"] == "file-unreadable", found)
        check(found["file"] == TWO, found)


def test_interrupted_repair():
    with directory() as d:
        log = golden(d / "log")
        (log / "walfsck-repair.wal").touch()
        check(problems(log)[0]["name"] == "repair-unfinished", problems(log))
        check(run("walput", str(log), stdin=b"x\n").status == 8, "opened")
        check(run("walfsck", "-p", str(log)).status == 4, "-p")
        check(run("walfsck", "-y", str(log)).status == 1, "-y")
        check(run("walfsck", str(log)).status == 0, "clean")
        check(not (log / "walfsck-repair.wal").exists(), "flag")


def test_owner_and_mode():
    """Files that a repair makes belong to whom the log belongs."""
    with directory() as d:
        log = golden(d / "log")
        for p in log.iterdir():
            os.chmod(p, 0o640)
            if os.geteuid() == 0:
                os.chown(p, 65534, 65534)
        lock_longer(log)
        (log / TWO).unlink()
        old = set(log.iterdir())
        check(run("walfsck", "-y", str(log)).status == 1, "-y")
        made = [log / "LOCK", *(set(log.glob("*.wal")) - old)]
        check(len(made) == 2, made)
        for p in made:
            check(p.stat().st_mode & 0o777 == 0o640, (p, p.stat()))
            if os.geteuid() == 0:
                check(p.stat().st_uid == 65534, (p, p.stat()))


# ---- mending ----

def test_flipped_bit_is_put_back():
    """Any bit of a batch or of a segment header: -y loses nothing, says which
    bit and with what odds, and the undo file brings the flipped one back."""
    with directory() as d:
        log = golden(d / "log")
        before = state(log)
        for name, offset, bit in flips(log, 40, 0x80):
            place = (name, offset, bit)
            damaged = state(log)
            preview = run("walfsck", str(log))
            check(b"lose no record" in preview.out, (place, preview))
            preen = run("walfsck", "-p", str(log))
            check(preen == preview, (place, preen, preview))
            for wrong in (b"is lost", b"are lost", b"y ends the log",
                          b"gives them up", b"restore"):
                check(wrong not in preview.out, (place, wrong, preview))
            check(state(log) == damaged, place)
            status, found = lines(log, "-y")
            check(status == 1, (place, found))
            check(state(log) == before, place)
            mended = [x for x in found if x.get("action") == "mend"]
            check(len(mended) == 1 and mended[0]["file"] == name, found)
            if mended[0]["what"] == "bit":
                check((mended[0]["byte"], mended[0]["bit"]) == (offset, bit),
                      found)
                check(mended[0]["odds"] >= 4096, found)
            check(fsck_summary(log, "--strict")[0] == 0, place)
            undo = next(x["file"] for x in found if x["kind"] == "undo")
            check(run("walfsck", "--undo-apply", undo, str(log)).status == 0,
                  place)
            check(state(log) == damaged, place)
            flip(log, offset, bit, name)
            for path in log.glob("*.undo"):
                path.unlink()


def test_rebuild_header():
    with directory() as d:
        log = golden(d / "log")
        before = state(log)
        for damage in (lambda: scramble(log, 0, 512), lambda: zero(log, 0, 512),
                       lambda: zero(log, 0, 90), lambda: scramble(log, 300, 9)):
            damage()
            damaged = state(log)
            undo = d / "x.undo"
            result = run("walfsck", "--rebuild-header", "--undo", str(undo),
                         str(log))
            check(result.status == 1, result)
            status, summary = fsck_summary(log, "--strict")
            check(status == 0 and summary["records"] == 3, summary)
            check([r.payload for r in records(log)] ==
                  [r.payload for r in records(ROOT / "golden" / "v1")], result)
            applied = run("walfsck", "--undo-apply", str(undo), str(log))
            check(applied.status == 0 and state(log) == damaged, applied)
            undo.unlink()
            for name, data in before.items():
                (log / name).write_bytes(data)
        # Nothing proves what the header of an empty segment was.
        scramble(log, 0, 512, TWO)
        damaged = state(log)
        result = run("walfsck", "--rebuild-header", str(log))
        check(result.status == 4 and b"no header can be made" in result.out,
              result)
        check(state(log) == damaged, result)


def zero(log: Path, offset: int, size: int, name: str = ONE) -> None:
    with open(log / name, "r+b") as f:
        f.seek(offset)
        f.write(bytes(size))


# ---- salvage ----

def test_salvage():
    with directory() as d:
        log, new = golden(d / "log"), d / "new"
        scramble(log, 0x408)  # the header of the batch with LSN 3
        scramble(log, 0x4A0)  # and its record
        scramble(log, 20, 8, "LOCK")
        before = state(log)
        status, found = lines(log, "-n", "--salvage", str(new))
        check(status == 4 and not new.exists(), found)
        status, found = lines(log, "--salvage", str(new) + "/")
        check(status == 4 and state(log) == before, found)
        holes = [(x["from"], x["to"]) for x in found if x["kind"] == "hole"]
        made = [x for x in found if x["kind"] == "salvage"][0]
        check(holes == [(3, 3)] and made["records"] == 2, found)
        check(made["done"] and made["lost"] == 1, made)
        status, summary = fsck_summary(new, "--strict")
        check(status == 0 and summary["verdict"] == "clean", summary)
        check((summary["first_lsn"], summary["durable_lsn"]) == (2, 4), summary)
        check((summary["records"], summary["stated_lost"]) == (2, 1), summary)
        check(b"LSN 3" in run("walfsck", str(new)).out, "the hole is told")
        old = {r.lsn: r for r in records(ROOT / "golden" / "v1")}
        check(records(new) == [old[2], old[4]], records(new))
        dump = run("waldump", str(new))
        check(dump.status == 0 and "LSNs 3 to 3 are lost" in dump.err, dump)
        check(run("walput", "--ack", "--segment-size", "64K", str(new),
                  stdin=b"x\n").out == b"5\n", "the next LSN")
        again = run("walfsck", "--salvage", str(new), str(log))
        check(again.status == 8 and "not empty" in again.err, again)
        check(run("walfsck", str(new)).status == 0, "untouched")


def test_salvage_goes_on():
    """What an interrupted salvage left is no log, and is made anew."""
    with directory() as d:
        log, new = golden(d / "log"), d / "new"
        new.mkdir()
        (new / "walfsck-repair.wal").touch()
        (new / ONE).write_bytes(b"half")
        (new / "walfsck.tmp").touch()
        check(run("walfsck", str(new)).status & 12 != 0, "no log")
        check(run("walfsck", "--salvage", str(new), str(log)).status == 0, new)
        check(records(new) == records(log), new)
        check(sorted(p.name for p in new.iterdir()) == [ONE, TWO, "LOCK"], new)


# ---- many threads, many words ----

def test_threads_say_the_same():
    with directory() as d:
        for name, (damage, *_) in DAMAGES.items():
            log = golden(d / name)
            damage(log)
            said = {n: [x for x in lines(log, "-j", n)[1]
                        if x["kind"] != "progress"] for n in ("1", "2", "8")}
            check(said["1"] == said["2"] == said["8"], (name, said))


def test_words():
    with directory() as d:
        log = golden(d / "log")
        text = run("walfsck", "--require", "9", str(log)).out.decode()
        check(f"{ONE}, offset 4096" in text and "directory" not in text, text)
        (log / "LOCK").unlink()
        text = run("walfsck", str(log)).out.decode()
        check("make LOCK, for the log " in text, text)
        (log / TWO).unlink()
        (log / TWO).symlink_to("/dev/null")
        text = run("walfsck", str(log)).out.decode()
        check("it is a symbolic link" in text, text)


# ---- undo files ----

def test_undo_elsewhere():
    with directory() as d:
        log = golden(d / "it's a log")
        scramble(log, LAST)
        before = state(log)
        undo = d / "some where" / "x.undo"
        for name in "x.wal", "0000000000000009.spare", "LOCK", "":
            wrong = run("walfsck", "-p", "--undo", f"{d}/{name}", str(log))
            check(wrong.status == 16 and state(log) == before, wrong)
        missing = run("walfsck", "-p", "--undo", str(undo), str(log))
        check(missing.status == 12 and state(log) == before, missing)
        undo.parent.mkdir()
        undo.write_bytes(b"precious")
        exists = run("walfsck", "-p", "--undo", str(undo), str(log))
        check(exists.status == 12 and state(log) == before, exists)
        check(undo.read_bytes() == b"precious", "kept")
        undo.unlink()
        result = run("walfsck", "-p", "--undo", str(undo), str(log))
        check(result.status == 1 and undo.is_file(), result)
        check(undo_command(result.out) ==
              ["--undo-apply", str(undo), str(log)], result)
        check(run("walfsck", *undo_command(result.out)).status == 0, "apply")
        check(state(log) == before, "given back")


def test_undo_refuses():
    with directory() as d:
        log, other = golden(d / "log"), golden(d / "other")
        scramble(log, LSN_4 + 0x88)
        damaged = state(log)
        undo = d / "x.undo"
        run("walfsck", "-y", "--undo", str(undo), str(log))
        repaired = state(log)

        def refused(what: str, target: Path = log) -> None:
            before = state(target)
            result = run("walfsck", "--undo-apply", str(undo), str(target))
            check(result.status == 8, (what, result))
            check(state(target) == before, what)

        scramble(other, 0x1400)
        refused("another log", other)
        good = undo.read_bytes()
        for offset in range(0, len(good), 7):
            bad = bytearray(good)
            bad[offset] ^= 1
            undo.write_bytes(bad)
            refused(f"flipped at {offset}")
        for size in range(0, len(good), 97):
            undo.write_bytes(good[:size])
            refused(f"cut at {size}")
        undo.write_bytes(good)
        scramble(log, LSN_4 + 0x10)
        refused("what was overwritten has changed")
        scramble(log, LSN_4 + 0x10)
        shutil.copytree(log, d / "written")
        run("walput", str(d / "written"), stdin=b"x\n")
        refused("the log has gone on", d / "written")
        check(state(log) == repaired, "nothing happened so far")
        result = run("walfsck", "--undo-apply", str(undo), str(log))
        check(result.status == 0 and state(log) == damaged, result)
        check(run("walfsck", "--undo-apply", str(d / "none"),
                  str(log)).status == 8, "no such file")


# ---- what it cannot do ----

def test_no_log():
    with directory() as d:
        for path in d, d / "none", Path("/dev/null"):
            status, found = lines(path)
            check(status == 8 and len(found) == 1, found)
            check(found[0]["kind"] == "error", found)
            result = run("walfsck", "-y", str(path))
            check(result.status == 8 and result.out == b"", result)
            check(result.err.count("\n") == 1, result)
            check(str(path) in result.err, result)
            check("create" not in result.err, result)
        check("look at the path" in run("walfsck", str(d)).err, "the remedy")
        check(list(d.iterdir()) == [], "nothing was made")


def lock_hold(path: Path) -> int:
    fd = os.open(path, os.O_RDWR)
    lock = struct.pack("hh4xqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, lock)
    return fd


def lease_hold(path: Path, lsn: int) -> int:
    fd = os.open(path, os.O_RDONLY)
    lock = struct.pack("hh4xqqi4x", fcntl.F_RDLCK, os.SEEK_SET, lsn, 1, 0)
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, lock)
    return fd


def test_in_use():
    with directory() as d:
        log = golden(d / "log")
        scramble(log, LAST)
        before = state(log)
        fd = lock_hold(log / "LOCK")
        for mode in "-n", "-p", "-y":
            result = run("walfsck", mode, str(log))
            check(result.status == 8, result)
            check(f"process {os.getpid()} " in result.err, result)
        check(state(log) == before, "changed")
        os.close(fd)
        fd = lease_hold(log / "LOCK", 3)  # a reader is no writer
        check(run("walfsck", str(log)).status == 0, "free")
        check(run("walfsck", "-p", str(log)).status == 1, "repaired")
        os.close(fd)


def test_creation_under_way():
    """Without LOCK the directory is locked, as it is while a log is made."""
    with directory() as d:
        log = golden(d / "log")
        lock_remove(log)
        fd = os.open(log, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        check(run("walfsck", "-y", str(log)).status == 8, "in use")
        os.close(fd)
        check(run("walfsck", str(log)).status == 4, "free")


def test_read_only():
    """Who may only read may check; a repair is refused."""
    with directory() as d:
        os.chmod(d, 0o755)
        log = golden(d / "log")
        scramble(log, LAST)
        for p in log.iterdir():
            os.chmod(p, 0o444)
        os.chmod(log, 0o555)
        user = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}

        def walfsck(*arguments: str) -> subprocess.CompletedProcess:
            return subprocess.run([tools.tool("walfsck"), *arguments, str(log)],
                                  capture_output=True, text=True, check=False,
                                  timeout=tools.TIMEOUT, **user)

        try:
            done = walfsck()
        except PermissionError:
            print("skipped: nobody may not run what is built here")
            return
        if done.returncode in (126, 127):
            print("skipped: nobody may not run what is built here")
            return
        check(done.returncode == 0 and "torn" in done.stdout, done)
        done = walfsck("-p")
        check(done.returncode == 12 and "LOCK" in done.stderr, done)
        fd = lock_hold(log / "LOCK") if os.geteuid() == 0 else -1
        if fd >= 0:
            check(walfsck().returncode == 8, "in use")
            os.close(fd)
        os.chmod(log, 0o755)


def test_usage():
    with directory() as d:
        log = str(golden(d / "log"))
        for arguments in (
                [], [""], ["a", "b"], ["-n", "-p", log], ["-p", "-y", log],
                ["--undo", "x", log], ["--require", "x", log],
                ["--require", "0", log], ["-C", "x", log], ["-C", "999", log],
                ["--color=pink", log], ["-j", "0", log], ["-j", "65", log],
                ["-p", "--rebuild-header", log],
                ["-n", "--rebuild-header", log],
                ["-y", "--salvage", f"{d}/new", log],
                ["--rebuild-header", "--salvage", f"{d}/new", log],
                ["--salvage", f"{d}/x.wal", log], ["--salvage", "", log],
                ["--undo-apply", "x", "--salvage", f"{d}/new", log],
                ["-y", "--undo-apply", "x", log], ["--unknown", log]):
            result = run("walfsck", *arguments)
            check(result.status == 16 and result.out == b"", result)
            check("--help" in result.err, result)
        for arguments in ["--help"], ["--version"]:
            result = run("walfsck", *arguments)
            check(result.status == 0 and result.err == "", result)
        check(b"examples:" in run("walfsck", "--help").out, "examples")


def test_output_is_checked():
    with directory() as d, open("/dev/full", "wb") as full:
        log = golden(d / "log")
        check(run("walfsck", str(log), stdout=full).status == 8, "/dev/full")


def test_names_do_not_drive_terminals():
    with directory() as d:
        log = golden(d / "lo\x1b[31mg")
        (log / "a\x1b[2J\n.wal").touch()
        result = run("walfsck", "-v", "--color=never", str(log))
        check(result.status == 4 and b"\x1b" not in result.out, result)
        found = problems(log)
        check(found[0]["file"] == "a\x1b[2J\n.wal", found)


# ---- progress and cancelling ----

def large(path: Path) -> Path:
    """A log that is read in many steps."""
    done = run("walput", "--framed", str(path),
               stdin=((1 << 20).to_bytes(4, "little") + bytes(1 << 20)) * 16)
    check(done.status == 0, done)
    return path


def test_progress():
    with directory() as d:
        log = large(d / "log")
        read, write = os.pipe()
        done = subprocess.run([tools.tool("walfsck"), "-C", str(write),
                               str(log)], pass_fds=[write], check=False,
                              capture_output=True, timeout=tools.TIMEOUT)
        os.close(write)
        check(done.returncode == 0, done)
        with os.fdopen(read) as stream:
            shown = [tuple(map(int, x.split())) for x in stream]
        check(len(shown) > 1 and shown[-1][0] == 100, shown)
        for percent, now, total in shown:
            check(0 <= percent <= 100 and now <= total, shown)
        check([x["kind"] for x in lines(log)[1]].count("progress") >= 1, log)


def test_cancelled():
    """The pipe for the progress is full, so walfsck stands still in the middle
    of the log until it has got the signal."""
    with directory() as d:
        log = large(d / "log")
        read, write = os.pipe()
        os.set_blocking(write, False)
        try:
            while True:
                os.write(write, bytes(4096))
        except BlockingIOError:
            os.set_blocking(write, True)
        with subprocess.Popen([tools.tool("walfsck"), "-p", "--json", "-C",
                               str(write), str(log)], pass_fds=[write],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as child:
            os.close(write)
            caught = 0
            while not caught & 1 << (signal.SIGINT - 1):
                for line in Path(f"/proc/{child.pid}/status").read_text() \
                        .splitlines():
                    if line.startswith("SigCgt:"):
                        caught = int(line.split()[1], 16)
            child.send_signal(signal.SIGINT)
            with os.fdopen(read, "rb") as stream:
                stream.read()
            out, err = child.communicate(timeout=tools.TIMEOUT)
        check(child.returncode == 32, (child.returncode, out, err))
        last = json.loads(out.splitlines()[-1])
        check(last["kind"] == "error" and last["exit"] == 32, last)
        check("cancelled" in last["reason"], last)


if __name__ == "__main__":
    tools.main(globals())
