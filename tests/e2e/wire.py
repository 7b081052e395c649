"""The wire protocols of PostgreSQL and MongoDB, as far as a proxy must understand them.

A conversation cuts what the client sends into flights (what it sends before it waits for an answer) and says of each
which statements it ends by committing; and it finds the answer to that commit in what the server sends.
"""
import struct
from dataclasses import dataclass, field

import bson

WRITES = {"insert", "update", "delete", "findAndModify"}


@dataclass
class Flight:
    data: bytes
    commits: bool = False  # after it the server has committed, or refuses to
    statements: list = field(default_factory=list)  # of the transaction that it ends
    request: int = 0  # MongoDB: the id that the answer names

    def commits_a(self, words):
        """Whether it commits a transaction with one statement in which all the words stand."""
        return self.commits and any(all(w in s for w in words) for s in self.statements)


class Raw:
    """Bytes with no meaning: each read is a flight."""

    def client(self, data):
        return [Flight(data)]

    def answers(self, _flight, _data):
        return None


class Postgres:
    """Version 3 of the protocol, on a connection without TLS. Flights end with Sync, Query and what is like them."""

    SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
    ENDS = b"SQHpXcdf"

    def __init__(self):
        self.unread, self.flight, self.started = b"", b"", False
        self.prepared, self.transaction, self.commits = {}, [], False
        self.answer = b""

    def client(self, data):
        self.unread += data
        flights = []
        while (size := self._size()) is not None and len(self.unread) >= size:
            message, self.unread = self.unread[:size], self.unread[size:]
            self.flight += message
            if not self.started:
                code = struct.unpack("!i", message[4:8])[0]
                self.started = code not in (self.SSL_REQUEST, self.GSS_REQUEST)
                flights.append(self._take())
                continue
            self._read(message)
            if message[:1] in self.ENDS:
                flights.append(self._take())
        return flights

    def _size(self):
        head = 1 if self.started else 0
        if len(self.unread) < head + 4:
            return None
        return head + struct.unpack("!i", self.unread[head:head + 4])[0]

    def _read(self, message):
        kind, body = message[:1], message[5:]
        if kind == b"P":
            name, sql = body.split(b"\0")[:2]
            self.prepared[name] = sql.decode()
        elif kind == b"B":
            self._statement(self.prepared.get(body.split(b"\0")[1], ""))
        elif kind == b"Q":
            self._statement(body.rstrip(b"\0").decode())

    def _statement(self, sql):
        if sql.startswith("BEGIN"):
            self.transaction = []
        self.commits = self.commits or sql == "COMMIT"
        self.transaction.append(sql)

    def _take(self):
        flight = Flight(self.flight, self.commits, list(self.transaction) if self.commits else [])
        if self.commits:
            self.transaction = []
            self.answer = b""
        self.flight, self.commits = b"", False
        return flight

    def answers(self, _flight, data):
        """None: the answer to the commit has not come yet; else whether it was committed. Takes what came since."""
        self.answer += data
        at = 0
        while len(self.answer) >= at + 5:
            size = 1 + struct.unpack("!i", self.answer[at + 1:at + 5])[0]
            if len(self.answer) < at + size:
                break
            kind, body = self.answer[at:at + 1], self.answer[at + 5:at + size]
            if kind == b"C" and body == b"COMMIT\0":
                return True
            if kind == b"Z":  # ready for the next flight: it was an error, or a rollback
                return False
            at += size
        self.answer = self.answer[at:]
        return None


class Mongo:
    """OP_MSG (MongoDB 3.6 and newer), without compression. Each message is a flight."""

    OP_MSG, CHECKSUM = 2013, 1

    def __init__(self):
        self.unread, self.transactions, self.answer = b"", {}, b""

    def client(self, data):
        self.unread += data
        flights = []
        while len(self.unread) >= 16 and len(self.unread) >= (size := struct.unpack("<i", self.unread[:4])[0]):
            message, self.unread = self.unread[:size], self.unread[size:]
            flights.append(self._read(message))
        return flights

    def _read(self, message):
        flight = Flight(message, request=struct.unpack("<i", message[4:8])[0])
        body, documents = self.open(message)
        if body is None:
            return flight
        command = next(iter(body))
        inside = (bytes(body["lsid"]["id"]), body["txnNumber"]) if body.get("autocommit") is False else None
        text = f"{command} {body[command]} {documents or body.get('updates') or body.get('update') or ''}"
        if inside is None:
            flight.commits, flight.statements = command in WRITES, [text]
        elif command == "commitTransaction":
            # Kept: the driver repeats it when the answer does not come.
            flight.commits, flight.statements = True, self.transactions.get(inside, [])
        else:
            self.transactions = {k: v for k, v in self.transactions.items() if k == inside}
            self.transactions.setdefault(inside, []).append(text)
        return flight

    @classmethod
    def open(cls, message):
        """The command or answer of a message and the documents beside it; None, []: another kind of message."""
        if struct.unpack("<i", message[12:16])[0] != cls.OP_MSG:
            return None, []
        end = len(message) - (4 if struct.unpack("<I", message[16:20])[0] & cls.CHECKSUM else 0)
        at, body, documents = 20, None, []
        while at < end:
            size = struct.unpack("<i", message[at + 1:at + 5])[0]
            section = message[at + 1:at + 1 + size]
            if message[at] == 0:
                body = bson.decode(section)
            else:
                documents += bson.decode_all(section[section.index(b"\0", 4) + 1:])
            at += 1 + size
        return body, documents

    def answers(self, flight, data):
        self.answer += data
        while len(self.answer) >= 16 and len(self.answer) >= (size := struct.unpack("<i", self.answer[:4])[0]):
            message, self.answer = self.answer[:size], self.answer[size:]
            if struct.unpack("<i", message[8:12])[0] == flight.request:
                self.answer = b""
                return self.open(message)[0].get("ok") == 1
        return None
