#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A reader of dwal logs, written from SPEC.md alone.

It is the second opinion that the C code is compared with, so it follows the
text of SPEC.md sentence by sentence and prefers the obvious to the fast.  It
was written without a look at the C code, and must stay so: where the two
differ, SPEC.md decides which one has the bug.  Numbers such as 7.5 and tags
such as [batch-valid] in the comments are those of SPEC.md.

    python3 dwalspec.py DIR [--json] [--records] [--sha]

As a library: recover(read_directory(path)) or recover({name: bytes}) gives a
Result; records(result) yields the records of the log.

It changes nothing, and holds the whole log in memory.
"""

import os
import struct
import sys
from zlib import crc32

# ---------------------------------------------------------------- constants

SEGMENT_MAGIC = bytes.fromhex("894457414C0D0A1A")           # 4.2
BATCH_MAGIC = bytes.fromhex("D7424154")                     # 5.1

SEGMENT_HEADER = struct.Struct("<8sIHHIIII16sQQQQQQ32s")    # 4.2
BATCH_HEADER = struct.Struct("<4sIQQQQQIIQQQIIQI28s")       # 5.1
RECORD_HEADER = struct.Struct("<IIQHHIII")                  # 5.2
START = struct.Struct("<QQQIIQII")                          # 6.1, before the blob
assert SEGMENT_HEADER.size == 128 and BATCH_HEADER.size == 128
assert RECORD_HEADER.size == 32 and START.size == 48

VERSION = 1
BLOCK_MIN, BLOCK_MAX = 512, 65536                           # section 9
SEGMENT_BLOCKS_MIN, SEGMENT_SIZE_MAX = 16, 1 << 40
RECORDS_MAX = 131071
BLOB_MAX = 1024
LSN_END = NUMBER_END = 1 << 63

TYPE_START, TYPE_TRIM, TYPE_METADATA = 0x8001, 0x8002, 0x8003   # section 6
TYPE_MARK, TYPE_CLOSE = 0x0004, 0x0005
TYPE_MUST_KNOW = 0x8000
START_CUT, START_RESET, START_LOST = 1, 2, 4

# What stands at a block, 7.4.
READABLE, NEWER, ZERO, STALE, DAMAGED, FOREIGN = (
    "readable", "newer", "zero", "stale", "damaged", "foreign")

LOWER_HEX = frozenset("0123456789abcdef")


def is_zero(data):
    return data == bytes(len(data))


def round_up(value, unit):
    return (value + unit - 1) // unit * unit


# ------------------------------------------------- section 4: the directory

def segment_number(name):
    """The number in a segment's name, or None if the name is not one (4.1)."""
    digits = name[:-4]
    if len(digits) != 16 or not LOWER_HEX.issuperset(digits):
        return None
    number = int(digits, 16)
    return number if 1 <= number < NUMBER_END else None


def lock_uuid(data):
    """The UUID in LOCK, or None if LOCK is not valid (4.3, [lock-valid])."""
    if len(data) != 58 or data[:12] != b"dwal lock 1 ":
        return None
    if data[48:49] != b" " or data[57:] != b"\n":
        return None
    if data[49:57] != b"%08x" % crc32(data[:49]):
        return None
    try:
        text = data[12:48].decode("ascii")
    except UnicodeDecodeError:
        return None
    groups = text.split("-")
    if [len(group) for group in groups] != [8, 4, 4, 4, 12]:
        return None
    digits = "".join(groups)
    if not LOWER_HEX.issuperset(digits):
        return None
    return bytes.fromhex(digits)


class Unreadable(Exception):
    """Something could not be read (7.1, [read-error])."""


class NeedsNewerReader(Exception):
    """Section 8, [newer]: we must refuse."""


class NotWellFormed(Exception):
    """A segment header that breaks 4.2."""


