#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Three raft nodes on libdwal-raft, under SIGKILLs at random moments.

A client puts numbers through the leader, many at once. Nodes are killed, the
leader, any other, or all of them, and started again; some stay away for so long
that they need a snapshot. In the end, when all have caught up:

- every number that was acknowledged is in the list, each once;
- the three lists are the same;
- where their logs overlap, they are the same record by record;
- walfsck finds nothing wrong.

usage: cluster_test.py NODE_PROGRAM

DWAL_RAFT_SECONDS says how long the kills go on, 6 unless set; DWAL_SEED the seed.
"""
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests/support"))
import tools  # noqa: E402

SECONDS = float(os.environ.get("DWAL_RAFT_SECONDS", "6"))
SEED = int(os.environ.get("DWAL_SEED", "0")) or random.randrange(1 << 32)
PATIENCE = 120  # seconds, for what takes one or two
OUTSTANDING = 24
LEADER = "3"  # RAFT_LEADER


def free_ports(count: int) -> list[str]:
    """The kernel gives a freed port to nobody else for a while."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


class Link:
    """A connection of a client to a node."""

    def __init__(self, node: "Node"):
        self.node = node
        self.rest = b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        try:
            self.socket.connect(str(node.directory / "client"))
        except OSError:
            self.socket.close()
            raise

    def send(self, line: str) -> None:
        self.socket.sendall(line.encode() + b"\n")

    def lines(self, wait: float) -> list[str]:
        """What came; OSError if the node is gone."""
        if not select.select([self.socket], [], [], wait)[0]:
            return []
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionResetError
        *found, self.rest = (self.rest + data).split(b"\n")
        return [line.decode() for line in found]

    def close(self) -> None:
        self.socket.close()


class Node:
    def __init__(self, program: str, base: Path, number: int,
                 ports: list[str]):
        self.directory = base / str(number)
        self.directory.mkdir()
        self.command = [program, self.directory, str(number), *ports]
        self.process: subprocess.Popen | None = None
        self.back_at = 0.0

    def start(self) -> None:
        self.process = subprocess.Popen(self.command)

    def kill(self, away: float) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.back_at = time.monotonic() + away

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=PATIENCE) != 0:
            sys.exit(f"{self.command}: exits {self.process.returncode}")

    def alive(self) -> bool:
        if self.process is None:
            return False
        if self.process.poll() is not None:
            sys.exit(f"{self.command} ended by itself: "
                     f"{self.process.returncode}")
        return True

    def ask(self, request: str) -> str | None:
        """One answer, from a connection of its own; None: it is not there."""
        try:
            link = Link(self)
        except OSError:
            return None
        try:
            link.send(request)
            while True:
                for line in link.lines(5):
                    return line
        except OSError:
            return None
        finally:
            link.close()


class Client:
    """Puts numbers, each once, and notes what became of them."""

    def __init__(self, nodes: list[Node], chance: random.Random):
        self.nodes = nodes
        self.chance = chance
        self.link: Link | None = None
        self.next = 1
        self.outstanding: set[int] = set()
        self.acknowledged: set[int] = set()
        self.refused = 0
        self.unknown = 0

    def drop(self) -> None:
        if self.link is not None:
            self.link.close()
        self.link = None
        self.unknown += len(self.outstanding)
        self.outstanding.clear()

    def find(self) -> None:
        for node in self.nodes:
            if not node.alive():
                continue
            answer = node.ask("state")
            if answer is not None and answer.split()[1] == LEADER:
                try:
                    self.link = Link(node)
                except OSError:
                    continue
                return
        time.sleep(0.01)

    def take(self, line: str) -> bool:
        """False: this is not the leader any more."""
        what, number, *code = line.split()
        self.outstanding.discard(int(number))
        if what == "ok":
            self.acknowledged.add(int(number))
            return True
        self.refused += 1
        return False

    def turn(self) -> None:
        if self.link is None:
            self.find()
            return
        try:
            while len(self.outstanding) < OUTSTANDING:
                size = self.chance.choice((8, 100, 1000, 5000))
                self.link.send(f"put {self.next} {size}")
                self.outstanding.add(self.next)
                self.next += 1
            if not all([self.take(line) for line in self.link.lines(0.01)]):
                self.drop()
        except OSError:
            self.drop()


