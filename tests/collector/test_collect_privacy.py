"""Copies of a database have no salts, so that nobody can use them to compute the hash of an address."""

import sqlite3
from contextlib import closing

import pytest
from helpers.collecting import Site

from analytics_api import open_database
from analytics_api.database import BASE_TABLES
from analytics_api.errors import ExportError
from analytics_api.maintenance.copy import copy
from analytics_api.maintenance.export import export


def collect(folder):
    """Return an open database with a visit, and the salt of the visit's day."""
    database = open_database(folder / "analytics.db")
    site = Site(database)
    site.view()
    site.lead({"email": "ann@shop.example"})
    site.collector.close()
    [(salt,)] = database.tuples("select salt from collector_salts")
    return database, salt


def test_backup_has_no_salts(tmp_path):
    database, salt = collect(tmp_path)
    with database.closing():
        database.backup(tmp_path / "backup.db")

    assert salt.encode() in (tmp_path / "analytics.db").read_bytes()
    assert salt.encode() not in (tmp_path / "backup.db").read_bytes()
    with closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
        assert backup.execute("select count(*) from sessions").fetchall() == [(1,)]
        assert backup.execute("select count(*) from collector_leads").fetchall() == [(0,)]


def test_copy_has_no_salts(tmp_path):
    database, salt = collect(tmp_path)
    with database.closing(), open_database(tmp_path / "copy.db").closing() as target:
        copy(database, target)

    assert salt.encode() not in (tmp_path / "copy.db").read_bytes()


def test_deleted_salts_are_in_no_file(tmp_path):
    with open_database(tmp_path / "analytics.db").closing() as database:
        site = Site(database)
        salts = []
        for _ in range(4):
            site.view()
            salts += [salt for (salt,) in database.tuples("select salt from collector_salts order by day desc limit 1")]
            site.pass_time(86_400_000)
        site.collector.close()

    content = b"".join(path.read_bytes() for path in tmp_path.glob("analytics.db*"))
    assert [salt.encode() in content for salt in salts] == [False, False, True, True]


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_export_has_no_salts(tmp_path, form):
    database, salt = collect(tmp_path)
    with database.closing():
        exported = "".join(chunk for table in BASE_TABLES for chunk in export(database, table, form))
        with pytest.raises(ExportError, match="the table collector_salts does not exist"):
            export(database, "collector_salts", form)

    assert "ann@shop.example" in exported
    assert salt not in exported


def test_address_and_user_agent_are_in_no_file(tmp_path):
    with open_database(tmp_path / "analytics.db").closing() as database:
        site = Site(database, contact_ip=False)
        site.view(address="203.0.113.77", agent="Mozilla/5.0 Unusual/42")
        site.lead({"email": "ann@shop.example"}, address="203.0.113.77", agent="Mozilla/5.0 Unusual/42")
        site.collector.close()

    content = b"".join(path.read_bytes() for path in tmp_path.glob("analytics.db*"))
    assert b"ann@shop.example" in content
    assert b"203.0.113.77" not in content
    assert b"Unusual/42" not in content
