#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every function that the library calls is struck by faults, or is harmless.

usage: sweep_symbols_test.py LIBDWAL.A WRAPPED,FUNCTIONS

Lists what libdwal.a leaves undefined. What is neither among the functions that
sweep_test wraps nor named here, with a reason, is a call whose failure nobody
has thought about.
"""
import re
import subprocess
import sys

HARMLESS = {
    "cannot fail": """
        memcmp memcpy memmove memset memchr strcmp strncmp strlen strnlen strchr
        strrchr strstr strspn strcspn bsearch qsort __errno_location
        strerror snprintf vsnprintf sigfillset sched_yield sysconf
        gnu_dev_major gnu_dev_minor sqrt""",
    "fails for wrong arguments only": """
        clock_gettime pthread_mutex_init pthread_mutex_destroy
        pthread_mutex_lock pthread_mutex_unlock pthread_cond_init
        pthread_cond_destroy pthread_cond_wait pthread_cond_timedwait
        pthread_cond_signal pthread_cond_broadcast pthread_condattr_init
        pthread_condattr_destroy pthread_condattr_setclock pthread_attr_init
        pthread_attr_destroy pthread_attr_setstacksize pthread_sigmask
        pthread_join pthread_detach pthread_once""",
    "an eventfd of our own, which is never full": "eventfd_read eventfd_write",
    "without it a child of fork() is not told so": "pthread_atfork",
    "advice that may be ignored": "madvise",
    "a hint where to count; any answer is good": "sched_getcpu",
    "only for the text that names the holder of a lock": """
        read stat64 fstatat64 strtoul strtoull""",
    "CRC-32 over memory": "crc32 crc32_z crc32_gzip_refl libdeflate_crc32",
    "our own bug": "__assert_fail abort",
    "the linker's": "_GLOBAL_OFFSET_TABLE_ __stack_chk_fail __tls_get_addr",
}


def undefined(library: str) -> set[str]:
    listing = subprocess.run(["nm", "-u", library], check=True, text=True,
                             capture_output=True).stdout
    names = set(re.findall(r"^ +[Uw] (\S+)", listing, re.M))
    # Sanitizers and fortified builds call the same things by other names.
    names = {name for name in names
             if not re.match(r"__(asan|ubsan|tsan|lsan|sanitizer|gcov|llvm)_",
                             name)}
    names = {re.sub(r"^__(\w+)_chk$|^__(open\w*)_2$", r"\1\2", name)
             for name in names}
    return {name for name in names if not name.startswith("dwal_")}


def main() -> int:
    library, wrapped = sys.argv[1], set(sys.argv[2].split(","))
    harmless = {name for names in HARMLESS.values() for name in names.split()}
    called = undefined(library)
    faults = [f"{name}: neither swept (tests/CMakeLists.txt) nor harmless"
              for name in sorted(called - wrapped - harmless)]
    faults += [f"{name}: wrapped, but the library does not call it"
               for name in sorted(wrapped - called)]
    faults += [f"{name}: harmless and wrapped"
               for name in sorted(wrapped & harmless)]
    for fault in faults:
        print(fault)
    print(f"{len(called)} functions called, {len(called & wrapped)} swept, "
          f"{len(faults)} faults")
    return 1 if faults or len(called) < 40 else 0


if __name__ == "__main__":
    sys.exit(main())
