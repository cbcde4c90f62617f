#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random logs, random damage, and two readers that must agree about it.

Each seed makes a log with dwalmake, damages it, and decodes it with dwalspec.
The C tools read the same directory:

    --checker walfsck   compares verdict, first_lsn, durable_lsn, undecidable
    --dumper waldump    compares the records of the log

Damage is of two kinds.  Blind damage is what disks and people do: bits, bytes,
sectors and blocks flipped, zeroed, filled with older or foreign contents,
swapped, shifted, duplicated; files deleted, truncated, renamed, swapped,
emptied.  Almost all of it dies at a CRC, so there is crafted damage too: one
field is changed and the CRCs around it are made right again, which takes the
readers to the rules behind the CRCs.

With --oracle the logs only crash, in every way that SPEC.md section 1 allows.
Then the verdict may not be corrupt, and whatever the writer acknowledged must
be there; and after one flipped bit, it is there or it is missed aloud.

    random_damage.py [--runs N] [--seed S] [--oracle] [--checker PATH]
                     [--dumper PATH] [--keep DIR] [--verbose]

The logs of corners.py come first, which lie at the limits of SPEC.md.  Then run
i uses the seed S + i alone.  Each difference prints its seed; --keep saves
its directory as DIR/<seed>.  Exit status 1 if there was any difference.
"""

import argparse
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from zlib import crc32

import corners
import dwalmake
import dwalspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402

SECTOR = 512


class Unreadable:
    """Stands for a file that cannot be read: a directory under its name."""


# ------------------------------------------------------------ blind damage

def segment_names(files):
    return [name for name, data in sorted(files.items())
            if name.endswith(".wal") and data]


def used_offset(rng, data):
    """An offset in a file, more often one where something is.

    Seldom in the segment header, where nearly all damage ends alike.
    """
    if rng.random() < 0.2:
        return rng.randrange(len(data))
    begin = 0 if rng.random() < 0.1 else SECTOR
    used = [at for at in range(begin, len(data), SECTOR)
            if any(data[at:at + SECTOR])]
    at = rng.choice(used or [min(SECTOR, len(data) - 1)])
    reach = rng.choice((8, 128, 200, SECTOR))
    return min(at + rng.randrange(reach), len(data) - 1)


def flip_bits(rng, files, _sources):
    data = files[rng.choice(segment_names(files))]
    at = used_offset(rng, data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        data[min(at + rng.randrange(0, 4), len(data) - 1)] ^= 1 << rng.randrange(8)


def change_bytes(rng, files, _sources):
    data = files[rng.choice(segment_names(files))]
    at = used_offset(rng, data)
    length = min(rng.choice((1, 2, 4, 8, 30)), len(data) - at)
    data[at:at + length] = rng.choice((bytes(length), b"\xff" * length,
                                       rng.randbytes(length)))


def contents(rng, data, at, length, name, sources):
    """What a sector or block may be overwritten with."""
    kind = rng.randrange(7)
    if kind == 0:
        return bytes(length)
    if kind == 1:
        return rng.randbytes(length)
    if kind == 2:
        return bytes(byte ^ 0xFF for byte in data[at:at + length])
    if kind == 3:                       # a shift by a little
        by = rng.choice((-8, 8, -1, 1, SECTOR, -SECTOR, 64))
        return bytes(data[max(0, at + by):max(0, at + by) + length])
    if kind == 4:                       # older contents of the same place
        older = rng.choice(sources).get(name, b"")
        return bytes(older[at:at + length])
    source = rng.choice(sources)        # another place of some log
    other = source.get(rng.choice(segment_names(source) or [""]), b"")
    where = rng.randrange(max(1, len(other) // SECTOR)) * SECTOR
    return bytes(other[where:where + length])


def overwrite(rng, files, sources):
    name = rng.choice(segment_names(files))
    data = files[name]
    length = rng.choice((SECTOR, SECTOR, 1024, 4096, 3 * SECTOR))
    at = used_offset(rng, data) // SECTOR * SECTOR
    length = min(length, len(data) - at)
    data[at:at + length] = contents(rng, data, at, length, name,
                                    sources).ljust(length, b"\0")[:length]


def swap_sectors(rng, files, _sources):
    one = files[rng.choice(segment_names(files))]
    two = files[rng.choice(segment_names(files))]
    length = rng.choice((SECTOR, 1024, 4096))
    a = used_offset(rng, one) // SECTOR * SECTOR
    b = used_offset(rng, two) // SECTOR * SECTOR
    length = min(length, len(one) - a, len(two) - b)
    first, second = one[a:a + length], two[b:b + length]
    one[a:a + length] = second
    two[b:b + length] = first


def zero_tail(rng, files, _sources):
    """Everything from some sector on is lost."""
    data = files[rng.choice(segment_names(files))]
    at = used_offset(rng, data) // SECTOR * SECTOR
    data[at:] = bytes(len(data) - at)


def damage_file(rng, files, sources):
    names = [name for name in files if name == "LOCK" or name.endswith(".wal")]
    name = rng.choice(names)
    kind = rng.randrange(12)
    if kind <= 2:
        del files[name]
    elif kind == 3:
        del files[name][rng.randrange(len(files[name]) + 1):]
    elif kind == 4:
        files[name] += rng.randbytes(rng.choice((1, SECTOR)))
    elif kind == 5:
        del files[name][:]
    elif kind == 6:
        other = rng.choice(names)
        files[name], files[other] = files[other], files[name]
    elif kind == 7:
        new = rng.choice(("%016x.wal" % rng.randrange(12), name.upper(),
                          "%016x.wal" % (1 << 63), "%016x.wal" % ((1 << 63) - 1),
                          name + ".wal", ".wal", "x" + name, name + "~",
                          name[:-1], "0" + name, "LOCK"))
        files[new] = files.pop(name)
    elif kind == 8:
        files["%016x.wal" % rng.randrange(12)] = bytearray(files[name])
    elif kind == 9:
        older = rng.choice(sources)
        if name in older:
            files[name] = bytearray(older[name])
    elif kind == 10:
        files[rng.choice(("0.wal", "foo.wal", "%016X.wal" % 0xABC, "%016x.wal" % 0,
                          "a.spare", "readme"))] = bytearray(b"x")
    elif rng.random() < 0.2:
        files[name] = Unreadable


def damage_lock(rng, files, sources):
    if not files.get("LOCK"):
        return
    data = files["LOCK"]
    kind = rng.randrange(4)
    if kind == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:                     # another word, with a right CRC
        data[:49] = rng.choice((b"dwal lock 2 " + data[12:49],
                                data[:12] + data[12:48].upper() + b" ",
                                data[:20] + b"0" + data[21:49]))
        data[49:57] = b"%08x" % crc32(data[:49])
    elif kind == 2:
        del files["LOCK"]
    else:
        files["LOCK"] = bytearray(dwalmake.lock_line(rng.randbytes(16)))


# ---------------------------------------------------------- crafted damage

class Craft:
    """Changes a field of a log and makes the CRCs around it right again."""

    def __init__(self, rng, files):
        self.rng, self.files = rng, files
        self.result = dwalspec.recover(
            {name: bytes(data) for name, data in files.items()})
        self.segments = self.result.segments
        self.runs = {number: [(b.offset, b.header.size, b.end)
                              for b in segment.run]
                     for number, segment in self.segments.items()}

    def data(self, number):
        return self.files[dwalmake.segment_name(number)]

    def chance(self, share):
        return self.rng.random() < share

    def near(self, value, bits):
        """A value that is wrong in a way that tests a comparison."""
        rng = self.rng
        new = rng.choice((value + 1, value - 1, value + 8, value - 8,
                          value + SECTOR, value - SECTOR, 0, 1, value * 2,
                          (1 << bits) - 1, 1 << (bits - 1),
                          rng.getrandbits(bits), value ^ 1 << rng.randrange(bits)))
        return new & ((1 << bits) - 1)

    def poke(self, data, offset, size, value=None):
        form = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}[size]
        if value is None:
            value = self.near(struct.unpack_from(form, data, offset)[0], size * 8)
        struct.pack_into(form, data, offset, value)

    # -- the CRCs ---------------------------------------------------------

    def seal_header(self, data, offset):
        struct.pack_into("<I", data, offset + 4,
                         crc32(data[offset + 8:offset + 128]))

    def seal_records(self, data, offset, size, count):
        """The CRCs of the records, as far as they can be told apart."""
        place, crcs = offset + 128, b""
        for _ in range(count):
            if place + 32 > min(offset + size, len(data)):
                break
            length = struct.unpack_from("<I", data, place + 4)[0]
            if place + 32 + length > len(data):
                break
            struct.pack_into("<I", data, place,
                             crc32(data[place + 4:place + 32 + length]))
            crcs += data[place:place + 4]
            place += 32 + dwalspec.round_up(length, 8)
        struct.pack_into("<I", data, offset + 80, crc32(crcs))

    def relink(self, number, index):
        """Links and header CRCs of the run from batch index on, then the
        starts that name one of these batches, and so on upwards."""
        data, run = self.data(number), self.runs[number]
        for i in range(index, len(run)):
            offset = run[i][0]
            link = (struct.unpack_from("<I", data, run[i - 1][0] + 4)[0] if i
                    else struct.unpack_from("<I", data, 8)[0])
            struct.pack_into("<I", data, offset + 84, link)
            self.seal_header(data, offset)
        for higher in sorted(self.runs):
            if higher <= number or not self.runs[higher]:
                continue
            start = self.segments[higher].run[0].start
            if start.predecessor != number:
                continue
            for offset, _, end in run[index:]:
                if end == start.end:
                    self.name_batch(higher, struct.unpack_from(
                        "<I", data, offset + 4)[0])

    def name_batch(self, number, crc):
        data = self.data(number)
        offset, size, _ = self.runs[number][0]
        struct.pack_into("<I", data, offset + 128 + 32 + 24, crc)
        self.seal_records(data, offset, size, self.count(data, offset))
        self.relink(number, 0)

    @staticmethod
    def count(data, offset):
        return struct.unpack_from("<I", data, offset + 48)[0]

    # -- what is changed ----------------------------------------------------

    def change(self):
        rng = self.rng
        if not self.segments:
            return
        started = [number for number, run in self.runs.items() if run]
        kind = rng.random()
        if kind < 0.06 or not started and kind < 0.5:
            self.change_segment_header(rng.choice(sorted(self.segments)))
        elif kind < 0.25 or not started:
            self.graft()
        elif kind < 0.32:
            self.shift(rng.choice(sorted(started)))
        elif kind < 0.36:
            self.renumber(rng.choice(sorted(self.segments)))
        else:
            number = rng.choice(sorted(started) + [max(started)] * 3)
            # Ends are where decisions are made.
            index = rng.choice((0, -1, rng.randrange(len(self.runs[number]))))
            index %= len(self.runs[number])
            self.change_batch(number, index, kind)

    def change_segment_header(self, number):
        data, rng = self.data(number), self.rng
        offset, size = rng.choice(((12, 2), (14, 2), (16, 4), (20, 4), (24, 4),
                                   (28, 4), (32, 8), (48, 8), (56, 8), (56, 8),
                                   (56, 8), (64, 8), (72, 8), (80, 8), (88, 8),
                                   (96, 8), (124, 4), (130, 1)))
        value = None
        if offset == 56 and self.chance(0.7):
            value = rng.randrange(number + 2)
        if offset == 28 and self.chance(0.5):
            value = rng.choice((256, 768, 1024, 1536, 131072))
        if offset == 64 and self.chance(0.5):
            value = 0
        self.poke(data, offset, size, value)
        if self.chance(0.95):
            struct.pack_into("<I", data, 8, crc32(data[12:128]))
            if self.chance(0.8):
                self.relink(number, 0)

    def renumber(self, number):
        """Gives a segment, with all its batches, another number."""
        rng, data = self.rng, self.data(number)
        new = rng.choice((max(self.segments) + 1, max(self.segments) + 2,
                          rng.randrange(1, max(self.segments) + 3),
                          dwalspec.NUMBER_END - 1, dwalspec.NUMBER_END))
        if dwalmake.segment_name(new) in self.files:
            return
        struct.pack_into("<Q", data, 48, new)
        if self.segments[number].previous >= new:
            struct.pack_into("<Q", data, 56, new - 1)
        struct.pack_into("<I", data, 8, crc32(data[12:128]))
        for offset, _, _ in self.runs[number]:
            struct.pack_into("<Q", data, offset + 8, new)
            if self.chance(0.9):    # the watermarks go with it
                mark = struct.unpack_from("<Q", data, offset + 64)[0]
                if mark == number:
                    struct.pack_into("<Q", data, offset + 64, new)
        self.relink(number, 0)
        self.files[dwalmake.segment_name(new)] = self.files.pop(
            dwalmake.segment_name(number))

    def change_batch(self, number, index, kind):
        data = self.data(number)
        offset, size, end = self.runs[number][index]
        count = self.count(data, offset)
        records = kind < 0.60
        if records:
            self.change_record(number, index)
        elif kind < 0.65 and end > offset + size:
            self.poke(data, self.rng.randrange(offset + size, end), 1)
        else:
            self.change_header(data, number, offset)
        if records and self.chance(0.95):
            self.seal_records(data, offset, size, count)
        if self.chance(0.97):
            self.seal_header(data, offset)
            if self.chance(0.85):
                self.relink(number, index + 1)

    def change_header(self, data, number, offset):
        rng = self.rng
        header = dwalspec.Header(data, offset)
        room = self.segments[number].size - offset
        field, size = rng.choice((
            (8, 8), (16, 8), (24, 8), (32, 8), (32, 8), (40, 8), (48, 4), (48, 4),
            (52, 4), (52, 4), (56, 8), (56, 8), (64, 8), (64, 8), (80, 4),
            (84, 4), (88, 8), (96, 4), (100, 4), (124, 4)))
        # Both sides of the limits of 5.1.
        limits = {
            32: (152, 160, header.size + 4, header.size + 8, room, room + 8),
            40: (0, dwalspec.LSN_END - 1, dwalspec.LSN_END, header.first + 1),
            48: (0, 131071, 131072, (header.size - 128) // 32,
                 (header.size - 128) // 32 + 1, header.records + 1),
            52: (header.records, header.records + 1, header.applications + 1,
                 header.applications - 1),
            56: (0, header.first - 1, header.first),
        }
        value = None
        if field == 64 and self.chance(0.8):
            place = rng.choice(((number, offset), (number, offset + 1),
                                (number, offset + 8), (number, offset - 1),
                                (number + 1, 0), self.some_end(), self.some_end()))
            struct.pack_into("<QQ", data, offset + 64, *place)
            return
        if field in limits and self.chance(0.7):
            value = rng.choice(limits[field]) & (1 << size * 8) - 1
        self.poke(data, offset + field, size, value)

    def some_end(self):
        """At or next to the end of some batch."""
        number = self.rng.choice(sorted(self.runs))
        ends = [end for _, _, end in self.runs[number]] or [8]
        return number, self.rng.choice(ends) + self.rng.choice((0, 0, 0, 1, -1))

    def shift(self, number):
        """Gives all records of a segment other LSNs, and its start a last kept
        LSN that fits them: a cut, if it says so."""
        rng, data = self.rng, self.data(number)
        segment = self.segments[number]
        start = segment.run[0].start
        named = self.segments.get(start.predecessor)
        delta = rng.choice((-1, -2, 1, 2, rng.randrange(-20, 20)))
        for batch in named.run if named else ():
            if batch.end == start.end and self.chance(0.7):
                keep = rng.choice((batch.first - 2, batch.first - 1, batch.first,
                                   batch.last, batch.last + 1))
                delta = keep - start.last_kept
        if segment.first_lsn + delta < 1 or start.last_kept + delta < 0:
            return
        first = segment.run[0].records[0].offset + 32
        struct.pack_into("<Q", data, first + 16, start.last_kept + delta)
        struct.pack_into("<I", data, first + 28, start.flags | rng.choice(
            (0, dwalspec.START_CUT, dwalspec.START_CUT)))
        for batch in segment.run:
            offset, header = batch.offset, batch.header
            for record in batch.records:
                if not record.is_system:
                    struct.pack_into("<Q", data, record.offset + 8,
                                     record.lsn + delta)
            lsn = header.first + delta
            struct.pack_into("<Q", data, offset + 40, lsn)
            struct.pack_into("<Q", data, offset + 56,
                             min(header.mark_lsn, lsn - 1))
            self.seal_records(data, offset, header.size, header.records)
        self.relink(number, 0)

    def change_record(self, number, index):
        data, rng = self.data(number), self.rng
        batch = self.segments[number].run[index]
        record = rng.choice((batch.records[0], rng.choice(batch.records)))
        place = record.offset
        padded = dwalspec.round_up(place + 32 + record.size, 8)
        kind = rng.random()
        if record.is_system and record.size and kind < 0.6:
            self.change_system_payload(number, record)
        elif kind < 0.7:
            field, size = rng.choice(((4, 4), (8, 8), (16, 2), (18, 2), (20, 4),
                                      (24, 4), (28, 4)))
            value = None
            if field == 16 and self.chance(0.7):
                value = rng.choice((0x8001, 0x8002, 0x8003, 4, 5, 0x8004, 0,
                                    0xFFFF, 0x7FFF))
            elif field == 8 and self.chance(0.3):
                value = 0
            self.poke(data, place + field, size, value)
        elif padded > place + 32 + record.size:
            self.poke(data, padded - 1, 1)
        elif record.size:
            self.poke(data, place + 32 + rng.randrange(record.size), 1)

    def change_system_payload(self, number, record):
        data, rng = self.data(number), self.rng
        place = record.offset + 32
        if record.type != dwalspec.TYPE_START:
            if record.type == dwalspec.TYPE_TRIM:
                known = max(self.result.durable_lsn, 1)
                last = self.segments[number].last_lsn
                self.poke(data, place, 8, rng.choice((
                    rng.randrange(known + 3), last, last + 1,
                    dwalspec.LSN_END - 1, dwalspec.LSN_END)))
            else:
                self.poke(data, place, 1)
            return
        field, size = rng.choice(((0, 8), (0, 8), (8, 8), (8, 8), (16, 8), (16, 8),
                                  (24, 4), (28, 4), (28, 4), (32, 8), (32, 8),
                                  (40, 4), (44, 4)))
        value = None
        if field == 0 and self.chance(0.7):
            value = rng.randrange(number + 2)
        elif field == 0 and self.chance(0.5):
            # Without a predecessor, and nearly as 6.1 wants that.
            self.poke(data, place, 8, 0)
            field, size, value = 8, 8, 0
            if self.chance(0.5):
                self.poke(data, place + 24, 4, 0)
        elif field in (0, 8) and self.chance(0.5):
            # Some other batch, its own segment's included.
            other = rng.choice(sorted(self.runs))
            ends = [end for _, _, end in self.runs[other]] or [8]
            self.poke(data, place, 8, other)
            field, value = 8, rng.choice(ends)
        elif field == 28 and self.chance(0.8):
            value = rng.choice((0, 1, 2, 3))
        elif field == 32 and self.chance(0.8):
            value = rng.choice((rng.randrange(self.result.durable_lsn + 4),
                                dwalspec.LSN_END - 1, dwalspec.LSN_END))
        elif field == 16 and self.chance(0.5):
            # A cut that keeps less, together with what follows from it.
            self.poke(data, place + 28, 4, dwalspec.START_CUT)
            value = max(0, struct.unpack_from("<Q", data, place + 16)[0]
                        - rng.randrange(4))
        self.poke(data, place + field, size, value)

    def system_record(self, segment):
        """A system record that is right, or wrong by a little."""
        rng = self.rng
        kind = rng.choice((4, 4, 4, 4, 5, 5, 6, 0x8001, 0x8002, 0x8003, 0x8004))
        right = {0x8002: 8, 0x8003: rng.choice((0, 9, 1024))}.get(kind, 0)
        if kind == 0x8001:
            payload = dwalmake.start()
        elif self.chance(0.8):
            payload = bytes(right)
        else:
            payload = bytes({0x8002: rng.choice((0, 7, 9)), 0x8003: 1025}.get(
                kind, rng.choice((1, 8))))
        return dwalmake.record(segment.salt, 0, payload, kind)

    def graft(self):
        """A new batch, right or nearly right, at or behind the end of a run."""
        rng = self.rng
        number = rng.choice(sorted(self.segments)
                            + [self.result.end[0] or max(self.segments)] * 3)
        segment, data = self.segments[number], self.data(number)
        at = segment.run_end
        link = segment.run[-1].header.crc if segment.run else segment.crc
        first = segment.run[-1].last + 1 if segment.run else 1
        if self.chance(0.3):
            at += segment.block * rng.randrange(4)
        records, lsn = [], first
        if not segment.run and self.chance(0.8):
            records.append(dwalmake.record(
                segment.salt, 0, dwalmake.start(), dwalspec.TYPE_START))
        for _ in range(rng.choice((1, 1, 2))):
            if self.chance(0.4):
                records.append(dwalmake.record(
                    segment.salt, lsn, rng.randbytes(rng.randrange(700))))
                lsn += 1
            else:
                records.append(self.system_record(segment))
        place = rng.choice((self.result.watermark[2:] + self.result.watermark[:2],
                            (first - 1, number, at), (first - 1, number, at),
                            (0, 0, 0), (first - 1, number, max(0, at - 512))))
        made = dwalmake.batch(
            records, number, segment.salt, at, first, link, segment.block,
            place, flags=rng.choice((0, 0, 0, 0, 1)))
        if at + len(made) > segment.size:
            return
        data[at:at + len(made)] = made
        behind = at + len(made)
        if self.chance(0.5) and behind + SECTOR <= segment.size:
            data[behind:behind + SECTOR] = rng.choice((
                rng.randbytes(SECTOR), bytes(SECTOR),
                bytes(data[segment.block:segment.block + SECTOR])))
        if self.chance(0.1):
            data[at + rng.randrange(len(made))] ^= 1 << rng.randrange(8)


def craft(rng, files, _sources):
    if any(data is Unreadable for data in files.values()):
        return
    Craft(rng, files).change()


# ------------------------------------------------------------- one whole run

DAMAGES = [(flip_bits, 5), (change_bytes, 2), (overwrite, 5), (swap_sectors, 2),
           (zero_tail, 1), (damage_file, 3), (damage_lock, 1), (craft, 12)]


def damaged_log(seed):
    """The files of a damaged log, and the names of its damages."""
    rng = random.Random("damage %d" % seed)
    writer = dwalmake.random_writer(seed)
    files = {name: bytearray(data)
             for name, data in writer.disk.snapshot().items()}
    # Older contents of this log, and another log.
    sources = [writer.earlier or writer.disk.snapshot(),
               dwalmake.random_log(seed ^ 0x5A5A5A), files]
    names = []
    functions, weights = zip(*DAMAGES)
    for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 2, 2, 3, 5))):
        if not segment_names(files):
            break
        if any(data is Unreadable for data in files.values()):
            break
        function, = rng.choices(functions, weights)
        function(rng, files, sources)
        names.append(function.__name__)
    return files, names


def write_directory(path, files):
    os.mkdir(path)
    for name, data in files.items():
        target = os.path.join(path, name)
        if data is Unreadable:
            os.mkdir(target)
        else:
            with open(target, "wb") as file:
                file.write(data)


def was_changed(path, files):
    """Whether a directory is not any more what write_directory() made."""
    if set(os.listdir(path)) != set(files):
        return True
    for name, data in files.items():
        if data is not Unreadable:
            with open(os.path.join(path, name), "rb") as file:
                if file.read() != data:
                    return True
    return False


def json_lines(tool, path, *options):
    """The JSON lines of a C tool; it may only exit, and only with a status."""
    run = subprocess.run([tool, "--json", *options, path], capture_output=True,
                         timeout=60, check=False)
    if run.returncode < 0:
        raise RuntimeError("%s died by signal %d: %s" % (
            tool, -run.returncode, run.stderr[-2000:].decode(errors="replace")))
    lines = []
    for line in run.stdout.decode().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError as error:
            raise RuntimeError("%s: no JSON: %r" % (tool, line)) from error
    return lines, run


COMPARED = ("verdict", "row", "first_lsn", "durable_lsn", "undecidable", "lost")

# Where the work cannot be done, walfsck ends with an error instead: a reason
# for each verdict that is none.
REASONS = {"none": "no log here", "newer": "the log needs a newer dwal",
           "unreadable": "it cannot be read"}


def compare_summary(tool, path, wanted):
    """What walfsck's last line says differently: a list of sentences."""
    lines, run = json_lines(tool, path)
    name = os.path.basename(tool)
    last = lines[-1] if lines else {}
    if wanted["verdict"] in REASONS and last.get("kind") == "error":
        if last.get("reason") == REASONS[wanted["verdict"]]:
            return []
    if last.get("kind") != "summary":
        return ["verdict: %s by SPEC.md (row %s, %s), no summary by %s, status "
                "%d, %s" % (wanted["verdict"], wanted["row"], wanted["why"],
                            name, run.returncode, last or run.stderr.decode(
                                errors="replace").strip()[:300])]
    problems = ["%s: %s by SPEC.md (row %s), %s by %s" % (
        field, wanted[field], wanted["row"], last.get(field), name)
        for field in COMPARED if last.get(field) != wanted[field]]
    told = [line for line in lines if line.get("kind") == "problem"]
    if bool(told) == (wanted["verdict"] == "clean"):
        problems.append("%s, but %d problems by %s: %s" % (
            wanted["verdict"], len(told), name, told[:1]))
    flips = {(line["segment"], line["offset"]) for line in told
             if line.get("name") == "tail-flipped"}
    bit = wanted["flipped_bit"]
    if bit and (bit["segment"], bit["offset"]) not in flips:
        problems.append("flipped bit: %s by SPEC.md (row %s), %s by %s" % (
            bit, wanted["row"], sorted(flips), name))
    # 7.8 speaks of the batch at E; the one behind another run is no worse.
    if flips - wanted["flips"]:
        problems.append("no flipped bit by SPEC.md (row %s), %s by %s" % (
            wanted["row"], sorted(flips - wanted["flips"]), name))
    return problems


