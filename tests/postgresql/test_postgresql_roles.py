"""The privileges that docs/postgresql.md grants to roles are sufficient, and allow nothing else."""

import re
from pathlib import Path

import psycopg
import pytest
from helpers import postgres
from helpers.cli import run
from helpers.client import KEY, APIClient
from helpers.collecting import MINUTE, Site

from analytics_api import create_app, open_database
from analytics_api.database.base import BASE_TABLES

PAGE = (Path(__file__).parents[2] / "docs" / "postgresql.md").read_text(encoding="utf-8")
GRANTS = re.findall(r"^    (grant [^;]*;)", PAGE, re.MULTILINE)
ROLES = ("owner", "tracker", "app", "collector", "reader", "keeper")

VISIT = "insert into sessions (session_id, visitor_id, started_at, country) values ('s', 'v', 1771945200123, 'DE')"
EVENT = (
    "insert into events (session_id, event_type, page_url, occurred_at) values ('s', 'page_view', '/', 1771945200123)"
)
LEAD = "insert into leads (enquiry_datetime, contact_name) values ('2026-02-24 09:00:00', 'Ann')"
SUBMISSION = "insert into lead_submissions (lead_id, submitted_at) values (1, '2026-02-24 09:00:00')"


@pytest.fixture(scope="module")
def cluster():
    """Yield a cluster with the roles. The first role owns the database `site`."""
    cluster = postgres.Cluster("roles").create()
    for role in ROLES:
        cluster.execute(f"create role {role} login")
    cluster.run("createdb", "-h", "127.0.0.1", "-p", cluster.port, "-U", "postgres", "-O", "owner", "site")
    open_database(cluster.url("site", "owner")).close()
    with psycopg.connect(cluster.url("site", "owner")) as connection:
        for grant in GRANTS:
            connection.execute(grant)
    yield cluster
    cluster.remove()


@pytest.fixture
def site(cluster):
    """Yield the cluster. After the test, delete the rows that it has committed."""
    yield cluster
    for table in (*BASE_TABLES, "api_keys"):
        cluster.execute(f"delete from {table}", "site")


@pytest.fixture
def connected(site):
    """Return a function that connects as a role, `connected("tracker")`. The connection's changes are rolled back."""
    opened = []

    def connected(role):
        opened.append(psycopg.connect(site.url("site", role)))
        return opened[-1]

    yield connected
    for connection in opened:
        connection.rollback()
        connection.close()


def test_documented_grants_cover_every_role_but_owner():
    assert {re.search(r" to (\w+);", grant)[1] for grant in GRANTS} == set(ROLES) - {"owner"}


def test_tracker_role_writes_sessions_events_and_leads(connected):
    tracker = connected("tracker")
    for sql in (VISIT, EVENT, LEAD, SUBMISSION):
        tracker.execute(sql)
    tracker.execute("update sessions set ended_at = 5, country = 'FR'")
    tracker.execute(f"{VISIT} on conflict (session_id) do update set duration = 5")
    for table in ("lead_submissions", "leads", "events", "sessions"):
        assert tracker.execute(f"delete from {table}").rowcount == 1


def test_app_role_reads_updates_leads_and_manages_keys(site, connected):
    with psycopg.connect(site.url("site", "tracker")) as tracker:
        for sql in (VISIT, EVENT, SUBMISSION):
            tracker.execute(sql)
        [lead] = tracker.execute(f"{LEAD} returning lead_id").fetchone()
    urls = site.url("site", "app"), site.url("site", "reader")
    with open_database(urls[0], read_url=urls[1]).closing() as database:
        client = APIClient(create_app(database, api_keys=[KEY]))
        key = run("keys", "add", "wall", "--scope", "stats", "-d", urls[0]).strip()

        moved = client.patch(f"/analytics/leads/{lead}", json={"status": "won"}).json
        stats = ("overview", "sessions/daily", "pages/top", "geo", "engagement", "sources", "realtime", "storage")
        answers = [client.get(f"/analytics/{path}", key=key).status_code for path in stats]
        answers += [client.get(f"/analytics/leads{path}").status_code for path in ("", f"/{lead}", "/export", "?q=ann")]

        assert moved == {"updated": True}
        assert set(answers) == {200}
        assert run("verify", "-d", urls[1]) == "all counters are correct\n"
        assert run("keys", "revoke", "wall", "-d", urls[0]) == "key wall revoked\n"
        assert client.get("/analytics/overview", key=key).status_code == 401


def test_collector_role_writes_visits(site):
    with open_database(site.url("site", "collector")).closing() as database:
        shop = Site(database)
        shop.view(visitor="v" * 16)
        shop.end(shop.view(), visible=1)
        shop.view(agent="curl/8")
        for _ in range(2):
            assert shop.lead({"email": "ann@shop.example"}).status_code == 204
        shop.pass_time(61 * MINUTE)
        shop.collector._tidy()
        shop.collector.close()

        assert database.tuples("select count(*) from collector_events") == [(5,)]
        assert database.tuples("select count(*) from collector_sessions") == [(0,)]


@pytest.mark.parametrize("how", [[], ["--keep-totals"]])
def test_keeper_role_can_purge(site, how):
    with psycopg.connect(site.url("site", "tracker")) as tracker:
        for sql in (VISIT, EVENT):
            tracker.execute(f"{sql} on conflict do nothing")

    for _ in range(2):
        output = run("purge", "--before", "2020-01-01", *how, "-d", site.url("site", "keeper"))

    assert output.startswith("events: 0 deleted")
    assert run("verify", "-d", site.url("site", "reader")) == "all counters are correct\n"


@pytest.mark.parametrize(
    ("role", "sql"),
    [
        ("tracker", "delete from day_counts"),
        ("tracker", "select * from api_keys"),
        ("tracker", "select * from secrets"),
        ("tracker", "insert into lead_status_changes values (default, 1, 'new', 'won', 0, 'me')"),
        ("tracker", "truncate events"),
        ("tracker", "create table mine ()"),
        ("app", "delete from events"),
        ("collector", "delete from events"),
        ("collector", "update leads set contact_name = ''"),
        ("collector", "insert into api_keys values ('x', 'x', 'x', 'stats', 0)"),
        ("app", "update leads set contact_name = ''"),
        ("app", "update lead_status_changes set changed_by = ''"),
        ("app", "update event_counts set events = 0"),
        ("app", "drop table day_counts"),
        ("reader", "update leads set status = 'won'"),
        ("reader", "insert into api_keys values ('x', 'x', 'x', 'stats', 0)"),
        ("reader", EVENT),
        ("keeper", "delete from leads"),
        ("keeper", "update sessions set visitor_id = ''"),
        ("keeper", "update event_counts set events = 0"),
    ],
)
def test_role_has_no_other_privileges(connected, role, sql):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connected(role).execute(sql)


@pytest.mark.parametrize(
    "command",
    [
        ["rebuild"],
        ["purge", "--before", "2020-01-01"],
        ["erase", "--visitor", "v", "--yes"],
    ],
)
def test_bulk_commands_of_other_roles_fail_in_one_line(site, command):
    with psycopg.connect(site.url("site", "tracker")) as tracker:
        tracker.execute(f"{VISIT} on conflict do nothing")

    output = run(*command, "-d", site.url("site", "app"), status=1)
    done = run(*command, "-d", site.url("site", "owner"))

    assert "permission denied" in output
    assert output.endswith("; docs/postgresql.md, Roles, has the privileges that the owner grants\n")
    assert output.count("\n") == 1
    assert done
