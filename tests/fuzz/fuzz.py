#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the fuzz targets.

    fuzz.py test TARGET EXE engine|replay     what ctest runs
    fuzz.py seeds TARGET DIR                  writes the seeds: the images of
                                              tests/images, random logs
    fuzz.py run TARGET EXE DIR [SECONDS]      libFuzzer on the inputs in DIR,
                                              which are added to and kept
    fuzz.py pack TARGET EXE DIR               what covers most of DIR, few and
                                              small, becomes TARGET's corpus

DWAL_FUZZ_SECONDS: how long a test with an engine runs, 8 unless set.
"""
import io
import lzma
import os
import random
import struct
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "images"), str(HERE.parent / "spec")]
import dwalmake  # noqa: E402
import make  # noqa: E402
import random_damage  # noqa: E402

INPUT_MAX = 64 << 10
PACKED_MAX = 64 << 10   # of one corpus, packed
# No input may take longer, or more memory: sanitizers included.
LIMITS = ["-timeout=10", "-rss_limit_mb=1024", "-malloc_limit_mb=64"]


# ---- seeds ----

def folder_bytes(files, choice):
    """A directory as tests/fuzz/folder.h has it."""
    out = [bytes([choice])]
    for name, data in sorted(files.items()):
        text = name.encode()
        if not isinstance(data, (bytes, bytearray)) or len(text) > 40:
            continue
        used = bytes(data).rstrip(b"\0")
        out.append(struct.pack("<B%dsII" % len(text), len(text), text,
                               len(data), len(used)) + used)
    return b"".join(out)


def seed_logs():
    for name, image in make.IMAGES.items():
        yield name, image.files()
    for seed in range(60):
        yield f"random-{seed}", dwalmake.random_log(seed)
    for seed in range(60):
        yield f"damaged-{seed}", random_damage.damaged_log(seed)[0]


def write_seeds(target, folder):
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random("fuzz " + target)
    for name, files in seed_logs():
        if target == "batch":
            segments = [data for file, data in sorted(files.items())
                        if file.endswith(".wal") and isinstance(
                            data, (bytes, bytearray))]
            if segments:
                data = max(segments, key=lambda d: len(bytes(d).rstrip(b"\0")))
                data = bytes(data).rstrip(b"\0").ljust(1024, b"\0")
                (folder / name).write_bytes(data[:INPUT_MAX])
            continue
        data = folder_bytes(files, rng.randrange(256))
        if len(data) <= INPUT_MAX:
            (folder / name).write_bytes(data)


# ---- the corpus ----

def corpus(target):
    """The targets that take a folder share one."""
    name = "batch" if target == "batch" else "folder"
    return HERE / "corpus" / f"{name}.tar.xz"


def unpack(target, folder):
    if corpus(target).exists():
        with tarfile.open(corpus(target), "r:xz") as tar:
            tar.extractall(folder)


def pack(target, exe, folder):
    """Smallest first, as long as each one covers something new, and as long as
    there is room: libFuzzer's merge says which."""
    with tempfile.TemporaryDirectory(prefix="dwal-fuzz-") as home:
        merged, kept = Path(home) / "merged", []
        merged.mkdir()
        subprocess.run([exe, "-merge=1", "-close_fd_mask=3",
                        f"-max_len={INPUT_MAX}", *LIMITS, str(merged),
                        str(folder)],
                       check=True, stderr=subprocess.DEVNULL)
        inputs = sorted((p.read_bytes() for p in merged.iterdir()), key=len)
        for data in inputs:
            if len(packed(kept + [data])) <= PACKED_MAX:
                kept.append(data)
        corpus(target).parent.mkdir(exist_ok=True)
        corpus(target).write_bytes(packed(kept))
        print(f"{len(kept)} of {len(inputs)} inputs,"
              f" {corpus(target).stat().st_size} bytes")


def packed(inputs):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for index, data in enumerate(inputs):
            entry = tarfile.TarInfo(f"{index:04}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return lzma.compress(out.getvalue(), preset=9)


# ---- running ----

def environment():
    old = os.environ.get("ASAN_OPTIONS", "")
    return {**os.environ, "ASAN_OPTIONS": old + ":detect_leaks=1:"
            "allocator_may_return_null=1", "LC_ALL": "C.UTF-8"}


def engine(exe, target, folder, seconds, *more):
    """libFuzzer; the status, and what it printed last."""
    command = [exe, f"-max_total_time={seconds}", f"-max_len={INPUT_MAX}",
               f"-dict={HERE / 'dwal.dict'}", "-close_fd_mask=2",
               "-print_final_stats=1", *LIMITS, *more, str(folder)]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False,
                          env=environment())
    text = done.stderr.decode(errors="replace")
    print(text if done.returncode else "\n".join(text.splitlines()[-9:]))
    return done.returncode


def failed_inputs(folder):
    """What a run left: shown, so that it can be had from a log of CI."""
    import base64
    for path in sorted(folder.glob("*-*")):
        data = lzma.compress(path.read_bytes())
        print(f"{path.name}, xz, base64: {base64.b64encode(data).decode()}")


def test(target, exe, how):
    with tempfile.TemporaryDirectory(prefix="dwal-fuzz-") as home:
        inputs, found = Path(home) / "inputs", Path(home) / "found"
        found.mkdir()
        write_seeds(target, inputs)
        unpack(target, inputs)
        if how == "engine":
            seconds = int(os.environ.get("DWAL_FUZZ_SECONDS", "8"))
            status = engine(exe, target, inputs, seconds,
                            f"-artifact_prefix={found}/")
            failed_inputs(found)
            return 1 if status else 0
        files = sorted(str(path) for path in inputs.iterdir())
        done = subprocess.run([exe, *files], stderr=subprocess.PIPE,
                              check=False, env=environment())
        text = done.stderr.decode(errors="replace").splitlines()
        print("\n".join(text[-1:] if done.returncode == 0 else text[-60:]))
        return 0 if done.returncode == 0 else 1


def main(words):
    if len(words) == 4 and words[0] == "test":
        return test(*words[1:])
    if len(words) == 3 and words[0] == "seeds":
        write_seeds(words[1], Path(words[2]))
        unpack(words[1], Path(words[2]))
        return 0
    if len(words) in (4, 5) and words[0] == "run":
        return engine(words[2], words[1], Path(words[3]),
                      int((words + ["60"])[4]),
                      f"-artifact_prefix={words[3].rstrip('/')}.found.")
    if len(words) == 4 and words[0] == "pack":
        pack(words[1], words[2], Path(words[3]))
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
