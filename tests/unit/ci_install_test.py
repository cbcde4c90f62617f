#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What .ci/install asks for, in front of a dpkg and an apt that only take notes.

usage: ci_install_test.py SOURCE_DIR
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

INSTALL = Path(sys.argv[1]) / ".ci" / "install"
# FAKE_ABSENT: not installed. FAKE_OFFERED: what the lists name before an update;
# afterwards all but FAKE_UNKNOWN. FAKE_BROKEN: packages that cannot be installed.
FAKES = {
    "dpkg-query": 'for last; do :; done\n'
                  'case " $FAKE_ABSENT " in *" $last "*) exit 1;; esac\n'
                  'printf "install ok installed"\n',
    "apt-cache": 'case " $FAKE_UNKNOWN " in *" $2 "*) exit 1;; esac\n'
                 'test -n "$FAKE_LISTS" || test -e "$FAKE_NOTES"\n',
    "apt-get": 'shift; echo "$*" >>"$FAKE_NOTES"\n'
               'for word; do case " $FAKE_BROKEN " in *" $word "*) exit 100;;\n'
               'esac; done\n',
    "id": "echo 0\n",
}
INSTALLING = "install -y --no-install-recommends "


def ask(mode, **facts):
    """The exit code, and what apt-get was asked for."""
    with tempfile.TemporaryDirectory(prefix="dwal-install-") as folder:
        for name, text in FAKES.items():
            path = Path(folder) / name
            path.write_text("#!/bin/sh\n" + text)
            path.chmod(0o755)
        notes = Path(folder) / "notes"
        environment = os.environ | {
            "PATH": folder + ":" + os.environ["PATH"], "FAKE_NOTES": str(notes),
            "FAKE_ABSENT": "", "FAKE_UNKNOWN": "", "FAKE_LISTS": "yes",
            "FAKE_BROKEN": ""} | {"FAKE_" + k.upper(): v for k, v in facts.items()}
        done = subprocess.run(["sh", INSTALL, mode], env=environment, check=False,
                              capture_output=True, text=True, timeout=60)
        return (done.returncode,
                notes.read_text().splitlines() if notes.exists() else [])


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got}, not {wanted}")


for mode in ("build", "tests"):
    expect("nothing is missing", ask(mode), (0, []))
    expect("all is missing, and nothing can be had",
           ask(mode, absent="gcc", broken="update"), (8, ["update"]))
    expect("what is needed, with what is wanted",
           ask(mode, absent="gcc libdeflate-dev"),
           (0, ["update", INSTALLING + "gcc libdeflate-dev"]))
    expect("what is wanted stands in the way",
           ask(mode, absent="gcc libdeflate-dev", broken="libdeflate-dev"),
           (0, ["update", INSTALLING + "gcc libdeflate-dev", INSTALLING + "gcc"]))
    expect("what is needed cannot be had",
           ask(mode, absent="gcc", broken="gcc"),
           (8, ["update", INSTALLING + "gcc"]))
expect("a build does not ask for what is only wanted",
       ask("build", absent="libdeflate-dev"), (0, []))
expect("the tests do", ask("tests", absent="spin clang"),
       (0, ["update", INSTALLING + "clang spin"]))
expect("and go on without it", ask("tests", absent="spin", broken="spin"),
       (0, ["update", INSTALLING + "spin"]))
expect("what the distribution does not have",
       ask("tests", absent="spin clang", unknown="spin"),
       (0, ["update", INSTALLING + "clang"]))
expect("and nothing else", ask("tests", absent="spin", unknown="spin"), (0, []))
expect("there are no lists yet", ask("tests", absent="spin", lists=""),
       (0, ["update", INSTALLING + "spin"]))
expect("no such use", ask("elsewhere"), (16, []))
print("as it should be")
