# SPDX-License-Identifier: MIT
"""Small logs at the limits of SPEC.md, which random damage hardly ever makes.

corner_logs() yields (name, files, row): the row of SPEC.md 7.7 that the text
demands, "newer" for section 8.  random_damage.py shows each to every reader.
"""

import struct
from zlib import crc32

import dwalmake
from dwalmake import SegmentMaker, record, segment_header, segment_name, start
from dwalspec import (LSN_END, NUMBER_END, START_CUT, START_LOST, START_RESET,
                      TYPE_CLOSE, TYPE_MARK, TYPE_METADATA, TYPE_START,
                      TYPE_TRIM)

UUID = bytes(range(100, 116))


def maker(number, previous=None, **fields):
    fields.setdefault("salt", 0x0123456700000000 + number * 0x1111)
    return SegmentMaker(number, number - 1 if previous is None else previous,
                        UUID, **fields)


def files_of(*makers):
    files = {"LOCK": dwalmake.lock_line(UUID)}
    files.update((m.name, bytes(m.data)) for m in makers)
    return files


def one_segment(*batches, behind=b"", **fields):
    """Segment 1 with a start and these batches, and an empty segment 2.

    A batch is (list of (lsn, payload, type), first LSN, further fields).
    """
    one = maker(1, **fields)
    one.begin()
    for records, first, more in batches:
        one.add([one.record(lsn, payload, type=kind)
                 for lsn, payload, kind in records], first, **more)
    one.data[one.tail:one.tail + len(behind)] = behind
    return files_of(one, maker(2))


def app(lsn, payload=b"x"):
    return (lsn, payload, 7)


def system(kind, payload=b""):
    return (0, payload, kind)


def system_records():
    """Section 6, in the last batch."""
    def with_record(kind, payload):
        return one_segment(([app(1)], 1, {}),
                           ([system(kind, payload), app(2)], 2, {}))
    for trim, row in ((2, "clean"), (3, "torn"), (LSN_END - 1, "torn")):
        # Larger than the last LSN: no live end at all, and all is left over.
        yield "trim %d" % trim, with_record(
            TYPE_TRIM, struct.pack("<Q", trim)), row
    # An invalid batch: only this one is torn.
    for payload in (struct.pack("<Q", LSN_END), bytes(7), bytes(9), b""):
        yield "trim %r" % payload, with_record(TYPE_TRIM, payload), "torn"
    for size, row in ((0, "clean"), (1024, "clean"), (1025, "torn")):
        yield "metadata %d" % size, with_record(
            TYPE_METADATA, bytes(size)), row
    for kind in (TYPE_MARK, TYPE_CLOSE):
        yield "payload in %d" % kind, with_record(kind, b"12345678"), "torn"
        yield "no payload in %d" % kind, with_record(kind, b""), "clean"
    yield "second start", with_record(TYPE_START, start()), "torn"
    yield "unknown type", with_record(6, b"anything"), "clean"
    yield "unknown type 0", with_record(0, b"anything"), "clean"
    yield "unknown high type", with_record(0x8004, b"anything"), "newer"
    for field in ("flags", "tenant", "shard"):
        for kind in (TYPE_MARK, 6, 0x8004):
            one = maker(1)
            one.begin()
            one.add([one.record(0, type=kind, **{field: 1})], 1)
            yield "%s in system type %#x" % (field, kind), files_of(
                one, maker(2)), "torn"


