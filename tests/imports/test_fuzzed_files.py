"""Random files are imported or rejected, and the counters are correct. `FUZZED_FILES` sets the number of files."""

import csv
import io
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from helpers.importing import import_text

from analytics_api import IngestError
from analytics_api.database import BASE_TABLES

CASES = int(os.environ.get("FUZZED_FILES", 20))

pytestmark = pytest.mark.any_engine

VALUES = [
    *("", " ", '"', '""', "'", "\\", "NULL", "null", "true", "nan", "inf", "-0", "1e400", "0x10", "١٢", "7.5", "-1"),
    *("9223372036854775807", "9223372036854775808", "1764100000", "1764100000000", "20260223", "2026-02-23", "46076.5"),
    *(
        "2026-02-23T11:15:00+05:30",
        "2026-02-30",
        "9999-12-31 23:59:59",
        "s1",
        "page_view",
        "won",
        "open",
        "in",
        "\u2028",
    ),
    *("https://münchen.example/", "http://[::1", "=1+1", "'=1+1", "a\nb", "a,b", "a;b", "\ufeff", "\U0001f600" * 50),
]
BYTES = [
    b"\0",
    b"\xff",
    b"\r",
    b"\n",
    b'"',
    b"'",
    b",",
    b";",
    b"\t",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"(",
    b")",
    b"--",
    b"/*",
]


GOOD_VALUES = {
    "started_at": ["1764100000", "1764100000000", "2026-02-23T11:15:00Z"],
    "occurred_at": ["1764100000", "1764100000000", "2026-02-23T11:15:00Z"],
    "changed_at": ["1764100000000"],
    "enquiry_datetime": ["2026-02-23 11:15:00", "20260223"],
    "submitted_at": ["2026-02-23 11:15:00", "46076.5"],
    "event_type": ["page_view", "click"],
    "status": ["new", "won", ""],
    "old_status": ["new"],
    "new_status": ["won"],
}


def value_of(randomness, name):
    """Return a value for a column, which is valid in 90% of the cases."""
    if randomness.random() < 0.1:
        return randomness.choice(VALUES)
    return randomness.choice(GOOD_VALUES.get(name) or [str(randomness.randrange(300))])


def columns_of(database, table):
    return [column.name for column in database.columns(table)]


def damage(randomness, data):
    """Replace, remove, repeat or truncate some of the bytes."""
    for _ in range(randomness.choice([0, 0, 1, 3, 20])):
        begin = randomness.randrange(len(data) + 1)
        end = min(begin + randomness.choice([0, 1, 1, 5, 100]), len(data))
        middle = randomness.choice([b"", randomness.choice(BYTES), data[begin:end] * 2, randomness.randbytes(3)])
        data = data[:begin] + middle + data[end:]
    return data if randomness.random() < 0.9 else data[: randomness.randrange(len(data) + 1)]


def check(database, data, case, **options):
    """Import a file, and assert that it is imported or rejected and that the numbers in the report are consistent."""
    report = error = None
    try:
        report = import_text(database, data, **options)
    except IngestError as refusal:
        error = str(refusal)
    if report is None:
        assert error is not None, case
        assert "\n" not in error, case
        return None
    for counts in report.tables.values():
        assert 0 <= counts.rejected <= counts.read, case
        assert counts.is_computed or counts.existing >= 0, case
    assert all("\n" not in line and "\x1b" not in line for line in report.lines()), case
    return report


def csv_file(randomness, database):
    table = randomness.choice([*BASE_TABLES])
    names = columns_of(database, table)
    randomness.shuffle(names)
    if randomness.random() < 0.3:
        names = names[: randomness.randint(len(names) // 2, len(names))]
    text = io.StringIO()
    writer = csv.writer(
        text, delimiter=randomness.choice(",;\t|"), lineterminator=randomness.choice(["\n", "\r\n", "\r"])
    )
    writer.writerow(names)
    for _ in range(randomness.choice([0, 1, 5, 40])):
        width = len(names) if randomness.random() < 0.95 else randomness.randrange(len(names) + 2)
        row = [value_of(randomness, name) for name in names]
        writer.writerow((row * 2)[:width])
    data = text.getvalue().encode(randomness.choice(["utf-8", "utf-8", "utf-8", "utf-16", "utf-16-le"]))
    return damage(randomness, data), {"table": table, "on_conflict": randomness.choice(["ignore", "update"])}


def sql_file(randomness, database):
    with closing(sqlite3.connect(":memory:")) as connection:
        for table in randomness.sample([*BASE_TABLES], randomness.randint(1, 3)):
            names = columns_of(database, table)
            types = [f"{name} {randomness.choice(['', 'TEXT', 'INTEGER', 'REAL', 'BLOB'])}" for name in names]
            connection.execute(f"create table {table} ({', '.join(types)})")
            for _ in range(randomness.choice([0, 1, 5, 40])):
                row = [randomness.choice([value_of(randomness, name)] * 20 + [None, 7, 2.5, b"\xff"]) for name in names]
                connection.execute(f"insert into {table} values ({', '.join('?' * len(names))})", row)
        text = "\n".join(connection.iterdump()) + "\n"
    return damage(randomness, text.encode()), {"on_conflict": randomness.choice(["ignore", "update"])}


def sqlite_file(randomness, database):
    with NamedTemporaryFile(suffix=".db") as file, closing(sqlite3.connect(file.name)) as connection:
        connection.execute("create table leads (lead_id integer primary key, enquiry_datetime text, contact_name text)")
        rows = [(n, "2026-01-01", randomness.choice(VALUES)) for n in range(randomness.choice([1, 50, 500]))]
        connection.executemany("insert into leads values (?, ?, ?)", rows)
        connection.commit()
        data = bytearray(Path(file.name).read_bytes())
    for _ in range(randomness.choice([0, 1, 10])):
        data[randomness.randrange(randomness.choice([200, len(data)]))] = randomness.randrange(256)
    return bytes(data), {}


@pytest.mark.parametrize("make_file", [csv_file, sql_file, sqlite_file], ids=["csv", "sql", "sqlite"])
def test_random_files_are_imported_or_rejected(database, make_file):
    reports = []
    for case in range(CASES):
        randomness = random.Random(f"{make_file.__name__}-{case}")
        data, options = make_file(randomness, database)
        reports.append(check(database, data, case, **options))

    taken = [report for report in reports if report is not None]
    assert sum(counts.written for report in taken for counts in report.tables.values()) > CASES // 4
    assert CASES // 4 < len(taken) < CASES
    assert list(database.verify()) == []