def read_directory(path):
    """Reads what is ours in a directory, if there is one: {name: bytes}."""
    files = {}
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return files                                            # 7.1
    except OSError as error:
        raise Unreadable(str(error)) from error
    try:
        for name in sorted(names):
            if name == "LOCK" or name.endswith(".wal"):
                with open(os.path.join(path, name), "rb") as file:
                    files[name] = file.read()
    except OSError as error:
        raise Unreadable(str(error)) from error
    return files


class Segment:
    """A well-formed segment, its run (7.2), and what is behind it (7.3)."""

    def __init__(self, number, data, uuid):
        """Checks 4.2 [header-valid] [size-exact].  uuid is None without LOCK."""
        if len(data) < SEGMENT_HEADER.size:
            raise NotWellFormed("shorter than a header")
        (magic, self.crc, version, header_size, incompatible, _read_only,
         _compatible, self.block, segment_uuid, self.number, self.previous,
         self.epoch, self.salt, self.size, self.created,
         reserved) = SEGMENT_HEADER.unpack_from(data)
        if magic != SEGMENT_MAGIC:
            raise NotWellFormed("wrong magic")
        if self.crc != crc32(data[12:128]):
            raise NotWellFormed("wrong CRC")
        if version != VERSION:
            raise NeedsNewerReader("format version %d" % version)
        if incompatible:
            raise NeedsNewerReader("incompatible features %#x" % incompatible)
        if header_size != 128:
            raise NotWellFormed("wrong header size")
        if (not BLOCK_MIN <= self.block <= BLOCK_MAX
                or self.block & (self.block - 1)):
            raise NotWellFormed("block size out of range")
        if (self.size % self.block or self.size > SEGMENT_SIZE_MAX
                or self.size < SEGMENT_BLOCKS_MIN * self.block):
            raise NotWellFormed("segment size out of range")
        if (not 1 <= self.number < NUMBER_END or self.number <= self.previous
                or self.epoch < 1):
            raise NotWellFormed("number, predecessor or epoch out of range")
        if not is_zero(reserved) or not is_zero(data[128:self.block]):
            raise NotWellFormed("reserved bytes are not zero")
        if self.number != number:
            raise NotWellFormed("number is not that of the name")
        if uuid is not None and segment_uuid != uuid:
            raise NotWellFormed("UUID is not that of LOCK")
        if self.size != len(data):
            raise NotWellFormed("file size is not the segment size")
        self.data = data
        self.run = []               # list of Batch
        self.behind = []            # (offset, Header): readable, behind the run
        self.unwritten = False      # behind the run: 7.3 [close-last]
        self.newer = None           # why a newer reader is needed, section 8
        self.stopped = None         # why the run ends where it ends

    @property
    def run_end(self):
        return self.run[-1].end if self.run else self.block

    @property
    def first_lsn(self):
        return self.run[0].first

    @property
    def last_lsn(self):
        return self.run[-1].last


# ------------------------------------------ section 5.1 and 7.4: one block

class Header:
    """The fields of a batch header.  Nothing is said about their truth."""

    __slots__ = ("magic", "crc", "segment", "salt", "offset", "size", "first",
                 "records", "applications", "mark_lsn", "mark_segment",
                 "mark_offset", "digest", "link", "time", "flags", "reserved")

    def __init__(self, data, offset):
        (self.magic, self.crc, self.segment, self.salt, self.offset, self.size,
         self.first, self.records, self.applications, self.mark_lsn,
         self.mark_segment, self.mark_offset, self.digest, self.link,
         self.time, self.flags,
         self.reserved) = BATCH_HEADER.unpack_from(data, offset)

    @property
    def last(self):
        """The run's last LSN if this were its last batch (7.2)."""
        return self.first + self.applications - 1

    @property
    def watermark(self):
        return (self.mark_segment, self.mark_offset)


def fields_are_right(header, segment, offset):
    """Every rule of 5.1 [batch-header-valid] but magic, CRC, salt and flags."""
    return (header.segment == segment.number
            and header.offset == offset
            and is_zero(header.reserved)
            and header.size >= 160
            and header.size % 8 == 0
            and offset + header.size <= segment.size
            and 1 <= header.records <= RECORDS_MAX
            and header.records * 32 <= header.size - 128
            and header.applications <= header.records
            and 1 <= header.first < LSN_END
            and header.first + header.applications <= LSN_END
            and header.mark_lsn < header.first
            and header.watermark <= (segment.number, offset))


