"""Test data and comparisons that know nothing of Tidegate."""
import csv
import random
import sqlite3


def write_csv(path, rows, seed=1):
    """`rows` rows of id, name, amount, at; deterministic. Returns {id: (name, amount, at)}."""
    rng = random.Random(seed)
    table = {}
    with open(path, "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["id", "name", "amount", "at"])
        for i in range(1, rows + 1):
            row = (f"name {rng.randrange(10**6)}", rng.randrange(10**9),
                   f"2026-01-{1 + i % 28:02d}T{i % 24:02d}:{i % 60:02d}:00Z")
            table[i] = row
            out.writerow([i, *row])
    return table


def append_csv(path, first, count):
    with open(path, "a", newline="") as f:
        out = csv.writer(f)
        for i in range(first, first + count):
            out.writerow([i, f"late {i}", i * 7, "2026-02-01T00:00:00Z"])


def read_csv_ids(path):
    with open(path, newline="") as f:
        return sorted(int(r["id"]) for r in csv.DictReader(f))


def read_csv(path):
    """Its rows as they must arrive: (id, name, amount, at)."""
    with open(path, newline="") as f:
        return sorted((int(r["id"]), r["name"], int(r["amount"]), r["at"].replace("T", " ").replace("Z", "+00:00"))
                      for r in csv.DictReader(f))


def query(database, sql):
    """Rows of a query; [] when the file or the table is not there yet. What a killed writer left can only be read by
    who may write: he puts the log in order first."""
    if not database.exists():
        return []
    db = sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=10)
    try:
        return db.execute(sql).fetchall()
    except sqlite3.OperationalError as e:
        if "no such table" in str(e):
            return []
        raise
    finally:
        db.close()


def ids(database, table="items"):
    return [r[0] for r in query(database, f'SELECT id FROM "{table}" ORDER BY id')]
