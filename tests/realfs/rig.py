# SPDX-License-Identifier: MIT
"""A disk that is a program, a loop device on it, a filesystem on that.

Everything lives in namespaces of its own: of mounts, so that no mount outlives
the test, and of processes, so that no process does. Loop devices are made with
AUTOCLEAR and held by descriptors. Whoever kills the test, even with SIGKILL,
leaves nothing behind; sweep() looks for what a machine that crashed did.
"""
import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterator, NamedTuple

SKIP = 77
INSIDE = "DWAL_REALFS_INSIDE"  # names the scratch folder, once in namespaces
PREFIX = "dwal-realfs-"
WATCHDOG = 300  # seconds that a disk lives at most
MIB = 1 << 20

LOOP_CLR_FD = 0x4C01
LOOP_GET_STATUS64 = 0x4C05
LOOP_CONFIGURE = 0x4C0A
LOOP_SET_CAPACITY = 0x4C07
LOOP_CTL_GET_FREE = 0x4C82
LO_FLAGS_AUTOCLEAR = 4
LO_FLAGS_DIRECT_IO = 16


class Filesystem(NamedTuple):
    name: str
    size: int  # bytes; the images are sparse
    make: tuple[str, ...]
    options: str


# As small as they get, journals included; ext4 with everything initialised, so
# that no thread of the kernel does it later.
EXT4 = Filesystem("ext4", 32 * MIB,
                  ("mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4",
                   "-N", "256", "-E", "nodiscard,lazy_itable_init=0,"
                   "lazy_journal_init=0"), "commit=1")
XFS = Filesystem("xfs", 320 * MIB, ("mkfs.xfs", "-q", "-f", "-K"), "")
BTRFS = Filesystem("btrfs", 192 * MIB,
                   ("mkfs.btrfs", "-q", "-f", "-K", "-M"), "commit=1")


def skip(why: str) -> None:
    print(f"skipped: {why}")
    sys.exit(SKIP)


def program(name: str) -> str:
    return str(Path(os.environ["DWAL_BUILD_DIR"]) / "tests" / "realfs" / name)


# ---- namespaces ----

def scratch_parent() -> Path:
    return Path(tempfile.gettempdir())


