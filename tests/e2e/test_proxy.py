"""The tests' own TCP proxy, and what it understands of the stores' protocols."""
import socket
import struct
import threading

import bson
import pytest

from harness import wait_for
from proxy import DOWN, UP, Proxy, Trap
from wire import Mongo, Postgres


# ---- PostgreSQL

def message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


def parse(name, sql):
    return message(b"P", name + b"\0" + sql + b"\0" + b"\0\0")


def bind(name):
    return message(b"B", b"\0" + name + b"\0" + b"\0" * 6)


SYNC, EXECUTE = message(b"S", b""), message(b"E", b"\0" + b"\0" * 4)
START = struct.pack("!ii", 8 + 1, 196608) + b"\0"
BEGIN = parse(b"b", b"BEGIN") + bind(b"b") + EXECUTE + SYNC
WRITE = parse(b"w", b"INSERT INTO sync_runs VALUES (1)") + bind(b"w") + EXECUTE
COMMIT = parse(b"c", b"COMMIT") + bind(b"c") + EXECUTE + SYNC
DONE = message(b"C", b"INSERT 0 1\0")


def test_a_flight_of_postgres_ends_with_sync_wherever_the_bytes_are_cut():
    for step in (1, 7, 1000):
        talk, flights = Postgres(), []
        wire = START + BEGIN + WRITE + COMMIT
        for at in range(0, len(wire), step):
            flights += talk.client(wire[at:at + step])
        assert b"".join(f.data for f in flights) == wire
        assert [f.commits for f in flights] == [False, False, True]
        assert flights[2].statements == ["BEGIN", "INSERT INTO sync_runs VALUES (1)", "COMMIT"]


def test_a_prepared_commit_is_known_by_its_name_and_ends_one_transaction():
    talk = Postgres()
    talk.client(START + BEGIN + WRITE + COMMIT)
    again = talk.client(bind(b"b") + EXECUTE + SYNC + bind(b"c") + EXECUTE + SYNC)
    assert [f.commits for f in again] == [False, True]
    assert again[1].commits_a(["BEGIN"]) and not again[1].commits_a(["INSERT"])
    simple = talk.client(message(b"Q", b"SELECT 1\0"))
    assert len(simple) == 1 and not simple[0].commits


def test_before_the_start_a_client_may_ask_for_tls():
    talk = Postgres()
    assert [f.data for f in talk.client(struct.pack("!ii", 8, Postgres.SSL_REQUEST))] == [
        struct.pack("!ii", 8, Postgres.SSL_REQUEST)]
    assert len(talk.client(START)) == 1 and len(talk.client(message(b"p", b"secret\0"))) == 1


def test_the_answer_to_a_commit_of_postgres_is_its_tag():
    talk = Postgres()
    flight = talk.client(START + BEGIN + WRITE + COMMIT)[-1]
    answer = DONE + message(b"C", b"COMMIT\0")
    assert talk.answers(flight, answer[:-3]) is None
    assert talk.answers(flight, answer[-3:]) is True
    flight = talk.client(bind(b"b") + EXECUTE + SYNC + bind(b"c") + EXECUTE + SYNC)[-1]
    assert talk.answers(flight, message(b"C", b"ROLLBACK\0") + message(b"Z", b"I")) is False


# ---- MongoDB

def op_msg(number, body, documents=(), answers=0, checksum=False):
    sections = b"\0" + bson.encode(body)
    if documents:
        many = b"documents\0" + b"".join(bson.encode(d) for d in documents)
        sections += b"\1" + struct.pack("<i", len(many) + 4) + many
    tail = b"\0\0\0\0" if checksum else b""
    return struct.pack("<iiiiI", 20 + len(sections) + len(tail), number, answers, 2013, int(checksum)) + sections + tail


def inside(command, collection, txn=1, **more):
    return {command: collection, "lsid": {"id": bson.Binary(b"s" * 16, 4)}, "txnNumber": bson.Int64(txn),
            "autocommit": False} | more


@pytest.mark.parametrize("checksum", [False, True])
def test_a_transaction_of_mongodb_is_what_its_session_wrote(checksum):
    talk = Mongo()
    wire = (op_msg(1, inside("insert", "sync_runs"), [{"_id": "r1"}], checksum=checksum)
            + op_msg(2, inside("update", "syncjobs", updates=[{"q": {}, "u": {"$set": {"state": "running"}}}]))
            + op_msg(3, inside("commitTransaction", 1)) + op_msg(4, inside("commitTransaction", 1)))
    flights = [f for at in range(0, len(wire), 5) for f in talk.client(wire[at:at + 5])]
    assert b"".join(f.data for f in flights) == wire
    assert [f.commits for f in flights] == [False, False, True, True]
    for commit in flights[2:]:  # the second is the driver's repetition
        assert commit.commits_a(["insert sync_runs", "r1"]) and commit.commits_a(["syncjobs", "'running'"])


def test_a_write_of_mongodb_outside_a_transaction_commits_itself():
    flights = Mongo().client(op_msg(1, {"insert": "workers", "documents": []}) + op_msg(2, {"find": "workers"})
                             + struct.pack("<iiii", 16, 3, 0, 2004))
    assert [f.commits for f in flights] == [True, False, False]


