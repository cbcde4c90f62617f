# SPDX-License-Identifier: MIT
"""Three nodes as processes: started, killed, asked who leads.

Each run has a loopback address of its own, so that two runs never meet and a node
keeps its port while it is dead. Every wait has a deadline and fails with what it
waited for; a node that ends without being told to fails the run.
"""
import os
import select
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

import dqlite

DEADLINE = 60.0  # of anything that a healthy cluster does within a few seconds
LATENCY_MS = 20  # what the nodes are told: they elect after 15 times that
_PAUSE = 0.02  # from one look to the next, while waiting
_PORT_GUARD, _PORT_NODE = 9000, 9001  # below those that the kernel gives away


class Failed(Exception):
    """The run has shown something that must not be."""


def wait_for(what, look, seconds=DEADLINE):
    """Looks until @look() is true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        result = look()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds:.0f} s for {what}, in vain")
        time.sleep(_PAUSE)


def address_claim():
    """(guard, host): a loopback address that is ours while @guard is open."""
    for attempt in range(200):
        number = os.getpid() + 7919 * attempt
        host = f"127.{1 + number // 62500 % 250}.{number // 250 % 250}.{1 + number % 250}"
        guard = socket.socket()
        try:
            guard.bind((host, _PORT_GUARD))
            guard.listen()
            return guard, host
        except OSError:
            guard.close()
    raise Failed("no loopback address is free")


class Node:
    """One node: its place, and its process while it runs."""

    def __init__(self, number, host, directory, command, environment):
        self.id = number
        self.address = f"{host}:{_PORT_NODE + number - 1}"
        self.directory = os.path.join(directory, f"node{number}")
        self.log = os.path.join(self.directory, "log")  # dwal's, if it is on dwal
        self.errors = os.path.join(directory, f"node{number}.err")
        self._command = command
        self._environment = environment
        self._process = None
        os.makedirs(self.directory, exist_ok=True)

    def __str__(self):
        return f"node {self.id}"

    @property
    def running(self):
        return self._process is not None

    def launch(self, *options):
        """Starts the process; ready() waits until it serves."""
        with open(self.errors, "wb") as errors:
            self._process = subprocess.Popen(
                [*self._command, *options, str(self.id), self.address, self.directory],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                env=self._environment)

    def ready(self):
        ready, _, _ = select.select([self._process.stdout], [], [], DEADLINE)
        if not ready or self._process.stdout.readline() != b"ready\n":
            raise Failed(f"{self} did not start: {self.last_words()}")

    def refused(self):
        """Waits for a process that is expected not to start; what it said."""
        code = self._process.wait(DEADLINE)
        self._forget()
        if code == 0 or code < 0:
            raise Failed(f"{self} should have refused to start; it ended with {code}")
        return self.last_words()

    def kill(self):
        self._process.kill()
        self._process.wait(DEADLINE)
        self._forget()

    def stop(self):
        """A clean end."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(DEADLINE)
        self._forget()
        if code != 0:
            raise Failed(f"{self} ended with {code}: {self.last_words()}")

    def check(self):
        """That it has not ended by itself."""
        if self.running and self._process.poll() is not None:
            code = self._process.returncode
            raise Failed(f"{self} ended by itself, with {code}: {self.last_words()}")

    def last_words(self):
        with open(self.errors, "rb") as errors:
            lines = errors.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-12:]) if lines else "(it said nothing)"

    def rows(self, database, sql):
        """What its own copy of @database holds, leader or not; None: no such table."""
        with dqlite.Connection(self.address) as connection:
            files = connection.dump(database)
        with tempfile.TemporaryDirectory(dir=self.directory + "/..") as place:
            for name, data in files.items():
                with open(os.path.join(place, name), "wb") as file:
                    file.write(data)
            copy = sqlite3.connect(os.path.join(place, database))
            try:
                return copy.execute(sql).fetchall()
            except sqlite3.OperationalError:
                return None
            finally:
                copy.close()

    def _forget(self):
        self._process.stdout.close()
        self._process = None


class Cluster:
    """The nodes, and who of them leads."""

    def __init__(self, directory, host, command, environment, size=3):
        self.nodes = [Node(number, host, directory, command, environment)
                      for number in range(1, size + 1)]

    def start(self, nodes):
        for node in nodes:
            node.launch()
        for node in nodes:
            node.ready()

    def form(self):
        """All nodes voters of one cluster, which node 1 begins."""
        self.start(self.nodes)
        for node in self.nodes[1:]:
            with dqlite.Connection(self.leader().address) as connection:
                connection.add(node.id, node.address)
                connection.assign(node.id, dqlite.VOTER, DEADLINE)
        with dqlite.Connection(self.leader().address) as connection:
            voters = [(node.id, node.address, dqlite.VOTER) for node in self.nodes]
            if sorted(connection.cluster()) != voters:
                raise Failed(f"the cluster is {connection.cluster()}, not {voters}")

    def check(self):
        for node in self.nodes:
            node.check()

    def leader(self):
        """The node that leads, by its own word."""
        return wait_for("a leader", self._leader_look)

    def _leader_look(self):
        self.check()
        for node in self.nodes:
            if node.running and leader_ask(node.address) == node.address:
                return node
        return None

    def kill_all(self):
        for node in self.nodes:
            if node.running:
                node.kill()


def leader_ask(address):
    """Whom the node at @address takes for the leader; None when it cannot tell."""
    try:
        with dqlite.Connection(address, timeout=2.0) as connection:
            return connection.leader()[1] or None
    except (dqlite.Lost, dqlite.Failure):
        return None
