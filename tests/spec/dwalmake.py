#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes dwal log directories, from SPEC.md alone.

Three layers, each usable without the ones above it:

 * encoders: the bytes of LOCK, of segment headers, records, starts, batches;
   every field can be given, so that wrong ones can be made too;
 * SegmentMaker: one segment file, batch behind batch;
 * Writer: a writer that keeps the rules of SPEC.md section 11 on a simulated
   disk, with batches in flight, crashes, reopening, trims, cuts, resets, dead
   segments, and recycled files.  It knows what it acknowledged, so it can say
   whether a recovery is right.

Everything is deterministic: what is random comes from a random.Random.

    python3 dwalmake.py             runs the self-test
    python3 dwalmake.py SEED DIR    writes the log of random_log(SEED) to DIR
"""

import os
import random
import struct
import sys
from zlib import crc32

import dwalspec
from dwalspec import (BATCH_HEADER, BATCH_MAGIC, RECORD_HEADER, SEGMENT_HEADER,
                      SEGMENT_MAGIC, START, START_CUT, START_RESET, TYPE_CLOSE,
                      TYPE_MARK, TYPE_METADATA, TYPE_START, TYPE_TRIM, round_up)

SECTOR = 512


# ----------------------------------------------------------------- encoders

def lock_line(uuid):
    """LOCK, 4.3."""
    digits = uuid.hex()
    text = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20],
                     digits[20:]))
    line = b"dwal lock 1 " + text.encode() + b" "
    return line + b"%08x\n" % crc32(line)


def segment_name(number):
    return "%016x.wal" % number


def segment_header(number, previous, uuid, block, size, salt, epoch=1,
                   created=0, version=1, header_size=128, incompatible=0,
                   read_only=0, compatible=0, reserved=bytes(32)):
    """A segment header and the zeros up to a whole block, 4.2."""
    packed = bytearray(SEGMENT_HEADER.pack(
        SEGMENT_MAGIC, 0, version, header_size, incompatible, read_only,
        compatible, block, uuid, number, previous, epoch, salt, size, created,
        reserved))
    struct.pack_into("<I", packed, 8, crc32(packed[12:128]))
    return bytes(packed).ljust(block, b"\0")


def record(salt, lsn, payload=b"", type=0, flags=0, tenant=0, shard=0):
    """A record and its padding, 5.2."""
    packed = bytearray(RECORD_HEADER.pack(0, len(payload), lsn, type, flags,
                                          tenant, shard, salt & 0xFFFFFFFF))
    packed += payload
    struct.pack_into("<I", packed, 0, crc32(packed[4:]))
    return bytes(packed).ljust(round_up(len(packed), 8), b"\0")


def start(predecessor=0, end=0, last_kept=0, crc=0, flags=0, trim=0, blob=b"",
          blob_size=None, reserved=0):
    """The payload of a start, 6.1."""
    return START.pack(predecessor, end, last_kept, crc, flags, trim,
                      len(blob) if blob_size is None else blob_size,
                      reserved) + blob


def batch(records, segment, salt, offset, first, link, block,
          watermark=(0, 0, 0), applications=None, count=None, size=None,
          digest=None, time=0, flags=0, reserved=bytes(28)):
    """A batch of records as record() makes them, padded to a block, 5.1.

    watermark is (LSN, segment, offset).
    """
    body = b"".join(records)
    if applications is None:
        applications = sum(1 for r in records if r[8:16] != bytes(8))
    if digest is None:
        digest = crc32(b"".join(r[:4] for r in records))
    packed = bytearray(BATCH_HEADER.pack(
        BATCH_MAGIC, 0, segment, salt, offset,
        128 + len(body) if size is None else size, first,
        len(records) if count is None else count, applications, *watermark,
        digest, link, time, flags, reserved))
    struct.pack_into("<I", packed, 4, crc32(packed[8:128]))
    packed += body
    return bytes(packed).ljust(round_up(len(packed), block), b"\0")


# ------------------------------------------------------------ one segment

class SegmentMaker:
    """A segment file that grows batch by batch; it keeps tail and link right.

    background is what a recycled file still contains: everything behind the
    header's block is left as it was.
    """

    def __init__(self, number, previous, uuid, block=512, blocks=32, salt=0,
                 epoch=1, created=0, background=None):
        size = block * blocks
        self.number, self.previous = number, previous
        self.block, self.size, self.salt = block, size, salt
        head = segment_header(number, previous, uuid, block, size, salt, epoch,
                              created)
        rest = background[block:size] if background else b""
        self.data = bytearray(head + rest.ljust(size - block, b"\0"))
        self.link = struct.unpack_from("<I", head, 8)[0]
        self.tail = block
        self.next_lsn = None        # set by the first batch

    @property
    def name(self):
        return segment_name(self.number)

    def record(self, lsn, payload=b"", **fields):
        return record(self.salt, lsn, payload, **fields)

    def seal(self, records, first, watermark=(0, 0, 0), **fields):
        """Makes the next batch: (offset, bytes).  The file is not changed."""
        offset = self.tail
        made = batch(records, self.number, self.salt, offset, first, self.link,
                     self.block, watermark, **fields)
        if offset + len(made) > self.size:
            raise ValueError("the batch does not fit")
        self.tail += len(made)
        self.link = struct.unpack_from("<I", made, 4)[0]
        return offset, made

    def add(self, records, first, watermark=(0, 0, 0), **fields):
        """Makes the next batch and writes it: its offset."""
        offset, made = self.seal(records, first, watermark, **fields)
        self.data[offset:offset + len(made)] = made
        return offset

    def begin(self, first=1, extra=(), watermark=(0, 0, 0), **start_fields):
        """The first batch: a start, then other records."""
        records = [self.record(0, start(**start_fields), type=TYPE_START)]
        return self.add(records + list(extra), first, watermark)


# ------------------------------------------------------- the simulated disk

class PowerCut(Exception):
    """The machine stops, in the middle of whatever the writer does."""


class Disk:
    """Files by name, with writes that are submitted and not yet synced.

    A directory operation is one step here, synced before the next, as rules
    11.1 and 11.7 want it; a crash falls between two steps.  The fuse is how
    many more steps there are before the power is cut.
    """

    def __init__(self):
        self.files = {}             # name: bytearray, what is stable
        self.pending = []           # [name, offset, bytes]
        self.fuse = None

    def step(self):
        if self.fuse is not None:
            if self.fuse == 0:
                raise PowerCut
            self.fuse -= 1

    def submit(self, name, offset, data):
        self.step()
        write = [name, offset, data]
        self.pending.append(write)
        return write

    def sync(self, write):
        """The write is reaped and synced."""
        self.step()
        self.pending = [other for other in self.pending if other is not write]
        name, offset, data = write
        self.files[name][offset:offset + len(data)] = data

    def make(self, name, data):
        self.step()
        self.files[name] = bytearray(data)

    def remove(self, name):
        self.step()
        del self.files[name]

    def rename(self, old, new):
        self.step()
        self.files[new] = self.files.pop(old)

    def crash(self, rng):
        """Any subset of the unsynced sectors is lost, in any order."""
        share = rng.choice((0.0, 1.0, 0.5, 0.9, 0.1, rng.random()))
        self.fuse = None
        torn = self.pending
        if torn and rng.random() < 0.3:         # one write torn, others whole
            victim = rng.choice(torn)
            chances = [share if write is victim else 1.0 for write in torn]
        else:
            chances = [share] * len(torn)
        for (name, offset, data), chance in zip(torn, chances):
            for at in range(0, len(data), SECTOR):
                if rng.random() < chance:
                    end = offset + at + SECTOR
                    self.files[name][offset + at:end] = data[at:at + SECTOR]
        self.pending = []

    def snapshot(self):
        return {name: bytes(data) for name, data in self.files.items()}


# ------------------------------------------------------------- the writer

class InFlight:
    """A sealed batch on its way to the disk."""

    __slots__ = ("write", "segment", "end", "first", "last", "mark", "done",
                 "then")

    def __init__(self, write, segment, end, first, last, mark, then):
        self.write, self.segment, self.end = write, segment, end
        self.first, self.last, self.done = first, last, False
        self.mark = mark            # the place in its watermark
        self.then = then            # called when it is in the durable prefix


class Begun:
    """A segment that this log began and did not retire: for 11.7."""

    def __init__(self, number, first):
        self.number, self.first, self.last = number, first, first - 1
        self.batches = []           # (end, CRC, first, last)


class Promise:
    """What a recovery has to find."""

    def __init__(self):
        self.acked = 0              # acknowledged up to this LSN
        self.trim = 0               # the newest acknowledged trim point
        self.blobs = {0: b""}       # by age: the acknowledged and later ones
        self.history = {}           # LSN: (payload, fields); all appended ones

    def check(self, result):
        """What is wrong with this recovery of a log that only crashed."""
        if result.verdict not in ("clean", "torn", "none"):
            return "verdict %s (%s)" % (result.verdict, result.row)
        if result.durable_lsn < self.acked:
            return "durable %d < acknowledged %d" % (result.durable_lsn,
                                                     self.acked)
        if result.trim < self.trim:
            return "trim point %d < %d" % (result.trim, self.trim)
        if result.metadata not in self.blobs.values():
            return "metadata is older than the acknowledged"
        found = [record for _, record in dwalspec.records(result)]
        if ([r.lsn for r in found]
                != list(range(max(result.first_lsn, 1), result.durable_lsn + 1))):
            return "LSNs are not dense"
        for r in found:
            if self.history.get(r.lsn) != found_fields(r):
                return "LSN %d has another content" % r.lsn
        return None


def found_fields(r):
    return (r.payload, dict(type=r.type, flags=r.flags, tenant=r.tenant,
                            shard=r.shard))


class Writer:
    """Keeps the rules of section 11; what is free, it decides at random."""

    def __init__(self, rng, block=512, blocks=32):
        self.rng, self.disk = rng, Disk()
        self.block, self.blocks = block, blocks
        self.uuid = rng.randbytes(16)
        self.epoch = 0
        self.number = 0             # the highest segment number ever used
        self.maker = None           # the segment that is being written
        self.makers = {}            # number: SegmentMaker, prepared ones too
        self.live = []              # Begun, lowest first
        self.dead = []              # numbers
        self.flying = []            # InFlight, in log order
        self.durable = (0, 0, 0)    # LSN, segment, offset
        self.next_lsn = 1
        self.proven = (0, 0)        # the largest watermark that is durable
        self.trim = 0
        self.trims = []             # (place behind it, trim point), durable
        self.blob, self.blob_age = b"", 0
        self.witnessed = True       # the last batch is a witness, or none
        self.clock = 1_700_000_000_000_000_000
        self.promise = Promise()
        self.before_cut = None      # the promise before a cut in progress
        self.earlier = None         # the files at some earlier time

    # -- files ----------------------------------------------------------

    def tick(self):
        self.clock += self.rng.randrange(1, 10_000_000)
        return self.clock

    def make_segment(self, previous):
        """Rule 11.1: makes and publishes the next segment file."""
        self.number += 1
        size = self.block * self.blocks
        spares = sorted(name for name, data in self.disk.files.items()
                        if name.endswith(".spare") and len(data) == size)
        background = None
        if spares and self.rng.random() < 0.8:
            background = bytes(self.disk.files[spares[0]])
            self.disk.remove(spares[0])
        maker = SegmentMaker(self.number, previous, self.uuid, self.block,
                             self.blocks, self.rng.getrandbits(64), self.epoch,
                             self.tick(), background)
        spare = "%016x.spare" % self.number
        self.disk.make(spare, maker.data)
        self.disk.rename(spare, maker.name)
        self.makers[self.number] = maker
        return maker

    def create(self, steps=5):
        """Rule 11.11; steps below 5 make a creation that was interrupted."""
        self.epoch = 1
        if steps > 0:
            self.make_segment(0)
        if steps > 1:
            self.make_segment(1)
        if steps > 2:
            self.disk.make("LOCK.new", lock_line(self.uuid))
        if steps > 3:
            self.disk.rename("LOCK.new", "LOCK")

    def retire(self, number):
        """Rule 11.7: renames a segment to a spare name."""
        if segment_name(number) in self.disk.files:
            self.disk.rename(segment_name(number), "%016x.spare" % number)
            self.makers.pop(number, None)

    def retire_some(self, chance=0.7):
        """Some of what 11.7 allows; the rest is left for later."""
        if self.live and self.maker and self.live[-1].batches:
            start_end = self.live[-1].batches[0][0]
            proven = self.proven >= (self.maker.number, start_end)
            for number in sorted(self.dead, reverse=True) if proven else ():
                if self.rng.random() > chance:
                    break
                self.retire(number)
                self.dead.remove(number)
        while len(self.live) > 1 and self.rng.random() < chance:
            lowest, next_one = self.live[:2]
            # A trim in a later segment that covers all of the lowest.
            trim = max((trim for place, trim in self.trims
                        if place <= self.proven and place[0] > lowest.number),
                       default=-1)
            if max(lowest.last, next_one.first - 1) > trim:
                break
            self.live.pop(0)
            self.retire(lowest.number)

    # -- batches --------------------------------------------------------

    def seal(self, records, first, applications, then=None, witness=False):
        """Seals a batch with the watermark of now, and submits it."""
        maker = self.maker
        offset, made = maker.seal(records, first, self.durable,
                                  time=self.tick())
        write = self.disk.submit(maker.name, offset, made)
        last = first + applications - 1
        self.flying.append(InFlight(write, maker.number, maker.tail, first,
                                    last, self.durable[1:], then))
        self.live[-1].last = last
        self.live[-1].batches.append((maker.tail, maker.link, first, last))
        self.next_lsn = last + 1
        self.witnessed = witness

    def fits(self, records):
        return (self.maker.tail + 128 + sum(map(len, records))
                <= self.maker.size)

    def reap(self, everything=False):
        """Some batch in flight completes, in any order; 11.4."""
        waiting = [batch for batch in self.flying if not batch.done]
        while waiting:
            batch = waiting.pop(self.rng.randrange(len(waiting)))
            self.disk.sync(batch.write)
            batch.done = True
            self.advance()
            if not everything:
                return

    def advance(self):
        """Moves the durable prefix and acknowledges what it reaches."""
        while self.flying and self.flying[0].done:
            batch = self.flying.pop(0)
            self.durable = (batch.last, batch.segment, batch.end)
            self.proven = max(self.proven, batch.mark)
            self.promise.acked = max(self.promise.acked, batch.last)
            if batch.then:
                batch.then()

    def begin_segment(self, flags=0, last_kept=None, where=None, first=None,
                      extra=None, then=None):
        """Begins the next segment: 11.2, then a start.

        where is (segment, end, CRC) of the last kept batch.
        """
        successor = self.makers.get((self.maker.number if self.maker else 0) + 1)
        if successor is None or self.maker is None and self.live:
            successor = self.make_segment(self.header_predecessor())
        self.make_segment(successor.number)
        if where is None and self.live and self.live[-1].batches:
            end, crc, _, _ = self.live[-1].batches[-1]
            where = (self.live[-1].number, end, crc)
        where = where or (0, 0, 0)
        if last_kept is None:
            last_kept = self.next_lsn - 1
        if first is None:
            first = last_kept + 1
        payload = start(where[0], where[1], last_kept, where[2], flags,
                        self.trim, self.blob)
        trim, age = self.trim, self.blob_age

        def durable():
            self.trim_is_durable(trim)
            self.blob_is_durable(age)
            if then:
                then()
        self.maker = successor
        self.live.append(Begun(successor.number, first))
        self.seal([successor.record(0, payload, type=TYPE_START)], first, 0,
                  durable)

    def header_predecessor(self):
        """What the header of a new epoch's first segment may name."""
        numbers = [dwalspec.segment_number(name) for name in self.disk.files
                   if name.endswith(".wal")]
        highest = max(numbers, default=0)
        if self.live and self.rng.random() < 0.5:
            return self.live[-1].number
        return highest

    # -- what callers ask -----------------------------------------------

    def trim_is_durable(self, trim):
        self.trims.append((self.durable[1:], trim))
        self.promise.trim = max(self.promise.trim, trim)

    def blob_is_durable(self, age):
        blobs = self.promise.blobs
        self.promise.blobs = {a: b for a, b in blobs.items() if a >= age}

    def random_payload(self):
        rng = self.rng
        kind = rng.random()
        if kind < 0.1:
            return b""
        if kind < 0.2:
            return bytes(rng.randrange(1, 2000))
        if kind < 0.9:
            return rng.randbytes(rng.randrange(1, 120))
        return rng.randbytes(rng.randrange(1, 5 * self.block))

    def append(self):
        """A batch with a few records of any kind; rotates where needed."""
        rng = self.rng
        wanted, then = [], []
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            kind = rng.random()
            if kind < 0.85:
                fields = dict(type=rng.getrandbits(16), flags=rng.getrandbits(16),
                              tenant=rng.getrandbits(32),
                              shard=rng.getrandbits(32))
                wanted.append((self.random_payload(), fields))
            elif kind < 0.90:
                self.trim = max(self.trim, min(
                    self.next_lsn - 1, self.trim + rng.randrange(0, 30)))
                wanted.append((struct.pack("<Q", self.trim), TYPE_TRIM))
            elif kind < 0.95:
                self.blob = rng.randbytes(rng.randrange(0, 60))
                self.blob_age += 1
                self.promise.blobs[self.blob_age] = self.blob
                wanted.append((self.blob, TYPE_METADATA))
            elif kind < 0.98:
                wanted.append((b"", TYPE_MARK))
            else:                       # unknown, and harmless
                wanted.append((rng.randbytes(5), rng.choice((0, 1, 3, 0x7FFF))))
        if self.maker is None:
            self.begin_segment()
        records = self.encode(wanted)
        if not self.fits(records):
            self.rotate()
            records = self.encode(wanted)
            if not self.fits(records):
                return
        first = self.next_lsn
        lsn = first
        trim, age = self.trim, self.blob_age
        for payload, fields in wanted:
            if isinstance(fields, dict):
                self.promise.history[lsn] = (payload, fields)
                lsn += 1

        def durable():
            self.trim_is_durable(trim)
            self.blob_is_durable(age)
        self.seal(records, first, lsn - first, durable)

    def encode(self, wanted):
        lsn, records = self.next_lsn, []
        for payload, fields in wanted:
            if isinstance(fields, dict):
                records.append(self.maker.record(lsn, payload, **fields))
                lsn += 1
            else:
                records.append(self.maker.record(0, payload, type=fields))
        return records

    def rotate(self):
        if self.rng.random() < 0.5:
            self.reap(everything=True)
        self.begin_segment()

    def witness(self, type):
        """A batch that holds only a mark or a close; 11.10."""
        if self.maker is None or not self.live:
            return
        self.reap(everything=True)
        records = [self.maker.record(0, type=type)]
        if not self.fits(records):
            self.rotate()
            self.reap(everything=True)
            records = [self.maker.record(0, type=type)]
        self.seal(records, self.next_lsn, 0, witness=True)

    def cut(self, keep):
        """Rule 11.6: drops the records behind keep."""
        if self.maker is None:
            self.begin_segment()
        self.reap(everything=True)
        if not self.trim <= keep < self.next_lsn:
            return
        for index in range(len(self.live) - 1, -1, -1):
            for end, crc, first, last in self.live[index].batches:
                if first - 1 <= keep <= last:
                    self.cut_to(keep, index, (end, crc))
                    return
        if keep == self.trim:
            self.reset(keep)

    def forget_behind(self, keep, acked):
        """A cut begins: until it is acknowledged, the log is cut or it is not."""
        old = self.before_cut = self.promise
        new = self.promise = Promise()
        new.acked, new.trim, new.blobs = acked, old.trim, dict(old.blobs)
        new.history = {lsn: value for lsn, value in old.history.items()
                       if lsn <= keep}
        self.next_lsn = keep + 1
        # The durable end's place stays; its LSN is what is left (5.1).
        self.durable = (min(self.durable[0], keep),) + self.durable[1:]

    def surely_acked(self):
        """The LSN up to which records are acknowledged, cut or not."""
        if self.before_cut:
            return min(self.promise.acked, self.before_cut.acked)
        return self.promise.acked

    def cut_is_durable(self):
        self.reap(everything=True)
        if self.rng.random() < 0.8:
            self.witness(TYPE_MARK)
            self.reap(everything=True)
            self.before_cut = None

    def cut_to(self, keep, index, place):
        number = self.live[index].number
        dead = [begun.number for begun in self.live[index + 1:]]
        self.live = self.live[:index + 1]
        self.live[-1].last = keep
        self.live[-1].batches = [b for b in self.live[-1].batches
                                 if b[0] <= place[0]]
        self.forget_behind(keep, keep)
        self.begin_segment(START_CUT, keep, (number,) + place)
        self.dead += dead
        self.cut_is_durable()

    def reset(self, trim):
        """A new segment in which the log begins anew behind trim."""
        if self.maker is None:
            self.begin_segment()
        self.reap(everything=True)
        if trim < self.trim:
            return
        dead = [begun.number for begun in self.live]
        named = bool(self.live and self.live[-1].batches
                     and self.rng.random() < 0.5)
        last_kept = self.next_lsn - 1
        end, crc, _, _ = self.live[-1].batches[-1]
        where = (self.live[-1].number, end, crc) if named else (0, 0, 0)
        self.trim = trim
        self.forget_behind(trim, trim)
        self.live = []
        self.begin_segment(START_RESET, last_kept, where, first=trim + 1)
        self.dead += dead
        self.cut_is_durable()

    # -- the end, and the next epoch -------------------------------------

    def crash(self):
        self.disk.crash(self.rng)
        self.flying = []

    def check(self, result):
        """What is wrong with this recovery, if the log only crashed."""
        problem = self.promise.check(result)
        if problem and self.before_cut and not self.before_cut.check(result):
            return None
        return problem

    def reopen(self):
        """A writable open that will write: recovery, 11.5."""
        result = dwalspec.recover(self.disk.snapshot())
        problem = self.check(result)
        if problem:
            raise AssertionError(problem)
        self.epoch += 1
        if result.verdict == "none":
            # Creating begins again.
            for name in list(self.disk.files):
                if not name.endswith(".spare"):
                    self.disk.remove(name)
            self.makers = {}
            self.number = 0
            self.create()
            return
        self.adopt(result)

    def adopt(self, result):
        """Goes on from what recovery found."""
        self.maker, self.makers, self.flying = None, {}, []
        self.live, live = [], result.walk[::-1]
        for index, segment in enumerate(live):
            begun = Begun(segment.number, segment.first_lsn)
            limit = (live[index + 1].run[0].start.last_kept
                     if index + 1 < len(live) else result.durable_lsn)
            begun.batches = [(b.end, b.header.crc, b.first, min(b.last, limit))
                             for b in segment.run if b.first <= limit + 1]
            begun.last = limit
            self.live.append(begun)
        # Lower segments that no walk reaches are trimmed, or cut away.
        numbers = set(result.segments)
        self.dead = sorted(n for n in numbers
                           if n not in {b.number for b in self.live})
        self.next_lsn = result.durable_lsn + 1
        self.durable = (result.durable_lsn,) + result.end
        self.trim, self.blob = result.trim, result.metadata
        self.proven, self.trims = result.watermark[:2], []
        promise = self.promise = Promise()
        self.before_cut = None
        promise.acked, promise.trim = result.durable_lsn, result.trim
        promise.blobs = {self.blob_age: result.metadata}
        promise.history = {r.lsn: found_fields(r)
                           for _, r in dwalspec.records(result)}
        spares = [int(name[:16], 16) for name in self.disk.files
                  if name.endswith(".spare")]
        self.number = max(numbers | set(spares) | {self.number})


