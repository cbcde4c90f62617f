# SPDX-License-Identifier: MIT
"""The logs of the nodes: read by waldump, checked by walfsck, compared, damaged.

Nothing here knows dwal's format. Of libdwal-raft's it is known (README.md beside
it) that a record's LSN is the entry's index, its type the entry's, and that tenant
and shard are the term.
"""
import base64
import json
import os
import subprocess
import zlib

import nodes

_TOOL_TIMEOUT = 60


def check(tools, node):
    """walfsck's verdict: its exit code, and what it said."""
    done = subprocess.run([os.path.join(tools, "walfsck"), "-n", node.log],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=_TOOL_TIMEOUT, check=False)
    return done.returncode, done.stdout.strip()


def records(tools, node, *options):
    """Each record of a node's log, as waldump tells it: {LSN: object}."""
    done = subprocess.run([os.path.join(tools, "waldump"), "--json", *options, node.log],
                          capture_output=True, text=True, timeout=_TOOL_TIMEOUT,
                          check=False)
    if done.returncode != 0:
        raise nodes.Failed(f"{node}: waldump ends with {done.returncode}: {done.stderr}")
    objects = (json.loads(line) for line in done.stdout.splitlines())
    return {entry["lsn"]: entry for entry in objects if entry["kind"] == "record"}


def ends(tools, node):
    """(first, last) index in a node's log, also while it runs."""
    indexes = records(tools, node)
    return min(indexes, default=0), max(indexes, default=0)


def compare(tools, cluster):
    """Each two logs, record by record, where they overlap.

    Returns (records that all of them have, first index, last index).
    """
    logs = {node: digest(records(tools, node)) for node in cluster}
    first = max(min(log) for log in logs.values())
    last = min(max(log) for log in logs.values())
    for node, log in logs.items():
        if len(log) != max(log) - min(log) + 1:
            raise nodes.Failed(f"{node}: indexes are missing in its log")
    for index in range(min(min(log) for log in logs.values()), last + 1):
        there = {node: log[index] for node, log in logs.items() if index in log}
        if len(set(there.values())) > 1:
            raise nodes.Failed(f"index {index} differs: " + "; ".join(
                f"{node}: {record}" for node, record in there.items()))
    return max(last - first + 1, 0), first, last


def digest(log):
    """{index: (type, term, flags, CRC of the payload, its size)}"""
    return {index: (entry["type"], entry["shard"] << 32 | entry["tenant"],
                    entry["flags"], zlib.crc32(base64.b64decode(entry["payload"])),
                    entry["size"])
            for index, entry in log.items()}


def bit_flip(tools, node, random):
    """Flips one bit in the payload of a record in the middle of a node's log."""
    log = records(tools, node)
    order = sorted(log)
    entry = log[order[len(order) // 3 + random.randrange(len(order) // 3)]]
    payload = base64.b64decode(entry["payload"])
    path = os.path.join(node.log, f"{entry['segment']:016x}.wal")
    with open(path, "r+b") as file:
        file.seek(entry["offset"])
        # The payload's place in the record, so that no layout is known here.
        at = entry["offset"] + file.read(4096 + len(payload)).index(payload)
        at += random.randrange(len(payload))
        file.seek(at)
        byte = file.read(1)[0] ^ 1 << random.randrange(8)
        file.seek(at)
        file.write(bytes([byte]))
    return entry["lsn"], os.path.basename(path), at


def fingerprint(directory):
    """Names and contents of all files, to see that nothing has changed them."""
    seen = {}
    for place, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                seen[path] = zlib.crc32(file.read())
    return seen
