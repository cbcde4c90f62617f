# SPDX-License-Identifier: MIT
"""The list of planted bugs, and how one is planted.

list.txt has an entry for each:

    == name
    One sentence: what is wrong.
    file: src/aio.c
    tests: crash_small_test crash_power_test
    ---
    the old lines
    +++
    the new lines

The old lines must occur once in the file, exactly; lines are whole. "tests" are
those that should notice, the cheapest first.

usage: mutants.py NAME FOLDER    plants NAME in a copy in FOLDER, prints "file;copy"
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class Wrong(Exception):
    """The list, or an entry in it, is not as it should be."""


class Mutant:
    def __init__(self, name):
        self.name = name
        self.what = ""
        self.file = ""
        self.tests = []
        self.old = ""
        self.new = ""

    def check(self):
        if not (self.what and self.file and self.tests and self.old):
            raise Wrong(f"{self.name}: something is missing in list.txt")
        if self.old == self.new:
            raise Wrong(f"{self.name}: changes nothing")

    def apply(self):
        """The changed text of the file."""
        with open(os.path.join(ROOT, self.file), encoding="utf-8") as file:
            text = file.read()
        # Whole lines, so that the beginning of one is not found in another.
        count = ("\n" + text).count("\n" + self.old)
        if count != 1:
            raise Wrong(f"{self.name}: the old lines occur {count} times in "
                        f"{self.file}")
        return ("\n" + text).replace("\n" + self.old, "\n" + self.new)[1:]


def read():
    """All mutants, by name, in the order of the list."""
    mutants = {}
    mutant, part = None, None
    with open(os.path.join(HERE, "list.txt"), encoding="utf-8") as file:
        for line in file:
            if line.startswith("== "):
                mutant, part = Mutant(line[3:].strip()), "what"
                if mutant.name in mutants:
                    raise Wrong(f"{mutant.name}: twice in list.txt")
                mutants[mutant.name] = mutant
            elif mutant is None:
                continue
            elif line in ("---\n", "+++\n"):
                part = "old" if line == "---\n" else "new"
            elif part in ("old", "new"):
                setattr(mutant, part, getattr(mutant, part) + line)
            elif line.startswith("file: "):
                mutant.file = line[6:].strip()
            elif line.startswith("tests: "):
                mutant.tests = line[7:].split()
            else:
                mutant.what = (mutant.what + " " + line.strip()).strip()
    for mutant in mutants.values():
        # Entries are parted by one empty line.
        mutant.new = mutant.new.removesuffix("\n\n") + "\n" \
            if mutant.new.endswith("\n\n") else mutant.new
        if mutant.new == "\n":
            mutant.new = ""
        mutant.check()
    return mutants


def plant(name, folder):
    """Writes the copy, unless it is there already; its path."""
    mutants = read()
    if name not in mutants:
        raise Wrong(f"there is no mutant {name}; there are: "
                    + " ".join(mutants))
    mutant = mutants[name]
    text = mutant.apply()
    path = os.path.join(folder, name, mutant.file)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return mutant.file, path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return mutant.file, path


if __name__ == "__main__":
    try:
        print(";".join(plant(sys.argv[1], sys.argv[2])), end="")
    except Wrong as wrong:
        sys.exit(f"mutants: {wrong}")
