"""What JSON Schema cannot say about api/*.yaml, for schemathesis: values of the formats, and resources that exist.

TIDEGATE_CONTRACT_URL and TIDEGATE_CONTRACT_TOKEN name the server.
"""
import itertools
import os

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation

FORMATS = {
    "cron": st.sampled_from(["0 * * * *", "*/5 9-17 * * MON-FRI", "@daily", "30 2 L * *", "H H * * *", "15 0 0 1 1 *"]),
    "iana-timezone": st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    "future-time": st.sampled_from(["2090-01-01T00:00:00Z", "2999-12-31T23:59:59.5+05:30"]),
    "workspace": st.just("default"),
    "source-connector": st.sampled_from(["file", "sqlite"]),
    "destination-connector": st.sampled_from(["file", "sqlite"]),
    "cursor": st.just("00"),
}
for _name, _strategy in FORMATS.items():
    schemathesis.openapi.format(_name, _strategy)

BASE = os.environ["TIDEGATE_CONTRACT_URL"]
HEADERS = {"Authorization": "Bearer " + os.environ["TIDEGATE_CONTRACT_TOKEN"]}
WS = "/api/workspaces/default"
numbers = itertools.count()


def make(path, body):
    answer = requests.post(BASE + path, json=body, headers=HEADERS, timeout=60)
    assert answer.ok, answer.text
    return answer.json()["data"]


def make_source():
    return make(f"{WS}/data-sources", {"name": f"made {next(numbers)}", "type": "file", "config": {"path": "in.csv"}})["id"]


def make_destination():
    n = next(numbers)
    return make(f"{WS}/destinations", {"name": f"made {n}", "type": "sqlite", "config": {"path": f"{n}.db"}})["id"]


def make_job():
    return make(f"{WS}/sync-jobs", {"name": f"made {next(numbers)}", "dataSourceId": KEPT["data-sources"],
                                    "destinationDatabaseId": KEPT["destinations"]})["id"]


def make_run():
    return make(f"{WS}/sync-jobs/{make_job()}/run", {})["runId"]


def make_token():
    return make("/api/tokens", {"name": f"made {next(numbers)}", "role": "viewer"})["id"]


MAKE = {"data-sources": make_source, "destinations": make_destination, "sync-jobs": make_job, "runs": make_run,
        "tokens": make_token}
# One of each, that is never deleted; it also keeps the workspace from being empty.
KEPT = {}
for _kind, _make in MAKE.items():
    KEPT[_kind] = _make()


def is_positive(case, location):
    if case.meta is None:
        return False
    component = case.meta.components.get(location)
    return (component or case.meta.generation).mode == GenerationMode.POSITIVE


def name_things_that_exist(body):
    for field, kind in (("dataSourceId", "data-sources"), ("destinationDatabaseId", "destinations")):
        if field in body:
            body[field] = KEPT[kind]
    if "config" in body:
        body["config"] = {"path": "in.csv"}
    # Names are unique; the generators like a few of them too well.
    if isinstance(body.get("name"), str):
        body["name"] = f"{body['name'][:180]} {next(numbers)}"


@schemathesis.hook
def before_call(context, case, kwargs):
    """Where a request is right in form, lets it name things that exist, so that it gets past validation."""
    path, method = case.operation.path, case.operation.method.upper()
    if is_positive(case, ParameterLocation.PATH):
        if "ws" in case.path_parameters and (method, path) != ("DELETE", "/api/workspaces/{ws}"):
            case.path_parameters["ws"] = "default"
        if "id" in case.path_parameters:
            kind = next(k for k in MAKE if f"/{k}/" in path)
            used_up = method == "DELETE" or path.endswith(("/cancel", "/retry", "/run"))
            case.path_parameters["id"] = MAKE[kind]() if used_up else KEPT[kind]
    # Ids are also taken from answers, and so could be that of one which is to stay.
    if method == "DELETE" and case.path_parameters.get("id") in KEPT.values():
        case.path_parameters["id"] = "gone"
    # No cursor can be made up, and with a wrong one nothing else of the query would be tried.
    if is_positive(case, ParameterLocation.QUERY) and isinstance(case.query, dict):
        case.query.pop("cursor", None)
    # Likewise: a key used before and a revision of the past are refused before the body is looked at.
    if is_positive(case, ParameterLocation.HEADER):
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = f"key-{next(numbers)}"
        if "If-Match" in case.headers:
            case.headers["If-Match"] = "*"
    if is_positive(case, ParameterLocation.BODY) and isinstance(case.body, dict):
        name_things_that_exist(case.body)
