#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the logs of tests/images: one function an image, from a seed.

An image is a directory of files, packed as tests/images/<name>/image.tar.xz.
What is random in it comes from its name, so that the same bytes come out each
time; images_test.py makes each one again and compares.  README.md tells how to
add one.

    make.py             packs the images that are new or have changed
    make.py NAME DIR    writes the files of one image to DIR
"""

import io
import lzma
import os
import random
import struct
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "spec"))
import dwalmake  # noqa: E402
from dwalmake import SegmentMaker, lock_line, segment_header, segment_name  # noqa: E402
from dwalspec import (START_CUT, START_LOST, START_RESET, TYPE_CLOSE, TYPE_MARK,  # noqa: E402
                      TYPE_METADATA, TYPE_START, TYPE_TRIM)

DIRECTORY = None    # stands for a directory under the name of a file
UUID = bytes(range(0x60, 0x70))
SECTOR = 512


class Image:
    """What one folder is made of."""

    def __init__(self, make, row, check, repair, second):
        self.make = make
        self.row = row          # of SPEC 7.7, or "newer" (SPEC 8)
        self.check, self.repair, self.second = check, repair, second

    def files(self):
        """{name: bytes, or DIRECTORY}."""
        return {name: data if data is DIRECTORY else bytes(data)
                for name, data in self.make().items()}


IMAGES = {}


def image(name, row, check="-n", repair="-y", second="-n"):
    """Registers an image: the row that SPEC 7.7 demands for it, and the options
    of walfsck for its check, its repair, and the check behind that."""
    def register(make):
        IMAGES[name] = Image(make, row, check, repair, second)
        return make
    return register


# ------------------------------------------------------------- a log to damage

class Log:
    """A log in order: segment 1 with LSNs 1 to 6, segment 2 with 7 to 13, and
    segment 3, prepared.  The last batch, LSN 13, says that 12 was durable."""

    def __init__(self, name, block=512):
        self.rng = random.Random("image " + name)
        self.block = block
        one, two = self.segment(1, 0), self.segment(2, 1)
        self.one, self.two, self.three = one, two, self.segment(3, 2)
        one.begin()
        for lsns in (1, 2, 3), (4,), (5, 6):
            self.append(one, *lsns)
        self.follow(two, one, 6)
        for lsns in (7, 8), (9, 10, 11), (12,), (13,):
            self.append(two, *lsns)

    def segment(self, number, previous, blocks=16, **fields):
        return SegmentMaker(number, previous, UUID, self.block, blocks,
                            self.rng.getrandbits(63) | 1, created=number,
                            **fields)

    def records(self, segment, *lsns, size=(1, 90)):
        return [segment.record(lsn, self.rng.randbytes(self.rng.randrange(*size)),
                               type=lsn % 3, tenant=7, shard=lsn % 2)
                for lsn in lsns]

    def append(self, segment, *lsns, extra=(), **fields):
        """A batch; what was before it was durable.  Its offset."""
        size = fields.pop("size", (1, 90))
        mark = (lsns[0] - 1, segment.number, segment.tail)
        fields.setdefault("watermark", mark)
        records = self.records(segment, *lsns, size=size) + list(extra)
        return segment.add(records, lsns[0], **fields)

    def system(self, segment, next_lsn, type, payload=b""):
        """A batch with a system record alone."""
        return segment.add([segment.record(0, payload, type=type)], next_lsn,
                           (next_lsn - 1, segment.number, segment.tail))

    def follow(self, segment, before, last, **fields):
        """The start of a segment behind the last batch of another."""
        return segment.begin(last + 1, predecessor=before.number,
                             end=before.tail, last_kept=last, crc=before.link,
                             watermark=(last, before.number, before.tail),
                             **fields)

    def files(self, *more):
        makers = (self.one, self.two, self.three) + more
        return {"LOCK": lock_line(UUID),
                **{maker.name: maker.data for maker in makers}}


ONE, TWO, THREE = (segment_name(number) for number in (1, 2, 3))


def log_files(name):
    return Log(name).files()


def spoil(data, offset, size=16):
    """Bytes that are not what they were."""
    for at in range(offset, offset + size):
        data[at] ^= 0x5A


def without(files, *names):
    return {name: data for name, data in files.items() if name not in names}


# --------------------------------------------------------------- in order

@image("clean", "clean")
def clean():
    """Nothing is wrong but a segment that is prepared, which is a note."""
    return log_files("clean")


@image("closed", "closed")
def closed():
    """A clean end, with a trim point, metadata, and a mark before it."""
    log = Log("closed")
    log.append(log.two, 14, extra=[
        log.two.record(0, struct.pack("<Q", 3), type=TYPE_TRIM),
        log.two.record(0, b"term 3", type=TYPE_METADATA)])
    log.system(log.two, 15, TYPE_MARK)
    log.system(log.two, 15, TYPE_CLOSE)
    return log.files()


@image("empty", "empty")
def empty():
    """Created, and never written to."""
    log = Log("empty")
    return without(log.files(log.segment(1, 0), log.segment(2, 1)), THREE)


@image("cut", "clean")
def cut():
    """The records behind LSN 10 were cut off, in the middle of a batch."""
    log = Log("cut")
    offset = log.two.data.find(b"\xd7BAT", 1536)
    crc, = struct.unpack_from("<I", log.two.data, offset + 4)
    log.three.begin(11, predecessor=2, end=offset + 512, last_kept=10, crc=crc,
                    flags=START_CUT, trim=2, blob=b"vote 2",
                    watermark=(10, 2, log.two.tail))
    log.append(log.three, 11, 12)
    return log.files(log.segment(4, 3))


@image("reset", "clean")
def reset():
    """The log begins anew behind LSN 20; what was before is dead."""
    log = Log("reset")
    log.three.begin(21, predecessor=2, end=log.two.tail, last_kept=13,
                    crc=log.two.link, flags=START_RESET, trim=20,
                    watermark=(13, 2, log.two.tail))
    log.append(log.three, 21)
    return log.files(log.segment(4, 3))


@image("recycled", "clean")
def recycled():
    """Segment 3 lies on the batches of an older use of the file."""
    log = Log("recycled")
    log.three = log.segment(3, 2, background=bytes(log.one.data))
    return log.files()


# ------------------------------------------------- 100: the directory

@image("no-log", "no-log")
def no_log():
    """A directory with nothing of ours."""
    return {"README": b"not a log\n"}


@image("interrupted-creation", "interrupted-creation")
def interrupted_creation():
    """Two segments without a trace of a batch, and no LOCK yet."""
    log = Log("interrupted-creation")
    return {m.name: m.data for m in (log.segment(1, 0), log.segment(2, 1))}


@image("lock-missing", "bad-structure")
def lock_missing():
    """LOCK is gone, and the segments hold records."""
    return without(log_files("lock-missing"), "LOCK")


@image("lock-missing.damaged", "bad-structure")
def lock_missing_damaged():
    """LOCK is gone, and a header is damaged."""
    files = without(log_files("lock-missing.damaged"), "LOCK")
    spoil(files[TWO], 40)
    return files


@image("lock-bad", "bad-structure")
def lock_bad():
    """One bit of LOCK has flipped."""
    files = log_files("lock-bad")
    lock = bytearray(files["LOCK"])
    lock[20] ^= 1
    return {**files, "LOCK": lock}


@image("name-bad", "bad-structure")
def name_bad():
    """A copy that somebody made beside its original."""
    files = log_files("name-bad")
    return {**files, "copy of 0000000000000002.wal": files[TWO]}


@image("file-unreadable", "unreadable")
def file_unreadable():
    """A directory where a segment should be."""
    return {**log_files("file-unreadable"), TWO: DIRECTORY}


@image("segments-lost", "lost-files")
def segments_lost():
    """LOCK alone."""
    return {"LOCK": lock_line(UUID)}


@image("repair-unfinished", "bad-structure")
def repair_unfinished():
    """What a walfsck -y that was killed leaves: one file is moved, its flag
    still there."""
    files = log_files("repair-unfinished")
    spoil(files[TWO], 1024 + 200)
    files[THREE + ".lost"] = files.pop(THREE)
    return {**files, "walfsck-repair.wal": (
        b"walfsck -y is changing this log, or was interrupted doing so. While "
        b"this file\nis here nothing opens the log. Run walfsck -y again, or go "
        b"back with walfsck\n--undo-apply and the undo file that it named.\n")}


@image("required-missing", "clean", check="-n --require 20",
       repair="-y --require 20", second="-n")
def required_missing():
    """In order, and shorter than somebody knows it was."""
    return log_files("required-missing")


@image("required-missing.torn", "torn", check="-n --require 14",
       repair="-p --require 14", second="-n")
def required_missing_torn():
    """What is asked for lies in the torn tail, and that decides it: nothing is
    removed."""
    log = Log("required-missing.torn")
    offset = log.append(log.two, 14, 15, size=(400, 500))
    log.two.data[offset + SECTOR:] = bytes(log.two.size - offset - SECTOR)
    return log.files()


# ------------------------------------------------- 200: segment files

@image("header-bad", "bad-structure")
def header_bad():
    """The header of a segment is damaged."""
    files = log_files("header-bad")
    spoil(files[TWO], 64)
    return files


@image("header-bad.emptied", "bad-structure")
def header_bad_emptied():
    """A segment of no bytes."""
    return {**log_files("header-bad.emptied"), ONE: b""}


@image("header-bad.padding", "bad-structure")
def header_bad_padding():
    """A bit behind the header, in its block."""
    files = log_files("header-bad.padding")
    files[ONE][300] = 1
    return files


@image("header-number", "bad-structure")
def header_number():
    """Two segments have each other's name."""
    files = log_files("header-number")
    return {**files, ONE: files[TWO], TWO: files[ONE]}


