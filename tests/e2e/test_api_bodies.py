"""Every body that the OpenAPI document describes: right ones are accepted, each wrong value of each field is refused by name.

The wrong values are not written down: they are those of CANDIDATES that the document itself calls wrong, put into every
place of every right body. What only a format can say (WRONG_FORMATS) is written down.
"""
import copy
import json
import re
import sqlite3
from pathlib import Path

import jsonschema_rs
import pytest
import requests
import yaml

from harness import Server

WS = "/api/workspaces/default"
MISSING = object()
CANDIDATES = [MISSING, None, True, 7, -1, 1.5, 10**30, "", "no-such-value", "a\nb", "a\0b", "x" * 300_000, [], [7], [""], ["x"] * 1001,
              {}, {"nmae": 1}, {"": "x"}]
FUTURE, ANCHOR = "2090-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
WRONG_FORMATS = {
    "schedule": ["61 * * * *", {"cron": "0 25 * * *"}, {"cron": "0 * * * *", "timezone": "Mars/Olympus"}, {"every": "0s"},
                 {"every": "1500ms"}, {"at": "tomorrow"}, {"at": "2026-02-30T00:00:00Z"}, {"every": "1h", "anchor": "noon"},
                 {"cron": "0 * * * *", "every": "1h"}, {"every": "1h", "timezone": "UTC"}, {"at": FUTURE, "anchor": ANCHOR}],
    "until": ["soon", ANCHOR], "expiresAt": ["soon", ANCHOR], "workspaces": [["no-such"]],
    "dataSourceId": ["no-such"], "destinationDatabaseId": ["no-such"], "type": ["no-such"],
}


