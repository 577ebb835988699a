"""Server failures: requests get a 500 in bounded time, and succeed again after the failure."""

import threading
import time
from contextlib import contextmanager, suppress

import psycopg
import pytest
from helpers import postgres
from helpers.client import KEY, APIClient
from helpers.server import wait_for

from analytics_api import create_app, open_database
from analytics_api.database.postgresql import PostgreSQL
from analytics_api.errors import DatabaseError
from analytics_api.keys import KeyStore

FAILED = (500, {"error": "Analytics query failed"})
STATUSES = ("contacted", "qualified", "proposal", "won", "lost", "new")


def answer(client, path="/analytics/overview", **options):
    """Send a request, check that the response arrives in bounded time, and return its status and JSON."""
    begun = time.monotonic()
    response = client.patch(path, **options) if options else client.get(path)
    assert time.monotonic() - begun < 15
    return response.status_code, response.json


def until_it_works(client, path="/analytics/overview", **options):
    """Repeat a request until it succeeds, and return the seconds that it took."""
    begun = time.monotonic()
    while answer(client, path, **options)[0] != 200:
        assert time.monotonic() - begun < 30
    return time.monotonic() - begun


def filled(url, **options):
    database = PostgreSQL(url, **options)
    database.write(
        lambda at: at.insert("leads", ["lead_id", "enquiry_datetime"], [[n, "2026-01-01"] for n in range(1, 5)])
    )
    return database


def served(database):
    return APIClient(create_app(database, api_keys=[KEY]))


@pytest.fixture
def server():
    """Return a cluster of one server with a database named `site`."""
    cluster = postgres.Cluster("single").create()
    cluster.execute("create database site")
    yield cluster
    cluster.remove()


@pytest.fixture
def pair():
    """Return a primary and its synchronous replica, with a database named `site`."""
    primary = postgres.Cluster("first").create()
    primary.execute("create database site")
    open_database(primary.url("site")).close()
    replica = postgres.Cluster("second").follow(primary)
    primary.execute("alter system set synchronous_standby_names = 'second'")  # only on the primary
    primary.execute("select pg_reload_conf()")
    primary.wait_for("select count(*) = 1 from pg_stat_replication where sync_state = 'sync'")
    yield primary, replica
    replica.remove()
    primary.remove()


@contextmanager
def on_both(pair, **options):
    hosts = ",".join(f"127.0.0.1:{cluster.port}" for cluster in pair)
    url = f"postgresql://postgres@{hosts}/site"
    with filled(url, read_url=url, **options).closing() as database:
        pair[0].execute("select pg_current_wal_flush_lsn()")
        yield database


@contextmanager
def running(threads, done):
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_promotion_after_killed_primary_loses_nothing(pair, caplog):
    primary, replica = pair
    reads, acknowledged, done = [], [], threading.Event()

    def read(client):
        while not done.wait(0.01):
            reads.append(answer(client)[0])

    def write(client, lead):
        turn = 0
        while not done.is_set():
            stage = STATUSES[turn % len(STATUSES)]
            if answer(client, f"/analytics/leads/{lead}", json={"status": stage})[0] == 200:
                acknowledged.append((lead, stage, time.monotonic()))
            turn += 1

    with on_both(pair, wait=2.0) as database:
        threads = [threading.Thread(target=read, args=[served(database)])]
        threads += [threading.Thread(target=write, args=[served(database), lead]) for lead in (1, 2, 3)]
        with running(threads, done):
            wait_for(lambda: len(acknowledged) > 50)
            primary.kill()
            time.sleep(0.5)
            before = len(reads)
            replica.promote()
            promoted = time.monotonic()
            while not any(at > promoted for _, _, at in acknowledged):
                assert time.monotonic() < promoted + 30
                time.sleep(0.05)
            time.sleep(0.5)
        history = database.rows("select lead_id, new_status from lead_status_changes order by change_id")
        leads = {row["lead_id"]: row["status"] for row in database.rows("select lead_id, status from leads")}
        differences = database.verify()

    assert set(reads) == {200}
    assert len(reads) > before > 0
    assert min(at for _, _, at in acknowledged) < promoted < max(at for _, _, at in acknowledged)
    for lead in (1, 2, 3):
        changes = iter([row["new_status"] for row in history if row["lead_id"] == lead])
        for name, stage, _ in acknowledged:
            if name == lead:
                assert stage in changes, f"an acknowledged move of lead {lead} to {stage} is lost"
        assert leads[lead] == [row["new_status"] for row in history if row["lead_id"] == lead][-1]
    assert differences == []


def test_reads_go_to_primary_while_replica_is_down(pair):
    _, replica = pair
    with on_both(pair, statement_timeout=1.0) as database:
        client = served(database)
        [standby] = database.rows("select pg_is_in_recovery() as standby")
        before = answer(client)
        replica.kill()

        after = answer(client)

        [now] = database.rows("select pg_is_in_recovery() as standby")
    assert (standby, now) == ({"standby": True}, {"standby": False})
    assert before == after
    assert after[0] == 200


