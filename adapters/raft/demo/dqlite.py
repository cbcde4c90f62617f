# SPDX-License-Identifier: MIT
"""A client of dqlite's wire protocol, version 1, with a deadline on every call.

A connection speaks to one node, one request at a time. A message is a header of
8 bytes (the body's length in words of 8 bytes, the type, a schema number), then
the body: integers little-endian, texts ended by a zero and padded to a word.

Three ways a request ends: an answer; Failure, the node's own refusal, after which
the connection goes on; Lost, when it cannot be known whether the request was
carried out, after which the connection is closed.
"""
import socket
import struct
import time

# Codes in a Failure: SQLite's, and dqlite's two extensions of SQLITE_IOERR.
BUSY = 5
CONSTRAINT = 19
NOT_LEADER = 10 | 40 << 8
LEADERSHIP_LOST = 10 | 41 << 8

VOTER, STANDBY, SPARE = 0, 1, 2

_HEADER = struct.Struct("<IBBH")
_WORD = struct.Struct("<Q")
_PROTOCOL = 1
_ANSWER_SIZE_MAX = 256 << 20

# Requests.
_LEADER, _CLIENT, _OPEN, _PREPARE, _EXEC = 0, 1, 3, 4, 5
_EXEC_SQL, _QUERY_SQL = 8, 9
_ADD, _ASSIGN, _DUMP, _CLUSTER = 12, 13, 15, 16
# Answers.
_FAILURE, _SERVER, _WELCOME, _SERVERS, _DB, _STMT = 0, 1, 2, 3, 4, 5
_RESULT, _ROWS, _EMPTY, _FILES = 6, 7, 8, 9
# Values.
_INTEGER, _FLOAT, _TEXT, _BLOB, _NULL = 1, 2, 3, 4, 5
_ROWS_DONE, _ROWS_PART = 0xFFFFFFFFFFFFFFFF, 0xEEEEEEEEEEEEEEEE


class Failure(Exception):
    """The node answered that it did not, or could not, do it."""

    def __init__(self, code, message):
        super().__init__(f"{message} (code {code})")
        self.code = code

    @property
    def primary(self):
        """The code without its extension."""
        return self.code & 0xFF


class Lost(Exception):
    """No answer: the outcome is unknown, the connection is closed."""


def _text(value):
    data = value.encode() + b"\0"
    return data + bytes(-len(data) % 8)


def _parameters(values):
    """A tuple of parameters: their number, a type each, padding, the values."""
    if not values:
        return b""
    types, body = bytes([len(values)]), b""
    for value in values:
        if value is None:
            types, body = types + bytes([_NULL]), body + bytes(8)
        elif isinstance(value, int):
            types, body = types + bytes([_INTEGER]), body + struct.pack("<q", value)
        elif isinstance(value, float):
            types, body = types + bytes([_FLOAT]), body + struct.pack("<d", value)
        elif isinstance(value, str):
            types, body = types + bytes([_TEXT]), body + _text(value)
        else:
            types += bytes([_BLOB])
            body += _WORD.pack(len(value)) + value + bytes(-len(value) % 8)
    return types + bytes(-len(types) % 8) + body