def flips_behind_runs(result):
    """Where one flipped bit ends a run: {(segment, offset of the byte)}."""
    found = set()
    for number, segment in result.segments.items():
        bit = None if segment.newer else dwalspec.flipped_bit(segment)
        if bit:
            found.add((number, bit[0]))
    return found


RECORD_FIELDS = ("lsn", "type", "flags", "tenant", "shard", "size", "segment",
                 "offset")


def record_tuple(number, record):
    return (record.lsn, record.type, record.flags, record.tenant, record.shard,
            record.size, number, record.offset, record.payload)


def says_lost(result):
    """Whether records of the log are lost, and a start says so (6.1)."""
    return any(segment.run[0].start.flags & dwalspec.START_LOST
               and segment.first_lsn > result.trim + 1
               for segment in result.walk)


def is_whole(result):
    return result.verdict in ("clean", "torn")


def stands_there(segments, got):
    """Whether a record that a tool lists is valid where it says (5.2)."""
    number, offset = got[6], got[7]
    if number not in segments:
        return False
    try:
        record, _ = dwalspec.parse_record(segments[number], offset,
                                          segments[number].size)
    except dwalspec.NotValid:
        return False
    return record_tuple(number, record) == got


def compare_records(tool, path, result, skipping):
    """Where waldump lists other records: a list of sentences.

    Its status is 0 for a log that is clean or torn, and only for such a one;
    but it must say where a start says that records are lost.  It opens the log as section 11 allows, so that damage in what need not be
    read (skipping is the Result of that) may be told, or not.
    """
    name = os.path.basename(tool)
    lines, run = json_lines(tool, path)
    gaps = [line for line in lines
            if line.get("kind") == "gap" and line.get("why") == "lost"]
    if run.returncode == 0 and says_lost(skipping) != bool(gaps):
        return ["%d gaps by %s, though %s records are lost" % (
            len(gaps), name, "some" if says_lost(skipping) else "no")]
    message = run.stderr.decode(errors="replace").strip()[:300]
    status_fits = {is_whole(result): True, is_whole(skipping): True}
    got = [tuple(line.get(f) for f in RECORD_FIELDS)
           + (b64decode(line["payload"]),)
           for line in lines if line.get("kind") == "record"]
    same = (result.row, result.end) == (skipping.row, skipping.end)
    if not same and run.returncode:
        return []           # it met what the other did not look at, or refused
    if not status_fits.get(run.returncode == 0):
        return ["%s (row %s) by SPEC.md, status %d by %s: %s" % (
            result.verdict, result.row, run.returncode, name, message)]
    if run.returncode:
        return []
    if same:
        wanted = [record_tuple(number, record)
                  for number, record in dwalspec.records(result)]
        if got == wanted:
            return []
        where = next((i for i, pair in enumerate(zip(got, wanted))
                      if pair[0] != pair[1]), min(len(got), len(wanted)))
        return ["%d records by SPEC.md (row %s), %d by %s; record %d: %s, %s" % (
            len(wanted), result.row, len(got), name, where,
            wanted[where:where + 1], got[where:where + 1])]
    lsns = [record[0] for record in got]
    wanted = list(range(skipping.first_lsn, skipping.durable_lsn + 1))
    if says_lost(skipping):
        return []
    if lsns != wanted and (lsns != list(range(result.first_lsn,
                                              result.durable_lsn + 1))):
        return ["LSNs %s by %s, status 0, and %d to %d by SPEC.md (row %s)" % (
            lsns[:1] + lsns[-1:], name, skipping.first_lsn,
            skipping.durable_lsn, result.row)]
    return ["%s lists LSN %d, which is not valid there" % (name, record[0])
            for record in got if not stands_there(result.segments, record)][:1]