def test_revoked_key_is_rejected_while_the_replica_lags(pair):
    _, replica = pair
    with on_both(pair) as database:
        keys = KeyStore(database)
        wall = keys.add("wall", ["stats"], now=0)
        client = APIClient(create_app(database, api_keys=[KEY]))
        before = client.get("/analytics/overview", key=wall).status_code
        replica.wait_for("select pg_last_wal_replay_lsn() = pg_last_wal_receive_lsn()")
        replica.execute("select pg_wal_replay_pause()")
        keys.revoke("wall", now=1)

        after = client.get("/analytics/overview", key=wall).status_code

        [lagging] = database.rows("select revoked_at is null as valid from api_keys where name = 'wall'")
        replica.execute("select pg_wal_replay_resume()")
    assert lagging == {"valid": True}
    assert (before, after) == (200, 401)


def test_keys_are_looked_up_on_replica_without_primary(pair, caplog):
    primary, _ = pair
    with on_both(pair, wait=0.5) as database:
        wall = KeyStore(database).add("wall", ["stats"], now=0)
        client = APIClient(create_app(database, api_keys=[KEY]))
        client.get("/analytics/overview", key=wall)
        primary.stop()

        statuses = [client.get("/analytics/overview", key=key).status_code for key in (wall, wall, "wrong")]
        primary.start()

        warnings = [record.getMessage() for record in caplog.records if "reading from a replica" in record.getMessage()]
    assert statuses == [200, 200, 401]
    assert len(warnings) == 1


def test_unconfirmed_update_is_not_acknowledged(pair, caplog):
    _primary, replica = pair
    with on_both(pair, statement_timeout=1.0) as database:
        client = served(database)
        replica.kill()

        unconfirmed = answer(client, "/analytics/leads/1", json={"status": "won"})
        again = answer(client, "/analytics/leads/1", json={"status": "won"})  # the primary already has this status
        with pytest.raises(DatabaseError, match="synchronous replication"):
            database.write(lambda at: at.execute("update leads set status = 'won' where lead_id = 2"), pipeline=True)
        replica.start()
        until_it_works(client, "/analytics/leads/1", json={"status": "lost"})

        statuses = {client.get("/analytics/leads/1").json["lead"]["status"], answer(client)[0]}
        assert database.verify() == []
    assert (unconfirmed, again) == (FAILED, FAILED)
    assert "synchronous replication" in caplog.text
    assert 200 in statuses


def test_application_survives_server_restart(server, caplog):
    with filled(server.url("site"), wait=1.0).closing() as database:
        client = served(database)
        before = answer(client)
        server.stop()
        meanwhile = answer(client), answer(client, "/analytics/leads/1", json={"status": "won"})
        server.start()

        until_it_works(client)
        until_it_works(client, "/analytics/leads/1", json={"status": "won"})

        assert answer(client) == before
    assert meanwhile == (FAILED, FAILED)


def test_restart_between_requests_is_invisible(server):
    with filled(server.url("site")).closing() as database:
        client = served(database)
        answers = [answer(client)]
        server.stop()
        server.start()

        answers += [answer(client), answer(client, "/analytics/leads/1", json={"status": "won"})]

    assert [status for status, _ in answers] == [200, 200, 200]


