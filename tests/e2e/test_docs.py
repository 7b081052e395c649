"""What the documents say is true: the operators' queries answer."""
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_operators_queries_answer(server):
    job = server.create_job("moved", server.csv_to_sqlite(), schedule={"cron": "0 0 1 1 *"})
    server.api("POST", f"/sync-jobs/{job['id']}/pause", {"note": "migration"})
    queries = []
    for block in re.findall(r"```sql\n(.*?)```", (ROOT / "docs/ops/queries.md").read_text(), re.S):
        queries += [q.strip() for q in block.split(";") if q.strip()]
    assert len(queries) == 10
    with closing(sqlite3.connect(f"file:{server.data_dir}/tidegate.db?mode=ro", uri=True)) as db:
        answers = {query: db.execute(query).fetchall() for query in queries}
    [leader] = answers[queries[0]]
    assert leader[0] == "scheduler" and leader[2] > 0
    [worker] = answers[queries[2]]
    assert worker[0] == leader[1]
    assert [row[0] for row in answers[queries[3]]] == [job["name"]]
    assert [row[:2] for row in answers[queries[5]]] == [(job["name"], "migration")]


def test_the_guide_of_jobs_names_every_field_and_every_value(server):
    guide = (ROOT / "docs/guides/jobs.md").read_text()
    schemas = server.request("GET", "/api/openapi.json").json()["components"]["schemas"]
    names = set()
    for schema in ("JobInput", "Entity", "Retry"):
        for field, value in schemas[schema]["properties"].items():
            if not value.get("$ref", "").endswith("/Ignored"):
                names |= {field} | {v for v in value.get("enum", []) if v}
    names |= set(schemas["RunState"]["enum"]) | set(schemas["SyncMode"]["enum"]) - {"full_refresh"}
    # What the model calls reasons and kinds of errors: no schema lists them.
    model = (ROOT / "src/control/model/run.h").read_text()
    for space in ("skip_reason", "error_kind"):
        block = re.search(r"namespace " + space + r" \{(.*?)\n\}", model, re.S)[1]
        names |= set(re.findall(r'"(\w+)"', block))
    assert len(names) > 60
    assert sorted(n for n in names if f"`{n}`" not in guide) == []


def documents():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listed.stdout.split()]


def test_every_link_between_documents_leads_somewhere():
    broken = []
    for document in documents():
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{document.relative_to(ROOT)}: {target}")
    assert not broken