class World:
    """A server that executes nothing, so that runs stay queued, and what its paths and bodies name."""

    def __init__(self, server):
        self.server, self.count = server, 0
        self.document = server.request("GET", "/api/openapi.json").json()
        self.connectors = server.api("GET", "/api/connectors")
        (server.files / "in.csv").write_text("id,amount\n1,2\n")
        sqlite3.connect(server.files / "there.db").close()
        (server.files / "there.db").touch()
        self.source = server.api("POST", "/data-sources", self.connection("file", "in.csv"))["id"]
        self.destination = server.api("POST", "/destinations", self.connection("sqlite", "out.db"))["id"]

    def name(self):
        self.count += 1
        return f"name-{self.count}"

    def connection(self, kind, path, **config):
        return {"name": self.name(), "type": kind, "config": {"path": path} | config}

    def database(self, **config):
        return {"name": self.name(), "type": "postgres", "config": {
            "host": "db.example.com", "port": 5432, "database": "shop", "user": "ada", "password": "canary-of-a-field",
            "sslMode": "verify-full", "sslRootCert": str(self.server.files / "ca.pem")} | config}

    def database_url(self):
        return {"name": self.name(), "type": "postgres", "config": {"url": "postgresql://ada:canary-of-a-url@db.example.com/shop"}}

    def mysql(self):
        return {"name": self.name(), "type": "mysql", "config": {
            "host": "db.example.com", "port": 3306, "database": "shop", "user": "ada", "password": "canary-of-a-field",
            "sslMode": "verify-identity", "sslCa": str(self.server.files / "ca.pem")}}

    def mysql_url(self):
        return {"name": self.name(), "type": "mysql", "config": {"url": "mysql://ada:canary-of-a-url@db.example.com/shop"}}

    def mongodb(self, **config):
        return {"name": self.name(), "type": "mongodb", "config": {"url": "mongodb://ada:canary-of-a-url@db.example.com/shop"} | config}

    def job(self, **fields):
        return {"name": self.name(), "dataSourceId": self.source, "destinationDatabaseId": self.destination} | fields

    def new_job(self):
        return self.server.api("POST", "/sync-jobs", self.job(), expect=201)["id"]

    def whole_job(self):
        """With every field."""
        return self.job(
            description="all", schedule={"cron": "0 * * * *", "timezone": "America/New_York", "dst": "wall"}, syncMode="incremental",
            entityFilter=["in"], enabled=True, timeout="1h", stallTimeout="10m", overlap="queue_one", catchup="all", maxCatchup=7,
            catchupWindow="2d", misfireGrace="1m", jitter="30s", schemaChange="ignore", maxRejected=1, labels={"team": "data"},
            entities={"in": {"cursor": "id", "primaryKey": ["id"], "where": "amount > 1", "lookback": "1h", "lag": "1m",
                             "columns": {"include": ["id"]}}},
            retry={"maxAttempts": 4, "initial": "1s", "factor": 3, "max": "1m", "jitter": False})

    def right(self, method, path):
        """Right bodies of an operation, the first with as many fields as there are."""
        last = path.split("/")[-1]
        if path.endswith("/sync-jobs") or "/sync-jobs/{id}" == path[-len("/sync-jobs/{id}"):]:
            bodies = [self.whole_job(), self.job(schedule={"every": "1h", "anchor": ANCHOR}), self.job(schedule={"at": FUTURE}),
                      self.job(schedule={"every": 60}), self.job(schedule="@daily"), self.job(schedule=None),
                      self.job(entities={"*": {"columns": ["id"]}, "in": {"columns": {"exclude": ["amount"]}}})]
            return bodies if method != "PATCH" else bodies + [{}, {"description": "one field"}]
        if "data-sources" in path and last in ("data-sources", "{id}"):
            return [self.connection("file", "in.csv", format="csv", delimiter=";", quote="'", header=False, nullValues=["NA"],
                                    types={"id": "integer", "in": {"id": "text"}}, entities={"in": "*.csv"}),
                    self.connection("sqlite", "in.db"), self.connection("duckdb", "in.duckdb"), self.connection("file", "in.csv"),
                    self.database(schemas=["public", "sales"]), self.database_url(), self.mysql(), self.mysql_url(),
                    self.mongodb(database="shop", mode="document")]
        if "destinations" in path and last in ("destinations", "{id}"):
            return [self.connection("sqlite", "out.db", journalMode="keep"), self.connection("file", "out", format="parquet"),
                    self.connection("duckdb", "out.duckdb"),
                    self.database(schema="sales"), self.database_url(), self.mysql(), self.mysql_url(), self.mongodb(timestamps="date")]
        return {
            "workspaces": [{"name": self.name()}],
            "tokens": [{"name": self.name(), "role": "viewer", "workspaces": ["default"], "expiresAt": FUTURE},
                       {"name": self.name(), "role": "admin"}, {"name": self.name(), "role": "operator", "workspaces": None}],
            "toggle": [{"enabled": False}, {}, {"enabled": None}],
            "run": [{"entities": ["in"], "takeOver": True}, {}, {"entities": None, "takeOver": None}],
            "pause": [{"note": "moved", "until": FUTURE}, {}, {"note": None, "until": None}],
        }.get(last, [{}])

    def url(self, path, body=None):
        """With the id of something new to which the operation can be done; of the body's type, where its fields are those of one."""
        made = ""
        database = None
        if isinstance(body, dict) and body.get("type") == "postgres":
            database = self.database_url() if "url" in (body.get("config") or ()) else self.database()
        if isinstance(body, dict) and body.get("type") == "mysql":
            database = self.mysql_url() if "url" in (body.get("config") or ()) else self.mysql()
        if isinstance(body, dict) and body.get("type") == "mongodb":
            database = self.mongodb()
        if "/data-sources/{id}" in path:
            made = self.server.api("POST", "/data-sources", database or self.connection("file", "in.csv"))["id"]
        elif "/destinations/{id}" in path:
            made = self.server.api("POST", "/destinations", database or self.connection("sqlite", "there.db"))["id"]
        elif "{id}" in path:
            made = self.new_job()
        if "/runs/" in path:
            made = self.server.api("POST", f"/sync-jobs/{made}/run", expect=202)["runId"]
        if path.endswith("/retry"):
            self.server.api("POST", f"/runs/{made}/cancel", expect=202)
        return path.replace("{ws}", "default").replace("{id}", made)

    def body_schema(self, method, path):
        return self.operation(method, path)["requestBody"]["content"]["application/json"]["schema"]

    @staticmethod
    def configuration(spec, role):
        return spec | {"properties": {k: v for k, v in spec["properties"].items() if role in v.get("roles", [role])}}

    def validator(self, method, path):
        """Of bodies; the configuration of a connection is by its connector's specification."""
        rules = [self.body_schema(method, path)]
        if "/data-sources" in path or "/destinations" in path:
            role = "source" if "/data-sources" in path else "destination"
            rules += [{"if": {"properties": {"type": {"const": c["name"]}}, "required": ["type"]},
                       "then": {"properties": {"config": self.configuration(c["spec"], role)}}} for c in self.connectors]
        return jsonschema_rs.Draft202012Validator({"components": self.document["components"], "allOf": rules})

    def send(self, method, url, body):
        """Also null, which is a body."""
        return requests.request(method, self.server.url + url, data=json.dumps(body), timeout=30, headers={
            "Authorization": f"Bearer {self.server.token}", "Content-Type": "application/json"})

    def resolved(self, parameter):
        ref = parameter.get("$ref")
        return self.document["components"]["parameters"][ref.split("/")[-1]] if ref else parameter

    def operation(self, method, path):
        return self.document["paths"][path][method.lower()]


