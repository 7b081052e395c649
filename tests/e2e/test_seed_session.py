"""The seed's own requests, typed as a person types them."""
import json
import subprocess

import data


def curl(*args):
    out = subprocess.run(["curl", "-sS", *args], capture_output=True, text=True, check=True).stdout
    return json.loads(out)


def test_the_seeds_curl_session_works_verbatim(server):
    data.write_csv(server.files / "items.csv", 10)
    source, target = server.csv_to_sqlite()
    base = f"{server.url}/api/workspaces/default/sync-jobs"
    auth = ["-H", f"Authorization: Bearer {server.token}", "-H", "Content-Type: application/json"]
    body = ('{"name":"Hourly Stripe Sync","dataSourceId":"%s","destinationDatabaseId":"%s",'
            '"schedule":{"cron":"0 * * * *","timezone":"America/New_York"},"syncMode":"incremental","enabled":true}'
            % (source, target))
    created = curl("-X", "POST", base, *auth, "-d", body)
    assert created["success"] is True, created
    job = created["data"]
    assert job["nextRunAt"].endswith(":00:00Z")
    # No cursor is known for a CSV file: created with a warning that says so.
    assert any("cursor" in w for w in job["warnings"])

    assert [j["id"] for j in curl(base, *auth)["data"]] == [job["id"]]

    changed = json.loads(body) | {"syncMode": "full", "name": "Hourly items"}
    put = curl("-X", "PUT", f"{base}/{job['id']}", *auth, "-d", json.dumps(changed))["data"]
    assert (put["name"], put["syncMode"], put["revision"]) == ("Hourly items", "full", job["revision"] + 1)

    assert curl("-X", "POST", f"{base}/{job['id']}/toggle", *auth)["data"]["enabled"] is False
    assert curl("-X", "POST", f"{base}/{job['id']}/toggle", *auth)["data"]["enabled"] is True

    run = curl("-X", "POST", f"{base}/{job['id']}/run", *auth)["data"]["runId"]
    ended = server.wait_run(run)
    assert ended["state"] == "succeeded", ended
    assert data.ids(server.files / "out.db") == list(range(1, 11))

    status = curl(f"{base}/{job['id']}/status", *auth)["data"]
    assert status["lastRun"]["id"] == run and len(status["nextRuns"]) == 10
    history = curl(f"{base}/{job['id']}/history", *auth)["data"]
    assert [r["id"] for r in history] == [run]

    assert curl("-X", "DELETE", f"{base}/{job['id']}", *auth)["success"] is True
    gone = curl(f"{base}/{job['id']}", *auth)
    assert (gone["success"], gone["code"]) == (False, "job_not_found")


def test_a_request_without_a_token_is_refused(server):
    answer = curl(f"{server.url}/api/workspaces/default/sync-jobs")
    assert answer["success"] is False and answer["code"] == "unauthorized"