class _Body:
    """What is still unread of an answer."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def take(self, size):
        if size > len(self._data) - self._at:
            raise Lost("an answer that ends too early")
        data = self._data[self._at:self._at + size]
        self._at += size
        return data

    def word(self):
        return _WORD.unpack(self.take(8))[0]

    def peek(self):
        word = self.word()
        self._at -= 8
        return word

    def text(self):
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise Lost("a text without its end")
        size = end + 1 - self._at
        return self.take(size + -size % 8)[:size - 1].decode()

    def blob(self):
        size = self.word()
        data = self.take(size)
        self.take(-size % 8)
        return data

    def row(self, columns):
        slots = self.take((columns + 1) // 2 + -((columns + 1) // 2) % 8)
        kinds = [slots[i // 2] >> 4 * (i % 2) & 15 for i in range(columns)]
        return tuple(self._value(kind) for kind in kinds)

    def _value(self, kind):
        if kind == _INTEGER:
            return struct.unpack("<q", self.take(8))[0]
        if kind == _FLOAT:
            return struct.unpack("<d", self.take(8))[0]
        if kind == _TEXT:
            return self.text()
        if kind == _BLOB:
            return self.blob()
        if kind == _NULL:
            self.take(8)
            return None
        raise Lost(f"a value of type {kind}")


class Connection:
    """To one node. timeout: seconds for each request, as a whole."""

    def __init__(self, address, timeout=5.0):
        self.address = address
        self.timeout = timeout
        host, port = address.rsplit(":", 1)
        try:
            self._socket = socket.create_connection((host, int(port)), timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(_WORD.pack(_PROTOCOL))
        except OSError as error:
            raise Lost(f"{address}: {error}") from error

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- one request, one answer ----

    def _receive(self, size, deadline):
        data = bytearray()
        while len(data) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer in time")
            self._socket.settimeout(left)
            part = self._socket.recv(min(size - len(data), 1 << 20))
            if not part:
                raise ConnectionError("closed by the node")
            data += part
        return bytes(data)

    def _answer(self, deadline):
        words, kind, _, _ = _HEADER.unpack(self._receive(8, deadline))
        if words * 8 > _ANSWER_SIZE_MAX:
            raise Lost(f"{self.address}: an answer of {words} words")
        body = _Body(self._receive(words * 8, deadline))
        if kind == _FAILURE:
            code = body.word()
            raise Failure(code, body.text())
        return kind, body

    def _call(self, request, body, expected, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        try:
            self._socket.settimeout(timeout or self.timeout)
            self._socket.sendall(_HEADER.pack(len(body) // 8, request, 0, 0) + body)
            kind, body = self._answer(deadline)
            if kind != expected:
                raise Lost(f"{self.address}: answer {kind} to request {request}")
            return body, deadline
        except OSError as error:
            self.close()
            raise Lost(f"{self.address}: {error}") from error
        except Lost:
            self.close()
            raise

    # ---- the cluster ----

    def leader(self):
        """(id, address) of the leader that this node knows; id 0: none."""
        body, _ = self._call(_LEADER, bytes(8), _SERVER)
        return body.word(), body.text()

    def register(self, client_id):
        body, _ = self._call(_CLIENT, _WORD.pack(client_id), _WELCOME)
        return body.word()

    def cluster(self):
        """[(id, address, role)] as this node knows it."""
        body, _ = self._call(_CLUSTER, _WORD.pack(1), _SERVERS)
        return [(body.word(), body.text(), body.word()) for _ in range(body.word())]

    def add(self, node_id, address):
        self._call(_ADD, _WORD.pack(node_id) + _text(address), _EMPTY)

    def assign(self, node_id, role, timeout):
        """Returns once it has that role; a voter has caught up then."""
        self._call(_ASSIGN, struct.pack("<QQ", node_id, role), _EMPTY, timeout)

    def dump(self, database):
        """This node's own files of @database, {name: bytes}, leader or not."""
        body, _ = self._call(_DUMP, _text(database), _FILES)
        return {body.text(): body.blob() for _ in range(body.word())}

    # ---- SQL; on the leader only ----

    def open(self, database):
        self._call(_OPEN, _text(database) + _WORD.pack(0) + _text(""), _DB)

    def prepare(self, sql):
        body, _ = self._call(_PREPARE, _WORD.pack(0) + _text(sql), _STMT)
        return struct.unpack("<II", body.take(8))[1]

    def execute_prepared(self, statement, *values):
        """(last row id, rows changed); committed by a majority."""
        body = struct.pack("<II", 0, statement) + _parameters(values)
        body, _ = self._call(_EXEC, body, _RESULT)
        return body.word(), body.word()

    def execute(self, sql, *values):
        """(last row id, rows changed); committed by a majority."""
        body = _WORD.pack(0) + _text(sql) + _parameters(values)
        body, _ = self._call(_EXEC_SQL, body, _RESULT)
        return body.word(), body.word()

    def query(self, sql, *values):
        """All rows, as tuples."""
        body = _WORD.pack(0) + _text(sql) + _parameters(values)
        body, deadline = self._call(_QUERY_SQL, body, _ROWS)
        rows = []
        while not self._rows_take(body, rows):
            try:
                kind, body = self._answer(deadline)
            except OSError as error:
                self.close()
                raise Lost(f"{self.address}: {error}") from error
            if kind != _ROWS:
                self.close()
                raise Lost(f"{self.address}: answer {kind} among rows")
        return rows

    @staticmethod
    def _rows_take(body, rows):
        """Appends one answer's rows; True behind the last."""
        columns = body.word()
        for _ in range(columns):
            body.text()
        while body.peek() not in (_ROWS_DONE, _ROWS_PART):
            rows.append(body.row(columns))
        return body.word() == _ROWS_DONE