def look_at(segment, offset):
    """What stands at a block (7.4), and its header."""
    data = segment.data
    header = Header(data, offset)
    sealed = (header.magic == BATCH_MAGIC
              and header.crc == crc32(data[offset + 8:offset + 128]))
    if (sealed and header.salt == segment.salt
            and fields_are_right(header, segment, offset)):
        return (NEWER if header.flags else READABLE), header
    if header.magic == bytes(4) and is_zero(data[offset:offset + segment.block]):
        return ZERO, header
    if sealed:
        return (STALE if header.salt != segment.salt else DAMAGED), header
    if (header.salt == segment.salt                         # [trace]
            or (header.segment == segment.number and header.offset == offset)):
        return DAMAGED, header
    return FOREIGN, header


def headers_from(segment, offset):
    """Readable and newer headers at block boundaries from offset on.

    Either kind begins with the magic, so looking for that is enough.
    """
    data, block = segment.data, segment.block
    while True:
        offset = data.find(BATCH_MAGIC, offset)
        if offset < 0:
            return
        if offset % block == 0:
            kind, header = look_at(segment, offset)
            if kind in (READABLE, NEWER):
                yield offset, kind, header
        offset += 1


# ------------------------------------- sections 5.2, 5.3, 6: a whole batch

class NotValid(Exception):
    """The batch or record breaks section 5 or 6."""


class Record:
    __slots__ = ("offset", "crc", "size", "lsn", "type", "flags", "tenant",
                 "shard", "payload")

    @property
    def is_system(self):
        return self.lsn == 0


def parse_record(segment, offset, batch_end):
    """One record, checked by 5.2 [record-valid]; and the offset behind it."""
    data = segment.data
    if batch_end - offset < 32:
        raise NotValid("a record's header is not inside the batch")
    record = Record()
    record.offset = offset
    (record.crc, record.size, record.lsn, record.type, record.flags,
     record.tenant, record.shard,
     salt) = RECORD_HEADER.unpack_from(data, offset)
    end = offset + 32 + record.size
    padded = round_up(end, 8)
    if padded > batch_end:
        raise NotValid("a record is not inside the batch")
    if record.crc != crc32(data[offset + 4:end]):
        raise NotValid("a record's CRC is wrong")
    if salt != segment.salt & 0xFFFFFFFF:
        raise NotValid("a record's salt is wrong")
    if not is_zero(data[end:padded]):
        raise NotValid("a record's padding is not zero")
    record.payload = data[offset + 32:end]
    return record, padded


class Start:
    """The payload of a start, checked by 6.1."""

    def __init__(self, payload):
        if len(payload) < START.size:
            raise NotValid("a start is too short")
        (self.predecessor, self.end, self.last_kept, self.crc, self.flags,
         self.trim, blob_size, reserved) = START.unpack_from(payload)
        self.blob = payload[START.size:]
        if (self.end == 0) != (self.predecessor == 0):
            raise NotValid("a start's predecessor and end do not agree")
        if self.predecessor == 0 and self.crc != 0:
            raise NotValid("a start without predecessor has a CRC")
        if self.flags & ~(START_CUT | START_RESET | START_LOST):
            raise NotValid("a start has unknown flags")
        if self.flags & START_RESET and self.flags & START_LOST:
            raise NotValid("a start begins anew and goes on")
        if self.last_kept >= LSN_END or self.trim >= LSN_END:
            raise NotValid("a start's LSNs are out of range")
        if blob_size > BLOB_MAX or blob_size != len(self.blob):
            raise NotValid("a start's blob has a wrong size")
        if reserved:
            raise NotValid("a start's reserved bytes are not zero")

    @property
    def goes_on(self):
        """7.2: the LSN that the segment goes on with."""
        if self.flags & START_RESET:
            return self.trim + 1
        return self.last_kept + 1

    def fits(self, first):
        """7.2: whether the segment's first batch may have this first LSN."""
        if self.flags & START_LOST:
            return first > self.goes_on
        return first == self.goes_on


