"""Bad input to the API of a real server: the right status, an answer that names field and remedy, nothing stored.

The codecs' own tables are unit tests; here the whole process answers, over a real socket. test_api_bodies.py has the right
bodies, and the wrong values that the OpenAPI document itself can tell.
"""
import copy
import json
import os
import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

HUGE = "x" * 300_000
MISSING = object()
WS = "/api/workspaces/default"


@pytest.fixture(scope="module")
def bodies(shared):
    """A right body of each kind, and the list in which it would appear."""
    source, target = shared.csv_to_sqlite()
    return {
        "sync-jobs": {"name": "job", "dataSourceId": source, "destinationDatabaseId": target, "syncMode": "full",
                      "schedule": {"cron": "0 * * * *", "timezone": "UTC", "dst": "auto"}, "enabled": True,
                      "entityFilter": ["items"], "overlap": "skip", "catchup": "last", "timeout": "1h",
                      "maxRejected": 0, "labels": {"a": "b"}, "retry": {"maxAttempts": 3}},
        "data-sources": {"name": "source", "type": "file", "config": {"path": "in.csv"}},
        "destinations": {"name": "target", "type": "sqlite", "config": {"path": "bad.db"}},
    }


@pytest.fixture(scope="module")
def shared(bin_dir, tmp_path_factory):
    from harness import Server
    server = Server(bin_dir, tmp_path_factory.mktemp("bad") / "data").start()
    yield server
    server.stop()


def stored(server):
    return {kind: [item["id"] for item in server.api("GET", f"/{kind}?limit=1000")]
            for kind in ("sync-jobs", "data-sources", "destinations")}


def refused(server, kind, body, field, status=422):
    """The answer, after checking its form, its status, the field it names and that nothing was stored."""
    before = stored(server)
    answer = server.request("POST", f"{WS}/{kind}", body)
    said = answer.text[:600]
    assert answer.status_code == status, said
    problem = answer.json()
    assert problem["success"] is False and problem["code"] and len(problem["error"]) > 10, said
    if field:
        named = [d["field"] for d in problem["details"]]
        assert any(n == field or n.startswith((field + ".", field + "[")) for n in named), (field, said)
        assert all(d["message"] for d in problem["details"]), said
    assert len(answer.content) < 10_000, "a huge value is not echoed"
    assert stored(server) == before
    return problem


def with_value(body, field, value):
    changed = copy.deepcopy(body)
    *parents, last = field.split(".")
    inner = changed
    for p in parents:
        inner = inner[p]
    if value is MISSING:
        del inner[last]
    else:
        inner[last] = value
    return changed


JOB = {
    "name": (MISSING, None, 7, "", HUGE, [], "a\nb"),
    "dataSourceId": (MISSING, None, 7, "", HUGE, "no-such"),
    "destinationDatabaseId": (MISSING, None, 7, "", HUGE, "no-such"),
    "schedule": (7, [], "", HUGE, "0 25 * * *", {}, {"cron": "* * * * *", "every": "1h"}),
    "schedule.cron": (7, "", HUGE, "61 * * * *", "not a cron"),
    "schedule.timezone": (7, "", HUGE, "Mars/Olympus"),
    "schedule.dst": (7, "", "sometimes"),
    "syncMode": (7, "", HUGE, "fast", ["full"]),
    "enabled": (7, "", "yes"),
    "entityFilter": (7, "", {}, [7], [""], [HUGE], ["x"] * 1001),
    "overlap": (7, "", "maybe"),
    "catchup": (7, "", "some"),
    "timeout": ("", "soon", -1, [], HUGE),
    "maxRejected": (-1, 1.5, "", "many", 10**30),
    "labels": (7, "", [], {"": "b"}, {"a": 7}, {str(i): "x" for i in range(65)}),
    "retry": (7, "", [], {"maxAttempts": 0}, {"maxAttempts": "3"}, {"tries": 3}),
    "nmae": ("unknown",),
}
CONNECTION = {
    "name": (MISSING, None, 7, "", HUGE, [], "a\nb"),
    "type": (MISSING, None, 7, "", HUGE, "no-such"),
    "config": (MISSING, None, 7, "", []),
    "config.path": (MISSING, None, 7, "", []),
    "config.pat": ("unknown",),
    "nmae": ("unknown",),
}


@pytest.mark.parametrize("kind, field", [("sync-jobs", f) for f in JOB]
                         + [(k, f) for k in ("data-sources", "destinations") for f in CONNECTION])
def test_every_wrong_value_of_every_field(shared, bodies, kind, field):
    for value in (JOB if kind == "sync-jobs" else CONNECTION)[field]:
        refused(shared, kind, with_value(bodies[kind], field, value), field)


def test_a_nearly_right_word_is_suggested(shared, bodies):
    for kind, field, value, remedy in (("sync-jobs", "syncMode", "ful", "did you mean 'full'"),
                                       ("sync-jobs", "nmae", "x", "did you mean 'name'"),
                                       ("destinations", "type", "sqlit", "did you mean 'sqlite'"),
                                       ("data-sources", "config.pth", "x", "did you mean 'path'")):
        problem = refused(shared, kind, with_value(bodies[kind], field, value), field)
        assert remedy in json.dumps(problem), problem