def starts():
    """6.1 and 7.2."""
    def with_start(payload, first=1, row="clean", **fields):
        one = maker(1, **fields)
        records = [one.record(0, payload, type=TYPE_START),
                   one.record(first, b"x")]
        one.add(records, first)
        return files_of(one, maker(2)), row
    reset = START_RESET
    for name, (files, row) in {
            "reset": with_start(start(flags=reset, trim=5), 6),
            "reset and cut": with_start(start(flags=reset | START_CUT, trim=5), 6),
            "reset, last kept": with_start(
                start(flags=reset, trim=5, last_kept=LSN_END - 1), 6),
            "reset, last kept too large": with_start(
                start(flags=reset, trim=5, last_kept=LSN_END), 6, "torn"),
            "trim too large": with_start(
                start(flags=reset, trim=LSN_END, last_kept=0), 1, "torn"),
            "trim beyond the run": with_start(start(trim=2), 1, "torn"),
            "trim at the run's end": with_start(start(trim=1), 1),
            "end without predecessor": with_start(start(end=512), 1, "torn"),
            "predecessor without end": with_start(
                start(predecessor=7), 1, "torn"),
            "CRC without predecessor": with_start(start(crc=1), 1, "torn"),
            "unknown flag": with_start(start(flags=4), 1, "torn"),
            "reserved": with_start(start(reserved=1), 1, "torn"),
            "blob of 1024": with_start(start(blob=bytes(1024)), 1),
            "blob of 1025": with_start(start(blob=bytes(1025)), 1, "torn"),
            "blob smaller than said": with_start(
                start(blob=b"abc", blob_size=4), 1, "torn"),
            "blob larger than said": with_start(
                start(blob=b"abc", blob_size=2), 1, "torn"),
            "starts at 42, trimmed less": with_start(
                start(last_kept=41, trim=40), 42, "torn"),
            "starts at 42, trimmed": with_start(start(last_kept=41, trim=41), 42),
            "wrong first LSN": with_start(start(last_kept=1, trim=1), 3, "torn"),
            "largest LSN": with_start(
                start(flags=reset, trim=LSN_END - 2), LSN_END - 1),
            }.items():
        yield name, files, row


def cuts():
    """7.5: the batch that a start names."""
    for keep, flags, row in ((10, 0, "clean"), (9, 0, "torn"), (10, 1, "clean"),
                             (9, 1, "clean"), (7, 1, "clean"), (5, 1, "clean"),
                             (4, 1, "torn"), (11, 1, "torn"), (11, 0, "torn")):
        one, two = maker(1), maker(2)
        one.begin(1, [one.record(lsn) for lsn in range(1, 6)])
        one.add([one.record(lsn) for lsn in range(6, 11)], 6)
        end, crc = one.tail, one.link
        one.add([one.record(lsn) for lsn in range(11, 14)], 11)
        two.begin(keep + 1, [two.record(keep + 1)], predecessor=1, end=end,
                  last_kept=keep, crc=crc, flags=flags)
        yield "keep %d, flags %d" % (keep, flags), files_of(
            one, two, maker(3)), row
    for name, wrong in (("crc", dict(crc=1)), ("end", dict(end=1025))):
        one, two = maker(1), maker(2)
        one.begin(1, [one.record(1)])
        two.begin(2, **{**dict(predecessor=1, end=one.tail, last_kept=1,
                               crc=one.link), **wrong})
        yield "wrong %s named" % name, files_of(one, two, maker(3)), "torn"
    # A predecessor that is not lower.
    one, three, five = maker(1), maker(3, 1), maker(5, 3)
    one.begin(1, [one.record(1)])
    five.begin(2, [five.record(2)], predecessor=4, end=512, last_kept=1, crc=5)
    three.begin(3, predecessor=5, end=five.tail, last_kept=2, crc=five.link)
    yield "a higher predecessor", files_of(one, three, five), "torn"
    # Two headers name one position with two LSNs: the larger counts, 7.3.
    one, two = maker(1), maker(2)
    one.begin(1, [one.record(lsn) for lsn in range(1, 6)])
    end, crc, hole = one.tail, one.link, one.tail
    one.add([one.record(6)], 6)
    one.add([one.record(7)], 7, (6, 1, one.tail))
    two.begin(4, predecessor=1, end=end, last_kept=3, crc=crc, flags=1,
              watermark=(3, 1, one.tail - 512))
    one.data[hole + 200] ^= 1
    two.data[600] ^= 1
    yield "one position, two LSNs", files_of(one, two, maker(3)), "lost-records"