class Batch:
    """A valid batch."""

    __slots__ = ("offset", "end", "header", "records", "start", "trim",
                 "metadata", "unknown")

    @property
    def first(self):
        return self.header.first

    @property
    def last(self):
        return self.header.last

    def is_witness(self):
        """Section 2: only marks and closes."""
        return all(record.is_system and record.type in (TYPE_MARK, TYPE_CLOSE)
                   for record in self.records)

    def ends_with_close(self):
        last = self.records[-1]
        return last.is_system and last.type == TYPE_CLOSE


def take_system_record(batch, record, is_first):
    """Section 6 [system-valid]; notes what the record says in the batch."""
    if record.flags or record.tenant or record.shard:
        raise NotValid("a system record has flags, a tenant or a shard")
    if is_first != (record.type == TYPE_START):
        raise NotValid("a start is missing or misplaced")
    if record.type == TYPE_START:
        batch.start = Start(record.payload)
        batch.trim = batch.start.trim
        batch.metadata = batch.start.blob
    elif record.type == TYPE_TRIM:
        if record.size != 8:
            raise NotValid("a trim has a wrong size")
        trim, = struct.unpack("<Q", record.payload)
        if trim >= LSN_END:
            raise NotValid("a trim point is out of range")
        batch.trim = max(batch.trim, trim)
    elif record.type == TYPE_METADATA:
        if record.size > BLOB_MAX:
            raise NotValid("a metadata blob is too large")
        batch.metadata = record.payload
    elif record.type in (TYPE_MARK, TYPE_CLOSE):
        if record.size:
            raise NotValid("a mark or close has a payload")
    elif record.type & TYPE_MUST_KNOW:
        batch.unknown = "system type %#06x" % record.type


def parse_batch(segment, offset, link, expected):
    """The valid batch at offset (5.3 [batch-valid]), or NotValid.

    expected is the first LSN, or None for the first batch of a segment,
    where the start itself tells it (7.2).
    """
    kind, header = look_at(segment, offset)
    if kind == NEWER:
        raise NeedsNewerReader("batch flags %#x" % header.flags)
    if kind != READABLE:
        raise NotValid("its header is " + kind)
    if header.link != link:
        raise NotValid("its link is wrong")
    batch = Batch()
    batch.offset, batch.header = offset, header
    batch.start, batch.trim, batch.metadata = None, 0, None
    batch.unknown = None
    batch.records = []
    parse_records(segment, batch, is_first=expected is None)
    if not (batch.start.fits(header.first) if expected is None
            else header.first == expected):
        raise NotValid("its first LSN is not the one expected")
    end = offset + header.size
    batch.end = round_up(end, segment.block)
    if not is_zero(segment.data[end:batch.end]):
        raise NotValid("its padding is not zero")
    return batch


def parse_records(segment, batch, is_first):
    """The middle of 5.3: the records, their LSNs [lsn-dense], the digest."""
    header = batch.header
    place, end = batch.offset + 128, batch.offset + header.size
    lsn = header.first
    crcs = []
    for index in range(header.records):
        record, place = parse_record(segment, place, end)
        must_start = is_first and index == 0
        if record.is_system:
            take_system_record(batch, record, must_start)
        elif must_start:
            raise NotValid("a segment's first record is not a start")
        elif record.lsn != lsn:
            raise NotValid("an LSN is not the next one")
        else:
            lsn += 1
        batch.records.append(record)
        crcs.append(segment.data[record.offset:record.offset + 4])
    if place != end:
        raise NotValid("the records do not fill the batch")
    if lsn - header.first != header.applications:
        raise NotValid("the number of application records is wrong")
    if header.digest != crc32(b"".join(crcs)):
        raise NotValid("the digest is wrong")


