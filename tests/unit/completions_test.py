#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The completions are those that completions/make.py makes of today's --help,
and shells understand them.

usage: completions_test.py SOURCE_DIR
"""
import os
import shutil
import subprocess
import sys
from pathlib import Path

folder = Path(sys.argv[1]) / "completions"
TOOLS = ("walput", "waldump", "walfsck", "walbench")

# The words typed, the last one being completed, and what is offered: that and
# nothing else.
CASES = [
    (["walfsck", "--un"], {"--undo", "--undo-apply"}),
    (["walfsck", "--color", "=", "a"], {"auto", "always"}),
    (["walput", "--create", ""], {"never", "if-absent", "new"}),
    (["walput", "--stat"], {"--stats", "--stats=json"}),
    (["walput", "--thr"], {"--threads"}),
    (["walput", "--threads", ""], set()),
    (["waldump", "--decoder-t"], {"--decoder-timeout"}),
    (["walbench", "--mode", "s"], {"scan"}),
]


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), text=True, check=False,
                          capture_output=True, timeout=60)
    # Outside of a real completion bash has nothing for compopt to change.
    err = "\n".join(line for line in done.stderr.splitlines()
                    if "compopt" not in line)
    if done.returncode != 0 or err:
        sys.exit(f"{command} exits {done.returncode}: {done.stdout}{err}")
    return done.stdout


def bash_offers(words: list[str]) -> set[str]:
    script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              '"_$1"; printf "%s\\n" "${COMPREPLY[@]}"')
    return set(run("bash", "--norc", "-c", script, "bash", folder / words[0],
                   *words).split())


def zsh_loads() -> None:
    script = ("fpath=($1 $fpath); autoload -Uz compinit; compinit -u -D; "
              "for tool in ${@[2,-1]}; do "
              "[[ ${_comps[$tool]} == _$tool ]] && autoload +X _$tool || exit 1; "
              "done")
    run("zsh", "-f", "-c", script, "zsh", folder, *TOOLS)


print(run(sys.executable, folder / "make.py", "--check",
          os.environ["DWAL_BUILD_DIR"]), end="")
for words, expected in CASES:
    offered = bash_offers(words)
    if offered != expected:
        sys.exit(f"{words}: bash is offered {offered} and not {expected}")
print(f"bash: {len(CASES)} cases")
if shutil.which("zsh"):
    for tool in TOOLS:
        run("zsh", "-n", folder / f"_{tool}")
    zsh_loads()
    print("zsh: loaded")
else:
    print("zsh is not installed")