@pytest.mark.parametrize("kind", ["sync-jobs", "data-sources", "destinations"])
@pytest.mark.parametrize("body, status, code", [
    (b"", 400, "malformed_json"),
    (b"{", 400, "malformed_json"),
    (b'{"name":"a",}', 400, "malformed_json"),
    (b'{"name":"\xff"}', 400, "malformed_json"),
    (b'{"name":"a","name":"b"}', 400, "duplicate_key"),
    (b"[" * 100_000, 400, "malformed_json"),
    (b'{"a":' * 500 + b"1" + b"}" * 500, 400, "malformed_json"),
    (b"[]", 422, "body_not_object"),
    (b"7", 422, "body_not_object"),
])
def test_what_is_no_json_object(shared, kind, body, status, code):
    before = stored(shared)
    answer = requests.post(f"{shared.url}{WS}/{kind}", data=body, timeout=30,
                           headers={"Authorization": f"Bearer {shared.token}", "Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert stored(shared) == before


def peak_kb(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])


def connect(server):
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def head(server, length):
    return (f"POST {WS}/sync-jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n").encode()


def read_all(s):
    got = b""
    try:
        while chunk := s.recv(65536):
            got += chunk
    except ConnectionResetError:
        pass  # closed while we were still sending
    return got


def test_100_mb_of_json_is_refused_without_being_read(shared):
    before, memory = stored(shared), peak_kb(shared.process.pid)
    size = 100 << 20
    with connect(shared) as s:
        s.sendall(head(shared, size))
        answer = s.recv(65536)  # before any byte of the body
        assert answer.startswith(b"HTTP/1.1 413 "), answer
        assert b"too_large" in answer + read_all(s)
    # Without a length: refused on the way; what still comes for a moment is thrown away.
    with connect(shared) as s:
        s.sendall(head(shared, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        for _ in range(size // 65536):
            try:
                s.sendall(chunk)
            except OSError:
                break
        assert read_all(s).startswith(b"HTTP/1.1 413 ")
    assert peak_kb(shared.process.pid) - memory < 16 << 10
    assert stored(shared) == before


def test_slow_and_half_closed_clients_hold_nobody_up(shared):
    before = stored(shared)
    body = b'{"name": '
    slow = [connect(shared) for _ in range(50)]
    try:
        for i, s in enumerate(slow):
            s.sendall(head(shared, 1000)[:20 + 10 * i] if i % 2 else head(shared, 1000) + body)
        assert shared.request("GET", f"{WS}/sync-jobs").status_code == 200
        # Half of them end what they send: nothing can complete the request any more.
        for s in slow[:25]:
            s.shutdown(socket.SHUT_WR)
            answer = read_all(s)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400 "), answer
    finally:
        for s in slow:
            s.close()
    # A whole request whose sender says that no more will come is answered.
    with connect(shared) as s:
        s.sendall(head(shared, 2) + b"{}")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s).startswith(b"HTTP/1.1 422 ")
    assert stored(shared) == before


def test_paths_stay_beneath_the_roots_and_off_the_store(shared, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    links = {"folder-link": outside, "file-link.db": outside / "x.db", "store-link.db": shared.data_dir / "tidegate.db"}
    for name, to in links.items():
        if not (shared.files / name).is_symlink():
            os.symlink(to, shared.files / name)
    store = next(shared.data_dir.glob("*.db"))
    for path in ("/etc/passwd", "../out.db", "a/../../out.db", str(outside / "out.db"), "folder-link/out.db",
                 "file-link.db", "store-link.db", str(store), str(store) + "-wal", str(shared.data_dir / "secret-key"),
                 str(shared.data_dir / "admin-token")):
        for kind, type_ in (("data-sources", "sqlite"), ("destinations", "sqlite"), ("data-sources", "file")):
            problem = refused(shared, kind, {"name": "escape", "type": type_, "config": {"path": path}}, "config.path")
            assert "paths.roots" in json.dumps(problem) or "another file" in json.dumps(problem), problem
    assert not list(outside.iterdir())


def test_a_link_made_after_the_check_does_not_lead_the_run_out(make_server, tmp_path):
    server = make_server()
    (server.files / "in.csv").write_text("id\n1\n")
    (server.files / "later").mkdir()
    source, _ = server.csv_to_sqlite("in.csv")
    target = server.api("POST", "/destinations",
                        {"name": "later", "type": "sqlite", "config": {"path": "later/out.db"}})["id"]
    job = server.create_job("j", (source, target), retry={"maxAttempts": 1})
    outside = tmp_path / "outside"
    outside.mkdir()
    (server.files / "later").rmdir()
    os.symlink(outside, server.files / "later")
    answer = server.request("POST", f"{WS}/sync-jobs/{job['id']}/run")
    assert answer.status_code == 202, answer.text
    run = server.wait_run(answer.json()["data"]["runId"])
    assert run["state"] == "failed" and run["error"], run
    assert not list(outside.iterdir())


def test_silent_connections_keep_nobody_out(server):
    """Seen here: 1,024 of them blocked the API for more than a minute, without a word in the log."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    host, port = server.url.removeprefix("http://").split(":")
    with ExitStack() as silent:
        for _ in range(1100):
            silent.enter_context(socket.create_connection((host, int(port)), timeout=30))
        assert server.api("GET", "/sync-jobs") == []
        assert "all connections are in use" in server.log_text()
