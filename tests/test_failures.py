import pytest
from helpers.client import KEY, APIClient

from analytics_api import create_app, open_database

# What each endpoint reads first, and so can't do without.
NEEDS = {
    "/analytics/overview": "rollup_totals",
    "/analytics/sessions/daily": "rollup_days",
    "/analytics/pages/top": "rollup_pages",
    "/analytics/geo": "rollup_countries",
    "/analytics/engagement": "rollup_engagement",
    "/analytics/sources": "rollup_sources",
    "/analytics/realtime": "rollup_minutes",
    "/analytics/leads": "rollup_stages",
    "/analytics/leads/1": "lead_submissions",
}


def test_failed_query_is_500_with_its_cause_in_the_log(database, insert, client, caplog):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")

    for path, table in NEEDS.items():
        database.write(lambda at, table=table: at.execute(f"alter table {table} rename to elsewhere"))
        caplog.clear()
        get, head = client.get(path), client.head(path)
        database.write(lambda at, table=table: at.execute(f"alter table elsewhere rename to {table}"))

        assert get.status_code == 500
        assert get.headers["Content-Type"] == "application/json"
        assert get.data == b'{"error":"Analytics query failed"}'
        assert (head.status_code, head.data) == (500, b"")
        for record in caplog.records:
            assert (record.name, record.levelname) == ("analytics_api.app", "ERROR")
            assert table in str(record.exc_info[1])
        assert len(caplog.records) == 2
        assert client.get(path).status_code == 200  # the application goes on


def test_failed_update_is_rolled_back(database, insert, client, caplog):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    database.write(lambda at: at.execute("alter table lead_status_changes rename to elsewhere"))

    response = client.patch("/analytics/leads/1", json={"status": "won"})

    assert response.status_code == 500
    assert response.json == {"error": "Analytics query failed"}
    assert "lead_status_changes" in caplog.text
    assert client.get("/analytics/leads/1").json["lead"]["status"] == "new"
    assert client.get("/analytics/leads?status=new").json["total"] == 1


@pytest.mark.parametrize("path", NEEDS)
def test_overwritten_file_is_500(tmp_path, caplog, path):
    with open_database(tmp_path / "broken.db").closing() as database:
        client = APIClient(create_app(database, api_keys=[KEY]))
        database.close()  # and with the last connection the log beside the file, which would answer
        (tmp_path / "broken.db").write_bytes(b"no database at all " * 5000)

        response = client.get(path)

    assert response.status_code == 500
    assert response.json == {"error": "Analytics query failed"}
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