# --------------------------------------------------------- whole random logs

def random_step(writer, rng):
    kind = rng.random()
    if kind < 0.55:
        writer.append()
    elif kind < 0.80:
        writer.reap()
    elif kind < 0.84:
        writer.reap(everything=True)
    elif kind < 0.88:
        if not writer.witnessed or rng.random() < 0.2:
            writer.witness(TYPE_MARK)
    elif kind < 0.91:
        if writer.maker is not None:
            writer.rotate()
    elif kind < 0.97:
        writer.retire_some()
    elif kind < 0.99:
        writer.cut(rng.randrange(max(0, writer.next_lsn - 25),
                                 writer.next_lsn + 1))
    elif rng.random() < 0.5 and writer.next_lsn > 1:
        writer.reset(writer.next_lsn - 1 + rng.choice((0, 0, 1, 100)))


def random_writer(seed, end=None):
    """A Writer at the end of a random life.

    end is how the life ends: "crash", "clean", or None for either.
    """
    rng = random.Random(seed)
    block = rng.choice((512, 512, 512, 1024, 4096))
    blocks = rng.choice((16, 20, 32, 64)) if block < 4096 else 16
    writer = Writer(rng, block, blocks)
    if end is None and rng.random() < 0.03:
        writer.create(steps=rng.randrange(5))
        return writer
    for epoch in range(rng.choice((1, 1, 2, 3, 5))):
        live_an_epoch(writer, rng, epoch)
    if end == "clean":
        writer.reopen()
        if writer.maker is None:
            writer.begin_segment()
        writer.append()
        writer.witness(TYPE_CLOSE)
        writer.reap(everything=True)
    return writer


