#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""waldump on logs that walput made and that are damaged here: --skip-damage,
--map, --extract, --decoder, --stats, and what may reach a terminal."""
import base64
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import termios
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402
from tools import directory, run, tool  # noqa: E402

BLOCK = 4096
COUNT = 400


def check(condition: bool, what: object) -> None:
    if not condition:
        raise AssertionError(what)


def payload(lsn: int) -> bytes:
    return b"%d-" % lsn + b"x" * (lsn * 37 % 600)


def make(log: Path, count: int = COUNT) -> list[dict]:
    """LSNs 1 to @count in several segments, a batch each: --ack waits for each.
    Returns the batches."""
    data = b"".join(payload(i) + b"\n" for i in range(1, count + 1))
    result = run("walput", "--ack", "--segment-size", "256K", str(log),
                 stdin=data)
    check(result.status == 0, result)
    return lines(log, "--batches")


def lines(log: Path, *arguments: str, status: int = 0) -> list[dict]:
    result = run("waldump", "--json", str(log), *arguments)
    check(result.status == status, (arguments, result.status, result.err))
    return [json.loads(line) for line in result.out.splitlines()]


def file_of(log: Path, segment: int) -> Path:
    return log / f"{segment:016x}.wal"


def flip(path: Path, offset: int, count: int = 1) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        old = file.read(count)
        file.seek(offset)
        file.write(bytes(b ^ 0x40 for b in old))


def batch_of(batches: list[dict], lsn: int) -> dict:
    return next(b for b in batches
                if b["first_lsn"] <= lsn < b["first_lsn"] + b["lsn_count"])


def damage(log: Path, batch: dict, header: bool) -> None:
    flip(file_of(log, batch["segment"]),
         batch["offset"] + (40 if header else 128 + 40))


def expect_holes(log: Path, lost: set[int]) -> list[dict]:
    """Everything but @lost is shown, in order and right; @lost is told."""
    result = run("waldump", "--json", "--skip-damage", str(log))
    check(result.status == 4, result)
    shown, told, gaps = [], set(), []
    for line in result.out.splitlines():
        item = json.loads(line)
        if item["kind"] == "gap":
            check(item["why"] == "damaged", item)
            gaps.append(item)
            if "first_lsn" in item:
                told |= set(range(item["first_lsn"], item["last_lsn"] + 1))
            continue
        check(item["kind"] == "record", item)
        check(base64.b64decode(item["payload"]) == payload(item["lsn"]), item)
        shown.append(item["lsn"])
    check(shown == sorted(set(range(1, COUNT + 1)) - lost), (shown, gaps))
    check(told == lost, (told, lost, result.err))
    for gap in gaps:
        check("first_lsn" not in gap or gap["text"] in result.err, gap)
    raw = run("waldump", "--raw", "--lines", "--skip-damage", str(log))
    check(raw.status == 4, raw)
    check(raw.out == b"".join(payload(i) + b"\n" for i in shown), "raw")
    return gaps


def lsns(*batches: dict) -> set[int]:
    return {lsn for b in batches
            for lsn in range(b["first_lsn"], b["first_lsn"] + b["lsn_count"])}


# ---- --skip-damage ----

def test_skip_in_the_middle():
    """Segments that recovery need not read: records, headers, both."""
    for header in (False, True):
        with directory() as d:
            batches = make(d / "log")
            hit = [batch_of(batches, lsn) for lsn in (5, 6, 40)]
            for batch in hit:
                damage(d / "log", batch, header)
            check(run("waldump", "-q", str(d / "log")).status == 4, "told")
            gaps = expect_holes(d / "log", lsns(*hit))
            check({(g["segment"], g["offset"] // BLOCK) for g in gaps} ==
                  {(b["segment"], b["offset"] // BLOCK) for b in hit
                   if not header or b["first_lsn"] != 6}, gaps)


def test_skip_at_the_end():
    """The newest segment: recovery ends the log before the damage."""
    for header in (False, True):
        with directory() as d:
            batches = make(d / "log")
            hit = [batch_of(batches, lsn) for lsn in (COUNT - 7, COUNT - 3)]
            for batch in hit:
                damage(d / "log", batch, header)
            gaps = expect_holes(d / "log", lsns(*hit))
            check([g["offset"] for g in gaps] == [b["offset"] for b in hit],
                  gaps)


def test_skip_the_last():
    """The last record that a mark or a close vouches for: a hole at the end."""
    with directory() as d:
        batches = make(d / "log")
        hit = batch_of(batches, COUNT)
        damage(d / "log", hit, False)
        expect_holes(d / "log", lsns(hit))


def test_skip_starts():
    """The first batch of a segment, which holds its start; the newest too."""
    with directory() as d:
        batches = make(d / "log")
        segments = sorted({b["segment"] for b in batches})
        for segment in (segments[1], segments[-1]):
            first = next(b for b in batches if b["segment"] == segment)
            damage(d / "log", first, False)
            hit = [b for b in batches
                   if b["segment"] in (segments[1], segments[-1]) and
                   b["offset"] == BLOCK]
        expect_holes(d / "log", lsns(*hit))


def test_skip_a_header():
    """A segment whose own header is damaged cannot be read at all."""
    with directory() as d:
        batches = make(d / "log")
        segments = sorted({b["segment"] for b in batches})
        for segment in (segments[0], segments[1]):
            with directory() as e:
                log = e / "log"
                subprocess.run(["cp", "-r", str(d / "log"), str(log)],
                               check=True)
                flip(file_of(log, segment), 60)
                expect_holes(log, lsns(*(b for b in batches
                                         if b["segment"] == segment)))


def test_skip_the_only_segment():
    """Nothing is left but batches without a beginning."""
    with directory() as d:
        batches = make(d / "log", 20)
        damage(d / "log", batches[0], False)
        result = run("waldump", "--json", "--skip-damage", str(d / "log"))
        check(result.status == 4, result)
        shown = [json.loads(x) for x in result.out.splitlines()]
        lost = lsns(batches[0])
        check({x["lsn"] for x in shown if x["kind"] == "record"} ==
              set(range(1, 21)) - lost, shown)


def test_skip_nothing():
    """On a good log it changes nothing, the exit code included."""
    with directory() as d:
        make(d / "log")
        one = run("waldump", "--json", str(d / "log"))
        two = run("waldump", "--json", "--skip-damage", str(d / "log"))
        check(one == two and one.status == 0, (one.status, two.status))


def test_skip_shows_nothing_unproven():
    """What a crash left, torn, is no more shown than without it."""
    with directory() as d:
        batches = make(d / "log")
        last = batches[-1]  # the close
        record = batch_of(batches, COUNT)
        path = file_of(d / "log", record["segment"])
        with path.open("r+b") as file:  # as if neither had ever been written
            file.seek(last["offset"])
            file.write(bytes(BLOCK))
            file.seek(record["offset"] + 512)
            file.write(bytes(BLOCK - 512))
        one = run("waldump", "--json", str(d / "log"))
        two = run("waldump", "--json", "--skip-damage", str(d / "log"))
        check(one.out == two.out and two.status == one.status, two.err)


def test_skip_stops_at_what_is_proven():
    """Behind damage, too, a record that nothing proves is not shown."""
    with directory() as d:
        batches = make(d / "log")
        record, lost = batch_of(batches, COUNT), batch_of(batches, COUNT - 9)
        check(record["segment"] == lost["segment"], batches[-12:])
        path = file_of(d / "log", record["segment"])
        with path.open("r+b") as file:  # the close, a mark: never written
            file.seek(record["offset"] + -(-record["size"] // BLOCK) * BLOCK)
            rest = path.stat().st_size - file.tell()
            file.write(bytes(rest))
        damage(d / "log", lost, False)
        result = run("waldump", "--json", "--skip-damage", str(d / "log"))
        shown = [json.loads(x).get("lsn") for x in result.out.splitlines()]
        check(result.status == 4 and COUNT - 1 in shown and
              COUNT not in shown and COUNT - 9 not in shown, result.err)


# ---- damage of any kind ----

def hit_somewhere(r, log: Path, dirty: set[tuple[int, int]]) -> None:
    """One damage to one file; notes the blocks that are not as they were."""
    path = r.choice(sorted(log.glob("*.wal")))
    segment, data = int(path.stem, 16), bytearray(path.read_bytes())
    blocks = len(data) // BLOCK
    if blocks == 0:
        return
    a, b = r.randrange(blocks), r.randrange(blocks)
    one, two = slice(a * BLOCK, (a + 1) * BLOCK), slice(b * BLOCK,
                                                      (b + 1) * BLOCK)
    kind = r.choice(["flip", "flip", "flip", "zero", "junk", "copy", "swap",
                     "header", "truncate"])
    if kind == "flip":
        data[a * BLOCK + r.randrange(BLOCK)] ^= 1 << r.randrange(8)
    elif kind == "zero":
        data[one] = bytes(BLOCK)
    elif kind == "junk":
        data[a * BLOCK:a * BLOCK + 512] = r.randbytes(512)
    elif kind == "copy":
        data[one] = data[two]
    elif kind == "swap":
        data[one], data[two] = data[two], data[one]
        dirty.add((segment, b))
    elif kind == "header":
        a = 0
        data[r.randrange(128)] ^= 1
    else:
        a = 0  # the segment as a whole
        del data[r.randrange(len(data)):]
    dirty.add((segment, a))
    path.write_bytes(data)


def test_skip_random_damage():
    """All that is whole and proven is shown, all else is told, whatever was
    damaged; nothing twice, nothing wrong, and the exit codes agree."""
    r = tools.seeded()
    with directory() as d:
        base, log = d / "base", d / "log"
        batches = make(base)
        for _ in range(25):
            shutil.rmtree(log, ignore_errors=True)
            shutil.copytree(base, log)
            dirty: set[tuple[int, int]] = set()
            for _ in range(r.choice([1, 1, 2, 3, 5])):
                hit_somewhere(r, log, dirty)
            plain = run("waldump", "-q", str(log))
            result = run("waldump", "--json", "--skip-damage", str(log))
            check(result.status == plain.status, (dirty, result, plain))
            items = [json.loads(x) for x in result.out.splitlines()]
            shown = [x for x in items if x["kind"] == "record"]
            check(all(base64.b64decode(x["payload"]) == payload(x["lsn"])
                      for x in shown), dirty)
            seen = [x["lsn"] for x in shown]
            for x in items:
                if x["kind"] == "gap" and "first_lsn" in x:
                    seen += range(x["first_lsn"], x["last_lsn"] + 1)
            top = max(seen, default=0)
            check(sorted(seen) == list(range(1, top + 1)), (dirty, result.err))
            intact = [b for b in batches if not dirty.intersection(
                {(b["segment"], 0)} |
                {(b["segment"], b["offset"] // BLOCK + i)
                 for i in range((b["size"] + BLOCK - 1) // BLOCK)})]
            missing = ({x for x in lsns(*intact) if x <= top} -
                       {x["lsn"] for x in shown})
            check(not missing, (dirty, missing, result.err))


# A file that cannot be read is damage to walfsck, and an error to who reads.
UNREADABLE = {"file-unreadable"}


def test_images():
    """waldump finds damage where walfsck does."""
    images = Path(__file__).resolve().parents[1] / "images"
    names = sorted(p.parent.name for p in images.glob("*/image.tar.xz"))
    check(len(names) > 20, names)
    for name in names:
        with directory() as d, tarfile.open(images / name /
                                            "image.tar.xz") as tar:
            tar.extractall(d)
            fsck = run("walfsck", "-n", str(d)).status
            for arguments in (["--map"], ["--map", "--json"], ["-q"], ["-z"],
                              ["--skip-damage", "--json", "--system"]):
                status = run("waldump", *arguments, str(d)).status
                expected = fsck
                if (name.startswith("tail-flipped") and
                        "--map" not in arguments):
                    expected = 0  # the verdict is torn (SPEC 7.8)
                elif name in UNREADABLE:
                    expected = 8
                check(status == expected, (name, arguments, status, fsck))


def test_stated_loss():
    """What the log itself says is lost, by a salvage, is told and no damage."""
    image = Path(__file__).resolve().parents[1] / "images" / "lost-stated"
    with directory() as d, tarfile.open(image / "image.tar.xz") as tar:
        tar.extractall(d)
        result = run("waldump", "--json", str(d))
        check(result.status == 0 and "lost" in result.err, result)
        items = [json.loads(x) for x in result.out.splitlines()]
        gap = [x for x in items if x["kind"] == "gap"]
        check([(x["why"], x["first_lsn"], x["last_lsn"]) for x in gap] ==
              [("lost", 14, 16)], gap)
        check([x["lsn"] for x in items if x["kind"] == "record"] ==
              [*range(1, 14), 17, 18], items)


# ---- --map ----

def picture(log: Path, *arguments: str, status: int = 0, **variables: str):
    environment = {**os.environ, **variables}
    done = subprocess.run([tool("waldump"), "--map", str(log), *arguments],
                          capture_output=True, timeout=tools.TIMEOUT,
                          env=environment, check=False)
    check(done.returncode == status, done)
    return done.stdout


def test_map():
    with directory() as d:
        log = d / "log"
        batches = make(log)
        text = picture(log, LC_ALL="C", COLUMNS="60")
        check(text.isascii() and b"\033" not in text, text)
        rows = text.split(b"\n\n")[0].splitlines()
        check(all(len(row) <= 60 for row in rows), rows)
        check(len(rows) == len(list(log.glob("*.wal"))), rows)
        check(all(row.split()[2].startswith(b"H") for row in rows), rows)
        check(b"X" not in b"".join(rows) and b"A cell is" in text, text)
        wide = picture(log, LC_ALL="C", COLUMNS="200")
        check(len(wide.splitlines()[0]) > len(rows[0]), wide)
        unicode = picture(log, LC_ALL="C.UTF-8", COLUMNS="60").decode()
        check("█" in unicode and "█" in unicode.split("\n\n")[1], unicode)
        check("\033[" in picture(log, "--color=always").decode(), "colour")
        damage(log, batch_of(batches, 7), True)
        text = picture(log, LC_ALL="C", COLUMNS="60", status=4)
        check(text.splitlines()[0].count(b"X") == 1, text)
        check(b"X      4 KiB  damaged" in text, text)


def test_map_cells():
    """One cell a block shows what stands where, and JSON says the same."""
    with directory() as d:
        log = d / "log"
        batches = make(log)
        last = batches[-1]
        segment = last["segment"]
        text = picture(log, f"--cell={BLOCK}", str(segment), LC_ALL="C",
                       COLUMNS="1000").decode()
        cells = text.splitlines()[0].split()[2]
        end = last["offset"] // BLOCK + 1
        check(len(cells) == 256 * 1024 // BLOCK, cells)
        check(cells[0] == "H" and set(cells[1:end]) <= set("#+"), cells)
        check(set(cells[end:]) <= set(".~"), cells)
        item = lines(log, "--map", str(segment))[0]
        check([r["what"] for r in item["ranges"][:2]] == ["header", "batches"],
              item)
        check(item["ranges"][1]["to"] == end * BLOCK, item)
        check(sum(item["bytes"].values()) == item["size"] ==
              item["ranges"][-1]["to"], item)
        used = sum(b["size"] for b in batches if b["segment"] == segment)
        check(item["bytes"]["batches"] == used, (item, used))


def test_map_torn_and_bad_header():
    with directory() as d:
        log = d / "log"
        batches = make(log)
        record, close = batch_of(batches, COUNT), batches[-1]
        path = file_of(log, record["segment"])
        with path.open("r+b") as file:
            file.seek(close["offset"])
            file.write(bytes(BLOCK))
        flip(path, record["offset"] + 200, 64)
        kinds = {r["what"] for r in
                 lines(log, "--map", str(record["segment"]))[0]["ranges"]}
        check("torn" in kinds and "damaged" not in kinds, kinds)
        flip(path, 60)
        out = run("waldump", "--map", "--json", str(log))
        item = next(json.loads(x) for x in out.out.splitlines()
                    if json.loads(x)["segment"] == record["segment"])
        check(out.status == 4 and "header" in item["text"], (out, item))


def test_map_trimmed_and_stale():
    """Files that were used before: --keep recycles them."""
    with directory() as d:
        log = d / "log"
        data = b"".join(payload(i) + b"\n" for i in range(1, 601))
        check(run("walput", "--ack", "--keep", "10", "--segment-size", "128K",
                  str(log), stdin=data).status == 0, "walput")
        kinds = {r["what"] for item in lines(log, "--map")
                 for r in item["ranges"]}
        check("stale" in kinds and "trimmed" in kinds, kinds)
        check("damaged" not in kinds and "torn" not in kinds, kinds)


# ---- a terminal ----

def on_terminal(*arguments: str, columns: int = 90, **variables: str) -> bytes:
    """What the tool writes to a terminal of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    environment.update(TERM="xterm", LC_ALL="C.UTF-8", **variables)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ,
                struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen([tool("waldump"), *arguments], stdout=theirs,
                             stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    out = b""
    while select.select([ours], [], [], tools.TIMEOUT)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # EIO: the child has gone
            break
        if not part:
            break
        out += part
    os.close(ours)
    check(child.wait(tools.TIMEOUT) == 0, out)
    return out.replace(b"\r\n", b"\n")


def test_terminal_colours():
    with directory() as d:
        make(d / "log", 5)
        for arguments in (["--map"], []):
            plain = on_terminal(*arguments, str(d / "log"), NO_COLOR="1")
            colour = on_terminal(*arguments, str(d / "log"))
            check(b"\033[" not in plain, plain)
            check(re.sub(rb"\033\[[0-9;]*m", b"", colour) == plain, colour)
            check(colour != plain, colour)
        narrow = on_terminal("--map", str(d / "log"), columns=50, NO_COLOR="1")
        check(max(len(x.decode()) for x in narrow.split(b"\n\n")[0]
                  .splitlines()) <= 50, narrow)


HOSTILE = [
    b"\x1b[2J\x1b]0;title\x07\x1bP\x1b\\",          # C0: clear, title, DCS
    b"\xc2\x9b2J\xc2\x9d0;title\xc2\x9c",           # C1 in UTF-8
    b"\x9b2J\x9d0;title\x9c\x90\x84",               # C1 as bytes
    "abc\u202edef\u202c\u2066x\u2069\u200f".encode(),  # bidi
    b"\xff\xfe\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82",  # not UTF-8
    "a\u0301\u200b\ufeff\U000e0041".encode(),       # combining, hidden
    b"\r\b\b\bfake\x7f\x00\x0e",
]


def harmless(text: bytes) -> None:
    """Nothing in it but what prints, and newlines. In JSON, letters may have
    accents of their own."""
    decoded = text.decode()  # fails on what is no UTF-8
    if decoded.startswith("{"):
        decoded = decoded.replace("\u0301", "")
    for character in decoded:
        code = ord(character)
        check(character == "\n" or
              (code >= 0x20 and not 0x7f <= code <= 0x9f and
               not 0x200b <= code <= 0x200f and not 0x2028 <= code <= 0x202e and
               not 0x2060 <= code <= 0x206f and code != 0xfeff and
               not 0xe0000 <= code <= 0xe007f and not 0x300 <= code <= 0x36f),
              (hex(code), text))


def test_terminal_is_not_driven():
    with directory() as d:
        log = d / "log"
        framed = b"".join(struct.pack("<I", len(x)) + x for x in HOSTILE)
        check(run("walput", "--framed", str(log), stdin=framed).status == 0, 1)
        decoder = ("python3 -u -c 'import sys, json, base64\n"
                   "for x in sys.stdin:\n"
                   "  p = base64.b64decode(json.loads(x)[\"payload\"])\n"
                   "  p = p.replace(b\"\\n\", b\"\")\n"
                   "  sys.stdout.buffer.write(p + b\"\\n\"); "
                   "sys.stdout.flush()'")
        for arguments in ([], ["--hex"], ["--system"], ["--json"], ["-z"],
                          ["--decoder", decoder],
                          ["--decoder", decoder, "--json"]):
            for locale in ("C.UTF-8", "C", "POSIX"):
                done = subprocess.run(
                    [tool("waldump"), *arguments, str(log)],
                    capture_output=True, timeout=tools.TIMEOUT, check=False,
                    env={**os.environ, "LC_ALL": locale})
                check(done.returncode == 0, done)
                harmless(done.stdout)
                harmless(done.stderr)
        harmless(on_terminal(str(log), NO_COLOR="1"))
        name = d / "\x1b[31m\u202ex\x9b"
        harmless(run("waldump", str(name)).err.encode())


# ---- --extract ----

def test_extract():
    with directory() as d:
        log, out = d / "log", d / "out"
        make(log, 50)
        for lsn in (1, 17, 50):
            result = run("waldump", f"--extract={lsn}", "-o", "-", str(log))
            check((result.status, result.out) == (0, payload(lsn)), result)
        take = ["waldump", "--extract", "17", "-o", str(out), str(log)]
        check(run(*take).status == 0, "first")
        check(out.read_bytes() == payload(17), "bytes")
        out.write_bytes(b"precious")
        result = run(*take)
        check(result.status == 8 and "--force" in result.err, result)
        check(out.read_bytes() == b"precious", "kept")
        check(run(*take, "--force").status == 0, "force")
        check(out.read_bytes() == payload(17), "replaced")
        check(sorted(p.name for p in d.iterdir()) == ["log", "out"], "left")


def test_extract_refuses():
    with directory() as d:
        log = d / "log"
        make(log, 20)
        before = {p.name: p.read_bytes() for p in log.iterdir()}
        fifo, link = d / "fifo", d / "link"
        os.mkfifo(fifo)
        link.symlink_to(d / "elsewhere")
        for target, text in ((log / "x", "never writes"),
                             (log / "LOCK", "never writes"),
                             (fifo, "no regular file"),
                             (link, "no regular file"),
                             (d / "none" / "x", "No such file"),
                             (Path("/dev/full"), "no regular file")):
            result = run("waldump", "--extract=1", "--force", "-o",
                         str(target), str(log))
            check(result.status == 8 and text in result.err, (target, result))
        result = run("waldump", "--extract=21", "-o", str(d / "y"), str(log))
        check(result.status == 8 and "LSN 21" in result.err, result)
        result = run("waldump", "--extract=1", "-o", f"{d}/", str(log))
        check(result.status == 8, result)
        check(sorted(p.name for p in d.iterdir()) == ["fifo", "link", "log"],
              list(d.iterdir()))
        check({p.name: p.read_bytes() for p in log.iterdir()} == before, "log")


def test_extract_atomic():
    """No room for the payload: no file, not even an empty one."""
    with directory() as d:
        check(run("walput", "--segment-size", "1M", str(d / "log"),
                  stdin=b"y" * 100000).status == 0, "walput")
        done = subprocess.run(
            ["bash", "-c", 'ulimit -f 16; exec "$0" "$@"', tool("waldump"),
             "--extract=1", "-o", str(d / "out"), str(d / "log")],
            capture_output=True, timeout=tools.TIMEOUT, check=False)
        check(done.returncode == 8 and b"File too large" in done.stderr, done)
        check([p.name for p in d.iterdir()] == ["log"], list(d.iterdir()))


def test_extract_behind_damage():
    with directory() as d:
        batches = make(d / "log")
        damage(d / "log", batch_of(batches, COUNT - 5), True)
        take = ["waldump", f"--extract={COUNT - 2}", "-o", "-", str(d / "log")]
        check(run(*take).status & 4, "told")
        result = run(*take, "--skip-damage")
        check(result.out == payload(COUNT - 2) and result.status == 4, result)


# ---- --decoder ----

ECHO = ("python3 -u -c '\nimport sys, json, base64\n"
        "for line in sys.stdin:\n"
        "    r = json.loads(line)\n"
        "    p = base64.b64decode(r[\"payload\"])\n"
        "    print(r[\"lsn\"], len(p), p[:8].decode())\n'")


def test_decoder():
    with directory() as d:
        log = d / "log"
        make(log, 60)
        result = run("waldump", "--decoder", ECHO, str(log))
        check(result.status == 0 and result.err == "", result)
        rows = result.out.decode().splitlines()[1:]
        check(len(rows) == 60, rows)
        for lsn, row in enumerate(rows, 1):
            size = len(payload(lsn))
            check(row.endswith(f"  {lsn} {size} {payload(lsn)[:8].decode()}"),
                  row)
        for item in lines(log, "--decoder", ECHO):
            lsn = item["lsn"]
            check(item["decoded"].startswith(f"{lsn} {item['size']} "), item)
            check(base64.b64decode(item["payload"]) == payload(lsn), item)
        one = lines(log, "--decoder", ECHO, "-s", "7", "-e", "7", "--system")
        check([x["kind"] for x in one].count("record") == 1, one)


def test_decoder_large():
    """A line larger than any pipe, answered while it still comes."""
    with directory() as d:
        check(run("walput", "--segment-size", "16M", str(d / "log"),
                  stdin=b"z" * 3_000_000).status == 0, "walput")
        item = lines(d / "log", "--decoder", "python3 -c 'import sys; "
                     "print(sys.stdin.read(9)[:0] + \"q\" * 900000, end=\"\", "
                     "flush=True); sys.stdin.readline(); print()'")[0]
        check(len(item["decoded"]) == 900000, len(item["decoded"]))


def test_decoder_fails():
    with directory() as d:
        log = d / "log"
        make(log, 20)
        one = "read -r x; echo one; "
        for command, text, rows in (
                ("false", "ended without an answer", 0),
                ("no-such-program-here", "ended without an answer", 0),
                (one, "LSN 2: it ended without an answer", 1),
                (one + "kill -9 $$", "LSN 2: it ended without", 1),
                ("sleep 1000 & cat >/dev/null", "no answer within 1 s", 0),
                ("sleep 1000", "no answer within 1 s", 0),
                ("tr a b", "stdbuf", 0),
                ("read -r x; echo a; echo b; cat", "one line|nobody", 0),
                ("while read -r x; do echo $x; done; echo more",
                 "nobody had asked for", 20),
                # Whether it writes before it is asked, or only then too much.
                ("cat /dev/zero", "longer than 1 MiB|nobody had asked for", 0),
                ("while read -r x; do echo $x; done; exit 3",
                 "exited with status 3", 20),
                ("while read -r x; do echo $x; done; kill -9 $$",
                 "ended by signal 9", 20)):
            result = run("waldump", "--decoder-timeout", "1", "--json",
                         "--decoder", command, str(log))
            check(result.status == 8, (command, result))
            check(re.search(text, result.err), (command, result))
            shown = result.out.count(b'"kind":"record"')
            check(shown == rows or (text == "one line|nobody" and shown <= 2),
                  (command, shown))
        left = subprocess.run(["ps", "-eo", "args"], capture_output=True,
                              check=True).stdout
        check(left.count(b"sleep 1000") == 0, left)


def test_decoder_and_signals():
    """SIGINT ends a dump whose decoder hangs, at once and without blame; and
    --follow with one ends cleanly."""
    with directory() as d:
        log = d / "log"
        make(log, 5)
        for arguments, command, status in (
                ([], "read -r x; echo ready >&2; sleep 1000", 32),
                (["-f"], "while read -r x; do echo $x; "
                 "echo ready >&2; done", 0)):
            child = subprocess.Popen(
                [tool("waldump"), *arguments, "--decoder", command, str(log)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            check(child.stderr.readline() == b"ready\n", "started")
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=tools.TIMEOUT)
            check(child.returncode == status, (child.returncode, err))
            check(err.replace(b"ready\n", b"") == b"", err)


# ---- --stats ----

def test_stats():
    with directory() as d:
        log = d / "log"
        sums: dict = {"type": {}, "tenant": {}, "shard": {}}
        for i in range(45):
            key = {"type": i % 3, "tenant": i * 1000003, "shard": i % 7}
            data = b"w" * (i * 10)
            check(run("walput", "--type", str(key["type"]), "--tenant",
                      str(key["tenant"]), "--shard", str(key["shard"]),
                      "--segment-size", "256K", str(log),
                      stdin=data + b"\n").status == 0, i)
            for name, value in key.items():
                count, size = sums[name].get(value, (0, 0))
                sums[name][value] = (count + 1, size + len(data))
        stats = lines(log, "--stats")[-1]
        for name, expected in sums.items():
            found = {x[name]: (x["records"], x["payload_bytes"])
                     for x in stats[name + "s"]}
            check(found == expected, (name, found))
            keys = [x[name] for x in stats[name + "s"]]
            check(keys == sorted(keys), keys)
        histogram = {(x["from"], x["to"]): x["count"]
                     for x in stats["record_sizes"]}
        check(histogram[(0, 0)] == 1 and histogram[(256, 511)] == 19 and
              sum(histogram.values()) == 45, histogram)
        check(sum(x["count"] for x in stats["batch_sizes"]) ==
              stats["batches"] == len(lines(log, "--batches")), stats)
        text = run("waldump", "-z", str(log)).out.decode()
        check("and 25 with fewer bytes; --json has them all" in text, text)
        check("PAYLOAD BYTES OF A RECORD" in text and "####" in text, text)
        one = lines(log, "--stats", "--tenant", "1000003")[-1]
        check(one["records"] == 1 and len(one["tenants"]) == 1, one)


if __name__ == "__main__":
    tools.main(globals())
