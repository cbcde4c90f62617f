#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Damages logs, and holds everybody to what was promised about it.

Each seed takes a log: one that dwalmake's writer left behind, crashed at any
moment, or a real one, whose writers (live_log) were killed.  Before any damage,
that log may not be called corrupt, and has what was acknowledged.  Then it is
damaged, once or several times, in every way that random_damage.py knows but the
crafted one, and:

 * walfsck, waldump and dwalspec.py agree about it;
 * no record that was durable disappears unless the verdict is corrupt and the
   record's LSN is told.  Durable is a record where a batch header that the
   damage left alone says so, in a file that still is what it was;
 * what is shown under an LSN is what was written under it;
 * walfsck -p changes nothing unless the log is only torn, and then nothing but
   bytes behind the end of the log, to zeros;
 * walfsck -y gives up nothing that could be read, and a second check passes;
 * walfsck --undo-apply gives back the same bytes, after either;
 * the readers agree again about what was repaired.

    damage_hunt.py --checker WALFSCK --dumper WALDUMP [--live LIVE_LOG]
                   [--runs N] [--seed S] [--keep DIR] [--verbose]

Run i uses the seed S + i alone, but for the real logs, which are made anew each
time; a difference that needs one keeps it with --keep.  DWAL_HUNT_RUNS is the
number of runs where --runs is not given.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import dwalmake
import dwalspec
import random_damage
from random_damage import (SECTOR, compare_records, compare_summary,
                           flips_behind_runs, json_lines, segment_names,
                           used_offset, was_changed, write_directory)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402

REAL_LOGS = 6


# ------------------------------------------------------------- more damage

def shift_range(rng, files, _sources):
    """Everything between two places moves a little: a lost or doubled write."""
    data = files[rng.choice(segment_names(files))]
    at = used_offset(rng, data) // SECTOR * SECTOR
    length = min(rng.choice((SECTOR, 4096, 16384, len(data))), len(data) - at)
    by = rng.choice((1, 8, 64, SECTOR, 4096))
    piece = bytes(data[at:at + length])
    if rng.random() < 0.5:
        piece = bytes(by) + piece[:-by]
    else:
        piece = piece[by:] + bytes(by)
    data[at:at + length] = piece.ljust(length, b"\0")[:length]


def duplicate_blocks(rng, files, sources):
    """Whole blocks of some log, where others stood; often a good header."""
    data = files[rng.choice(segment_names(files))]
    source = rng.choice(sources + [files])
    other = source.get(rng.choice(segment_names(source) or [""]), b"")
    length = rng.choice((SECTOR, 1024, 4096, 8192))
    if len(other) < length or len(data) < length:
        return
    take = min(used_offset(rng, other) // SECTOR * SECTOR, len(other) - length)
    put = min(used_offset(rng, data) // SECTOR * SECTOR, len(data) - length)
    data[put:put + length] = bytes(other[take:take + length])


def older_range(rng, files, sources):
    """An older state of the same place, as a disk that lied about a sync has."""
    name = rng.choice(segment_names(files))
    data, older = files[name], sources[0].get(name, b"")
    length = rng.choice((SECTOR, 4096, len(data)))
    at = used_offset(rng, data) // SECTOR * SECTOR
    piece = bytes(older[at:at + length])
    data[at:at + len(piece)] = piece


DAMAGES = [(function, weight) for function, weight in random_damage.DAMAGES
           if function is not random_damage.craft]
DAMAGES += [(shift_range, 2), (duplicate_blocks, 3), (older_range, 2)]


def do_damage(rng, files, sources):
    names = []
    functions, weights = zip(*DAMAGES)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3, 5))):
        if not segment_names(files) or any(
                data is random_damage.Unreadable for data in files.values()):
            break
        function, = rng.choices(functions, weights)
        function(rng, files, sources)
        names.append(function.__name__)
    return names


# ------------------------------------------------------------------- truth

class Truth:
    """What a log holds before it is damaged."""

    def __init__(self, files):
        self.files = files
        self.result = dwalspec.recover(files)
        self.records = {r.lsn: content(r)
                        for _, r in dwalspec.records(self.result)}
        self.ends = {}              # LSN: the position behind its batch
        self.witnesses = []         # (watermark position, segment, offset)
        self.ever = {(r.lsn,) + content(r)      # what was cut off, too
                     for segment in self.result.segments.values()
                     for batch in segment.run for r in batch.records}
        for segment in self.result.walk:
            for batch in segment.run:
                for lsn in range(batch.first, batch.last + 1):
                    if lsn in self.records:     # an older one was cut off
                        self.ends.setdefault(lsn, (segment.number, batch.end))
                self.witnesses.append((batch.header.watermark, segment.number,
                                       batch.offset))

    def told_durable(self, files):
        """The largest position that some header still tells to be durable."""
        best = (0, 0)
        for position, number, offset in self.witnesses:
            name = dwalmake.segment_name(number)
            old, new = self.files[name], files.get(name)
            if (position > best and new is not None
                    and new is not random_damage.Unreadable
                    and len(new) == len(old)
                    and new[:dwalspec.SEGMENT_HEADER.size]
                    == old[:dwalspec.SEGMENT_HEADER.size]
                    and new[offset:offset + dwalspec.BATCH_HEADER.size]
                    == old[offset:offset + dwalspec.BATCH_HEADER.size]):
                best = position
        return best