# -------------------------------------------------- sections 7.2, 7.3: runs

def find_run(segment):
    """The longest sequence of valid batches (7.2).

    Where a batch at its end asks for a newer reader (section 8), segment.newer
    says why.
    """
    offset, link, expected = segment.block, segment.crc, None
    while offset < segment.size:
        try:
            batch = parse_batch(segment, offset, link, expected)
        except NotValid as error:
            segment.stopped = str(error)
            return
        except NeedsNewerReader as error:
            segment.stopped = segment.newer = str(error)
            return
        if batch.unknown:
            segment.stopped = segment.newer = batch.unknown
            return
        segment.run.append(batch)
        link, expected = batch.header.crc, batch.last + 1
        offset = batch.end


def find_evidence(segment, epoch_closed=False):
    """The readable headers behind the run (7.3).

    epoch_closed: the segment lies above E's, whose run ends with a close, and
    has its epoch.
    """
    over = segment.run[-1].ends_with_close() if segment.run else epoch_closed
    if over and segment.run_end < segment.size:
        kind, _ = look_at(segment, segment.run_end)
        segment.unwritten = kind in (ZERO, STALE, FOREIGN)
    segment.behind = [] if segment.unwritten else [
        (offset, header) for offset, kind, header
        in headers_from(segment, segment.run_end) if kind == READABLE]


def largest_watermark(segments):
    """W and its LSN: (segment, offset, LSN) (7.3)."""
    best = (0, 0, 0)
    for segment in segments.values():
        headers = [batch.header for batch in segment.run]
        headers += [header for _, header in segment.behind]
        for header in headers:
            best = max(best, header.watermark + (header.mark_lsn,))
    return best


# ------------------------------------------------- section 7.5: the live end

def named_batch(predecessor, start):
    """Whether the start names a batch of the predecessor's run (7.5)."""
    for batch in predecessor.run:
        if batch.end == start.end:
            if batch.header.crc != start.crc:
                return False
            if batch.last == start.last_kept:
                return True
            return bool(start.flags & START_CUT
                        and batch.first - 1 <= start.last_kept <= batch.last)
    return False


def walk_back(segments, segment, trusted):
    """The walk of 7.5 from one started segment: (T, its segments), or None.

    Predecessors that end at or below the position trusted are not looked at.
    """
    trim = max(batch.trim for batch in segment.run)
    if trim > segment.last_lsn:
        return None
    walk = [segment]
    while walk[-1].run[0].start.goes_on > trim + 1:
        start = walk[-1].run[0].start
        predecessor = segments.get(start.predecessor)
        if predecessor and (start.predecessor, start.end) <= trusted:
            break
        if (predecessor is None or not predecessor.run
                or predecessor.number >= walk[-1].number
                or not named_batch(predecessor, start)):
            return None
        walk.append(predecessor)
    return trim, walk


class Result:
    """What recovery found.  Everything but row and verdict may be absent."""

    def __init__(self):
        self.verdict = None
        self.row = None
        self.why = None             # a sentence for people
        self.segments = {}          # number: Segment, all of the directory
        self.walk = []              # live segments, the newest first
        self.first_lsn = 0
        self.durable_lsn = 0
        self.end = (0, 0)           # E
        self.watermark = (0, 0, 0)  # W: segment, offset, LSN
        self.trim = 0
        self.metadata = b""
        self.undecidable = None     # (from, to); to is None when open above
        self.lost = None            # (from, to)
        self.missing = None         # number of a missing segment
        self.flipped_bit = None     # (segment, offset, bit), 7.8

    def decide(self, row, verdict, why=None):
        self.row, self.verdict, self.why = row, verdict, why
        return self


def find_live_end(result, trusted=(0, 0)):
    """7.5.  Leaves E = (0, 0), durable_lsn = 0, T = 0 if there is none."""
    segments = result.segments
    result.first_lsn = 1
    for number in sorted(segments, reverse=True):
        segment = segments[number]
        found = walk_back(segments, segment, trusted) if segment.run else None
        if found is None:
            continue
        result.trim, result.walk = found
        result.end = (number, segment.run_end)
        result.durable_lsn = segment.last_lsn
        result.first_lsn = result.trim + 1
        for batch in segment.run:
            if batch.metadata is not None:
                result.metadata = batch.metadata
        return