def live_an_epoch(writer, rng, epoch):
    """From an open to a clean end, to a crash, or to a power cut."""
    if rng.random() < 0.3:
        writer.disk.fuse = rng.choice((3, 10, 30, rng.randrange(200)))
    try:
        if epoch == 0:
            writer.create()
        else:
            writer.reopen()
            if rng.random() < 0.1:
                writer.block = rng.choice((512, 1024, 2048))
                writer.blocks = rng.choice((16, 32))
        for _ in range(rng.choice((0, 3, 10, 30, 80))):
            random_step(writer, rng)
        if rng.random() < 0.2:
            writer.witness(TYPE_CLOSE)
            writer.reap(everything=True)
            writer.disk.fuse = None
            return
    except PowerCut:
        pass
    writer.crash()
    if writer.earlier is None or rng.random() < 0.5:
        writer.earlier = writer.disk.snapshot()


def random_log(seed, end=None):
    """The files of a random log, the spares included."""
    return random_writer(seed, end).disk.snapshot()


def write_directory(path, files):
    os.makedirs(path, exist_ok=True)
    for name, data in files.items():
        with open(os.path.join(path, name), "wb") as file:
            file.write(data)


# --------------------------------------------------------------- self-test

def expect(files, row, **wanted):
    result = dwalspec.recover(files)
    got = {name: getattr(result, name) for name in wanted}
    if result.row != row or got != wanted:
        raise AssertionError("expected %s %s, got %s %s (%s)" % (
            row, wanted, result.row, got, result.why))
    return result


