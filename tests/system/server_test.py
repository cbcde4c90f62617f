#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The servers of examples/: every line that was answered is in the log, with the
LSN that was answered, in the order of its client; also when the server is
killed in the middle.

usage: server_test.py SERVER
"""
import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import tools  # noqa: E402

CLIENTS = 5
ANSWERS_BEFORE_KILL = 300
SILENT_LINES = 20000  # more than sockets and server take


class Server:
    def __init__(self, log: Path):
        self.process = subprocess.Popen([sys.argv[1], str(log)],
                                        stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        if match is None:
            sys.exit(f"the server says {line!r} {self.process.stderr.read()}")
        self.port = int(match[1])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port),
                                        timeout=tools.TIMEOUT)

    def end(self, number: int) -> None:
        """Ends it, and looks at how it went."""
        self.process.send_signal(number)
        err = self.process.communicate(timeout=tools.TIMEOUT)[1]
        expected = 0 if number == signal.SIGTERM else -number
        if self.process.returncode != expected or err:
            sys.exit(f"the server ended with {self.process.returncode}: {err}")


def answers(connection: socket.socket):
    """The LSNs, one after the other, until the connection ends."""
    rest = b""
    while True:
        try:
            some = connection.recv(65536)
        except ConnectionResetError:
            return
        if not some:
            return
        *lines, rest = (rest + some).split(b"\n")
        for line in lines:
            match = re.fullmatch(rb"lsn (\d+)", line)
            if match is None:
                raise AssertionError(f"the answer is {line!r}")
            yield int(match[1])


class Client(threading.Thread):
    """Sends lines for as long as there is a server, some at a time."""

    def __init__(self, server: Server, name: str, answered):
        super().__init__()
        self.connection = server.connect()
        self.name, self.answered = name, answered
        self.lsns: list[int] = []

    def send(self) -> None:
        number = 0
        try:
            while True:
                some = "".join(f"{self.name} {number + i}\n" for i in range(7))
                # In two parts, that do not end where a line does.
                self.connection.sendall(some[:11].encode())
                self.connection.sendall(some[11:].encode())
                number += 7
        except OSError:
            pass

    def run(self) -> None:
        sender = threading.Thread(target=self.send)
        sender.start()
        for lsn in answers(self.connection):
            self.lsns.append(lsn)
            self.answered()
        self.connection.close()
        sender.join(tools.TIMEOUT)


def check_answered(log: Path, clients: list[Client]) -> int:
    """All that was answered is there; the last LSN."""
    records = {record.lsn: record.payload.decode()
               for record in tools.records(log)}
    for client in clients:
        for number, lsn in enumerate(client.lsns):
            if records.get(lsn) != f"{client.name} {number}":
                sys.exit(f"LSN {lsn} is {records.get(lsn)!r}, not line "
                         f"{number} of {client.name}")
        if client.lsns != sorted(set(client.lsns)):
            sys.exit(f"{client.name}: LSNs are not in order")
    return max(records)


def killed_in_the_middle(log: Path, life: int) -> None:
    enough, count = threading.Event(), [0]

    def answered() -> None:
        count[0] += 1
        if count[0] >= ANSWERS_BEFORE_KILL:
            enough.set()

    server = Server(log)
    clients = [Client(server, f"life {life}, client {number},", answered)
               for number in range(CLIENTS)]
    for client in clients:
        client.start()
    if not enough.wait(tools.TIMEOUT):
        sys.exit("no answers")
    server.end(signal.SIGKILL)
    for client in clients:
        client.join(tools.TIMEOUT)
    last = check_answered(log, clients)
    print(f"killed: {sum(len(client.lsns) for client in clients)} answers are "
          f"true, {last} records")


def one_line(server: Server, line: bytes) -> list[int]:
    with server.connect() as connection:
        with contextlib.suppress(OSError):  # it may have hung up by now
            connection.sendall(line)
            connection.shutdown(socket.SHUT_WR)
        return list(answers(connection))


def silent_client(server: Server) -> None:
    """One that sends and does not read: it is not read from, either, and the
    others are served meanwhile; in the end all its lines are answered."""
    lines = b"".join(b"silent %d\n" % i for i in range(SILENT_LINES))
    with server.connect() as connection:
        sender = threading.Thread(target=connection.sendall, args=[lines])
        sender.start()
        if len(one_line(server, b"in between\n")) != 1:
            sys.exit("a silent client stops the others")
        got = answers(connection)
        lsns = [next(got) for _ in range(SILENT_LINES)]
        sender.join(tools.TIMEOUT)
        if lsns != sorted(lsns):
            sys.exit("the silent client's LSNs are not in order")


def in_order(log: Path) -> None:
    server = Server(log)
    silent_client(server)
    if len(one_line(server, b"one\n\nthree\nno newline")) != 3:
        sys.exit("three lines are not three answers")
    if one_line(server, b"x" * 5000 + b"\n"):
        sys.exit("a line that is too long was answered")
    if len(one_line(server, b"y" * 4095 + b"\n")) != 1:
        sys.exit("the longest line was not answered")
    # One that leaves without waiting.
    with server.connect() as connection:
        connection.sendall(b"and gone\n" * 500)
    server.end(signal.SIGTERM)
    payloads = [record.payload for record in tools.records(log)]
    for payload in (b"one", b"", b"three", b"y" * 4095):
        if payload not in payloads:
            sys.exit(f"{payload[:10]!r} is not in the log")
    if b"no newline" in payloads:
        sys.exit("half a line is in the log")
    check = tools.run("walfsck", str(log))
    if check.status != 0:
        sys.exit(f"walfsck says {check.status}: {check.out.decode()}")


with tools.directory() as directory:
    killed_in_the_middle(directory / "log", 1)
    killed_in_the_middle(directory / "log", 2)
    in_order(directory / "log")
