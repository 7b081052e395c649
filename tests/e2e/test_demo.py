"""./dev demo: what its commands rely on."""
import importlib.util
from pathlib import Path

import pytest

import data

spec = importlib.util.spec_from_file_location("demo", Path(__file__).resolve().parent.parent.parent / "tools/demo.py")
demo = importlib.util.module_from_spec(spec)
spec.loader.exec_module(demo)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_run_that_the_schedule_began_is_waited_for(cluster):
    """Seen here: 409 was taken for done, and the comparison read a table that was not there yet."""
    api = cluster.api()  # alone: what is triggered stays active until a worker comes
    data.write_csv(api.files / "items.csv", 10)
    job = api.create_job("items", api.csv_to_sqlite())
    began = api.run_now(job["id"])
    looked = []

    class Api(demo.Api):
        def __call__(self, method, path, body=None, timeout=10):
            if path.endswith(f"/runs/{began}") and not looked:
                looked.append(path)
                cluster.worker()
            return super().__call__(method, path, body, timeout)

    watched = Api(api.url, api.token)
    demo.first_runs(watched, demo.Watcher(watched))
    assert looked, "the active run was not looked at"
    assert api.api("GET", f"/runs/{began}")["state"] == "succeeded"
    assert data.ids(api.files / "out.db") == list(range(1, 11))
