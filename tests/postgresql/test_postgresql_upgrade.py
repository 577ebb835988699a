"""Upgrades of PostgreSQL databases of earlier versions."""

import logging
from pathlib import Path

import psycopg
import pytest
from helpers import postgres

from analytics_api import open_database
from analytics_api.database.postgresql import upgrade
from analytics_api.errors import DatabaseError

SCHEMA_2 = (Path(__file__).parents[1] / "data" / "schemas" / "postgresql-2.sql").read_text(encoding="utf-8")
PAST = (
    "past_days, past_countries, past_sources, past_engagement, past_events, past_day_visitors, past_country_visitors, "
    "past_fingerprints"
)

# Three sessions, of which the second has a timestamp in seconds and the third one before 1973, and three leads.
ROWS = """
insert into sessions (session_id, visitor_id, fingerprint, started_at, country)
values ('s', 'v', 'f', 1771945200123, 'DE'), ('t', 'w', null, 1771945200, null), ('u', 'w', null, 5, null);
insert into events (session_id, event_type, page_url, occurred_at)
values ('s', 'page_view', '/', 1771945200123);
insert into leads (enquiry_datetime, contact_name)
values ('2026-02-24T15:00:00.123Z', 'Ann'), ('soon', 'Bob'), ('2026-02-24 15:00:00', 'Cy');
insert into lead_submissions (lead_id, submitted_at)
values (1, '2026-02-24T20:30:00+05:30');
grant select on events to public;
"""
# The archive of a purged day with two visitors and one page.
PAST_ROWS = """
insert into past_days values ('2026-02-20', 3, 60, 2, 90, 2, 1);
insert into past_countries values ('DE', 2), ('XX', 1);
insert into past_sources values ('t.co', 3);
insert into past_engagement values ('0-19', 1), ('80-100', 1);
insert into past_events values ('/', 4, 2), ('', 5, 0);
insert into past_day_visitors values ('v', '2026-02-20'), ('x', '2026-02-20');
insert into past_country_visitors values ('v', 'DE'), ('x', 'DE'), ('x', 'XX');
insert into past_fingerprints values ('f'), ('g');
"""


@pytest.fixture
def url():
    """Return the URL of a database of version 2 with ROWS, but without PAST_ROWS."""
    postgres.require_binaries()
    name = f"old_{next(postgres.NAMES)}"
    postgres.primary().execute(f"create database {name}")
    url = postgres.primary().url(name)
    run(url, "create extension pg_trgm", SCHEMA_2, "insert into analytics_meta values (2)", ROWS)
    yield url
    postgres.primary().execute(f"drop database {name} with (force)")


def run(url, *scripts):
    with psycopg.connect(url, autocommit=True) as connection:
        for script in scripts:
            cursor = connection.execute(script)
        return cursor.fetchall() if cursor.description else None


def test_upgrade_converts_values_that_are_now_invalid(url, caplog):
    with caplog.at_level(logging.WARNING):
        version = upgrade(url)

    assert version == 2
    assert run(url, "select session_id, started_at from sessions order by 1") == [
        ("s", 1_771_945_200_123),
        ("t", 1_771_945_200_000),
        ("u", 100_000_000_000),
    ]
    assert run(url, "select enquiry_datetime from leads order by lead_id") == [
        ("2026-02-24 15:00:00",),
        ("",),
        ("2026-02-24 15:00:00",),
    ]
    assert run(url, "select last_follow_up_at from leads where lead_id = 1") == [("2026-02-24 15:00:00",)]
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "sessions.started_at: 1 values before 1973-03-03 were changed to 1973-03-03",
        "sessions.started_at: 1 values in seconds were converted to milliseconds",
        "leads.enquiry_datetime: 1 values that are not dates were changed to empty strings",
        "leads.enquiry_datetime: 1 values in other formats were converted to YYYY-MM-DD HH:MM:SS",
        "lead_submissions.submitted_at: 1 values in other formats were converted to YYYY-MM-DD HH:MM:SS",
    ]