def strike(nodes: list[Node], client: Client, chance: random.Random) -> str:
    """Kills somebody."""
    away = chance.choice((0, 0.1, 0.3, 1.0))
    what = chance.random()
    if what < 0.2:
        for node in nodes:
            node.kill(chance.random() * 0.3)
        return "all"
    if what < 0.6 and client.link is not None:
        client.link.node.kill(away)
        return "leader"
    chance.choice(nodes).kill(away)
    return "one"


def torment(nodes: list[Node], client: Client,
            chance: random.Random) -> dict[str, int]:
    kills: dict[str, int] = {}
    end = time.monotonic() + SECONDS
    next_kill = time.monotonic() + 0.5
    while time.monotonic() < end:
        now = time.monotonic()
        if now >= next_kill:
            whom = strike(nodes, client, chance)
            kills[whom] = kills.get(whom, 0) + 1
            next_kill = now + chance.uniform(0.05, 1.2)
        for node in nodes:
            if node.process is None and now >= node.back_at:
                node.start()
        client.turn()
    return kills


def settle(nodes: list[Node], client: Client) -> list[list[int]]:
    """All are back, one more number is acknowledged, all have the same."""
    end = time.monotonic() + PATIENCE
    for node in nodes:
        if not node.alive():
            node.start()
    before = len(client.acknowledged)
    while len(client.acknowledged) == before or client.outstanding:
        if time.monotonic() > end:
            sys.exit("no leader that commits")
        if len(client.acknowledged) == before:
            client.turn()
        else:
            try:
                for line in client.link.lines(1):
                    client.take(line)
            except (OSError, AttributeError):
                client.drop()
    while time.monotonic() < end:
        answers = [node.ask("list") for node in nodes if node.alive()]
        if None not in answers:
            lists = [list(map(int, one.split()[1:])) for one in answers]
            if lists[0] == lists[1] == lists[2] and \
                    client.acknowledged <= set(lists[0]):
                return lists
        time.sleep(0.1)
    for node, found in zip(nodes, lists):
        print(f"{node.directory.name}: {len(found)} applied, "
              f"{len(client.acknowledged - set(found))} acknowledged missing")
    sys.exit("the nodes do not agree, or miss what was acknowledged")


def check_lists(lists: list[list[int]], client: Client) -> None:
    found = lists[0]
    if len(set(found)) != len(found):
        sys.exit("a number was applied twice")
    if set(found) - set(range(1, client.next)):
        sys.exit("a number was applied that nobody put")


def check_logs(nodes: list[Node]) -> None:
    logs = []
    for node in nodes:
        status, summary = tools.fsck_summary(node.directory / "log")
        if status != 0:
            sys.exit(f"walfsck: {status}: {summary}")
        logs.append({record.lsn: record
                     for record in tools.records(node.directory / "log")})
        # One that got a snapshot last may hold nothing behind it.
        lsns = sorted(logs[-1])
        if lsns and lsns != list(range(lsns[0], lsns[-1] + 1)):
            sys.exit(f"{node.directory}: entries are not dense")
    compared = 0
    for first, second in ((0, 1), (1, 2), (0, 2)):
        both = logs[first].keys() & logs[second].keys()
        compared += len(both)
        for lsn in both:
            if logs[first][lsn] != logs[second][lsn]:
                sys.exit(f"entry {lsn} differs in {first + 1} and "
                         f"{second + 1}: {logs[first][lsn]} "
                         f"{logs[second][lsn]}")
    if any(1 in log for log in logs):
        sys.exit("a log was never trimmed")
    print("logs:", ", ".join(f"{min(log)} to {max(log)}" if log else "empty"
                             for log in logs)
          + f"; {compared} pairs of records are equal")


def main() -> None:
    print(f"DWAL_SEED={SEED}", flush=True)
    chance = random.Random(SEED)
    with tools.directory() as base:
        ports = free_ports(3)
        nodes = [Node(sys.argv[1], base, i, ports) for i in (1, 2, 3)]
        client = Client(nodes, chance)
        try:
            kills = torment(nodes, client, chance)
            lists = settle(nodes, client)
            check_lists(lists, client)
            for node in nodes:
                node.stop()
            check_logs(nodes)
        finally:
            for node in nodes:
                if node.process is not None:
                    node.process.kill()
        print(f"killed {kills}; {len(client.acknowledged)} acknowledged, "
              f"{client.refused} refused, {client.unknown} unknown, "
              f"{len(lists[0])} applied on all three")
        if not kills or len(client.acknowledged) < 50:
            sys.exit("too little happened")


main()