@image("header-uuid", "bad-structure")
def header_uuid():
    """A segment of another log was copied here."""
    files = log_files("header-uuid")
    other = SegmentMaker(3, 2, bytes(16), salt=9)
    return {**files, THREE: other.data}


@image("header-uuid.lock", "bad-structure")
def header_uuid_lock():
    """LOCK was copied here from another log: no segment is of that one."""
    return {**log_files("header-uuid.lock"), "LOCK": lock_line(bytes(16))}


@image("file-size", "bad-structure")
def file_size():
    """A segment was truncated, which no writer ever does."""
    files = log_files("file-size")
    return {**files, TWO: files[TWO][:5000]}


@image("file-size.only", "bad-structure")
def file_size_only():
    """The only segment that holds records: what is made of it gives no LSN
    again that its batches had."""
    log = Log("file-size.only")
    one = log.segment(1, 0)
    one.begin()
    log.append(one, 1, 2, 3)
    log.append(one, 4, 5)
    del one.data[7000:]
    return without(log.files(one, log.segment(2, 1)), THREE)


@image("file-size.longer", "bad-structure")
def file_size_longer():
    """Or has grown."""
    files = log_files("file-size.longer")
    return {**files, ONE: files[ONE] + bytes(512)}


@image("newer-header", "newer")
def newer_header():
    """A segment of a format that is not known."""
    files = log_files("newer-header")
    three = segment_header(3, 2, UUID, 512, 8192, 77, version=2)
    return {**files, THREE: three.ljust(8192, b"\0")}


