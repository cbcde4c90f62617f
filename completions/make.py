#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the completions for bash and zsh, beside this file, out of what the
tools print for --help. They are checked in, so that a build needs nothing; a
test runs this with --check.

usage: make.py [--check] BUILD_DIR
"""
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
TOOLS = {"walput": "fsck", "waldump": "fsck", "walfsck": "fsck",
         "walbench": "bench"}

# What --help cannot tell a program: the words that an option takes.
SYNC = "auto dsync fdsync"
PRESET = "latency balanced throughput"
COLOR = "auto always never"
WORDS = {
    "walput": {"--create": "never if-absent new", "--preset": PRESET,
               "--sync": SYNC, "--direct": "required preferred off",
               "--color": COLOR},
    "waldump": {"--color": COLOR},
    "walfsck": {"--color": COLOR},
    "walbench": {"--mode": "commit append scan load get recover", "--preset": PRESET,
                 "--sync": SYNC, "--gather": "auto off", "--wait": "auto sleep",
                 "--by": "index seek",
                 "--vs": "fio"},
}

TEXTS = {"--help": "print the help", "--version": "print the version"}

OPTION = re.compile(r"(--?[A-Za-z][\w-]*)(?:[= ]([A-Z]+|fio)\b|(\[=\w+\]))?")


class Option(NamedTuple):
    names: list[str]  # "-t", "--threads"
    value: str        # "N"; "[=word]": may have it; empty: takes none
    text: str


def line_options(line: str) -> list[Option]:
    """The options that a line of --help begins with."""
    if not re.match(r" {2,6}-", line):
        return []
    rest, found = line.strip(), []
    while match := OPTION.match(rest):
        found.append((match[1], match[2] or match[3] or ""))
        rest = rest[match.end():]
        if not re.match(r",? -", rest):
            break
        rest = rest.lstrip(", ")
    text = rest.strip()
    if len(found) == 2 and len(found[0][0]) == 2:  # -t, --threads N
        return [Option([n for n, _ in found], found[1][1], text)]
    return [Option([name], value, text) for name, value in found]


def first_clause(text: str) -> str:
    """Without what follows; "... this" means that the line above began so."""
    return re.split(r"[;.](?= )|;$",
                    re.sub(r"^\.\.\. ", "give the records ", text))[0]


def options(build: Path, tool: str) -> list[Option]:
    out = subprocess.run([build / TOOLS[tool] / tool, "--help"], check=True,
                         capture_output=True, text=True, timeout=60).stdout
    found: list[Option] = []
    for line in out.splitlines():
        fresh = line_options(line)
        if not fresh and found and re.match(r" {18}", line):
            fresh = found[-latest:]  # the text goes on, of all of its line
            del found[-latest:]
            fresh = [o._replace(text=f"{o.text} {line.strip()}".strip())
                     for o in fresh]
        latest = len(fresh)
        found += fresh
    found = [o._replace(text=TEXTS.get(o.names[0]) or first_clause(o.text))
             for o in found]
    known = {name for option in found for name in option.names}
    for option, words in WORDS[tool].items():
        missing = [w for w in words.split()
                   if not re.search(rf"\b{w}\b", out)]
        if option not in known or missing:
            sys.exit(f"{tool} --help does not name {option} {missing}; "
                     "see WORDS in completions/make.py")
    return found


# ---- bash ----

BASH = """\
# SPDX-License-Identifier: MIT
# Made by completions/make.py out of {tool} --help.
_{tool}() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}}
    # "--option=value" comes as three words.
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    COMPREPLY=()
    case $prev in
{cases}
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "{names}" -- "$cur")
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen {paths} -- "$cur")
    fi
}}
complete -F _{tool} {tool}
"""


def bash_action(tool: str, option: Option) -> str:
    words = WORDS[tool].get(option.names[-1])
    if words:
        return f'mapfile -t COMPREPLY < <(compgen -W "{words}" -- "$cur")'
    if option.value in ("FILE", "NEWDIR"):
        kind = "-f" if option.value == "FILE" else "-d"
        return ("compopt -o filenames\n"
                f'        mapfile -t COMPREPLY < <(compgen {kind} -- "$cur")')
    return ": # a number, a size, a command"


def bash_cases(tool: str, found: list[Option]) -> str:
    patterns: dict[str, list[str]] = {}
    for option in found:
        if option.value and option.value[0] != "[":
            names = patterns.setdefault(bash_action(tool, option), [])
            names += option.names
    return "\n".join(f"    {' | '.join(names)})\n        {action}\n"
                     "        return\n        ;;"
                     for action, names in patterns.items())


def bash(tool: str, found: list[Option]) -> str:
    return BASH.format(
        tool=tool,
        cases=bash_cases(tool, found),
        names=" ".join(n + end for o in found for n in o.names
                       for end in ("", *re.findall(r"^\[(.*)\]", o.value))),
        paths="-f" if tool == "waldump" else "-d")


# ---- zsh ----

def zsh_line(tool: str, option: Option) -> str:
    text = re.sub(r"([\[\]:\\])", r"\\\1", option.text).replace("'", "'\\''")
    value = ""
    if option.value.startswith("["):
        word = option.value[2:-1]
        return f"    '{option.names[0]}=-[{text}]::{word}:({word})'"
    if option.value:
        words = WORDS[tool].get(option.names[-1])
        action = (f"({words})" if words else "_files" if option.value == "FILE"
                  else "_files -/" if option.value == "NEWDIR" else " ")
        value = f":{option.value}:{action}"
    names = [name + ("" if not option.value else "=" if name[1] == "-" else "+")
             for name in option.names]
    if len(names) == 1:
        return f"    '{names[0]}[{text}]{value}'"
    group = " ".join(option.names)
    return f"    '({group})'{{{','.join(names)}}}'[{text}]{value}'"


def zsh(tool: str, found: list[Option]) -> str:
    lines = [zsh_line(tool, option) for option in found]
    lines.append("    '1:DIR:_files -/'")
    if tool == "waldump":
        lines.append("    '*:SEGMENT:_files'")
    body = " \\\n".join(lines)
    return (f"#compdef {tool}\n# SPDX-License-Identifier: MIT\n"
            f"# Made by completions/make.py out of {tool} --help.\n"
            f"_arguments -s -S : \\\n{body}\n")


def main() -> int:
    check = sys.argv[1] == "--check"
    build = Path(sys.argv[-1])
    stale = 0
    for tool in TOOLS:
        if check and not (build / TOOLS[tool] / tool).exists():
            print(f"{tool}: not built, not checked")
            continue
        found = options(build, tool)
        for name, text in ((tool, bash(tool, found)),
                           (f"_{tool}", zsh(tool, found))):
            path = HERE / name
            if not check:
                path.write_text(text)
            elif not path.exists() or path.read_text() != text:
                print(f"completions/{name} is stale: run completions/make.py "
                      f"{build}")
                stale += 1
        print(f"{tool}: {len(found)} options")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