def test_restart_closes_many_idle_connections_without_delay(server):
    # If the pool doubled a delay after each closed connection, replacing eight would take longer than 60 s.
    with filled(server.url("site"), pool_size=8, wait=60.0).closing() as database:
        barrier = threading.Barrier(8)
        threads = [threading.Thread(target=database.read, args=[lambda at: barrier.wait(60)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.stop()
        server.start()

        with database.snapshot() as reader:
            assert reader.rows("select 1 as one") == [{"one": 1}]


def test_write_is_retried_after_server_crash(server):
    with filled(server.url("site")).closing() as database:
        runs = []

        def work(at):
            runs.append(at.execute("update leads set status = 'won' where lead_id = 1"))
            if len(runs) == 1:
                server.kill()
                server.start()
            at.execute("update leads set status = 'lost' where lead_id = 2")

        database.write(work)

        assert runs == [1, 1]
        assert database.verify() == []


def test_read_is_retried_after_recovery_conflict(pair):
    primary, replica = pair
    replica.stop()
    replica.settings |= {"hot_standby_feedback": "off", "max_standby_streaming_delay": "0"}
    replica.start()
    with on_both(pair) as database:
        runs = []

        def work(at):
            runs.append(at.rows("select pg_is_in_recovery() as standby, count(*) as leads from leads"))
            if len(runs) == 1:
                primary.execute("delete from leads", "site")
                primary.execute("vacuum leads", "site")
                [(lsn,)] = primary.execute("select pg_current_wal_flush_lsn()")
                replica.wait_for(f"select pg_last_wal_replay_lsn() >= '{lsn}'")
            return at.rows("select count(*) as leads from leads")

        result = database.read(work)

    assert runs == [[{"standby": True, "leads": 4}], [{"standby": True, "leads": 0}]]
    assert result == [{"leads": 0}]


def test_replica_serves_reads_while_primary_is_down(pair, caplog):
    primary, replica = pair
    with on_both(pair, wait=1.0) as database:
        client = served(database)
        primary.stop()
        replica.stop()
        nothing = answer(client), answer(client, "/analytics/leads/1", json={"status": "won"})
        replica.start()

        until_it_works(client)
        alone = answer(client, "/analytics/leads/1", json={"status": "won"})
        replica.promote()
        until_it_works(client, "/analytics/leads/1", json={"status": "won"})

    assert nothing == (FAILED, FAILED)
    assert alone == FAILED


def test_server_without_free_connections_is_500(caplog):
    cluster = postgres.Cluster("narrow", max_connections="4", superuser_reserved_connections="0").create()
    cluster.execute("create database site")
    with filled(cluster.url("site"), wait=1.0).closing() as database:
        client = served(database)
        database.close()
        others = []
        with suppress(psycopg.OperationalError):
            while True:
                others.append(psycopg.connect(cluster.url()))

        meanwhile = answer(client), answer(client, "/analytics/leads/1", json={"status": "won"})
        with pytest.raises(DatabaseError) as error:
            open_database(cluster.url("site"))
        for other in others:
            other.close()

        until_it_works(client)
        until_it_works(client, "/analytics/leads/1", json={"status": "won"})
    cluster.remove()
    assert meanwhile == (FAILED, FAILED)
    assert "too many clients already" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def shared():
    with postgres.new_database() as database:
        yield database


@pytest.fixture
def impatient(shared):
    """Return a database whose server terminates idle transactions."""
    name = shared.url.rpartition("/")[2]
    postgres.primary().execute(f"alter database {name} set idle_in_transaction_session_timeout = '100ms'")
    yield shared
    postgres.primary().execute(f"alter database {name} reset idle_in_transaction_session_timeout")


def test_write_is_retried_after_idle_timeout(impatient):
    with filled(impatient.url).closing() as database:
        runs = []

        def work(at):
            runs.append(at.execute("update leads set status = 'won' where lead_id = 1"))
            if len(runs) == 1:
                postgres.primary().wait_for(
                    "select count(*) = 0 from pg_stat_activity where state = 'idle in transaction'"
                )
            at.execute("update leads set status = 'lost' where lead_id = 2")

        database.write(work)

        assert runs == [1, 1]
        assert database.verify() == []


def test_bulk_load_has_no_idle_timeout(impatient):
    with filled(impatient.url).closing() as database:
        runs = []

        def work(at):
            runs.append(at.execute("delete from leads where lead_id = 1"))
            time.sleep(0.3)
            at.execute("delete from leads where lead_id = 2")

        database.bulk(work)

        assert runs == [1]
        assert database.verify() == []


def test_exhausted_pool_is_500(shared, caplog):
    with filled(shared.url, pool_size=1, wait=0.3).closing() as database:
        client = served(database)
        locked, release = threading.Event(), threading.Event()
        holder = threading.Thread(target=database.write, args=[lambda at: (locked.set(), release.wait(20))])
        holder.start()
        locked.wait(10)

        meanwhile = answer(client)
        release.set()
        holder.join()

        assert meanwhile == FAILED
        assert answer(client)[0] == 200


def test_slow_statement_is_500(shared, caplog):
    with filled(shared.url, statement_timeout=1.0).closing() as database:
        client = served(database)
        with psycopg.connect(shared.url) as other:
            other.execute("lock table day_counts, leads in access exclusive mode")

            meanwhile = answer(client), answer(client, "/analytics/leads/1", json={"status": "won"})
            other.rollback()

        assert meanwhile == (FAILED, FAILED)
        assert "statement timeout" in caplog.text
        assert answer(client)[0] == 200
        assert answer(client, "/analytics/leads/1", json={"status": "won"})[0] == 200


def test_read_only_primary_fails_updates_at_once(shared, caplog):
    with filled(shared.url).closing() as database:
        client = served(database)
        with psycopg.connect(shared.url, autocommit=True) as other:
            name = other.info.dbname
            other.execute(f'alter database "{name}" set default_transaction_read_only = on')
        database.close()  # so that new connections are opened
        begun = time.monotonic()
        moves = [answer(client, "/analytics/leads/1", json={"status": "won"}) for _ in range(5)]
        reads = [answer(client) for _ in range(5)]
        took = time.monotonic() - begun

        with psycopg.connect(shared.url, autocommit=True) as other:
            other.execute("set default_transaction_read_only = off")
            other.execute(f'alter database "{name}" reset default_transaction_read_only')
        healed = answer(client, "/analytics/leads/1", json={"status": "won"})

    assert moves == [FAILED] * 5
    assert [status for status, _ in reads] == [200] * 5
    assert took < 5
    assert healed[0] == 200


def test_open_does_not_wait_for_locks(shared):
    with psycopg.connect(shared.url) as other:
        other.execute("lock table analytics_meta in access exclusive mode")

        with pytest.raises(DatabaseError, match="statement timeout"):
            PostgreSQL(shared.url, statement_timeout=0.3)

        other.rollback()
    PostgreSQL(shared.url).close()