# ------------------------------------------------------ section 7.6: the tail

def run_is_witnessed(result):
    """The end of the exception in 7.6 for foreign heads."""
    if not result.walk:
        return False
    last = result.walk[0].run[-1]
    return (last.is_witness()
            and last.header.watermark == (result.end[0], last.offset))


def bad_heads(result):
    """The bad heads (7.6): (segment number, offset, kind)."""
    number, offset = result.end
    heads = [(segment, segment.block)
             for n, segment in sorted(result.segments.items()) if n > number]
    if result.walk and offset < result.walk[0].size:
        heads.insert(0, (result.walk[0], offset))
    bad = []
    for segment, place in heads:
        kind, _ = look_at(segment, place)
        if kind == DAMAGED or kind == FOREIGN and not run_is_witnessed(result):
            bad.append((segment.number, place, kind))
    return bad


def left_over(result):
    """Readable and newer headers at or behind E (7.6)."""
    number, offset = result.end
    found = []
    for n, segment in sorted(result.segments.items()):
        if n >= number:
            begin = offset
            if n > number:
                found += [batch.header for batch in segment.run]
                begin = segment.run_end
            if not segment.unwritten:
                found += [header for _, _, header
                          in headers_from(segment, begin)]
    return found


# ------------------------------------------------------- section 7.8: one bit

def single_bit_of_crc(wrong, length):
    """The bits of a message of this length whose flip changes its CRC so.

    wrong is the exclusive or of the two CRCs.  Flipping the bit in the last
    byte changes the CRC by a constant; each byte further to the front passes
    that change through the CRC register eight times.
    """
    changes = [crc32(bytes([1 << bit])) ^ crc32(b"\0") for bit in range(8)]
    table = [crc32(bytes([byte])) ^ crc32(b"\0") for byte in range(256)]
    for position in range(length - 1, -1, -1):
        for bit in range(8):
            if changes[bit] == wrong:
                yield position * 8 + bit
        changes = [(c >> 8) ^ table[c & 0xFF] for c in changes]


def suspect_bits(segment, offset):
    """Bits, counted from the file's begin, whose flip might heal the batch."""
    data = segment.data
    kind, header = look_at(segment, offset)
    if kind != READABLE:
        # A flip in a header always breaks its magic or its CRC.
        if kind == DAMAGED:
            yield from range(offset * 8, (offset + 128) * 8)
        return
    end = offset + header.size
    place = offset + 128
    for _ in range(header.records):
        try:
            record, place = parse_record(segment, place, end)
        except NotValid:
            break
    else:
        place = end
    if place + 32 <= end:           # the first record that is not valid
        yield from range(place * 8, (place + 8) * 8)        # CRC and size
        crc, size = struct.unpack_from("<II", data, place)
        record_end = place + 32 + size
        if record_end <= end:
            wrong = crc ^ crc32(data[place + 4:record_end])
            for bit in single_bit_of_crc(wrong, 28 + size) if wrong else ():
                yield (place + 4) * 8 + bit
            yield from range(record_end * 8, round_up(record_end, 8) * 8)
    for index in range(end, round_up(end, segment.block)):
        if data[index]:
            yield from range(index * 8, index * 8 + 8)


def flipped_bit(segment):
    """7.8 [flipped-bit] for the batch behind the run: (offset, bit) or None."""
    offset, link, expected = segment.run_end, segment.crc, None
    if offset >= segment.size:
        return None
    if segment.run:
        last = segment.run[-1]
        link, expected = last.header.crc, last.last + 1
    original = segment.data
    suspects = list(suspect_bits(segment, offset))
    segment.data = changed = bytearray(original)
    try:
        for suspect in suspects:
            byte, bit = divmod(suspect, 8)
            sector = byte // 512 * 512
            if is_zero(original[sector:sector + 512]):
                continue
            changed[byte] ^= 1 << bit
            try:
                parse_batch(segment, offset, link, expected)
                return byte, bit
            except (NotValid, NeedsNewerReader):
                changed[byte] ^= 1 << bit
    finally:
        segment.data = original
    return None