@image("newer-feature", "newer")
def newer_feature():
    """A feature that must be known to read the log."""
    files = log_files("newer-feature")
    three = segment_header(3, 2, UUID, 512, 8192, 77, incompatible=4)
    return {**files, THREE: three.ljust(8192, b"\0")}


# ------------------------------------------------- 300: the log

@image("segment-missing", "missing-segment")
def segment_missing():
    """Segment 2 is gone; 3 names it."""
    return without(log_files("segment-missing"), TWO)


@image("successor-missing", "missing-successor")
def successor_missing():
    """Nothing follows the last segment: another one may have, with records."""
    return without(log_files("successor-missing"), THREE)


@image("chain-broken", "lost-records")
def chain_broken():
    """Segment 1 is that of a copy of the log, which lived on by itself: it is
    in order, and has not the end that segment 2 names."""
    return {**log_files("chain-broken"),
            ONE: log_files("chain-broken, the copy")[ONE]}


@image("batch-bad.last", "lost-records")
def batch_bad_last():
    """The last batch of a segment is zeros, and the next one follows it."""
    log = Log("batch-bad.last")
    log.one.data[log.one.tail - 512:] = bytes(log.one.size - log.one.tail + 512)
    return log.files()


@image("batch-bad", "lost-records")
def batch_bad():
    """A record in the middle is damaged: LSNs 9 to 11 were durable."""
    log = Log("batch-bad")
    spoil(log.two.data, 3 * 512 + 170)
    return log.files()


