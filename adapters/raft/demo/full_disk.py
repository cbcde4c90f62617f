#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Three dqlite nodes on dwal, one of them on a disk that fills up and is emptied.

The disk of a follower (a small tmpfs) is filled while rows are written, and the two
others go on. Once there is space again it must catch up by itself. Then the same with
the leader: whatever it acknowledges is kept, and rows go on once there is space. At
the end all rows and all logs are checked as in demo.py.

Needs root, for the mount, which is in a namespace of its own and ends with it.
"""
import errno
import os
import subprocess
import sys

import demo
import nodes
import writers

SKIPPED = 77
_DISK_SIZE = 48 << 20
_BALLAST = "ballast"
_INSIDE = "DWAL_FULL_DISK_INSIDE"


def disk_fill(node):
    """Takes all that is free, and more each time, as the node lets go of some."""
    path = os.path.join(node.directory, _BALLAST)
    try:
        with open(path, "ab", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


class FullDisk(demo.Demo):
    """The same cluster, another misfortune."""

    def run(self):
        victim = self.cluster.nodes[1]
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_SIZE}", "none",
                        victim.directory], check=True)
        try:
            self.cluster.form()
            writers.tables_make(self.cluster.leader().address)
            self.writers.start()
            self.wait_rows(self.some())
            self.follower_full(victim)
            self.leader_full(victim)
            self.writers.stop()
            self.rows_check()
            self.copies_check()
            for node in self.cluster.nodes:
                node.stop()
            if self.arguments.shim:
                self.logs_check()
            return 0
        finally:
            self.cluster.kill_all()
            subprocess.run(["umount", "-l", victim.directory], check=False)

    def follower_full(self, victim):
        if self.cluster.leader() is victim:
            raise nodes.Failed("node 1 should lead")
        before = self.ledger.count
        # What it has prepared ahead is used up, and what it frees is taken.
        for _ in range(8):
            disk_fill(victim)
            self.wait_rows(60)
        self.say(f"the disk of {victim} is full; {self.ledger.count - before} rows are"
                 f" acknowledged since; {self.cluster.leader()} leads")
        self.disk_empty(victim)

    def leader_full(self, victim):
        self.lead(victim)
        before = self.ledger.count
        for _ in range(8):
            disk_fill(victim)
            try:
                self.ledger.wait(self.ledger.count + 60, self.check, 3)
            except nodes.Failed:
                break
        self.say(f"the disk of {victim}, which leads, is full;"
                 f" {self.ledger.count - before} rows are acknowledged since")
        self.disk_empty(victim)
        self.wait_rows(self.some())

    def lead(self, node):
        """Makes @node the leader, by killing whoever else leads. Not by a transfer:
        dqlite 1.11 may die of one while clients write."""
        def look():
            leader = self.cluster.leader()
            if leader is node:
                return True
            leader.kill()
            self.cluster.leader()
            self.cluster.start([leader])
            return False

        nodes.wait_for(f"{node} to lead", look)

    def disk_empty(self, victim):
        os.unlink(os.path.join(victim.directory, _BALLAST))
        self.wait_caught_up(victim)
        self.wait_rows(1)
        self.say(f"there is space again; {victim} catches up by itself")


def main():
    if os.geteuid() != 0:
        print("full_disk: skipped: needs root, to mount a small disk")
        return SKIPPED
    if _INSIDE not in os.environ:
        os.execvpe("unshare", ["unshare", "--mount", sys.executable, *sys.argv],
                   dict(os.environ, **{_INSIDE: "1"}))
    return demo.main(FullDisk)


if __name__ == "__main__":
    sys.exit(main())
