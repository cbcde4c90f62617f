#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Walks the images: check, second reader, repair, second check, undo.

Each folder beside this file is one image (README.md).  What walfsck says of it
is compared with what was agreed on, reduced to what does not depend on wording:
problems with file, offset and LSNs, what a repair gives up, verdict, row, exit.

    images_test.py PROBLEM.DEF DECISION_ROW     DWAL_BUILD_DIR says which tools
    images_test.py --update [NAME...]           writes what was said as agreed on
"""
import importlib
import json
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE.parent / "spec"))
sys.path.insert(0, str(HERE))
import dwalspec  # noqa: E402
import make  # noqa: E402
import random_damage  # noqa: E402
import subprocess  # noqa: E402
import tools  # noqa: E402

SIZE_MAX = 512 << 10    # of all images, packed


def check(condition: bool, what: object) -> None:
    if not condition:
        raise AssertionError(what)


# ---- what walfsck says ----

def span(lsns: dict | None) -> str:
    if lsns is None:
        return "none"
    if lsns["to"] is None:
        return f"{lsns['from']} and on"
    return f"{lsns['from']} to {lsns['to']}"


def line_text(line: dict) -> str | None:
    """What counts of one line; None: nothing."""
    kind = line["kind"]
    if kind in ("problem", "note"):
        place = ascii(line["file"] or "the directory").strip("'")
        if line["offset"] is not None:
            place += f" at {line['offset']}"
        if "bit" in line:
            place += f" bit {line['bit']}"
        lsns = f", LSNs {span(line['lsns'])}" if line["lsns"] else ""
        return (f"{line['severity']} {line['number']} {line['name']}: "
                f"{place}{lsns}")
    if kind == "plan":
        return (f"plan {line['repair']}: LSNs {span(line['lsns'])}, "
                f"{line['records']} records, wipes {line['wiped_bytes']} bytes, "
                f"moves {line['moved_files']} files")
    if kind == "summary":
        return (f"{line['verdict']}, {line['row']}: LSNs {line['first_lsn']} to "
                f"{line['durable_lsn']}, undecidable {span(line['undecidable'])},"
                f" lost {span(line['lost'])}")
    if kind == "error":
        return "error: " + line["reason"]
    return None


def walfsck(log: Path, options: str, *more: str) -> tuple[str, int, list[dict]]:
    """What was said, as the folders have it; the exit status; the lines."""
    result = tools.run("walfsck", "--json", "-v", *options.split(), *more,
                       str(log))
    lines = [json.loads(text) for text in result.out.splitlines()]
    told = [f"walfsck {options}"]
    told += [text for text in map(line_text, lines) if text]
    told.append(f"exit {result.status}")
    return "\n".join(told) + "\n", result.status, lines


def state(log: Path) -> dict:
    return {path.name: path.read_bytes() if path.is_file() else None
            for path in log.iterdir()}


def changes(before: dict, after: dict) -> str:
    """What became of the files.  What a repair makes has random bytes in it."""
    told = []
    gone = {name: data for name, data in before.items() if name not in after}
    for name in sorted(set(before) | set(after)):
        if name in gone:
            to = [new for new, data in after.items()
                  if new not in before and data == gone[name]
                  and new.startswith(name)]
            told.append(f"{name} becomes {to[0]}" if to else f"{name} is gone")
        elif name not in before:
            if not any(name.startswith(old) and data == after[name]
                       for old, data in gone.items()):
                told.append(f"{name} is new, {len(after[name])} bytes")
        elif before[name] != after[name]:
            told.append(f"{name} is changed")
    return "".join(line + "\n" for line in told) or "nothing is changed\n"


# ---- one image ----

class Walk:
    """One image, from its check to its undo; says: {file: text}."""

    def __init__(self, name: str, home: Path):
        self.name, self.image = name, make.IMAGES[name]
        self.log, self.undo = home / "log", home / "saved"
        make.write_directory(self.log, make.unpack(make.archive(name)))
        self.before = state(self.log)
        self.says = {}

    def same(self, what: str) -> None:
        check(state(self.log) == self.before, f"{what}: the files differ")

    def readers(self, what: str) -> None:
        """The second reader and waldump, against walfsck."""
        result = dwalspec.recover_path(str(self.log))
        wanted = dwalspec.summary(dwalspec.find_flipped_bit(result))
        wanted["flips"] = random_damage.flips_behind_runs(result)
        skipping = result
        if result.verdict != "unreadable":
            skipping = dwalspec.recover(
                dwalspec.read_directory(str(self.log)), skip=True)
        problems = random_damage.compare_summary(
            tools.tool("walfsck"), str(self.log), wanted)
        problems += random_damage.compare_records(
            tools.tool("waldump"), str(self.log), result, skipping)
        check(not problems, f"{what}: {problems}")
        if what == "check":
            check(result.row == self.image.row,
                  f"row {result.row}, not {self.image.row}: {result.why}")

    def look(self) -> None:
        self.says["check"], self.status, self.lines = walfsck(
            self.log, self.image.check)
        self.same("check")
        self.readers("check")
        self.same("the readers")

    def repair(self) -> None:
        kept = {r.lsn: r.payload for _, r in dwalspec.records(
            dwalspec.recover_path(str(self.log)))}
        text, status, lines = walfsck(self.log, self.image.repair, "--undo",
                                      str(self.undo))
        after = state(self.log)
        self.says["repair"] = text + changes(self.before, after)
        self.says["second"], again, _ = walfsck(self.log, self.image.second)
        repaired = bool(status & 1)
        check(repaired == (after != self.before),
              f"exit {status}, but: {changes(self.before, after)}")
        if not repaired:
            return
        check(again == 0, f"second check: exit {again}")
        self.readers("second")
        result = dwalspec.recover_path(str(self.log))
        there = {r.lsn: r.payload for _, r in dwalspec.records(result)}
        check(all(there.get(lsn) == data for lsn, data in kept.items()),
              "the repair lost what was readable")

    def put_back(self) -> None:
        if not self.undo.exists():
            return self.same("repair")
        result = tools.run("walfsck", "--undo-apply", str(self.undo),
                           str(self.log))
        check(result.status == 0, f"--undo-apply: {result}")
        return self.same("--undo-apply")


def walk(name: str) -> dict:
    with tools.directory() as home:
        one = Walk(name, home)
        one.look()
        one.repair()
        one.put_back()
        return one.says


def agreed(name: str, file: str) -> str:
    path = HERE / name / file
    return path.read_text() if path.exists() else ""


# ---- the tests ----

def folders() -> list[str]:
    return sorted(path.parent.name for path in HERE.glob("*/image.tar.xz"))


def test_made_by_the_script() -> None:
    """Each folder is what make.py makes, and none is missing."""
    check(folders() == sorted(make.IMAGES), set(folders()) ^ set(make.IMAGES))
    again = importlib.reload(make)
    for name, image in again.IMAGES.items():
        check(make.unpack(make.archive(name)) == image.files(),
              f"{name}: not what make.py makes; run make.py")
    size = sum(make.archive(name).stat().st_size for name in folders())
    check(size <= SIZE_MAX, f"{size} bytes of images")


def test_images() -> None:
    wrong = []
    for name in folders():
        try:
            for file, text in walk(name).items():
                if text != agreed(name, file):
                    wrong.append(f"{name}/{file}: agreed on was\n"
                                 f"{agreed(name, file)}and it says\n{text}")
        except (AssertionError, RuntimeError) as error:
            wrong.append(f"{name}: {error}")
    check(not wrong, "\n".join(wrong))


def test_each_problem_has_an_image() -> None:
    """A folder of its name, in which walfsck tells it."""
    text = Path(PROBLEMS).read_text()
    names = re.findall(r'^PROBLEM\(\d+, \w+, "([a-z-]+)"', text, re.M)
    check(len(names) == text.count("\nPROBLEM("), "problem.def is not understood")
    missing = [name for name in names
               if not re.search(rf"^\w+ \d+ {name}: ", agreed(name, "check"),
                                re.M)]
    check(not missing, f"without an image (README.md): {missing}")


def test_each_row_has_an_image() -> None:
    """Each row of recover/decide.c decides about one of them."""
    def rows(*logs: str) -> list[str]:
        done = subprocess.run([DECISION_ROW, *logs], capture_output=True,
                              timeout=tools.TIMEOUT, check=True)
        return done.stdout.decode().splitlines()

    with tools.directory() as home:
        for name in folders():
            make.write_directory(home / name, make.unpack(make.archive(name)))
        said = dict(zip(folders(), rows(*(str(home / n) for n in folders()))))
    for name, row in said.items():
        wanted = make.IMAGES[name].row
        check(row == "-" if wanted == "newer" else row.split()[1] == wanted,
              f"{name}: {row}")
    check(set(rows()) <= set(said.values()),
          f"without an image: {set(rows()) - set(said.values())}")


def update(names: list[str]) -> None:
    make.pack_all()
    for name in names or folders():
        for file, text in walk(name).items():
            if text != agreed(name, file):
                (HERE / name / file).write_text(text)
                print(f"wrote {name}/{file}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--update"]:
        update(sys.argv[2:])
    else:
        PROBLEMS, DECISION_ROW = sys.argv[1:3]
        del sys.argv[1:3]
        tools.main(globals())