@image("batch-bad.padding", "lost-records")
def batch_bad_padding():
    """A byte behind a batch, in its last block."""
    log = Log("batch-bad.padding")
    log.two.data[4 * 512 - 1] = 1
    return log.files()


@image("batch-bad.trimmed", "clean")
def batch_bad_trimmed():
    """A batch whose records are all trimmed away, in a segment that no step of
    the walk needs."""
    log = Log("batch-bad.trimmed")
    trim = struct.pack("<Q", 6)
    log.append(log.two, 14, extra=[log.two.record(0, trim, type=TYPE_TRIM)])
    spoil(log.one.data, 1024 + 140)
    return log.files()


@image("evidence-beyond", "lost-records")
def evidence_beyond():
    """The tail of a segment is gone, and the next one knows of it."""
    log = Log("evidence-beyond")
    log.follow(log.three, log.two, 13)
    log.append(log.three, 14)
    log.two.data[4 * 512:] = bytes(log.two.size - 4 * 512)
    return log.files(log.segment(4, 3))


@image("evidence-beyond.metadata", "lost-records")
def evidence_beyond_metadata():
    """What is lost has no LSN: a vote."""
    log = Log("evidence-beyond.metadata")
    at = log.system(log.two, 14, TYPE_METADATA, b"term 4, vote 2")
    log.system(log.two, 14, TYPE_MARK)
    log.two.data[at:at + 512] = bytes(512)
    return log.files()


@image("evidence-beyond.no-end", "lost-records")
def evidence_beyond_no_end():
    """The first batch of all is damaged: no record can be reached."""
    log = Log("evidence-beyond.no-end")
    spoil(log.one.data, 512 + 40)
    return log.files()


@image("newer-batch", "newer")
def newer_batch():
    """A batch with a flag that is not known."""
    log = Log("newer-batch")
    log.append(log.two, 14, flags=2)
    return log.files()


@image("newer-record", "newer")
def newer_record():
    """A system record that must be known."""
    log = Log("newer-record")
    log.system(log.two, 14, 0x8009)
    return log.files()


# ------------------------------------------------- 400: the tail

@image("tail-torn", "torn", repair="-p")
def tail_torn():
    """Two batches in flight at a crash: the first lost a sector."""
    log = Log("tail-torn")
    durable = (13, 2, log.two.tail)
    first = log.append(log.two, 14, 15, size=(300, 400), watermark=durable)
    log.append(log.two, 16, watermark=durable)
    log.two.data[first + 512:first + 1024] = bytes(512)
    return log.files()


@image("tail-torn.no-end", "torn", repair="-p")
def tail_torn_no_end():
    """The very first batch is torn: E = (0, 0)."""
    log = Log("tail-torn.no-end")
    one = log.segment(1, 0)
    records = [one.record(0, dwalmake.start(), type=TYPE_START)]
    one.add(records + log.records(one, 1, 2, size=(300, 400)), 1)
    one.data[1024:1536] = bytes(512)
    return without(log.files(one, log.segment(2, 1)), THREE)