def sweep() -> None:
    """Removes what tests that are gone have left behind."""
    for folder in scratch_parent().glob(PREFIX + "*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            print(f"removing {folder}, which a test left behind")
            shutil.rmtree(folder, ignore_errors=True)
    for device, owner in loops():
        if not Path("/proc", owner).exists():
            print(f"detaching {device}, which a test left behind")
            with contextlib.suppress(OSError), open(device, "rb") as stream:
                fcntl.ioctl(stream, LOOP_CLR_FD)


def loops() -> list[tuple[str, str]]:
    """The loop devices of tests, and the process of each test."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        device = "/dev/" + backing.parts[3]
        with contextlib.suppress(OSError), open(device, "rb") as stream:
            info = fcntl.ioctl(stream, LOOP_GET_STATUS64, bytes(232))
            name = info[56:120].split(b"\0")[0].decode(errors="replace")
            owner = name.removeprefix(PREFIX).split("-")[0]
            if name.startswith(PREFIX) and owner.isdigit():
                found.append((device, owner))
    return found


def require(programs: tuple[str, ...]) -> None:
    """Skips, and says why, where the rig cannot work."""
    if os.geteuid() != 0:
        skip("only root can mount")
    for path in ("/dev/fuse", "/dev/loop-control"):
        if not os.access(path, os.R_OK | os.W_OK):
            skip(f"there is no {path}")
    for name in ("unshare", "mount", "umount", *programs):
        if shutil.which(name) is None:
            skip(f"{name} is not installed")
    trial = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"],
                           capture_output=True, check=False)
    if trial.returncode != 0:
        skip("namespaces are not allowed here: " + trial.stderr.decode())


def enter(programs: tuple[str, ...]) -> Path:
    """Starts this program once more, in namespaces; there, returns a folder on
    a tmpfs that nobody else sees. @programs must be installed."""
    if INSIDE not in os.environ:
        require(programs)
        sweep()
        # The process that owns the folder is this one: it becomes unshare.
        scratch = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")
        os.environ[INSIDE] = scratch
        keeper = subprocess.Popen(
            [sys.executable, "-c", KEEPER, str(os.getpid()), scratch],
            start_new_session=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        del keeper  # it ends after us
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private",
                              "--pid", "--fork", "--kill-child",
                              "--mount-proc", sys.executable, *sys.argv])
    scratch = Path(os.environ[INSIDE])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g", "dwal-realfs",
                    str(scratch)], check=True)
    return scratch


def require_filesystem(scratch: Path, filesystem: Filesystem) -> None:
    """Skips where the kernel has no loop devices or not this filesystem."""
    image = scratch / "trial"
    with open(image, "wb") as stream:
        stream.truncate(filesystem.size)
    try:
        loop = Loop(image, 512, False)
    except OSError as error:
        skip(f"no loop device can be had: {error}")
    image.unlink()
    subprocess.run([*filesystem.make, loop.device], check=True,
                   capture_output=True)
    mounted = scratch / "trial.mounted"
    mounted.mkdir()
    done = subprocess.run(["mount", "-t", filesystem.name, loop.device,
                           str(mounted)], capture_output=True, check=False)
    loop.close()
    if done.returncode != 0:
        skip(f"{filesystem.name} cannot be mounted: {done.stderr.decode()}")
    subprocess.run(["umount", str(mounted)], check=True)


# Waits until the test is gone and removes its empty folder, which is all that
# it can leave behind.
KEEPER = """
import os, sys, time
while os.path.exists("/proc/" + sys.argv[1]):
    time.sleep(0.05)
try:
    os.rmdir(sys.argv[2])
except OSError:
    pass
"""


def keep(log: Path) -> Path:
    """Copies a disk's log to where it outlives the test."""
    # The scratch folder's name, seen from outside, is a plain folder.
    kept = Path(tempfile.mkdtemp(prefix="dwal-realfs.kept-")) / log.name
    shutil.copyfile(log, kept)
    return kept


# ---- loop devices ----

class Loop:
    """A loop device on a file; it is gone once nobody has it open."""

    def __init__(self, path: Path, sector: int, direct: bool) -> None:
        flags = LO_FLAGS_AUTOCLEAR | (LO_FLAGS_DIRECT_IO if direct else 0)
        name = (Path(os.environ[INSIDE]).name + "-" + path.name).encode()
        backing = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        # struct loop_config: fd, block size, struct loop_info64, reserved.
        info = struct.pack("<QQQQQIIII64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0,
                           flags, name, b"", b"", 0, 0)
        config = struct.pack("<II", backing, sector) + info + bytes(64)
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        try:
            self.fd, self.device = self._configure(control, config)
        finally:
            os.close(control)
            os.close(backing)

    @staticmethod
    def _configure(control: int, config: bytes) -> tuple[int, str]:
        for _ in range(64):  # somebody may be faster
            number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            device = f"/dev/loop{number}"
            fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(fd, LOOP_CONFIGURE, config)
                return fd, device
            except OSError as error:
                os.close(fd)
                if error.errno != 16:  # EBUSY
                    raise
        raise OSError("no loop device is free")

    def capacity_update(self) -> None:
        """losetup -c: the backing file has another size now."""
        fcntl.ioctl(self.fd, LOOP_SET_CAPACITY)

    def close(self) -> None:
        os.close(self.fd)


# ---- the disk ----

class Disk:
    """realfs_disk, the loop device on it, the filesystem on that."""

    def __init__(self, folder: Path, filesystem: Filesystem, *,
                 sector: int = 512, direct: bool = True, seed: int = 0) -> None:
        self.filesystem = filesystem
        self.folder = folder
        self.sector = sector
        self.direct = direct
        self.seed = seed
        self.log = folder / "log"
        self.fifo = folder / "fifo"
        self.mounted = folder / "mounted"
        self.log_dir = self.mounted / "log"
        self._fuse = folder / "fuse"
        self._daemon: subprocess.Popen | None = None
        self._loop: Loop | None = None
        for path in (folder, self.mounted, self._fuse):
            path.mkdir(exist_ok=True)
        os.mkfifo(self.fifo)

    def start(self) -> None:
        self._daemon = subprocess.Popen(
            [program("realfs_disk"), str(self._fuse),
             str(self.folder / "image"), str(self.log), str(self.fifo),
             str(self.filesystem.size), str(self.sector), str(self.seed),
             str(WATCHDOG)])
        file = self._fuse / "disk"
        for _ in range(1000):
            if file.exists():
                break
            if self._daemon.poll() is not None:
                raise RuntimeError("realfs_disk does not start")
            time.sleep(0.01)
        self._loop = Loop(file, self.sector, self.direct)

    def tell(self, line: str) -> None:
        """A command for the disk. It has been obeyed when this returns."""
        self._say(line)
        # Every line ends up in the log: wait for a mark of our own behind it.
        token = f"told {time.monotonic_ns()}"
        self._say(f"mark {token}")
        for _ in range(5000):
            with open(self.log, "rb") as stream:
                stream.seek(-min(MIB, os.path.getsize(self.log)), os.SEEK_END)
                if token.encode() in stream.read():
                    return
            time.sleep(0.002)
        raise RuntimeError(f"the disk does not obey: {line}")

    def _say(self, line: str) -> None:
        fd = os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(fd, (line + "\n").encode())
        finally:
            os.close(fd)

    def make(self) -> None:
        done = subprocess.run([*self.filesystem.make, self._loop.device],
                              capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{self.filesystem.make[0]}: "
                               + done.stderr.decode())

    def mount(self) -> None:
        options = ["-o", self.filesystem.options] \
            if self.filesystem.options else []
        subprocess.run(["mount", "-t", self.filesystem.name, *options,
                        self._loop.device, str(self.mounted)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.mounted)], check=True)

    def stop(self) -> None:
        """Takes the power away, for good if the disk hangs. After this the log
        is complete."""
        subprocess.run(["umount", "-l", str(self.mounted)], check=False,
                       capture_output=True)
        if self._loop is not None:
            self._loop.close()
            self._loop = None
        if self._daemon is not None:
            # Killed, not asked: whatever still waits for it gets an error.
            self._daemon.send_signal(signal.SIGKILL)
            self._daemon.wait()
            self._daemon = None
        subprocess.run(["umount", "-l", str(self._fuse)], check=False,
                       capture_output=True)

    @property
    def device(self) -> str:
        return self._loop.device

    @property
    def loop(self) -> Loop:
        return self._loop