def example():
    """The log of SPEC.md 7.9: (files, offsets of the batches of segment 2)."""
    uuid = bytes(range(16))
    one = SegmentMaker(1, 0, uuid, salt=0x1111)
    one.begin(1, [one.record(lsn, b"%d" % lsn) for lsn in range(1, 11)])
    two = SegmentMaker(2, 1, uuid, salt=0x2222)
    two.begin(11, predecessor=1, end=one.tail, last_kept=10, crc=one.link)
    offsets = []
    for lsns, mark in (((11,), 10), ((12, 13, 14), 10), ((15,), 14)):
        place = ((mark, 2, two.tail) if mark == 14
                 else (mark, 2, two.block))
        payload = bytes(range(200)) * 3         # more than one sector
        offsets.append(two.add([two.record(n, payload) for n in lsns],
                               lsns[0], place))
    three = SegmentMaker(3, 2, uuid, salt=0x3333)
    files = {"LOCK": lock_line(uuid)}
    files.update((m.name, bytes(m.data)) for m in (one, two, three))
    return files, offsets, two.tail


def without_sector(files, name, offset):
    data = bytearray(files[name])
    data[offset:offset + SECTOR] = bytes(SECTOR)
    return {**files, name: bytes(data)}


def test_example():
    files, (_, at12, at15), end = example()
    two = segment_name(2)
    result = expect(files, "clean", end=(2, end), durable_lsn=15, first_lsn=1,
                    undecidable=None)
    assert [r.lsn for _, r in dwalspec.records(result)] == list(range(1, 16))
    expect(without_sector(files, two, at12 + 512), "lost-records",
           lost=(12, 14), verdict="corrupt")
    expect(without_sector(files, two, at15 + 512), "torn", end=(2, at15),
           undecidable=(15, 15))
    rest = {n: d for n, d in files.items() if n != segment_name(3)}
    expect(rest, "missing-successor")
    rest = {n: d for n, d in files.items() if n != two}
    expect(rest, "missing-segment", missing=2, end=(1, 1536))