@image("tail-torn.metadata", "torn", repair="-p")
def tail_torn_metadata():
    """Only metadata is torn: no LSN is undecidable."""
    log = Log("tail-torn.metadata")
    at = log.system(log.two, 14, TYPE_METADATA, bytes(range(256)) * 3)
    log.two.data[at + 512:] = bytes(log.two.size - at - 512)
    return log.files()


@image("tail-torn.dead", "torn", repair="-p")
def tail_torn_dead():
    """The next segment was begun while the last batch of this one was in flight,
    and that one is torn: the next segment is dead."""
    log = Log("tail-torn.dead")
    durable = (13, 2, log.two.tail)
    last = log.append(log.two, 14, size=(500, 600), watermark=durable)
    log.three.begin(15, predecessor=2, end=log.two.tail, last_kept=14,
                    crc=log.two.link, watermark=durable)
    log.append(log.three, 15, 16, watermark=durable)
    log.two.data[last + 512:last + 1024] = bytes(512)
    return log.files(log.segment(4, 3))


@image("tail-bad-head", "torn-open", repair="-p")
def tail_bad_head():
    """The header of the last batch did not reach the disk, its records did."""
    log = Log("tail-bad-head", block=1024)
    at = log.append(log.two, 14, size=(800, 900))
    log.two.data[at:at + 512] = bytes(512)
    return log.files()


@image("tail-bad-head.no-end", "torn-open", repair="-p")
def tail_bad_head_no_end():
    """The same with the first batch of all."""
    log = Log("tail-bad-head.no-end")
    one = log.segment(1, 0)
    one.data[512:1024] = log.rng.randbytes(512)
    return without(log.files(one, log.segment(2, 1)), THREE)


@image("tail-bad-head.repair", "torn-open", repair="-p")
def tail_bad_head_repair():
    """What a walfsck -p that was killed leaves: the mark over the first sector
    of what it wipes."""
    log = Log("tail-bad-head.repair")
    at = log.append(log.two, 14, 15, size=(300, 400))
    log.two.data[at:at + 512] = struct.pack(
        "<8sQQQQ", b"", 2, log.two.salt, at, log.two.tail - at).ljust(512, b"\0")
    return log.files()


@image("tail-flipped", "torn")
def tail_flipped():
    """One bit of the last batch."""
    log = Log("tail-flipped")
    at = log.append(log.two, 14)
    log.two.data[at + 128 + 33] ^= 4
    return log.files()


@image("tail-flipped.header", "torn-open")
def tail_flipped_header():
    """One bit of the last batch's header."""
    log = Log("tail-flipped.header")
    at = log.append(log.two, 14)
    log.two.data[at + 40] ^= 1
    return log.files()


# ------------------------------------------------- 900: notes

@image("segment-dead", "clean")
def segment_dead():
    """What a crash left behind LSN 13, an epoch ago; the log went on behind it
    in segment 4."""
    log = Log("segment-dead")
    durable = (13, 2, log.two.tail)
    log.three.begin(15, predecessor=2, end=log.two.tail + 512, last_kept=14,
                    crc=1, watermark=durable)
    four = log.segment(4, 2, epoch=2)
    log.follow(four, log.two, 13)
    log.append(four, 14)
    return log.files(four, log.segment(5, 4, epoch=2))


@image("segment-unused", "clean")
def segment_unused():
    """Two are prepared, by two writers."""
    log = Log("segment-unused")
    return log.files(log.segment(4, 2, epoch=2))


@image("spare", "clean")
def spare():
    """A retired file, and one in the making."""
    log = Log("spare")
    return {**log.files(), "0000000000000000.spare": log.one.data,
            "0000000000000009.spare": b"half a hea"}