def find_flipped_bit(result):
    """Adds the flipped bit of 7.8 to the result."""
    if result.walk:
        found = flipped_bit(result.walk[0])
        if found:
            result.flipped_bit = {"segment": result.end[0],
                                  "offset": found[0], "bit": found[1]}
    return result


# ------------------------------------------- sections 7.1, 7.7: the decision

def has_trace(segment):
    """Whether any block says that batches were written here (7.1, 7.4)."""
    return any(look_at(segment, offset)[0] in (READABLE, NEWER, DAMAGED)
               for offset in range(segment.block, segment.size, segment.block))


def check_structure(result, files):
    """7.1 [structure].  Fills result.segments; True if it decided."""
    damage = []
    uuid = None
    if "LOCK" in files:
        uuid = lock_uuid(files["LOCK"])
        if uuid is None:
            damage.append("LOCK is not valid")
    for name, data in files.items():
        if not name.endswith(".wal"):
            continue                                    # LOCK, or not ours
        number = segment_number(name)
        if number is None:
            damage.append(name + ": not a segment's name")      # [name-valid]
            continue
        try:
            result.segments[number] = Segment(number, data, uuid)
        except NotWellFormed as error:
            damage.append("%s: %s" % (name, error))
        except NeedsNewerReader as error:
            raise NeedsNewerReader("%s: %s" % (name, error)) from error
    if "LOCK" not in files:
        if not any(name.endswith(".wal") for name in files):
            result.decide("no-log", "none")
            return True
        if not damage and not any(map(has_trace, result.segments.values())):
            result.decide("interrupted-creation", "none")
            return True
        damage.append("LOCK is missing")
    if damage:
        result.decide("bad-structure", "corrupt", "; ".join(damage))
        return True
    if not result.segments:
        result.decide("lost-files", "corrupt")                  # [lost-files]
        return True
    return False


def decide_loss(result):
    """The rows of 7.7 from lost-records to missing-successor."""
    segments, watermark = result.segments.values(), result.watermark
    if watermark[:2] > result.end:
        if watermark[2] > result.durable_lsn:
            result.lost = (result.durable_lsn + 1, watermark[2])
        return result.decide("lost-records", "corrupt")
    missing = sorted(segment.previous for segment in segments
                     if segment.previous > result.end[0]
                     and segment.previous not in result.segments)
    if missing:
        result.missing = missing[0]
        return result.decide("missing-segment", "corrupt")
    if (result.walk
            and all(segment.previous != result.end[0] for segment in segments)):
        return result.decide("missing-successor", "corrupt")
    return None


def decide_tail(result):
    """The rows of 7.7 from torn-open to clean."""
    bad = bad_heads(result)
    if bad:
        result.undecidable = (result.durable_lsn + 1, None)
        return result.decide("torn-open", "torn",
                             "; ".join("segment %d, offset %d: %s" % head
                                       for head in bad))
    rest = left_over(result)
    if rest:
        last = max(header.last for header in rest)
        if last > result.durable_lsn:
            result.undecidable = (result.durable_lsn + 1, last)
        return result.decide("torn", "torn")
    if not result.walk:
        return result.decide("empty", "clean")
    if result.walk[0].run[-1].ends_with_close():
        return result.decide("closed", "clean")
    return result.decide("clean", "clean")


def newer_segment(segments):
    """Section 8 [newer]: why one of these segments has to be refused."""
    for segment in sorted(segments, key=lambda segment: segment.number):
        if segment.newer:
            return "segment %d: %s" % (segment.number, segment.newer)
    return None


