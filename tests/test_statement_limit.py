"""The timeout of the statements of a request."""

import time

import psycopg
import pytest

from analytics_api import DatabaseError
from analytics_api.database import StatementLimit
from analytics_api.errors import StatementTimeout

NUMBERS = """
with recursive numbers (number) as (
  select 1
  union all
  select number + 1
  from numbers
  where number < 1000000000)
"""

ENDLESS = (
    NUMBERS
    + """
select count(*) as rows
from numbers
"""
)


@pytest.mark.parametrize("method", ["rows", "row", "tuples", "read", "write"])
@pytest.mark.slow
def test_endless_statement_is_ended_after_its_limit(database, method):
    calls = {
        "read": lambda: database.read(lambda at: at.rows(ENDLESS)),
        "write": lambda: database.write(lambda at: at.rows(ENDLESS)),
    }
    call = calls.get(method) or (lambda: getattr(database, method)(ENDLESS))
    started = time.monotonic()

    with (
        pytest.raises(StatementTimeout, match=r"a statement took longer than its timeout of 0\.05 s"),
        StatementLimit(0.05),
    ):
        call()

    assert time.monotonic() - started < 10
    assert database.rows("select count(*) as leads from leads") == [{"leads": 0}]


def test_write_over_its_limit_is_rolled_back(database):
    def work(at):
        at.execute("insert into leads (lead_id, enquiry_datetime) values (1, '2026-01-01 00:00:00')")
        at.rows(ENDLESS)

    with pytest.raises(StatementTimeout), StatementLimit(0.05):
        database.write(work)

    assert database.rows("select lead_id from leads") == []


def test_statement_limit_ends_with_its_block(database):
    with StatementLimit(0.001):
        pass

    assert database.rows("with recursive n (i) as (select 1 union all select i + 1 from n where i < 100000) "
                         "select count(*) as rows from n") == [{"rows": 100_000}]  # fmt: skip


def test_each_statement_has_the_whole_limit(database):
    def work(at):
        for _ in range(8):
            at.rows("select count(*) from leads")
            time.sleep(0.1)
        return "done"

    with StatementLimit(0.5):
        assert database.read(work) == "done"


def test_idle_connection_is_not_over_its_limit(database):
    def work(at):
        at.rows("select count(*) from leads")
        return at.execute("update leads set status = 'won' where lead_id = 1")

    with StatementLimit(0.05):
        database.rows("select count(*) from leads")
        database.write(work)
        time.sleep(0.1)
        for _ in range(10_000):  # SQLite checks the deadline only after many short statements
            database.response_cache()


SLOW_SUBMISSIONS = (
    "create view lead_submissions as"
    + NUMBERS
    + """
select renamed.*
from renamed
join numbers on number < 0
"""
)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_slow_endpoint_is_500_and_logged_with_its_budget(database, insert, serve, caplog):
    insert("leads", lead_id=42, enquiry_datetime="2026-02-23 11:15:00")
    insert("lead_submissions", submission_id=1, lead_id=42, submitted_at="2026-02-23 11:15:00")
    database.write(lambda at: at.execute("alter table lead_submissions rename to renamed"))
    database.write(lambda at: at.execute(SLOW_SUBMISSIONS))

    response = serve(query_timeout=0.2).get("/analytics/leads/42")

    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage().startswith("GET /leads/<lead_id> failed: ")
    assert record.getMessage().endswith("a statement took longer than its timeout of 0.2 s")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_waiting_endpoint_is_500_and_logged_with_its_budget(database, insert, serve, caplog):
    insert("leads", lead_id=42, enquiry_datetime="2026-02-23 11:15:00")
    client = serve(query_timeout=0.2)
    with psycopg.connect(database.url) as other:
        other.execute("lock table leads in access exclusive mode")

        response = client.get("/analytics/leads/42")

        other.rollback()
    assert (response.status_code, response.json) == (500, {"error": "Analytics query failed"})
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage().startswith("GET /leads/<lead_id> failed: ")
    assert "a statement took longer than its timeout of 0.2 s" in record.getMessage()
    assert client.get("/analytics/leads/42").status_code == 200


def test_statement_timeout_is_a_database_error():
    assert issubclass(StatementTimeout, DatabaseError)