def content(record):
    return (record.type, record.flags, record.tenant, record.shard,
            record.payload)


def is_told(lsn, lines):
    """Whether walfsck's lines name an LSN as concerned, or all from one on."""
    for line in lines:
        spans = [line.get("lsns"), line.get("lost"), line.get("undecidable")]
        for span in spans:
            if span and span["from"] <= lsn and (span["to"] is None
                                                 or lsn <= span["to"]):
                return True
    return False


def loss_problems(truth, files, after, lines):
    """What has disappeared without a word: sentences."""
    told = truth.told_durable(files)
    found = {}
    if after.verdict in ("clean", "torn"):
        found = {r.lsn: content(r) for _, r in dwalspec.records(after)}
        for lsn, record in found.items():
            if (lsn,) + record not in truth.ever:
                return ["LSN %d was never written like that" % lsn]
    # What stands there instead of it was cut off.
    found = {lsn for lsn, record in found.items()
             if truth.records.get(lsn, record) == record}
    gone = [lsn for lsn in sorted(truth.ends)
            if lsn not in found and truth.ends[lsn] <= told]
    if not gone or after.verdict in ("unreadable", "newer"):
        return []
    if after.verdict != "corrupt":
        return ["LSNs %d to %d were durable and are gone, the verdict is %s" % (
            gone[0], gone[-1], after.verdict)]
    # Where the files are not in order nothing is computed: see given_up().
    kept = {r.lsn for _, r in dwalspec.records(after)}
    silent = [lsn for lsn in gone if lsn not in kept and not is_told(lsn, lines)
              and after.row not in ("bad-structure", "lost-files")]
    if silent:
        return ["LSNs %d to %d are gone and not told (row %s)" % (
            silent[0], silent[-1], after.row)]
    return []


def given_up(truth, files, there, lines):
    """What a repair gives up that was durable, and did not say: sentences."""
    told = truth.told_durable(files)
    silent = [lsn for lsn in sorted(truth.ends) if lsn not in there
              and truth.ends[lsn] <= told and not is_told(lsn, lines)]
    if silent:
        return ["-y gives up LSNs %d to %d, and did not say so" % (
            silent[0], silent[-1])]
    return []


# --------------------------------------------------------------- real logs