def test_upgrade_gives_the_schema_and_rights_of_this_version(url):
    rebuilt = []

    upgrade(url, on_progress=rebuilt.append)

    assert "day_counts" in rebuilt
    with open_database(url).closing() as database:
        assert database.verify() == []
        assert run(url, "select sum(events) from event_counts where day = -1") == [(1,)]
        assert run(url, "select has_table_privilege('public', 'events', 'select')") == [(True,)]
        with pytest.raises(psycopg.errors.CheckViolation):
            run(url, "insert into sessions (session_id, visitor_id, started_at) values ('x', 'v', 5)")
        with pytest.raises(psycopg.errors.CheckViolation):
            run(url, "insert into leads (enquiry_datetime) values ('soon')")
        run(url, "insert into leads (enquiry_datetime) values ('2026-02-24T15:00:00Z')", ROWS_OF_NOW)
        assert database.verify() == []
    names = run(url, "select relname from pg_class where relname ~ '^(past|kept|split|rollup|plain)_|_in_stage_'")
    assert names == []
    assert run(url, "select proname from pg_proc where proname ~ '^(keep_lead|writer_slot|utc_day)$'") == []
    assert upgrade(url) == 3


ROWS_OF_NOW = """
insert into sessions (session_id, visitor_id, started_at)
values ('now', 'v', 1771945200123)
"""


def test_upgrade_archives_the_counts_of_purged_rows(url):
    run(url, PAST_ROWS)

    upgrade(url)

    with open_database(url).closing() as database:
        assert database.verify() == []
    all_time = "select sum(sessions), sum(visitors), sum(fingerprints) from day_counts where day = -1"
    assert run(url, all_time) == [(6, 3, 2)]
    day = "select sum(sessions), sum(visitors), sum(duration_sum) from day_counts where day = 20504"
    assert run(url, day) == [(3, 2, 60)]
    countries = "select key, sum(sessions), sum(visitors) from key_counts where (dimension, day) = (1, -1) group by 1"
    assert sorted(run(url, countries)) == [("DE", 3, 2), ("XX", 3, 2)]
    assert run(url, "select page, views, sessions from all_time_pages") == [("/", 5, 3)]
    assert run(url, "select sum(events) from event_counts where day = -1") == [(10,)]
    assert run(url, "select raw_since from site") == [(20_505,)]


def test_upgrade_of_version_1_works_without_purged_rows(url):
    run(url, f"drop table {PAST} cascade", "update analytics_meta set version = 1")

    assert upgrade(url) == 1

    with open_database(url).closing() as database:
        assert database.verify() == []
        assert database.rows("select sum(sessions)::integer as n from day_counts where day = -1") == [{"n": 3}]


OLD_PROCEDURE = """
create procedure count_changes(base_table text, variadic blocks text[]) language sql as 'select 1'
"""
OLD_TRIGGER = """
create function stages_refresh() returns trigger language plpgsql as $$ begin raise 'an old trigger'; end $$;
create trigger stages_refresh_new after insert on lead_status_changes
for each row execute function stages_refresh()
"""


def test_upgrade_updates_an_unreleased_schema(url):
    upgrade(url)
    run(url, "comment on table analytics_meta is 'another'", "drop view counted_sessions cascade")
    run(url, "drop function build_page_counts")
    run(url, "create function build_page_counts(visits text) returns text return visits")
    run(url, "create function session_dimensions(session sessions, page_query text) returns text return page_query")
    run(url, "drop procedure count_changes", OLD_PROCEDURE, OLD_TRIGGER)
    run(url, "update site set page_query = 'drop'", "update day_counts set sessions = 7")
    rebuilt = []

    assert upgrade(url, on_progress=rebuilt.append) == 3

    assert "day_counts" in rebuilt
    with open_database(url).closing() as database:
        assert database.verify() == []
        assert run(url, "select page_query from site") == [("drop",)]
        assert run(url, "select proname from pg_proc where proname in ('session_dimensions', 'stages_refresh')") == []
    rebuilt.clear()
    assert upgrade(url, on_progress=rebuilt.append) == 3
    assert rebuilt == []


def test_upgrade_that_fails_leaves_the_older_version(url):
    run(url, "create view mine as select day from sessions")  # the view depends on a table that the upgrade drops

    with pytest.raises(DatabaseError, match="not upgraded, nothing was changed"):
        upgrade(url)

    assert run(url, "select version from analytics_meta") == [(2,)]
    assert run(url, "select sum(sessions) from rollup_days") == [(3,)]
    run(url, "drop view mine")
    assert upgrade(url) == 2
