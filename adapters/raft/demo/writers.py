# SPDX-License-Identifier: MIT
"""Threads that insert rows of known content, and the ledger of what they were told.

A row is tried until it is acknowledged. What was not acknowledged may be there or
not; a second try that meets the primary key learns that the first had got through.
The content of a row follows from the seed and its id, so nothing need be kept.
"""
import contextlib
import random
import threading
import time

import dqlite
import nodes

DATABASES = ("even", "odd")  # writers of one meet each other, of two do not
TABLE = ("CREATE TABLE rows (id INTEGER PRIMARY KEY, content BLOB NOT NULL)",
         "CREATE TABLE tally (count INTEGER NOT NULL)",
         "INSERT INTO tally VALUES (0)",
         "CREATE TRIGGER counted AFTER INSERT ON rows"
         " BEGIN UPDATE tally SET count = count + 1; END")
_INSERT = "INSERT INTO rows VALUES (?, ?)"
_REQUEST_TIMEOUT = 5.0
_SIZE_MAX = 6000
_ROWS_OF_WRITER = 1_000_000


def content_of(seed, row):
    """Mostly small, sometimes over several pages of the database."""
    source = random.Random(f"{seed} row {row}")
    return source.randbytes(source.choice((20, 200, 200, 1000, _SIZE_MAX)))


class Ledger:
    """What was tried, and what was acknowledged; any thread."""

    def __init__(self):
        self._changed = threading.Condition()
        self._tried = {name: set() for name in DATABASES}
        self._acknowledged = {name: set() for name in DATABASES}
        self.retried = 0  # rows that were tried again after an unknown outcome
        self.found = 0  # and of these, how many were there already

    @property
    def count(self):
        with self._changed:
            return sum(map(len, self._acknowledged.values()))

    def trying(self, database, row):
        with self._changed:
            self._tried[database].add(row)

    def acknowledged(self, database, row, retried, found):
        with self._changed:
            self._acknowledged[database].add(row)
            self.retried += retried
            self.found += found
            self._changed.notify_all()

    def copy(self, database):
        """(tried, acknowledged) as of now."""
        with self._changed:
            return set(self._tried[database]), set(self._acknowledged[database])

    def wait(self, count, check, seconds=nodes.DEADLINE):
        """Until @count rows are acknowledged; @check() now and then."""
        deadline = time.monotonic() + seconds
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._sum() >= count, 0.25)
                if self._sum() >= count:
                    return
            check()
            if time.monotonic() > deadline:
                raise nodes.Failed(
                    f"{count - self.count} of {count} rows are still not"
                    f" acknowledged after {seconds:.0f} s")

    def _sum(self):
        return sum(map(len, self._acknowledged.values()))


class Writer(threading.Thread):
    """One client: finds the leader, inserts, and finds the next one."""

    def __init__(self, number, seed, addresses, ledger, stop, may_write):
        super().__init__(name=f"writer {number}", daemon=True)
        self.failure = None
        self._seed = seed
        self._random = random.Random(f"{seed} writer {number}")
        self._number = number
        self._database = DATABASES[number % len(DATABASES)]
        self._next = number * _ROWS_OF_WRITER
        self._addresses = addresses
        self._ledger = ledger
        self._stop_asked = stop
        self._may_write = may_write
        self._connection = None
        self._statement = None  # of this connection, if it has one

    def run(self):
        try:
            while not self._stop_asked.is_set():
                if self._may_write.wait(0.1):
                    self._row_insert(self._next)
                    self._next += 1
        except Exception as failure:  # told by writers_check, which raises it
            self.failure = failure
        finally:
            self._disconnect()

    def _row_insert(self, row):
        content = content_of(self._seed, row)
        unknown = False  # whether an earlier try may have got through
        self._ledger.trying(self._database, row)
        while not self._stop_asked.is_set():
            try:
                self._connect()
                self._insert(row, content)
                self._ledger.acknowledged(self._database, row, unknown, False)
                return
            except dqlite.Lost:
                unknown = True
                self._disconnect()
            except dqlite.Failure as failure:
                if failure.primary == dqlite.CONSTRAINT:
                    if not unknown:
                        raise nodes.Failed(f"row {row} was there before its first try")
                    self._ledger.acknowledged(self._database, row, True, True)
                    return
                if failure.primary != dqlite.BUSY:
                    unknown = unknown or failure.code != dqlite.NOT_LEADER
                    self._disconnect()
            # Another writer's turn, or the time of an election.
            self._stop_asked.wait(self._random.uniform(0.0005, 0.01))

    def _insert(self, *values):
        if self._statement is None:
            self._connection.execute(_INSERT, *values)
        else:
            self._connection.execute_prepared(self._statement, *values)

    def _connect(self):
        if self._connection is not None:
            return
        address = nodes.leader_ask(self._random.choice(self._addresses))
        if address is None:
            raise dqlite.Failure(dqlite.NOT_LEADER, "no leader is known")
        connection = dqlite.Connection(address, _REQUEST_TIMEOUT)
        self._connection = connection
        connection.register(self._number)
        connection.open(self._database)
        # Half of them with a prepared statement, half with text.
        prepared = self._number // len(DATABASES) % 2 == 1
        self._statement = connection.prepare(_INSERT) if prepared else None

    def _disconnect(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Writers:
    """All of them; begin, look after, end."""

    def __init__(self, count, seed, addresses):
        self.ledger = Ledger()
        self._stop = threading.Event()
        self._may_write = threading.Event()
        self._may_write.set()
        self._threads = [Writer(number, seed, addresses, self.ledger, self._stop,
                                self._may_write) for number in range(count)]

    def start(self):
        for thread in self._threads:
            thread.start()

    def check(self):
        for thread in self._threads:
            if thread.failure is not None:
                raise nodes.Failed(f"{thread.name}: {thread.failure}") from thread.failure

    @contextlib.contextmanager
    def resting(self):
        """No new rows meanwhile."""
        self._may_write.clear()
        try:
            yield
        finally:
            self._may_write.set()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(nodes.DEADLINE)
            if thread.is_alive():
                raise nodes.Failed(f"{thread.name} does not end")
        self.check()


def tables_make(address):
    for database in DATABASES:
        with dqlite.Connection(address, _REQUEST_TIMEOUT) as connection:
            connection.open(database)
            for sql in TABLE:
                connection.execute(sql)