def recover(files, skip=False):
    """Section 7: from the bytes of a directory to a Result.

    With skip, what section 11 allows an opener to skip is skipped: segments
    that end at or below W and are only needed for older records.  Then the
    walk of the result may end before it reaches first_lsn.
    """
    result = Result()
    try:
        if check_structure(result, files):
            return result
    except NeedsNewerReader as error:
        return result.decide("newer", "newer", str(error))
    for segment in result.segments.values():
        find_run(segment)
        find_evidence(segment)
    result.watermark = largest_watermark(result.segments)
    find_live_end(result, result.watermark[:2] if skip else (0, 0))
    if result.walk and result.walk[0].run[-1].ends_with_close():
        for number, segment in result.segments.items():
            if number > result.end[0]:
                find_evidence(segment, segment.epoch == result.walk[0].epoch)
        result.watermark = largest_watermark(result.segments)
    looked_at = [segment for segment in result.segments.values()
                 if not skip or segment.number >= result.end[0]
                 or segment in result.walk]
    reason = newer_segment(looked_at)
    if reason:
        refused = Result().decide("newer", "newer", reason)
        refused.segments = result.segments
        return refused
    return decide_loss(result) or decide_tail(result)


def recover_path(path):
    try:
        files = read_directory(path)
    except Unreadable as error:
        return Result().decide("unreadable", "unreadable", str(error))
    return recover(files)


def records(result):
    """The log's records: (segment number, Record), by LSN (end of 7.5)."""
    for index in range(len(result.walk) - 1, -1, -1):
        segment = result.walk[index]
        limit = result.durable_lsn
        if index:
            # What the next segment of the walk keeps of this one.
            limit = result.walk[index - 1].run[0].start.last_kept
        for batch in segment.run:
            for record in batch.records:
                if not record.is_system and result.trim < record.lsn <= limit:
                    yield segment.number, record


# --------------------------------------------------------------- the command

def summary(result):
    """The fields of a result that a checker's last line is compared with."""
    def span(pair):
        return None if pair is None else {"from": pair[0], "to": pair[1]}
    return {
        "kind": "summary",
        "verdict": result.verdict,
        "row": result.row,
        "why": result.why,
        "first_lsn": result.first_lsn,
        "durable_lsn": result.durable_lsn,
        "end": {"segment": result.end[0], "offset": result.end[1]},
        "watermark": dict(zip(("segment", "offset", "lsn"), result.watermark)),
        "trim": result.trim,
        "metadata": result.metadata.hex(),
        "undecidable": span(result.undecidable),
        "lost": span(result.lost),
        "missing": result.missing,
        "flipped_bit": result.flipped_bit,
    }


def record_fields(number, record, payload="base64"):
    fields = {"kind": "record", "lsn": record.lsn, "type": record.type,
              "flags": record.flags, "tenant": record.tenant,
              "shard": record.shard, "size": record.size, "segment": number,
              "offset": record.offset}
    if payload == "sha":
        from hashlib import sha256
        fields["sha256"] = sha256(record.payload).hexdigest()
    else:
        from base64 import b64encode
        fields["payload"] = b64encode(record.payload).decode()
    return fields


def main(arguments):
    options = {word for word in arguments if word.startswith("--")}
    paths = [word for word in arguments if not word.startswith("--")]
    if len(paths) != 1 or options - {"--json", "--records", "--sha"}:
        print("usage: dwalspec.py DIR [--json] [--records] [--sha]",
              file=sys.stderr)
        return 2
    result = find_flipped_bit(recover_path(paths[0]))
    payload = "sha" if "--sha" in options else "base64"
    lines = []
    if "--records" in options:
        lines = [record_fields(number, record, payload)
                 for number, record in records(result)]
    if "--json" in options:
        import json
        for fields in lines + [summary(result)]:
            print(json.dumps(fields))
        return 0
    for key, value in summary(result).items():
        if key != "kind":
            print("%-12s %s" % (key, value))
    for fields in lines:
        print(" ".join("%s=%s" % item for item in fields.items()
                       if item[0] != "kind"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