@image("other-file", "clean")
def other_file():
    """Not ours, and not looked at."""
    return {**log_files("other-file"), "notes.txt": b"do not remove\n",
            "\x1b[31mred": b""}


@image("repair-left", "clean")
def repair_left():
    """A file that a repair moved aside, and what it saved."""
    files = log_files("repair-left")
    return {**files, "0000000000000007.wal.lost": bytes(100),
            "walfsck-60616263-20250101T000000Z.undo": b"DWUN"}


@image("lost-stated", "clean")
def lost_stated():
    """What walfsck --salvage makes: LSNs 14 to 16 are lost, and it says so."""
    log = Log("lost-stated")
    log.three.begin(17, predecessor=2, end=log.two.tail, last_kept=13,
                    crc=log.two.link, flags=START_LOST,
                    watermark=(13, 2, log.two.tail))
    log.append(log.three, 17, 18)
    return log.files(log.segment(4, 3))


# ------------------------------------------------- several at once

@image("several.largest-number", "lost-records", second="-n")
def several_largest_number():
    """No record can be kept, and a file uses up the segment numbers: there is
    none for the segments that a repair would make, so it makes none."""
    log = Log("several.largest-number")
    spoil(log.one.data, 512 + 40)
    return {**log.files(), "7ffffffffffffffe.spare": b""}



@image("several.two-logs", "bad-structure")
def several_two_logs():
    """LOCK is damaged, and says nothing any more; a flipped bit in the segment
    of one log, and the empty one of another."""
    log = Log("several.two-logs")
    one = log.segment(1, 0)
    one.begin(1, log.records(one, 1, 2))
    one.data[one.tail - 1] ^= 4
    other = SegmentMaker(2, 1, bytes(16), salt=9)
    return {"LOCK": bytes(58), ONE: one.data, TWO: other.data}


@image("several.files", "bad-structure")
def several_files():
    """A damaged LOCK, a truncated segment, one of another log, a copy."""
    files = log_files("several.files")
    other = SegmentMaker(3, 2, bytes(16), salt=9)
    lock = bytearray(files["LOCK"])
    lock[0] ^= 0x20
    return {"LOCK": lock, ONE: files[ONE][:4096], TWO: files[TWO],
            THREE: other.data, "2.wal": files[TWO]}


@image("several.batches", "lost-records")
def several_batches():
    """Damage in two segments, and a torn tail."""
    log = Log("several.batches")
    at = log.append(log.two, 14, 15, size=(300, 400))
    log.two.data[at + 512:at + 1024] = bytes(512)
    spoil(log.two.data, 2 * 512 + 150)
    spoil(log.one.data, 3 * 512 + 150)
    return log.files()


# --------------------------------------------------------------- packing

def pack(files):
    """A tar of the files, the same for the same files, and nothing else."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            if data is DIRECTORY:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            else:
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return lzma.compress(out.getvalue(), preset=9)


def unpack(path):
    """The files in an image.tar.xz."""
    files = {}
    with tarfile.open(path, "r:xz") as tar:
        for entry in tar:
            files[entry.name] = (DIRECTORY if entry.isdir()
                                 else tar.extractfile(entry).read())
    return files


def write_directory(path, files):
    """Makes the directory, and the files in it."""
    path.mkdir()
    for name, data in files.items():
        if data is DIRECTORY:
            (path / name).mkdir()
        else:
            (path / name).write_bytes(data)


def archive(name):
    return HERE / name / "image.tar.xz"


def pack_all():
    for name, entry in IMAGES.items():
        files, path = entry.files(), archive(name)
        if path.exists() and unpack(path) == files:
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pack(files))
        print("packed " + name)


def main(arguments):
    if not arguments:
        pack_all()
        return 0
    if len(arguments) == 2 and arguments[0] in IMAGES:
        write_directory(Path(arguments[1]), IMAGES[arguments[0]].files())
        return 0
    print("usage: make.py [NAME DIR]; a NAME of make.py, a DIR that is not there",
          file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
