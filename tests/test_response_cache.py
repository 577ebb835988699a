"""Responses are cached until the next write to the database."""

import gc
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from helpers.client import KEY, APIClient, instant
from helpers.server import wait_for

from analytics_api import create_app, open_database
from analytics_api.database.sqlite import cache_sweeper
from analytics_api.database.sqlite.cache_sweeper import CacheSweeper
from analytics_api.http.responses import JSONResponse
from analytics_api.routes import ROUTES

ANN = {"session_id": "s1", "visitor_id": "ann", "started_at": instant("2026-02-24 09:00:00"), "country": "IN"}
BEN = {"session_id": "s2", "visitor_id": "ben", "started_at": instant("2026-02-24 10:00:00"), "country": "FR"}
INDIA = {"country": "IN", "sessions": 1, "unique_visitors": 1}
FRANCE = {"country": "FR", "sessions": 1, "unique_visitors": 1}

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def without_sweeper(database, monkeypatch):
    """Disable the sweeper. On a busy machine, it could empty the cache between two requests."""
    stop_sweepers(database)
    monkeypatch.setattr(cache_sweeper, "INTERVAL", 60)
    yield
    stop_sweepers(database)


@pytest.fixture
def statements(database, without_sweeper):
    """Yield a function that returns the statements that this thread's connection has run since the last call."""
    log = []
    connection = database._handle().statements.connection
    connection.set_trace_callback(log.append)

    def new_statements():
        new, log[:] = list(log), []
        return [sql for sql in new if "data_version" not in sql]

    yield new_statements
    # Later tests use the same connection, and a trace of large insertions with triggers takes gigabytes.
    connection.set_trace_callback(None)


def stop_sweepers(database):
    for sweeper in database._sweepers.values():
        sweeper.stop()


@on_sqlite
@pytest.mark.parametrize(
    "path",
    [
        "/analytics/overview",
        "/analytics/sessions/daily?days=7",
        "/analytics/pages/top",
        "/analytics/geo",
        "/analytics/engagement",
        "/analytics/sources?limit=3",
    ],
)
def test_repeated_request_queries_once(insert, get, client, statements, path):
    insert("sessions", **ANN)
    statements()

    first, queries = get(path), statements()
    second, asked_again = get(path), statements()
    headers = [client.get(path).headers for _ in range(2)]

    assert len(queries) == (2 if "days=" in path else 1)  # for `days`, another statement reads the current day
    assert asked_again == []
    assert first == second
    assert headers[0] == headers[1]
    assert client.head(path).headers == headers[0]
    assert client.get(path, headers={"If-None-Match": headers[0]["ETag"]}).status_code == 304


@on_sqlite
@pytest.mark.parametrize("path", ["/analytics/realtime", "/analytics/leads", "/analytics/leads/1"])
def test_personal_and_realtime_routes_are_not_cached(insert, get, statements, path):
    insert("leads", lead_id=1, enquiry_datetime="2026-02-23 11:15:00")
    get(path)
    statements()

    get(path)

    assert statements() != []


def test_own_write_empties_the_cache(insert, get):
    insert("sessions", **ANN)
    before = get("/analytics/geo")
    insert("sessions", **BEN)

    assert before == [INDIA]
    assert get("/analytics/geo") == [FRANCE, INDIA]


@on_sqlite
def test_read_transaction_leaves_the_cache(insert, get, statements):
    insert("sessions", **ANN)
    get("/analytics/geo")
    get("/analytics/leads")
    statements()

    assert get("/analytics/geo") == [INDIA]
    assert statements() == []


def test_write_of_another_connection_empties_the_cache(database, insert, get):
    insert("sessions", **ANN)
    before = get("/analytics/geo")
    with open_database(database.url).closing() as other:
        other.write(lambda at: at.execute("delete from sessions"))

    assert before == [INDIA]
    assert get("/analytics/geo") == []


@on_sqlite
def test_uncommitted_write_is_not_served(database, insert, get):
    insert("sessions", **ANN)
    with closing(sqlite3.connect(database.url, isolation_level=None)) as other:
        other.execute("begin immediate")
        other.execute("delete from sessions")
        meanwhile = get("/analytics/geo")
        other.execute("commit")

    assert meanwhile == [INDIA]
    assert get("/analytics/geo") == []


@on_sqlite
def test_response_of_a_rolled_back_write_is_not_cached(database, insert, get):
    insert("sessions", **ANN)
    responses = []

    def work(at):
        at.execute("delete from sessions")
        responses.append(get("/analytics/geo"))
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        database.write(work)

    assert responses == [[]]
    assert get("/analytics/geo") == [INDIA]


def test_rebuild_empties_the_cache(database, insert, get):
    insert("sessions", **ANN)
    before = get("/analytics/geo")
    database.bulk(lambda at: at.insert("sessions", list(BEN), [tuple(BEN.values())]))

    assert before == [INDIA]
    assert get("/analytics/geo") == [FRANCE, INDIA]