@contextlib.contextmanager
def disk(folder: Path, filesystem: Filesystem, **options) -> Iterator[Disk]:
    made = Disk(folder, filesystem, **options)
    try:
        made.start()
        yield made
    finally:
        made.stop()


# ---- the other programs ----

def work_command(on: Disk, seed: int, life: int, *more: object) -> list[str]:
    return [program("realfs_work"), "--dir", str(on.log_dir), "--log",
            str(on.log), "--fifo", str(on.fifo), "--seed", str(seed), "--life",
            str(life), *map(str, more)]


def work(on: Disk, seed: int, life: int, *more: object) -> dict:
    """One life of the workload; {} if it was to be killed."""
    done = subprocess.run(work_command(on, seed, life, *more),
                          capture_output=True, timeout=120, check=False)
    if done.returncode == -signal.SIGKILL and "--abrupt" in more:
        return {}
    if done.returncode != 0:
        raise AssertionError(f"the workload ends with {done.returncode}: "
                             + done.stderr.decode())
    return json.loads(done.stdout)


class Failed(AssertionError):
    pass


def replay_command(log: Path, filesystem: Filesystem, *more: object
                   ) -> list[str]:
    return [program("realfs_replay"), "--log", str(log), "--fs",
            filesystem.name, "--size", str(filesystem.size), *map(str, more)]


def replay(log: Path, filesystem: Filesystem, *more: object, jobs: int = 1
           ) -> dict:
    """Checks states of a log in @jobs processes; sums up what they say."""
    running = [subprocess.Popen(
        replay_command(log, filesystem, "--part", f"{i}/{jobs}", *more),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE) for i in range(jobs)]
    total: dict = {}
    errors = b""
    for process in running:
        out, err = process.communicate()
        errors += err
        if process.returncode not in (0, 1) or not out:
            errors += f"realfs_replay ends with {process.returncode}\n".encode()
            continue
        for key, value in json.loads(out).items():
            total[key] = total.get(key, 0) + value
    if errors:
        kept = keep(log)
        raise Failed(errors.decode().replace(str(log), str(kept)))
    return total


def successor_make(log: Path, filesystem: Filesystem, draw: random.Random,
                   successor: Path) -> None:
    """Writes a log that goes on from some crashed state of @log."""
    with open(log, "rb") as stream:
        count = struct.unpack("<QQQ", stream.read(24))[2]
    # Rather a late one, so that there is a past.
    position = draw.randrange(count // 2, count + 1)
    subprocess.run(
        replay_command(log, filesystem, "--position", position, "--way",
                       draw.choice(("prefix", "flushed", "random", "random")),
                       "--draw", draw.getrandbits(63), "--successor",
                       successor), check=True, stdout=subprocess.DEVNULL)


def tools_check(folder: Path, log: Path, filesystem: Filesystem,
                draw: random.Random) -> None:
    """walfsck, as it is shipped, on a crashed state: it finds the log clean or
    torn, repairs a torn tail, and then finds it clean."""
    image, mounted = folder / "state", folder / "state.mounted"
    with open(log, "rb") as stream:
        _, _, count, sector = struct.unpack("<QQQI", stream.read(28))
    state = ["--position", draw.randrange(count // 2, count + 1), "--way",
             "random", "--draw", draw.getrandbits(63)]
    subprocess.run(replay_command(log, filesystem, *state, "--keep", image),
                   check=True, stdout=subprocess.DEVNULL)
    loop = Loop(image, sector, False)
    mounted.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", filesystem.name, loop.device, str(mounted)],
                   check=True)
    statuses = []
    for more in ([], ["-p"], []):
        done = subprocess.run(
            [str(Path(os.environ["DWAL_BUILD_DIR"]) / "fsck" / "walfsck"),
             *more, str(mounted / "log")], capture_output=True, check=False)
        statuses.append(done.returncode)
        if done.returncode not in (0, 1) or (statuses[2:] not in ([], [0])):
            kept = keep(log)
            again = replay_command(kept, filesystem, *state, "--keep", "IMAGE")
            raise Failed(f"walfsck {more} exits {done.returncode}: "
                         f"{(done.stdout + done.stderr).decode()}\n  again: "
                         + " ".join(again))
    subprocess.run(["umount", str(mounted)], check=True)
    loop.close()
    image.unlink()


def compare(on: Disk) -> dict:
    """The log as it is mounted now, against all that it ever promised."""
    done = subprocess.run(
        [program("realfs_replay"), "--log", str(on.log), "--directory",
         str(on.log_dir)], capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        raise Failed(done.stderr.decode() + f"  the disk's log: {keep(on.log)}")
    return json.loads(done.stdout)
