#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Three dqlite nodes on dwal: SQL writes, kills, restarts, and the accounts after.

Writers insert rows of known content all the time while, round after round,

  - the leader is killed in the middle of writes, the others go on, it comes back;
  - a follower is dead for longer than the logs reach back, so that it needs the
    leader's snapshot (first round only);
  - a node is killed again and again while it starts;
  - all nodes are killed in the middle of writes, and come back;

and then every acknowledged row must be there with its content: through the leader,
and at the end in each node's own copy. Then the logs are compared record by record
and checked with walfsck; with one bit of one log flipped, that node must refuse to
start while the two others go on; and the last node must go on alone when told to.

What is random is chosen from the seed, which is printed. Each wait has a deadline,
a watchdog ends the run as a whole, and the nodes die with this process.
"""
import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import textwrap
import time

import dqlite
import logs
import nodes
import writers

WRITERS = 4
# Small, so that snapshots, trims and segment changes happen within seconds.
SNAPSHOT_THRESHOLD, SNAPSHOT_TRAILING = 64, 512
SEGMENT_SIZE = 512 << 10


class Demo:
    """One run: the cluster, its writers, and the clock."""

    def __init__(self, arguments, directory, host):
        self.arguments = arguments
        self.random = random.Random(arguments.seed)
        self.began = time.monotonic()
        command = [arguments.node, f"--latency={nodes.LATENCY_MS}",
                   f"--threshold={SNAPSHOT_THRESHOLD}",
                   f"--trailing={SNAPSHOT_TRAILING}"]
        environment = dict(os.environ)
        if arguments.shim:
            environment["LD_PRELOAD"] = arguments.shim
            environment["DWAL_RAFT_SEGMENT_SIZE"] = str(SEGMENT_SIZE)
        self.cluster = nodes.Cluster(directory, host, command, environment)
        addresses = [node.address for node in self.cluster.nodes]
        self.writers = writers.Writers(WRITERS, arguments.seed, addresses)
        self.ledger = self.writers.ledger

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def check(self):
        self.cluster.check()
        self.writers.check()

    def wait_rows(self, count):
        """Until @count rows more are acknowledged."""
        self.ledger.wait(self.ledger.count + count, self.check)

    def some(self):
        """A number of rows, after which something happens in the middle of writes."""
        return self.random.randint(10, 60)

    # ---- what happens to them ----

    def leader_kill(self):
        self.wait_rows(self.some())
        leader = self.cluster.leader()
        leader.kill()
        self.next_leader(f"{leader} led and is killed")
        self.wait_rows(self.some())
        self.cluster.start([leader])
        self.wait_rows(self.some())
        return leader

    def next_leader(self, happened):
        """Tells, with what has just @happened, who leads next, and how soon."""
        killed = time.monotonic()
        count = self.ledger.count
        leader = self.cluster.leader()
        elected = time.monotonic() - killed
        self.wait_rows(1)
        gap = time.monotonic() - killed
        self.say(f"{happened} with {count} rows acknowledged; {leader} leads"
                 f" {elected:.2f} s later, the next row comes after {gap:.2f} s")

    def follower_leave_behind(self):
        leader = self.cluster.leader()
        node = self.random.choice([n for n in self.cluster.nodes if n is not leader])
        node.kill()
        count = self.ledger.count
        how = "catches up"
        if self.arguments.shim:
            self.wait_trimmed(logs.ends(self.arguments.tools, node)[1])
            how = "catches up, though no log reaches back so far"
        else:  # a row is an entry at least, so this is more than the logs keep
            self.wait_rows(SNAPSHOT_THRESHOLD + SNAPSHOT_TRAILING)
        rows = self.ledger.count - count
        with self.writers.resting():
            self.cluster.start([node])
            self.wait_caught_up(node)
        self.say(f"{node} is killed, stays dead for {rows} rows, and {how}")

    def wait_trimmed(self, index):
        """Until nobody who may lead has the entry behind @index any more."""
        def look():
            self.check()
            return all(logs.ends(self.arguments.tools, node)[0] > index + 1
                       for node in self.cluster.nodes if node.running)

        nodes.wait_for("the logs to be trimmed", look)

    def wait_caught_up(self, node, seconds=nodes.DEADLINE):
        """Until its own copy has all that is acknowledged now. The writers rest, so
        that a leader does not trim what the node just needs: a snapshot that came
        amiss libraft repeats after 30 s only. Now and then it does so here, too."""
        with self.writers.resting():
            for database in writers.DATABASES:
                _, acknowledged = self.ledger.copy(database)
                nodes.wait_for(f"{node} to catch up with {database}",
                               lambda: self._has(node, database, acknowledged), seconds)

    def _has(self, node, database, acknowledged):
        self.check()
        try:
            rows = node.rows(database, "SELECT id FROM rows")
        except (dqlite.Lost, dqlite.Failure):
            return False
        return rows is not None and acknowledged <= {row for row, in rows}

    def stumble(self):
        """A node is killed again and again while it starts and catches up."""
        node = self.random.choice(self.cluster.nodes)
        times = self.random.randint(3, 6)
        node.kill()
        for _ in range(times):
            node.launch()
            # Not a wait for anything: an instant to be killed at.
            time.sleep(self.random.uniform(0, 0.15))
            node.kill()
        self.cluster.start([node])
        self.wait_rows(self.some())
        self.say(f"{node} is killed, and {times} times more while it starts")

    def all_kill(self):
        self.wait_rows(self.some())
        order = self.random.sample(self.cluster.nodes, len(self.cluster.nodes))
        for node in order:
            node.kill()
        self.say(f"all nodes are killed with {self.ledger.count} rows acknowledged")
        self.cluster.start(self.random.sample(order, len(order)))
        self.next_leader("all are started again")

    # ---- the accounts ----

    def rows_check(self):
        """Every acknowledged row through the leader, and nothing that nobody wrote."""
        there = acknowledged = 0
        for database in writers.DATABASES:
            _, promised = self.ledger.copy(database)
            rows, tally = nodes.wait_for("a read", lambda: self._read(database))
            tried, _ = self.ledger.copy(database)
            self._account("through the leader", database, rows, promised, tried)
            if tally is not None and tally != len(rows):
                raise nodes.Failed(f"{database}: {len(rows)} rows, and {tally} counted")
            there += len(rows)
            acknowledged += len(promised)
        self.say(f"{acknowledged} rows were acknowledged, {there} are there, each with"
                 " its content")

    def _read(self, database):
        """(rows, tally) by the leader, None when it could not answer."""
        self.check()
        try:
            with dqlite.Connection(self.cluster.leader().address, 20) as connection:
                connection.open(database)
                sql = "SELECT id, content, (SELECT count FROM tally) FROM rows"
                rows = connection.query(sql)
        except (dqlite.Lost, dqlite.Failure):
            return None
        return [row[:2] for row in rows], rows[0][2] if rows else None

    def _account(self, where, database, rows, promised, tried):
        seen = dict(rows)
        if len(seen) != len(rows):
            raise nodes.Failed(f"{database}: a row is there twice, {where}")
        if promised - seen.keys():
            raise nodes.Failed(f"{database}: {len(promised - seen.keys())} acknowledged"
                               f" rows are not there, {where}: "
                               f"{sorted(promised - seen.keys())[:5]}")
        if seen.keys() - tried:
            raise nodes.Failed(f"{database}: rows that nobody wrote, {where}")
        for row, content in rows:
            if content != writers.content_of(self.arguments.seed, row):
                raise nodes.Failed(f"{database}: row {row} has another content, {where}")

    def copies_check(self):
        """The same, in each node's own copy of the databases."""
        for node in self.cluster.nodes:
            self.wait_caught_up(node)
            for database in writers.DATABASES:
                tried, acknowledged = self.ledger.copy(database)
                rows = node.rows(database, "SELECT id, content FROM rows")
                self._account(f"at {node}", database, rows, acknowledged, tried)
        self.say("every acknowledged row is in each node's own copy, with its content")

    def logs_check(self):
        for node in self.cluster.nodes:
            code, text = logs.check(self.arguments.tools, node)
            if code != 0:
                raise nodes.Failed(f"{node}: walfsck ends with {code}: {text}")
        count, first, last = logs.compare(self.arguments.tools, self.cluster.nodes)
        if count == 0:
            raise nodes.Failed("the three logs do not overlap")
        self.say(f"walfsck finds the three logs clean; {count} records, {first} to"
                 f" {last}, are equal in all three: index, term, type and contents")

    def flip_check(self):
        """One bit: the node says so and stays away, the others go on."""
        victim = self.random.choice(self.cluster.nodes)
        index, name, at = logs.bit_flip(self.arguments.tools, victim, self.random)
        before = logs.fingerprint(victim.directory)
        victim.launch()
        words = victim.refused()
        if "run walfsck" not in words:
            raise nodes.Failed(f"{victim} does not say what to do: {words}")
        if logs.fingerprint(victim.directory) != before:
            raise nodes.Failed(f"{victim} has changed a log that it refused")
        code, text = logs.check(self.arguments.tools, victim)
        if code != 4 or name not in text:
            raise nodes.Failed(f"walfsck ends with {code} and does not name {name}: {text}")
        self.say(f"one bit of record {index} of {victim} is flipped ({name}, offset {at});"
                 " it refuses to start, and walfsck names the file:")
        print(textwrap.indent(words, " " * 10), flush=True)
        self.cluster.start([node for node in self.cluster.nodes if node is not victim])
        self.rows_check()
        with dqlite.Connection(self.cluster.leader().address) as connection:
            connection.open(writers.DATABASES[0])
            connection.execute("UPDATE tally SET count = count")
        self.say("the two others lead, read and write without it")

    def recover_check(self):
        """Two of the three are lost for good; the last one goes on alone."""
        running = [node for node in self.cluster.nodes if node.running]
        for node in running:
            node.kill()
        last = self.random.choice(running)
        last.launch("--recover")
        last.ready()
        self.rows_check()
        last.stop()
        self.say(f"{last} was told to go on alone (dqlite_node_recover_ext), and has all")

    def run(self):
        self.cluster.form()
        writers.tables_make(self.cluster.leader().address)
        self.say(f"three voters; {self.cluster.leader()} leads; {WRITERS} writers begin")
        self.writers.start()
        for number in range(self.arguments.rounds):
            self.leader_kill()
            if number == 0:
                self.follower_leave_behind()
            self.stumble()
            self.all_kill()
            self.rows_check()
        self.wait_rows(self.some())
        self.writers.stop()
        self.say(f"the writers end: {self.ledger.count} rows acknowledged,"
                 f" {self.ledger.retried} of them only at a further try,"
                 f" {self.ledger.found} of these found there")
        self.rows_check()
        self.copies_check()
        if self.arguments.shim:
            for node in self.cluster.nodes:
                node.stop()
            self.logs_check()
            self.flip_check()
        self.recover_check()
        return 0