def test_crc():
    assert crc32(b"") == 0 and crc32(b"123456789") == 0xCBF43926
    assert crc32(bytes(range(256))) == 0x29058C73


def test_flipped_bit():
    """7.8: any one bit of the batch at E is found again."""
    files, (_, _, at15), end = example()
    two = segment_name(2)
    for bit in range(at15 * 8, end * 8, 977):
        data = bytearray(files[two])
        data[bit // 8] ^= 1 << bit % 8
        result = dwalspec.recover({**files, two: bytes(data)})
        assert result.verdict == "torn", bit
        sector = data[bit // 8 // 512 * 512:][:512]
        assert dwalspec.flipped_bit(result.walk[0]) == (bit // 8, bit % 8), bit
        assert any(sector)


def test_rows():
    """Each remaining row of 7.7 once."""
    files, offsets, end = example()
    uuid = bytes(range(16))
    two, three = segment_name(2), segment_name(3)
    expect({}, "no-log", verdict="none")
    expect({"LOCK": files["LOCK"]}, "lost-files", verdict="corrupt")
    expect({"LOCK": files["LOCK"][:-1]}, "bad-structure")
    expect({three: files[three]}, "interrupted-creation", verdict="none")
    expect({three: files[three][:-1]}, "bad-structure", verdict="corrupt")
    trace = bytearray(files[three])
    struct.pack_into("<Q", trace, 512 + 16, 0x3333)
    expect({three: bytes(trace)}, "bad-structure", verdict="corrupt")
    rest = {n: d for n, d in files.items() if n != "LOCK"}
    expect(rest, "bad-structure", verdict="corrupt")
    expect({**files, "x.wal": b""}, "bad-structure")
    expect({"x.wal": b""}, "bad-structure")
    expect({three: files[three], "x.wal": b""}, "bad-structure")
    result = dwalspec.recover_path("/nonexistent/log")
    assert result.row == "no-log"
    expect({**files, two: files[two][:-512]}, "bad-structure")
    empty = [SegmentMaker(1, 0, uuid), SegmentMaker(2, 1, uuid)]
    empty_log = {"LOCK": files["LOCK"], **{m.name: bytes(m.data) for m in empty}}
    expect(empty_log, "empty", first_lsn=1, durable_lsn=0)
    for junk, row in ((b"\1", "torn-open"), (BATCH_MAGIC, "torn-open")):
        data = bytearray(files[two])
        data[end:end + len(junk)] = junk
        expect({**files, two: bytes(data)}, row, undecidable=(16, None))
    one = SegmentMaker(1, 0, uuid, salt=5)
    one.begin()
    one.add([one.record(1, b"x")], 1)
    one.add([one.record(0, type=TYPE_CLOSE)], 2, (1, 1, one.tail))
    two_maker = SegmentMaker(2, 1, uuid)
    closed = {"LOCK": files["LOCK"], one.name: bytes(one.data),
              two_maker.name: bytes(two_maker.data)}
    expect(closed, "closed", durable_lsn=1)
    # Behind a witness a foreign head is not bad, a damaged one is (7.6).
    one.data[one.tail] = 1
    expect({**closed, one.name: bytes(one.data)}, "closed")
    struct.pack_into("<Q", one.data, one.tail + 16, one.salt + 1)
    expect({**closed, one.name: bytes(one.data)}, "closed")
    struct.pack_into("<QQQ", one.data, one.tail + 8, 1, 7, one.tail)
    expect({**closed, one.name: bytes(one.data)}, "torn-open")


def test_golden():
    """SPEC.md section 13: the log that is checked in."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "..", "golden", "v1")
    if not os.path.isdir(path):
        return "(no golden log here)"
    files = dwalspec.read_directory(path)
    result = expect(files, "closed", first_lsn=2, durable_lsn=4, trim=1,
                    metadata=b"term 2, vote 1", end=(1, 0x1000))
    assert files["LOCK"] == lock_line(bytes.fromhex(
        "6477616c2067406f8064656e206c6f67"))
    lsns = [r.lsn for _, r in dwalspec.records(result)]
    assert lsns == [2, 3, 4]
    second = next(dwalspec.records(result))[1]
    assert (second.payload, second.type, second.flags, second.tenant,
            second.shard) == (b"second", 0x8002, 0x100, 0xFFFFFFFF, 0x10000)
    # The encoders make the same bytes.
    segment = result.segments[1]
    assert files[segment_name(1)][:512] == segment_header(
        1, 0, bytes.fromhex("6477616c2067406f8064656e206c6f67"), 512, 8192,
        0x0123456789ABCDEF, created=1_735_689_600 * 10**9)
    salt = segment.salt
    assert files[segment_name(1)][512:1024] == batch(
        [record(salt, 0, start(), TYPE_START),
         record(salt, 1, b"first record", 1, 0, 7, 3),
         record(salt, 2, b"second", 0x8002, 0x100, 0xFFFFFFFF, 0x10000)],
        1, salt, 512, 1, segment.crc, 512, time=1_735_689_601 * 10**9)
    return None


def test_newer():
    """Section 8."""
    files, _, end = example()
    uuid = bytes(range(16))
    bad = segment_header(3, 2, uuid, 512, 16384, 1, version=2).ljust(16384, b"\0")
    expect({**files, segment_name(3): bad}, "newer")
    for fields in (dict(type=0x8009), dict(flags=4)):
        one = SegmentMaker(1, 0, uuid, salt=5)
        one.begin()
        one.add([one.record(0, b"", type=fields.get("type", TYPE_MARK))], 1,
                flags=fields.get("flags", 0))
        two = SegmentMaker(2, 1, uuid)
        expect({"LOCK": files["LOCK"], one.name: bytes(one.data),
                two.name: bytes(two.data)}, "newer")


def test_lives(runs=400):
    """Round trip: what a Writer acknowledged is what the reader finds."""
    rows = {}
    for seed in range(runs):
        writer = random_writer(seed)
        result = dwalspec.recover(writer.disk.snapshot())
        problem = writer.check(result)
        assert not problem, "seed %d: %s" % (seed, problem)
        rows[result.row] = rows.get(result.row, 0) + 1
        clean = random_writer(seed, "clean")
        result = dwalspec.recover(clean.disk.snapshot())
        problem = clean.check(result)
        assert not problem, "seed %d, clean: %s" % (seed, problem)
        assert result.verdict == "clean" and result.row != "empty" or \
            result.verdict == "none", (seed, result.row, result.why)
    again = random_log(7)
    assert again == random_log(7)
    return rows


def main(arguments):
    if len(arguments) == 2:
        write_directory(arguments[1], random_log(int(arguments[0])))
        return 0
    if arguments:
        print("usage: dwalmake.py [SEED DIR]", file=sys.stderr)
        return 2
    for test in (test_crc, test_example, test_flipped_bit, test_rows,
                 test_golden, test_newer, test_lives):
        extra = test()
        print("%-18s ok %s" % (test.__name__, extra or ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
