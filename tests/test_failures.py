from contextlib import contextmanager

import pytest
from helpers.client import KEY, APIClient

from analytics_api import create_app, open_database
from analytics_api.database import SQLite

# The first table or view that each endpoint reads.
FIRST_TABLES = {
    "/analytics/overview": "day_counts",
    "/analytics/sessions/daily": "day_counts",
    "/analytics/pages/top": "all_time_pages",
    "/analytics/pages/top?days=30": "page_counts",
    "/analytics/pages/entry": "all_time_keys",
    "/analytics/pages/exit?days=30": "key_counts",
    "/analytics/geo": "all_time_keys",
    "/analytics/geo?days=30": "session_returns",
    "/analytics/engagement": "all_time_keys",
    "/analytics/sources": "all_time_sources",
    "/analytics/site": "site",
    "/analytics/realtime": "minute_counts",
    "/analytics/leads": "status_counts",
    "/analytics/leads/1": "lead_submissions",
}


@contextmanager
def hide_table(database, name):
    """Hide a table or a view for the duration of the block.

    A table is renamed. Views that use the table then use its new name, so an endpoint that reads a view fails only
    without the view. SQLite cannot rename a view, so the view is dropped and created again.
    """
    definition = isinstance(database, SQLite) and database.row(VIEW, name=name)
    if definition:
        database.write(lambda at: at.execute(f"drop view {name}"))
        yield
        database.write(lambda at: at.execute(definition["sql"]))
    else:
        database.write(lambda at: at.execute(f"alter table {name} rename to elsewhere"))
        yield
        database.write(lambda at: at.execute(f"alter table elsewhere rename to {name}"))


VIEW = "select sql from sqlite_schema where type = 'view' and name = :name"


@pytest.mark.slow
def test_failed_query_is_500_with_its_cause_in_the_log(database, insert, client, caplog):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")

    for path, table in FIRST_TABLES.items():
        caplog.clear()
        with hide_table(database, table):
            get, head = client.get(path), client.head(path)

        assert get.status_code == 500
        assert get.headers["Content-Type"] == "application/json"
        assert get.data == b'{"error":"Analytics query failed"}'
        assert (head.status_code, head.data) == (500, b"")
        for record in caplog.records:
            assert (record.name, record.levelname) == ("analytics_api.app", "ERROR")
            assert table in str(record.exc_info[1])
        assert len(caplog.records) == 2
        assert client.get(path).status_code == 200  # the application still works


def test_failed_update_is_rolled_back(database, insert, client, caplog):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    cascade = "cascade" if "://" in str(database.url) else ""
    database.write(lambda at: at.execute(f"drop table lead_status_changes {cascade}"))

    response = client.patch("/analytics/leads/1", json={"status": "won"})

    assert response.status_code == 500
    assert response.json == {"error": "Analytics query failed"}
    assert "lead_status_changes" in caplog.text
    assert client.get("/analytics/leads/1").json["lead"]["status"] == "new"
    assert client.get("/analytics/leads?status=new").json["total"] == 1


def test_overwritten_file_is_500(tmp_path, caplog):
    with open_database(tmp_path / "broken.db").closing() as database:
        client = APIClient(create_app(database, api_keys=[KEY]))
        database.close()  # closing the last connection deletes the WAL; with the WAL, reads would still succeed
        (tmp_path / "broken.db").write_bytes(b"no database at all " * 5000)

        for path in FIRST_TABLES:
            caplog.clear()
            response = client.get(path)

            assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"}), path
            assert "broken.db" in caplog.text


def test_reads_continue_while_another_writes(database, insert, client):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    other = open_database(database.url)

    def write(at):
        at.execute("update leads set status = 'won' where lead_id = 1")
        return client.get("/analytics/leads/1")

    with other.closing():
        meanwhile = other.write(write)

    assert meanwhile.json["lead"]["status"] == "new"
    assert client.get("/analytics/leads/1").json["lead"]["status"] == "won"