class RealLog:
    """A log whose writers were killed, epoch by epoch."""

    def __init__(self, live, rng, home):
        self.acked = self.trimmed = 0
        self.earlier = {}
        self.path = tempfile.mkdtemp(dir=home)
        log = os.path.join(self.path, "log")
        for _ in range(rng.choice((1, 2, 3, 5))):
            self.epoch(live, rng, log)
            if rng.random() < 0.6:
                self.earlier = self.read(log)
        self.files = self.read(log)

    @staticmethod
    def read(log):
        files = {}
        for name in os.listdir(log) if os.path.isdir(log) else ():
            with open(os.path.join(log, name), "rb") as file:
                files[name] = file.read()
        return files

    def epoch(self, live, rng, log):
        writer = subprocess.Popen(
            [live, log, str(rng.getrandbits(32)), str(rng.choice((5, 40, 200)))],
            stdout=subprocess.PIPE)
        lines = rng.choice((0, 3, 20, 60, 1000))
        for _ in range(lines):
            if not self.take(writer.stdout.readline()):
                break
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout.readlines():
            self.take(line)
        status = writer.wait(60)
        if status not in (0, -signal.SIGKILL):
            raise AssertionError("live_log exits %d" % status)

    def take(self, line):
        """An acknowledgement; the last line of a killed writer may be cut."""
        if not line.endswith(b"\n"):
            return False
        kind, lsn = line.split()
        if kind == b"a":
            self.acked = max(self.acked, int(lsn))
        else:
            self.trimmed = max(self.trimmed, int(lsn))
        return True

    def check(self, result):
        """What is wrong with it, after nothing but kills."""
        if result.verdict not in ("clean", "torn", "none"):
            return "killed, and called %s (%s)" % (result.verdict, result.row)
        if result.durable_lsn < self.acked or result.trim < self.trimmed:
            return "durable %d, trimmed %d; acknowledged %d, %d" % (
                result.durable_lsn, result.trim, self.acked, self.trimmed)
        for _, record in dwalspec.records(result):
            lsn = record.lsn
            size = (0, 7, 30, 100, 300, 900, 5000, 12000)[
                lsn * 2654435761 % (1 << 64) % 8]
            text = b"%d " % lsn
            payload = text[:size] + bytes(
                (lsn * 31 + i * 7) & 0xFF for i in range(len(text), size))
            if content(record) != (lsn % 7, 0, lsn, lsn // 5, payload):
                return "LSN %d has another content" % lsn
        return None


# ------------------------------------------------------------------ a hunt

class Hunt:
    def __init__(self, options, home):
        self.options = options
        self.home = home
        self.rows, self.kinds = {}, {}
        self.done = self.failed = self.repaired = 0
        self.real = []

    def make_real(self):
        rng = random.Random("real %d" % self.options.seed)
        for _ in range(REAL_LOGS if self.options.live else 0):
            self.real.append(RealLog(self.options.live, rng, self.home))

    # -- one log ----------------------------------------------------------

    def source(self, seed, rng):
        """(writer, files, older contents)."""
        if self.real and rng.random() < 0.25:
            log = rng.choice(self.real)
            return log, log.files, log.earlier or log.files
        writer = dwalmake.random_writer(seed)
        files = writer.disk.snapshot()
        return writer, files, writer.earlier or files

    def run(self, seed):
        rng = random.Random("hunt %d" % seed)
        writer, files, earlier = self.source(seed, rng)
        truth = Truth(files)
        problem = writer.check(truth.result)
        if problem:
            return ["not damaged, but: " + problem], ["none"]
        damaged = {name: bytearray(data) for name, data in files.items()}
        other = (rng.choice(self.real).files if self.real and rng.random() < 0.2
                 else dwalmake.random_log(seed ^ 0x5A5A5A))
        names = do_damage(rng, damaged, [earlier, other, files])
        problems = self.judge(seed, truth, damaged)
        return problems, names

    def judge(self, seed, truth, damaged):
        path = os.path.join(self.home, str(seed))
        write_directory(path, damaged)
        try:
            after, problems = self.readers(path)
            lines, _ = json_lines(self.options.checker, path)
            if was_changed(path, damaged):
                problems.append("a reader changed the directory")
            problems += loss_problems(truth, damaged, after, lines)
            self.rows[after.row] = self.rows.get(after.row, 0) + 1
            problems += self.preen(path, damaged, after, lines)
            problems += self.repair(path, truth, damaged, after, lines)
            if problems and self.options.keep:
                keep = os.path.join(self.options.keep, str(seed))
                write_again(keep, damaged)
            return problems
        finally:
            shutil.rmtree(path)

    def readers(self, path):
        """The Result of dwalspec, and where the tools differ from it."""
        result = dwalspec.recover_path(path)
        wanted = dwalspec.summary(dwalspec.find_flipped_bit(result))
        wanted["flips"] = flips_behind_runs(result)
        problems = compare_summary(self.options.checker, path, wanted)
        problems += compare_records(self.options.dumper, path, result,
                                    random_damage.Runner.skipping(path))
        return result, problems

    # -- repairs ----------------------------------------------------------

    def walfsck(self, *words):
        run = subprocess.run([self.options.checker, *words],
                             capture_output=True, timeout=60, check=False)
        if run.returncode < 0 or run.returncode & 16:
            raise RuntimeError("walfsck %s: %d: %s" % (
                words, run.returncode, run.stderr[-2000:].decode(
                    errors="replace")))
        return run.returncode

    def preen(self, path, damaged, result, lines):
        """-p: only what is provably torn; and back again."""
        undo = path + ".undo"
        status = self.walfsck("-p", "--undo", undo, path)
        problems = []
        if status & 1:
            worse = [line["name"] for line in lines if line["kind"] == "problem"
                     and line["severity"] != "torn"]
            if result.verdict != "torn" or worse:
                problems.append("-p repaired a log that is %s: %s" % (
                    result.row, worse))
            problems += wiped_wrongly(path, damaged, result)
            if self.walfsck("--strict", path) != 0:
                problems.append("after -p a second check fails")
            problems += self.put_back(undo, path, damaged)
        elif was_changed(path, damaged):
            problems.append("-p exits %d and changed something" % status)
        elif result.verdict == "torn" and status == 0:
            problems.append("-p exits 0 and left a torn tail")
        return problems

    def repair(self, path, truth, damaged, result, lines):
        """-y: what could be read stays, a second check passes, and back."""
        undo = path + ".undo"
        status = self.walfsck("-y", "--undo", undo, path)
        if not status & 1:
            if was_changed(path, damaged):
                return ["-y exits %d and changed something" % status]
            if result.verdict in ("torn", "corrupt") and not status & 8:
                return ["-y exits %d and left the log %s" % (status,
                                                             result.row)]
            return []
        self.repaired += 1
        problems = []
        if self.walfsck("--strict", path) != 0:
            problems.append("after -y a second check fails")
        after, differences = self.readers(path)
        problems += ["after -y: " + text for text in differences]
        there = {r.lsn: content(r) for _, r in dwalspec.records(after)}
        for _, record in dwalspec.records(result):
            # What was trimmed or cut off may be so again.
            if (there.get(record.lsn) != content(record)
                    and truth.records.get(record.lsn) == content(record)):
                problems.append("-y gave up LSN %d, which could be read" %
                                record.lsn)
                break
        problems += given_up(truth, damaged, there, lines)
        return problems + self.put_back(undo, path, damaged)

    def put_back(self, undo, path, damaged):
        status = self.walfsck("--undo-apply", undo, path)
        os.remove(undo)
        if status != 0:
            return ["--undo-apply exits %d" % status]
        if was_changed(path, damaged):
            return ["--undo-apply did not give back the same bytes"]
        return []

    # -- many -------------------------------------------------------------

    def all(self):
        self.make_real()
        for log in self.real:
            self.killed(log)
        for seed in range(self.options.seed,
                          self.options.seed + self.options.runs):
            self.done += 1
            try:
                problems, names = self.run(seed)
            except (RuntimeError, subprocess.TimeoutExpired,
                    AssertionError) as error:
                problems, names = [str(error)], ["?"]
            for name in names:
                self.kinds[name] = self.kinds.get(name, 0) + 1
            self.report("seed %d (%s)" % (seed, ", ".join(names)), problems)

    def killed(self, log):
        """A real log, as the kills left it."""
        self.done += 1
        path = os.path.join(self.home, "killed")
        write_directory(path, log.files)
        result, problems = self.readers(path)
        problem = log.check(result)
        if problem:
            problems.append(problem)
        shutil.rmtree(path)
        self.report("a killed log, acknowledged up to %d" % log.acked, problems)

    def report(self, what, problems):
        if not problems:
            return
        self.failed += 1
        print(what + ":")
        for problem in problems:
            print("    " + problem)
        sys.stdout.flush()

    def finish(self):
        if self.options.verbose:
            for counts in self.rows, self.kinds:
                print(", ".join("%s %d" % item for item in sorted(
                    counts.items())))
        print("%d passed, %d failed, %d repaired and put back" % (
            self.done - self.failed, self.failed, self.repaired))
        return 1 if self.failed else 0


def wiped_wrongly(path, damaged, result):
    """What -p changed besides zeros behind the end of the log: sentences."""
    if set(os.listdir(path)) != set(damaged):
        return ["-p changed names"]
    for name, data in damaged.items():
        with open(os.path.join(path, name), "rb") as file:
            now = file.read()
        if now == data:
            continue
        number = dwalspec.segment_number(name)
        if number is None or number < result.end[0] or len(now) != len(data):
            return ["-p changed " + name]
        begin = (result.end[1] if number == result.end[0]
                 else result.segments[number].block)
        if now[:begin] != data[:begin]:
            return ["-p changed %s before its end" % name]
        if any(new != old and new for new, old in zip(now[begin:], data[begin:])):
            return ["-p wrote something else than zeros to " + name]
    return []


def write_again(path, files):
    shutil.rmtree(path, ignore_errors=True)
    write_directory(path, files)


def fast_directory():
    """Nothing here has to outlive the machine."""
    fast = "/dev/shm"
    return None if "TMPDIR" in os.environ or not os.access(fast, os.W_OK) else fast


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checker", metavar="WALFSCK", required=True)
    parser.add_argument("--dumper", metavar="WALDUMP", required=True)
    parser.add_argument("--live", metavar="LIVE_LOG")
    parser.add_argument("--runs", type=int,
                        default=int(os.environ.get("DWAL_HUNT_RUNS", "40")))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", metavar="DIR")
    parser.add_argument("--verbose", action="store_true",
                        help="how often each row was decided, each damage done")
    options = parser.parse_args()
    if options.keep:
        os.makedirs(options.keep, exist_ok=True)
    with tools.directory("dwal-hunt-", fast_directory()) as home:
        hunt = Hunt(options, home)
        hunt.all()
        return hunt.finish()


if __name__ == "__main__":
    sys.exit(main())