def test_the_answer_to_a_commit_of_mongodb_names_its_request():
    talk = Mongo()
    flight = talk.client(op_msg(7, inside("commitTransaction", 1)))[0]
    answer = op_msg(90, {"ok": 1.0}, answers=6) + op_msg(91, {"ok": 1.0}, answers=7)
    assert talk.answers(flight, answer[:-1]) is None
    assert talk.answers(flight, answer[-1:]) is True
    assert talk.answers(talk.client(op_msg(8, inside("commitTransaction", 1)))[0], op_msg(9, {"ok": 0.0}, answers=8)) is False


# ---- the proxy

class Echo:
    """Answers each message of PostgreSQL's protocol: DONE, to a COMMIT its tag; counts what it got."""

    def __init__(self):
        self.got, self.listener = b"", socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with peer:
            try:
                while data := peer.recv(4096):
                    self.got += data
                    peer.sendall(message(b"C", b"COMMIT\0") if b"COMMIT" in data else DONE)
            except OSError:
                pass


@pytest.fixture
def echo():
    made = Echo()
    yield made
    made.listener.close()


@pytest.fixture
def line(echo):
    made = Proxy(echo.address, Postgres)
    yield made
    made.stop()


def dial(line):
    s = socket.create_connection(("127.0.0.1", line.port), timeout=30)
    s.sendall(START)
    return s


def ended(s):
    """Whether nothing more comes."""
    try:
        return s.recv(4096) == b""
    except ConnectionResetError:
        return True


def silent(s):
    s.settimeout(0.1)
    try:
        return s.recv(4096) is None
    except TimeoutError:
        return True
    finally:
        s.settimeout(30)


def test_it_passes_both_ways_and_counts(echo, line):
    with dial(line) as s:
        assert s.recv(4096) == DONE
        s.sendall(BEGIN)
        assert s.recv(4096) == DONE
    assert echo.got == START + BEGIN and line.attempts == 1 and line.bytes[DOWN] == 2 * len(DONE)
    wait_for(lambda: line.open_links() == 0, "its end is passed on")


def test_a_black_hole_says_nothing_and_its_connections_do_not_come_back(echo, line):
    with dial(line) as old:
        assert old.recv(4096) == DONE
        line.black_hole()
        old.sendall(BEGIN)
        with dial(line) as new:
            assert silent(old) and silent(new)
            assert echo.got == START
            line.heal()
            assert ended(old) and ended(new)
    with dial(line) as s:
        assert s.recv(4096) == DONE


@pytest.mark.parametrize("way", [UP, DOWN])
def test_half_open_drops_one_direction_without_an_end(echo, line, way):
    with dial(line) as s:
        assert s.recv(4096) == DONE
        line.half_open(way)
        s.sendall(BEGIN)
        wait_for(lambda: line.bytes[way] > len(START), "the proxy has it")
        assert silent(s)
        assert (BEGIN in echo.got) == (way == DOWN)


def test_cut_and_refuse_end_at_once(echo, line):
    with dial(line) as s:
        assert s.recv(4096) == DONE
        line.cut()
        assert ended(s)
    line.refuse()
    try:
        with socket.create_connection(("127.0.0.1", line.port), timeout=30) as s:
            assert ended(s)
    except ConnectionResetError:
        pass  # as early as that
    assert line.attempts == 2 and echo.got == START


def test_a_held_commit_reaches_the_server_when_it_is_released(echo, line):
    trap = line.trap(lambda f: f.commits_a(["INSERT INTO sync_runs"]), Trap.HOLD)
    with dial(line) as s:
        assert s.recv(4096) == DONE
        s.sendall(BEGIN)
        assert s.recv(4096) == DONE
        s.sendall(WRITE + COMMIT)
        assert trap.sprung.wait(30) and silent(s)
        assert b"INSERT" not in echo.got, "the flight waits whole"
        trap.release()
        assert s.recv(4096) == message(b"C", b"COMMIT\0")


def test_a_dropped_commit_never_reaches_the_server(echo, line):
    trap = line.trap(lambda f: f.commits_a(["INSERT INTO sync_runs"]), Trap.HOLD)
    with dial(line) as s:
        assert s.recv(4096) == DONE
        s.sendall(BEGIN + WRITE + COMMIT)
        assert trap.sprung.wait(30)
        # Before the connection is cut: what the server has not read by then is lost with it.
        wait_for(lambda: BEGIN in echo.got, "what came before passes")
        trap.drop()
        while not ended(s):
            pass
    assert b"INSERT" not in echo.got


def test_a_commit_whose_answer_is_swallowed_was_made(echo, line):
    trap = line.trap(lambda f: f.commits_a(["INSERT INTO sync_runs"]), Trap.CUT)
    with dial(line) as s:
        assert s.recv(4096) == DONE
        s.sendall(BEGIN + COMMIT)  # one of nothing is none of the trap's
        wait_for(lambda: b"COMMIT" in echo.got, "the commit passes")
        s.sendall(BEGIN)
        s.sendall(WRITE + COMMIT)
        while not ended(s):
            pass
        assert trap.sprung.is_set() and echo.got.count(b"INSERT") == 1
    with dial(line) as s:
        assert s.recv(4096) == DONE, "only once"