def lost():
    """7.2: a start that says what is lost."""
    for flags, first, row in ((4, 15, "clean"), (4, 12, "clean"),
                              (4, 11, "torn"), (4, 10, "torn"),
                              (5, 15, "clean"), (6, 15, "torn"),
                              (4, LSN_END - 1, "clean"), (8, 15, "torn")):
        one, two = maker(1), maker(2)
        one.begin(1, [one.record(lsn) for lsn in range(1, 11)])
        two.begin(first, [two.record(first)], predecessor=1, end=one.tail,
                  last_kept=10, crc=one.link, flags=flags)
        yield "first %d, flags %d" % (first, flags), files_of(
            one, two, maker(3)), row
    # What is lost is trimmed, too: to before it, into it, up to it.
    for trim in (9, 10, 12, 14, 15):
        one, two = maker(1), maker(2)
        one.begin(1, [one.record(lsn) for lsn in range(1, 11)])
        two.begin(15, [two.record(15)], predecessor=1, end=one.tail,
                  last_kept=10, crc=one.link, flags=START_LOST, trim=trim)
        yield "trimmed to %d" % trim, files_of(one, two, maker(3)), "clean"
    one = maker(1)
    one.begin(5, [one.record(5)], flags=START_LOST)
    yield "from the beginning", files_of(one, maker(2)), "clean"


def tails():
    """7.6, 7.7."""
    junk, mark = b"junk" * 128, system(TYPE_MARK)
    one = maker(1)
    one.begin()
    own = one.tail
    place = (0, 1, own)
    for name, batch, row in (
            ("mark", ([mark], 1, dict(watermark=place)), "clean"),
            ("close", ([system(TYPE_CLOSE)], 1, dict(watermark=place)), "closed"),
            ("mark and close", ([mark, system(TYPE_CLOSE)], 1,
                                dict(watermark=place)), "closed"),
            ("close and mark", ([system(TYPE_CLOSE), mark], 1,
                                dict(watermark=place)), "clean"),
            ("early mark", ([mark], 1, dict(watermark=(0, 1, own - 8))),
             "torn-open"),
            ("mark and more", ([mark, system(6)], 1, dict(watermark=place)),
             "torn-open"),
            ("mark and a record", ([mark, app(1)], 1, dict(watermark=place)),
             "torn-open"),
            ("record", ([app(1)], 1, dict(watermark=place)), "torn-open")):
        yield name + ", junk", one_segment(batch, behind=junk), row
        files = one_segment(batch)
        higher = bytearray(files[segment_name(2)])
        higher[512:1024] = junk
        yield name + ", junk in the next", {**files, segment_name(2): bytes(
            higher)}, row
        trace = bytearray(junk)
        struct.pack_into("<QQQ", trace, 8, 1, 0, own + 512)
        yield name + ", trace", one_segment(batch, behind=bytes(trace)), "torn-open"
    close = ([system(TYPE_CLOSE)], 1, {})
    yield "a batch behind a close", one_segment(close, ([app(1)], 1, {})), "clean"
    newer = dict(flags=1)
    yield "newer at E", one_segment(([app(1)], 1, newer)), "newer"
    # Behind a hole it is only left over.
    one = maker(1)
    one.begin()
    hole = one.tail
    one.add([one.record(1)], 1)
    one.add([one.record(2)], 2, flags=1)
    one.data[hole:hole + 512] = bytes(512)
    yield "newer behind E", files_of(one, maker(2)), "torn"
    two = maker(2)
    two.add([two.record(0, start(1, 1024, 0, 1), type=TYPE_START)], 1, flags=1)
    yield "newer in the next", files_of(one, two), "newer"
    # A header in the payload of a whole batch: evidence behind a run (7.3), and
    # left over in a higher segment even inside a run (7.6).
    for name, number, row in (("evidence", 1, "lost-records"),
                              ("left over", 2, "torn")):
        one, two = maker(1), maker(2)
        one.begin(1, [one.record(1)])
        target = (one, two)[number - 1]
        if number == 1:
            one.tail += 512                                 # a hole
        body = target.record(0, start(1, 1024, 7, 99), type=TYPE_START)
        at = target.tail + 512
        forged = dwalmake.batch([target.record(9)], number, target.salt, at, 9, 0,
                                512, (8, 1, at if number == 1 else 512))
        payload = bytes(512 - 128 - len(body) - 32) + forged
        target.add([body, target.record(8, payload)], 8)
        yield name + " in a payload", files_of(one, two, maker(3)), row
    one = maker(1, blocks=16)
    one.begin()
    one.add([one.record(1, bytes(one.size - one.tail - 160))], 1)
    assert one.tail == one.size
    yield "a full segment", files_of(one, maker(2)), "clean"
    yield "a full segment, no successor", files_of(one), "missing-successor"