def arguments_read():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--node", required=True, help="the program dqlite-node")
    parser.add_argument("--tools", help="where waldump and walfsck are")
    parser.add_argument("--shim", help="preloaded into the nodes, puts them on dwal;"
                        " without it they run on libraft's own storage, and the logs"
                        " are neither compared nor damaged")
    parser.add_argument("--rounds", type=int, help="of kills; DWAL_DQLITE_ROUNDS, or 1",
                        default=int(os.environ.get("DWAL_DQLITE_ROUNDS", "1")))
    parser.add_argument("--seed", type=int, default=None, help="of what is random")
    parser.add_argument("--directory", help="keeps the nodes' data there (must be new)")
    arguments = parser.parse_args()
    if arguments.shim and not arguments.tools:
        parser.error("--shim needs --tools")
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1 << 32)
    return arguments


def watchdog(seconds):
    """Ends the run when all else fails; the nodes die with it."""
    def bark(*_):
        print(f"demo: not done after {seconds} s", file=sys.stderr, flush=True)
        os._exit(1)
    signal.signal(signal.SIGALRM, bark)
    signal.alarm(seconds)


def main(kind=Demo):
    arguments = arguments_read()
    watchdog(120 + 120 * arguments.rounds)
    for ends in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ends, lambda number, _: sys.exit(128 + number))
    guard, host = nodes.address_claim()
    if arguments.directory:
        os.makedirs(arguments.directory)
    directory = arguments.directory or tempfile.mkdtemp(prefix="dwal-dqlite-")
    print(f"seed {arguments.seed}, {arguments.rounds} round(s), nodes at {host}", flush=True)
    demo = kind(arguments, os.path.abspath(directory), host)
    try:
        return demo.run()
    except nodes.Failed as failure:
        print(f"demo: FAILED, seed {arguments.seed}: {failure}", file=sys.stderr)
        for node in demo.cluster.nodes:
            print(f"--- {node}: {node.last_words()}", file=sys.stderr)
        return 1
    finally:
        demo.cluster.kill_all()
        guard.close()
        if not arguments.directory:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