@pytest.fixture(scope="module")
def world(bin_dir, tmp_path_factory):
    server = Server(bin_dir, tmp_path_factory.mktemp("bodies") / "data", "api").start()
    yield World(server)
    server.stop()


def operations():
    """Of the sources of the document, which are in the checkout: names of tests must be known before a server runs."""
    api = Path(__file__).resolve().parent.parent.parent / "api"
    found = []
    for part in sorted(api.glob("*.yaml")):
        for path, methods in (yaml.safe_load(part.read_text()).get("paths") or {}).items():
            found += [(m.upper(), path) for m, o in methods.items() if isinstance(o, dict) and "requestBody" in o]
    return found


OPERATIONS = operations()
each_operation = pytest.mark.parametrize("method, path", OPERATIONS, ids=[f"{m} {p}" for m, p in OPERATIONS])


def places(value, at=()):
    """Of everything inside a body: the body itself is ()."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


def with_value(body, place, value):
    if not place:
        return value
    changed = copy.deepcopy(body)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    if value is MISSING:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return changed


def wrong_bodies(world, method, path):
    """(place, value, body): each body has one fault, by the document."""
    schema = world.validator(method, path)
    for right in world.right(method, path):
        assert schema.is_valid(right), right
        for place in places(right):
            for value in CANDIDATES:
                if value is MISSING and (not place or method == "PATCH"):
                    continue
                # A merge patch takes a member away with null, and {} changes nothing.
                if method == "PATCH" and (value is None and len(place) > 1 or value == {}):
                    continue
                body = with_value(right, place, value)
                if not schema.is_valid(body):
                    yield place, value, body
        for field in right:
            for value in WRONG_FORMATS.get(field, ()):
                yield (field,), value, right | {field: value}


def names(problem, place, value):
    """Whether the error names the field that is wrong, or something in it; of what is missing (null is, too), also what
    lacks it; of an item, also its list."""
    place = [str(key) for key in place]
    if len(place) > 1 and (place[-1].isdigit() or value is MISSING or value is None):
        place.pop()
    named = [re.findall(r'(?<=\[")[^"]*(?="\])|[^.\[\]"]+', d["field"]) for d in problem.get("details", [])]
    return not place or any(n[:len(place)] == place for n in named)


def state(world):
    kinds = ("/api/workspaces", "/api/tokens", f"{WS}/data-sources", f"{WS}/destinations", f"{WS}/sync-jobs", f"{WS}/runs")
    return [world.server.request("GET", f"{kind}?limit=1000").json()["data"] for kind in kinds]


def inner_schemas(document, schema):
    """(name, schema) of every property inside a schema, references followed."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
    for name, inner in schema.get("properties", {}).items():
        if not inner.get("$ref", "").endswith("/Ignored"):
            yield name, inner
            yield from inner_schemas(document, inner)
    for inner in (*schema.get("anyOf", ()), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from inner_schemas(document, inner)


def values_of(document, schema):
    """Those of its enumeration, if it is one."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
    return schema.get("enum") or [v for s in schema.get("anyOf", ()) for v in values_of(document, s)]


def right_bodies(world, method, path):
    """Those that were written down, with each value of each enumeration, and with null wherever the document allows it."""
    enumerations = {name: values_of(world.document, s)
                    for name, s in inner_schemas(world.document, world.body_schema(method, path))}
    schema = world.validator(method, path)
    yield from world.right(method, path)
    for place in list(places(world.right(method, path)[0]))[1:]:
        for value in [None, *enumerations.get(place[-1], ())]:
            body = with_value(world.right(method, path)[0], place, value)
            if value == "allow":
                body["syncMode"] = "full_append"
            if value == "incremental_append":
                del body["entities"]["in"]["lookback"]
            if schema.is_valid(body):
                yield body


@each_operation
def test_right_bodies_are_accepted(world, method, path):
    """So that what is refused below is refused for the value that was changed."""
    success = int(next(s for s in world.operation(method, path)["responses"] if s.startswith("2")))
    for body in right_bodies(world, method, path):
        answer = world.send(method, world.url(path, body), body)
        assert answer.status_code == success, (body, answer.text)
        assert "canary" not in answer.text
        kept = answer.json()["data"]
        if isinstance(body.get("config"), dict):
            body["config"] = {k: "***" if "canary" in str(v) else v for k, v in body["config"].items()}
        for field in set(body) & {"name", "description", "dataSourceId", "destinationDatabaseId", "entityFilter", "enabled", "overlap",
                                  "catchup", "maxCatchup", "schemaChange", "maxRejected", "labels", "type", "config", "role"}:
            assert kept[field] == body[field] or body[field] is None, (field, body, answer.text)
        if path.endswith("/pause"):
            assert kept["status"] == "paused" and kept["pause"]["note"] == (body.get("note") or ""), answer.text


@each_operation
def test_the_right_bodies_have_every_field(world, method, path):
    fields = {name for name, _ in inner_schemas(world.document, world.body_schema(method, path))}
    if "config" in fields:
        role = "source" if "/data-sources" in path else "destination"
        fields |= {name for c in world.connectors for name in world.configuration(c["spec"], role)["properties"]}
    used = {key for body in world.right(method, path) for place in places(body) for key in place}
    assert fields <= used, fields - used


def test_the_operations_are_those_of_the_server(world):
    served = {(m.upper(), path) for path, methods in world.document["paths"].items() for m, o in methods.items()
              if isinstance(o, dict) and "requestBody" in o}
    assert served == set(OPERATIONS)


@each_operation
def test_each_wrong_value_of_each_field_is_refused_by_name(world, method, path):
    url, faults, count = world.url(path), [], 0
    before = state(world)
    for place, value, body in wrong_bodies(world, method, path):
        answer = world.send(method, url, body)
        shown = (".".join(map(str, place)), json.dumps(body if value is MISSING else value)[:60])
        if answer.status_code not in (400, 422):
            faults.append((*shown, answer.status_code, answer.text[:200]))
        elif not names(answer.json(), place, value) or len(answer.content) > 10_000:
            faults.append((*shown, "the field is not named", answer.text[:300]))
        count += 1
    assert not faults, "\n".join(map(str, faults))
    assert state(world) == before
    assert count >= 5


PREVIEW = {"expression": "0 9 * * MON-FRI", "timezone": "America/New_York", "dst": "wall", "after": ANCHOR, "jobId": "job", "count": "3"}


def preview(world, **changes):
    query = {k: v for k, v in (PREVIEW | changes).items() if v is not MISSING}
    return world.server.request("GET", "/api/cron/preview", params=query)


def test_right_previews_are_answered(world):
    parameters = {p["name"]: p for p in (world.resolved(p) for p in world.document["paths"]["/api/cron/preview"]["get"]["parameters"])}
    assert set(parameters) == set(PREVIEW)
    answers = [preview(world)] + [preview(world, **{name: MISSING}) for name, p in parameters.items() if not p.get("required")]
    answers += [preview(world, dst=value) for value in parameters["dst"]["schema"]["enum"]]
    answers += [preview(world, expression=text) for text in ("@daily", "H H * * *", "15 0 0 1 1 *", "30 2 L * *")]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["explanation"]
    assert len(answers[0].json()["data"]["times"]) == 3


@pytest.mark.parametrize("parameter, values", [
    ("expression", (MISSING, "", "no cron", "61 * * * *", "0 9 * *", "x" * 600)),
    ("timezone", ("", "Mars/Olympus", "x" * 101)),
    ("dst", ("", "sometimes")),
    ("after", ("", "noon", "2026-02-30T00:00:00Z", "7")),
    ("jobId", ("", "x" * 201)),
    ("count", ("", "0", "-1", "1001", "1.5", "ten", "9" * 30)),
    ("nmae", ("unknown",)),
])
def test_wrong_previews_are_refused_by_name(world, parameter, values):
    for value in values:
        answer = preview(world, **{parameter: value})
        assert answer.status_code == 422 and names(answer.json(), (parameter,), value), (value, answer.text)
