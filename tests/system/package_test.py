#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Debian packages: made by the preset, accepted by lintian without errors,
installed into an empty root and removed again without a trace.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402

SOURCE = Path(os.environ["DWAL_SOURCE_DIR"])
PACKAGES = ("libdwal0", "libdwal-dev", "dwal-tools")
# One of each kind; install_test looks closer.
CONTENTS = {
    "libdwal0": [r"/usr/lib/[^/]+/libdwal\.so\.0"],
    "libdwal-dev": [r"/usr/include/dwal\.h", r"/usr/lib/[^/]+/libdwal\.(so|a)",
                    r"/usr/lib/[^/]+/pkgconfig/dwal\.pc",
                    r"/usr/lib/[^/]+/cmake/dwal/dwalConfig\.cmake",
                    r"/usr/share/man/man3/dwal_open\.3\.gz"],
    "dwal-tools": [r"/usr/bin/walput", r"/usr/bin/waldump", r"/usr/bin/walbench",
                   r"/usr/sbin/walfsck", r"/usr/share/man/man8/walfsck\.8\.gz",
                   r"/usr/share/bash-completion/completions/walput"],
}


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(list(map(str, command)), text=True, cwd=cwd,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=250, check=False)
    if done.returncode != 0:
        sys.exit(f"{command} exits {done.returncode}:\n{done.stdout}")
    return done.stdout


def make(build: Path) -> dict[str, Path]:
    # 022: what others may read is told by the mode of files.
    os.umask(0o022)
    run("cmake", "--preset", "package", "-B", build, cwd=SOURCE)
    run("cmake", "--build", build, "-j", str(os.cpu_count()))
    run("cpack", "-G", "DEB", "-B", build / "packages", cwd=build)
    found = {path.name.split("_")[0]: path
             for path in (build / "packages").glob("*.deb")}
    if set(found) != set(PACKAGES):
        sys.exit(f"packages: {sorted(found)}")
    return found


def check_contents(package: str, path: Path) -> None:
    listing = run("dpkg-deb", "--contents", path)
    names = re.findall(r" \.(/\S+)", listing)
    for pattern in CONTENTS[package] + [
            rf"/usr/share/doc/{package}/copyright",
            rf"/usr/share/doc/{package}/changelog\.Debian\.gz"]:
        if not any(re.fullmatch(pattern, name) for name in names):
            sys.exit(f"{package} lacks {pattern}:\n{listing}")
    print(f"{package}: {len(names)} entries,",
          run("dpkg-deb", "-f", path, "Depends").strip())


def check_versions() -> None:
    version = re.search(r"VERSION (\d+\.\d+\.\d+)",
                        (SOURCE / "CMakeLists.txt").read_text())[1]
    for file, pattern in (("cmake/debian/changelog", r"dwal \((.*?)-1\)"),
                          ("CHANGELOG.md", r"(?m)^## \[(.*?)\]")):
        found = re.search(pattern, (SOURCE / file).read_text())[1]
        if found != version:
            sys.exit(f"{file} begins with {found}, the project is {version}")
    macros = re.findall(r"#define DWAL_VERSION_\w+ (\d+)",
                        (SOURCE / "src/dwal.h").read_text())
    if ".".join(macros) != version:
        sys.exit(f"dwal.h has version {macros}, the project is {version}")


def check_lintian(paths: list[Path]) -> None:
    if not shutil.which("lintian"):
        print("lintian is not installed: not asked")
        return
    print(run("lintian", "--allow-root", "--fail-on", "error", *paths).strip())


def check_install(paths: list[Path], root: Path) -> None:
    if os.geteuid() != 0:
        print("not root: not installed")
        return
    state = root / "var/lib/dpkg"
    (state / "info").mkdir(parents=True)
    (state / "updates").mkdir()
    (state / "status").touch()
    # Nothing that they depend on is in an empty root.
    dpkg = ("dpkg", f"--root={root}", "--force-depends", "--no-triggers",
            f"--log={root}/log")
    run(*dpkg, "-i", *paths)
    if not (root / "usr/sbin/walfsck").exists():
        sys.exit("walfsck was not installed")
    run(*dpkg, "-P", *PACKAGES)
    left = [path for path in root.rglob("*") if path.is_file()
            and not path.is_relative_to(state) and path != root / "log"]
    if left:
        sys.exit(f"left behind: {left}")
    print("installed into an empty root, and removed without a trace")


def main() -> None:
    if not all(map(shutil.which, ("cpack", "dpkg-deb", "dpkg-shlibdeps"))):
        print("skipped: cpack, dpkg-deb and dpkg-shlibdeps are needed")
        sys.exit(77)
    check_versions()
    with tools.directory() as directory:
        found = make(directory / "build")
        for package, path in found.items():
            check_contents(package, path)
        paths = list(found.values())
        check_lintian(paths)
        check_install(paths, directory / "root")


main()
