"""Copies from and to PostgreSQL that differ from copies between SQLite files."""

import shutil
import threading
from random import Random

import pytest
from helpers import postgres
from helpers.cli import query, run

from analytics_api import open_database
from analytics_api.database.base import PRIMARY_KEYS, SITE_TABLES
from analytics_api.errors import DatabaseError
from analytics_api.maintenance import demo
from analytics_api.maintenance.copy import copy

NOW = 1_771_945_200_123


@pytest.fixture
def other():
    with postgres.new_database() as database:
        yield database


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    """Return the path of an SQLite file with demo data, which the fixture `file` copies for each test."""
    path = tmp_path_factory.mktemp("copied") / "visits.db"

    def load(at):
        for table, rows in demo.batches(demo.Plan(NOW, sessions=100)):
            at.insert(table, demo.COLUMNS[table], rows)

    with open_database(path).closing() as database:
        database.bulk(load)
    return path


@pytest.fixture
def file(visits, tmp_path):
    with open_database(shutil.copy(visits, tmp_path)).closing() as database:
        yield database


def rows(database):
    return {
        table: database.rows(
            f"select {', '.join(column.name for column in database.columns(table))} from {table} order by {key}"
        )
        for table, key in PRIMARY_KEYS.items()
        if table not in SITE_TABLES  # these tables have rows in a new database
    }


def test_copy_between_servers_preserves_rows(file, database, other):
    copy(file, database)

    copy(database, other)

    assert rows(other) == rows(database) == rows(file)


LONG = "x" * 1301

REFUSED = {
    "sessions session_id 'a\\x00b' cannot be stored: PostgreSQL text fields cannot contain NUL":
        f"insert into sessions (session_id, visitor_id, started_at) values ('a' || char(0) || 'b', 'v', {NOW})",
    "events event_id 9000 cannot be stored: ":
        "insert into events (event_id, session_id, event_type, occurred_at, data) "
        f"values (9000, 's', 'x', {NOW}, char(0))",
    "leads lead_id 9000 cannot be stored: ":
        "insert into leads (lead_id, enquiry_datetime, contact_name) values (9000, '', 'x' || char(0))",
    f"sessions session_id '{'x' * 56}... cannot be stored: new row for relation \"sessions\" violates check constraint "
    '"session_id_of_1300_bytes_at_most"':
        f"insert into sessions (session_id, visitor_id, started_at) values ('{LONG}', 'v', {NOW})",
    'violates check constraint "visitor_id_of_1300_bytes_at_most"':
        f"insert into sessions (session_id, visitor_id, started_at) values ('s', '{LONG}', {NOW})",
    'violates check constraint "fingerprint_of_1300_bytes_at_most"':
        f"insert into sessions (session_id, visitor_id, started_at, fingerprint) values ('s', 'v', {NOW}, '{LONG}')",
    'violates check constraint "country_of_1300_bytes_at_most"':
        f"insert into sessions (session_id, visitor_id, started_at, country) values ('s', 'v', {NOW}, '{LONG}')",
    'violates check constraint "referrer_domain_of_1300_bytes_at_most"':
        "insert into sessions (session_id, visitor_id, started_at, referrer_domain) "
        f"values ('s', 'v', {NOW}, '{LONG}')",
    'events event_id 9000 cannot be stored: new row for relation "events" violates check constraint '
    '"session_id_of_1300_bytes_at_most"':
        "insert into events (event_id, session_id, event_type, page_url, occurred_at) "
        f"values (9000, '{LONG}', 'page_view', '/', {NOW})",
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_copy_reports_row_that_postgresql_rejects(file, database, message):
    query(file.path, REFUSED[message])

    output = run("copy", file.path, database.url, status=1)

    assert message in output
    assert output.startswith(f"Error: {database.url}: ")
    assert output.endswith("; nothing was copied\n")
    assert output.count("\n") == 1
    assert not any(rows(database).values())


def test_copy_accepts_ids_of_1300_bytes(file, database):
    ids = ("".join(Random(seed).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=1300)) for seed in range(5))
    columns = "session_id, visitor_id, fingerprint, country, referrer_domain, started_at, engagement_score, ended_at"
    query(file.path, f"insert into sessions ({columns}) values (?, ?, ?, ?, ?, {NOW}, 0, 0)", *ids)

    copy(file, database)
    database.write(
        lambda at: at.execute("update sessions set started_at = 1 + started_at where octet_length(session_id) = 1300")
    )

    assert database.verify() == []


def test_one_of_concurrent_copies_succeeds(file, database):
    ended = []

    def copied():
        with open_database(file.path).closing() as source, open_database(database.url).closing() as target:
            try:
                ended.append(sum(copy(source, target).values()))
            except DatabaseError as error:
                ended.append(str(error))

    threads = [threading.Thread(target=copied) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    [refused] = [message for message in ended if isinstance(message, str)]
    assert refused == f"{database.url}: the table sessions is not empty; use an empty database"
    assert rows(database) == rows(file)


def test_error_names_a_lost_source_and_target_is_empty(file, database, other, tmp_path):
    copy(file, database)

    def written(_):
        postgres.primary().execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            f"where datname = '{database.url.rpartition('/')[2]}' and query ~ 'batches'"
        )

    with pytest.raises(DatabaseError) as message:
        copy(database, other, on_write=written)

    assert str(message.value).startswith(f"{database.url}: ")
    assert not any(rows(other).values())