def test_day_change_empties_the_cache(database, insert):
    insert("sessions", **ANN)
    now = instant("2026-02-24 23:59:59.999")
    client = APIClient(create_app(database, api_keys=[KEY], clock=lambda: now))
    today = client.get("/analytics/sessions/daily?days=1").json
    now = instant("2026-02-25 00:00:00")

    assert [day["date"] for day in today] == ["2026-02-24"]
    assert client.get("/analytics/sessions/daily?days=1").json == []


def test_each_query_has_its_own_response(insert, get):
    insert("sessions", ANN, BEN)

    limits = [len(get(f"/analytics/sources?limit={limit}")) for limit in range(1, 100)]
    again = [len(get(f"/analytics/sources?limit={limit}")) for limit in range(99, 0, -1)]

    assert limits == again == [1] * 99
    assert [day["total_sessions"] for day in get("/analytics/sessions/daily?days=1")] == [2]


def test_invalid_query_is_rejected_each_time(client):
    statuses = [client.get("/analytics/pages/top?limit=ten").status_code for _ in range(2)]

    assert statuses == [400, 400]


@pytest.mark.any_engine
def test_cached_response_needs_the_key(client):
    statuses = [client.get("/analytics/overview", key=key).status_code for key in (KEY, "wrong", None, KEY)]

    assert statuses == [200, 401, 401, 200]


@pytest.mark.slow
@on_sqlite
def test_cache_size_is_bounded(database, insert, client):
    insert("sessions", **ANN)
    view = {"session_id": "s1", "event_type": "page_view", "occurred_at": instant("2026-02-24 09:00:00")}
    insert("events", *(view | {"page_url": f"https://example.com/{page}/{'x' * 999}"} for page in range(100)))

    for number in range(200):
        client.get(f"/analytics/geo?_={number}")
        client.get(f"/analytics/pages/top?limit=100&_={number}")

    answers = database._handle().response_cache().values()
    assert len(answers) <= 32
    assert all(len(answer.body) <= 64 * 1024 for answer, _ in answers)


def test_only_statistics_routes_are_cached():
    assert {route.path for route in ROUTES if route.is_cached and route.scope != "stats"} == set()


def cached_bodies(text):
    """Return the number of cached responses in this process that contain the text."""
    objects = gc.get_objects()
    return sum(type(entry) is JSONResponse and text in entry.body for entry in objects)


@on_sqlite
@pytest.mark.slow
def test_erased_page_leaves_the_caches_of_idle_threads(database, insert, client):
    insert("sessions", **ANN)
    page = {"session_id": "s1", "event_type": "page_view", "page_url": "https://example.com/SECRETZEBRA"}
    insert("events", **page, occurred_at=instant("2026-02-24 09:00:00"))

    with ExitStack() as stack:
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(3)]

        def fill_caches():
            for request in [thread.submit(client.get, "/analytics/pages/top") for thread in threads]:
                request.result()
            return cached_bodies(b"SECRETZEBRA") == 3

        wait_for(fill_caches)  # the first sweep empties them
        with closing(sqlite3.connect(database.url)) as other:
            other.execute("delete from events")
            other.commit()

        wait_for(lambda: cached_bodies(b"SECRETZEBRA") == 0)


@on_sqlite
@pytest.mark.slow
def test_replaced_file_leaves_the_caches_of_idle_threads(database, insert, client, tmp_path):
    insert("sessions", **(ANN | {"country": "SECRETZEBRA"}))
    open_database(tmp_path / "new.db").close()
    wait_for(lambda: client.get("/analytics/geo") and cached_bodies(b"SECRETZEBRA") == 1)

    (tmp_path / "new.db").rename(database.url)

    wait_for(lambda: cached_bodies(b"SECRETZEBRA") == 0)


@on_sqlite
def test_unchanged_database_keeps_its_caches(insert, client, database, without_sweeper):
    insert("sessions", **ANN)
    client.get("/analytics/geo")
    database.sweep_caches()  # the first call empties all caches
    client.get("/analytics/geo")

    database.sweep_caches()

    assert len(database.response_cache()) == 1


@pytest.mark.slow
def test_closed_or_forgotten_database_has_no_sweeper(tmp_path):
    def count():
        return sum(thread.name == "cache-sweeper" for thread in threading.enumerate())

    before = count()
    closed, forgotten = open_database(tmp_path / "a.db"), open_database(tmp_path / "b.db")
    closed.response_cache(), forgotten.response_cache()
    assert count() == before + 2

    closed.close()
    assert count() == before + 1

    del forgotten
    wait_for(lambda: count() == before)


def test_sweeper_stops_although_it_is_started_again(monkeypatch):
    class BusyDatabase:
        sweeping, done = threading.Event(), threading.Event()

        def sweep_caches(self):
            self.sweeping.set()
            self.done.wait()

    monkeypatch.setattr(cache_sweeper, "INTERVAL", 0.01)
    database = BusyDatabase()
    sweeper = CacheSweeper(database)
    sweeper.start()
    database.sweeping.wait()
    stopping = threading.Thread(target=sweeper.stop, daemon=True)
    stopping.start()
    wait_for(sweeper._stopped.is_set)
    sweeper.start()

    database.done.set()

    stopping.join(10)
    assert not stopping.is_alive()
    sweeper.stop()