def headers():
    """4.1, 4.2, 4.3."""
    good = one_segment(([app(1)], 1, {}))
    two = segment_name(2)
    for name, fields, row in (
            ("compatible", dict(compatible=1), "clean"),
            ("read-only", dict(read_only=1 << 31), "clean"),
            ("incompatible", dict(incompatible=1 << 31), "newer"),
            ("version 0", dict(version=0), "newer"),
            ("header size", dict(header_size=256), "bad-structure"),
            ("reserved", dict(reserved=bytes(31) + b"\1"), "bad-structure"),
            ("epoch 0", dict(epoch=0), "bad-structure"),
            ("follows itself", dict(previous=2), "bad-structure"),
            ("follows none", dict(previous=0), "missing-successor"),
            ("another UUID", dict(uuid=bytes(16)), "bad-structure"),
            ("another number", dict(number=3), "bad-structure"),
            ("block 256", dict(block=256), "bad-structure"),
            ("block 768", dict(block=768), "bad-structure"),
            ("block 512 × 15", dict(size=15 * 512), "bad-structure"),
            ("block 512 × 16", dict(size=16 * 512), "clean"),
            ("block 65536", dict(block=65536), "clean"),
            ("block 131072", dict(block=131072), "bad-structure")):
        base = dict(number=2, previous=1, uuid=UUID, block=512, salt=99)
        base.update(fields)
        base.setdefault("size", base["block"] * 16)
        data = segment_header(**base).ljust(base["size"], b"\0")
        yield name, {**good, two: data}, row
    for number, row in ((NUMBER_END - 1, "clean"), (NUMBER_END, "bad-structure"),
                        (2 * NUMBER_END - 1, "bad-structure")):
        data = segment_header(number, 1, UUID, 512, 8192, 9).ljust(8192, b"\0")
        yield "segment %#x" % number, {**good, segment_name(number): data}, row
    lock = good["LOCK"]
    for name, line in (("separator", lock[:48] + b"_"),
                       ("version", lock[:10] + b"2" + lock[11:49]),
                       ("case", lock[:12] + lock[12:48].upper() + b" "),
                       ("groups", lock[:20] + b"0" + lock[21:49])):
        line += b"%08x\n" % crc32(line)
        yield "LOCK, " + name, {**good, "LOCK": line}, "bad-structure"
    yield "LOCK, case of the CRC", {**good, "LOCK": upper_crc()}, "bad-structure"
    yield "LOCK, no newline", {**good, "LOCK": lock[:57] + b" "}, "bad-structure"
    yield "LOCK, longer", {**good, "LOCK": lock + b"\n"}, "bad-structure"
    rest = {name: data for name, data in good.items() if name != "LOCK"}
    yield "no LOCK", rest, "bad-structure"
    yield "no LOCK, empty", {two: good[two]}, "interrupted-creation"
    yield "no LOCK, two UUIDs", {two: good[two], segment_name(3): segment_header(
        3, 2, bytes(16), 512, 8192, 9).ljust(8192, b"\0")}, "interrupted-creation"


def upper_crc():
    """A LOCK of UUID whose CRC is written with capitals."""
    line = dwalmake.lock_line(UUID)
    return line[:49] + line[49:57].upper() + line[57:]


def counts():
    """5.1, 9: as many records as may be, and one more."""
    for count, row in ((131071, "clean"), (131072, "torn-open")):
        one = maker(1, block=65536, blocks=80)
        one.begin()
        one.add([record(one.salt, 0, type=TYPE_MARK)] * count, 1)
        yield "%d records" % count, files_of(one, maker(2)), row
    # More applications than LSNs there are.
    one = maker(1)
    trim = LSN_END - 2
    body = one.record(0, start(flags=START_RESET, trim=trim), type=TYPE_START)
    one.add([body, one.record(LSN_END - 1), one.record(LSN_END)], LSN_END - 1)
    yield "an LSN too large", files_of(one, maker(2)), None


def corner_logs():
    for group in (system_records, starts, cuts, lost, tails, headers, counts):
        for name, files, row in group():
            yield "%s: %s" % (group.__name__, name), files, row