class Runner:
    """Runs seeds, and counts."""

    def __init__(self, options, home):
        self.options = options
        self.home = home
        self.rows = {}
        self.done = self.failed = 0

    def compare(self, seed, files):
        """Decodes a directory with every reader: (Result, differences)."""
        if not self.options.checker and not self.options.dumper:
            if Unreadable not in files.values():
                return dwalspec.recover({name: bytes(data) for name, data
                                         in files.items()}), []
        path = os.path.join(self.home, str(seed))
        write_directory(path, files)
        try:
            result = dwalspec.recover_path(path)
            wanted = dwalspec.summary(dwalspec.find_flipped_bit(result))
            wanted["flips"] = flips_behind_runs(result)
            problems = []
            if self.options.checker:
                problems += compare_summary(self.options.checker, path, wanted)
            if self.options.dumper:
                problems += compare_records(self.options.dumper, path, result,
                                            self.skipping(path))
            if was_changed(path, files):
                problems.append("a reader changed the directory")
            if problems and self.options.keep:
                shutil.copytree(path, os.path.join(self.options.keep, str(seed)),
                                dirs_exist_ok=True)
            return result, problems
        finally:
            shutil.rmtree(path)

    @staticmethod
    def skipping(path):
        try:
            return dwalspec.recover(dwalspec.read_directory(path), skip=True)
        except dwalspec.Unreadable as error:
            return dwalspec.Result().decide("unreadable", "unreadable",
                                            str(error))

    def damage(self, seed):
        files, names = damaged_log(seed)
        result, problems = self.compare(seed, files)
        return result, problems, names

    def oracle(self, seed):
        """A crash alone; then one flipped bit."""
        writer = dwalmake.random_writer(seed)
        files = writer.disk.snapshot()
        result, problems = self.compare(seed, files)
        problem = writer.check(result)
        if problem:
            problems.append("only crashed, but: " + problem)
        if flips_behind_runs(result):
            problems.append("only crashed, but a flipped bit is seen")
        if result.walk:
            problems += self.flip(seed, writer, files, result)
        return result, problems, ["crash"]

    def corner(self, name, files, row):
        """One of the logs of corners.py."""
        result, problems = self.compare(name.replace("/", "-"), files)
        if row and result.row != row:
            problems.append("row: %s wanted, %s by dwalspec (%s)" % (
                row, result.row, result.why))
        return result, problems, ["corner"]

    def flip(self, seed, writer, files, before):
        """No flipped bit of a live batch makes records go away silently."""
        rng = random.Random("flip %d" % seed)
        segment = rng.choice(before.walk)
        batch = rng.choice((segment.run[-1], rng.choice(segment.run)))
        bit = rng.randrange(batch.offset * 8, batch.end * 8)
        data = bytearray(segment.data)
        data[bit // 8] ^= 1 << bit % 8
        flipped = {**files, dwalmake.segment_name(segment.number): data}
        result, problems = self.compare(seed, flipped)
        if result.verdict == "corrupt":
            return problems
        if writer.check(result):
            # A range that is empty speaks of records alone (7.7): what may be
            # missing are metadata, trims and cuts.
            loud = result.verdict == "torn" and (
                result.undecidable is None
                or result.undecidable[1] is None
                or result.undecidable[1] >= writer.surely_acked())
            if not loud:
                problems.append("bit %d of segment %d: silently %s" % (
                    bit, segment.number, writer.check(result)))
        return problems

    def run(self, seed, work, *arguments):
        self.done += 1
        try:
            result, problems, names = work(seed, *arguments)
            self.rows[result.row] = self.rows.get(result.row, 0) + 1
        except (RuntimeError, subprocess.TimeoutExpired, AssertionError) as error:
            problems, names = [str(error)], ["?"]
        if problems:
            self.failed += 1
            print("seed %s (%s):" % (seed, ", ".join(names)))
            for problem in problems:
                print("    " + problem)

    def finish(self):
        if self.options.verbose:
            for row, count in sorted(self.rows.items()):
                print("%8d %s" % (count, row))
        print("%d passed, %d failed" % (self.done - self.failed, self.failed))
        return 1 if self.failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--oracle", action="store_true")
    parser.add_argument("--checker", metavar="WALFSCK")
    parser.add_argument("--dumper", metavar="WALDUMP")
    parser.add_argument("--keep", metavar="DIR")
    parser.add_argument("--verbose", action="store_true",
                        help="how often each row of 7.7 was decided")
    options = parser.parse_args()
    if options.keep:
        os.makedirs(options.keep, exist_ok=True)
    with tools.directory("dwal-damage-") as home:
        runner = Runner(options, home)
        for name, files, row in corners.corner_logs():
            runner.run(name, runner.corner, files, row)
        work = runner.oracle if options.oracle else runner.damage
        for seed in range(options.seed, options.seed + options.runs):
            runner.run(seed, work)
        return runner.finish()


if __name__ == "__main__":
    sys.exit(main())
