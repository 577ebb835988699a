import gc
import os
import shutil
import signal
import sys
from contextlib import ExitStack
from itertools import groupby

import pytest
from helpers import postgres, sqlite
from helpers.client import KEY, NOW, APIClient
from hypothesis import settings

from analytics_api import create_app

# Write bytecode even if PYTHONDONTWRITEBYTECODE is set. Otherwise every worker and every server that a test starts
# compiles the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Collect garbage rarely. With the default threshold, this takes a tenth of the CPU time of fast tests.
gc.set_threshold(100_000)

# A shell starts background commands with SIGINT ignored. Programs that the tests start would inherit this, and would
# not end when the tests interrupt them.
signal.signal(signal.SIGINT, signal.default_int_handler)

MEMORY = "/dev/shm"
MIN_MEMORY = 4 << 30  # bytes; the largest test needs a tenth of it


def is_roomy(folder):
    """Return whether a folder in memory has enough space for the tests' files, and allows running programs."""
    return os.access(folder, os.W_OK) and not (
        os.statvfs(folder).f_flag & os.ST_NOEXEC or shutil.disk_usage(folder).free < MIN_MEMORY
    )


# Store the tests' files in memory, where commits do not wait for a disk. On a disk, tests take about twice as long.
if is_roomy(MEMORY):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)

# In CI, the random tests run the same cases each time, so that only a change of the code changes a result.
settings.register_profile("suite", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("suite")


# For each engine, a function that lends an empty database.
ENGINES = {
    "sqlite": sqlite.new_database,
    "postgresql": postgres.new_database,
    "replica": postgres.new_replicated_database,
}


# Modules whose tests start processes, build environments, import files, rebuild databases, wait for timeouts, or
# run thousands of random statements. In other modules, slow tests are marked individually.
SLOW_MODULES = {
    "test_access_log",
    "test_backup",
    "test_bucket",
    "test_bucket_faults",
    "test_calendar",
    "test_cli",
    "test_cli_demo",
    "test_cli_import",
    "test_cli_output",
    "test_cli_progress",
    "test_cli_serve",
    "test_collect_leads",
    "test_collect_sessions",
    "test_collect_streams",
    "test_compare_exact",
    "test_conversions_exact",
    "test_copy",
    "test_costs",
    "test_counters_exact",
    "test_csv",
    "test_d1_dump",
    "test_database_opening",
    "test_database_schema_check",
    "test_database_threads",
    "test_database_upgrade",
    "test_database_verify",
    "test_database_writing",
    "test_demo_data",
    "test_downloads",
    "test_erase",
    "test_export",
    "test_filters_exact",
    "test_fuzzed",
    "test_fuzzed_files",
    "test_gunicorn",
    "test_import_alongside",
    "test_import_bulk",
    "test_import_columns",
    "test_keys_command",
    "test_log_lines",
    "test_log_pieces",
    "test_openapi_fuzzed",
    "test_packaging",
    "test_purge",
    "test_purge_keep_totals",
    "test_purged_days",
    "test_ranges_exact",
    "test_read_only",
    "test_refusals",
    "test_server_exports",
    "test_server_limits",
    "test_session_pattern",
    "test_settings",
    "test_site",
    "test_site_offsets",
    "test_statement_limit",
    "test_storage_command",
    "test_storage_snapshot",
    "test_wrong_numbers",
}


LONGEST_MODULES = {"test_browser_look", "test_openapi_fuzzed", "test_packaging", "test_postgresql_failures"}


def pytest_addoption(parser):
    parser.addoption("--engine", choices=ENGINES, help="run the tests of both engines only on this one")


def pytest_configure(config):
    config.addinivalue_line("markers", "any_engine: does not depend on the data, so one engine is enough")
    config.addinivalue_line("markers", "clock: moves the clock of the shared browser tab forward")
    config.addinivalue_line("markers", "writes: is about writing, so it has no replica and does not share its database")
    config.addinivalue_line("markers", "postgresql: needs a PostgreSQL server; set by the fixtures that start one")
    config.addinivalue_line("markers", "shared_database: only reads an empty database, so it shares one with others")
    config.addinivalue_line("markers", "slow: `make check` omits it; set for SLOW_MODULES too")


def pytest_generate_tests(metafunc):
    """Run a test with the fixture `database` on each engine, unless the test names its engines."""
    names_engines = any("database" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "database_engine" in metafunc.fixturenames and not names_engines:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        engines = [engine for engine in ENGINES if engine != "replica" or "writes" not in marks]
        if chosen := metafunc.config.getoption("engine"):
            engines = [chosen]
        elif "any_engine" in marks:
            del engines[1:]
        metafunc.parametrize("database_engine", engines, indirect=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # add marks before pytest evaluates -m
def pytest_collection_modifyitems(config, items):
    chosen = config.getoption("engine")
    items[:] = [item for item in items if engine_of(item) in (None, chosen or engine_of(item))]
    if not chosen:
        items[:] = choose_servers(items)
    for item in items:
        if engine_of(item) in ("postgresql", "replica") or "postgresql" in item.path.parent.name:
            item.add_marker(pytest.mark.postgresql)
        if item.path.stem in SLOW_MODULES:
            item.add_marker(pytest.mark.slow)
    result = yield
    # Start the longest tests first. In the random order, one worker may run a long test after all others have ended.
    items.sort(key=lambda item: item.path.stem not in LONGEST_MODULES)
    return result


def pytest_collection_finish():
    """Exempt the thousands of items from garbage collection."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary():
    """Exempt the thousands of reports from garbage collection. At its end, pytest collects garbage ten times."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Summarize tests that are skipped without PostgreSQL, and make captured output valid UTF-8 for xdist."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    if report.skipped and postgres.REQUIREMENTS in report.longrepr[2]:
        report.longrepr = (postgres.__file__, 1, f"Skipped: {postgres.REQUIREMENTS}")
    return report


def choose_servers(items):
    """Keep one of two items of each case, for a replica and for the primary. One case of each test runs on the replica.

    One case is enough, because the statements are the same on both servers, and only the connection differs.
    """
    on_replica = {}
    for item in items:
        if engine_of(item) == "replica":
            on_replica.setdefault(item.nodeid.split("[")[0], case_of(item))
    engines = {"replica", "postgresql"}
    return [
        item
        for item in items
        if engine_of(item) not in engines
        or (engine_of(item) == "replica") == (on_replica.get(item.nodeid.split("[")[0]) == case_of(item))
    ]


def case_of(item):
    """Return the index of each parameter's value by the name of the parameter, without the engine."""
    return {name: index for name, index in item.callspec.indices.items() if name != "database_engine"}


def engine_of(item):
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return params.get("database", params.get("database_engine"))


COUNT_ROWS = """
select
  (select count(*) from sessions)
  + (select count(*) from leads)
  + (select count(*) from api_keys)
  + (select count(*) from browser_sessions)
  + (select count(*) from storage_snapshots) as rows
"""


@pytest.fixture(scope="session")
def share():
    """Return a function that returns the empty database of an engine for tests with the mark `shared_database`."""
    databases = {}

    def share(engine):
        if engine not in databases:
            databases[engine] = stack.enter_context(ENGINES[engine]())
        return databases[engine]

    with ExitStack() as stack:
        yield share
        for database in databases.values():
            assert database.row(COUNT_ROWS)["rows"] == 0, "a test with the mark shared_database has inserted rows"


@pytest.fixture
def database_engine(request):
    """Return the name of the engine of `database`, or None if the test parametrizes that fixture itself."""
    return getattr(request, "param", None)


@pytest.fixture
def database(request, database_engine):
    """Yield an empty open database. The test runs once for each engine.

    If the test uses `tmp_path`, an SQLite database is in that folder.
    """
    engine = getattr(request, "param", database_engine)
    if request.node.get_closest_marker("shared_database") and not request.node.get_closest_marker("writes"):
        database = request.getfixturevalue("share")(engine)
        yield database
        database.response_cache().clear()
    elif engine == "sqlite" and "tmp_path" in request.fixturenames:
        with sqlite.new_database_in(request.getfixturevalue("tmp_path")) as database:
            yield database
    else:
        with ENGINES[engine]() as database:
            yield database


def insert_all(at, table, columns, rows):
    """Insert rows, in statements of at most 500 values. Each statement takes a millisecond on PostgreSQL."""
    size = max(1, 500 // len(columns))
    for start in range(0, len(rows), size):
        values, params = [], {}
        for number, row in enumerate(rows[start : start + size]):
            names = [f"{column}_{number}" for column in columns]
            values.append(f"({', '.join(f':{name}' for name in names)})")
            params |= zip(names, row)
        at.execute(f"insert into {table} ({', '.join(columns)}) values {', '.join(values)}", **params)


@pytest.fixture
def insert(database):
    """Return a function that inserts a row, `insert("leads", lead_id=1, …)`, or several rows in one transaction,
    `insert("leads", {…}, {…})`.
    """

    def insert(table, *rows, **row):
        def write(at):
            for columns, group in groupby(all_rows, key=tuple):
                insert_all(at, table, columns, [list(row.values()) for row in group])

        all_rows = [*rows, row] if row else rows
        database.write(write)

    return insert


@pytest.fixture
def serve(database):
    """Return a function that creates an application and its client: `serve(now=instant("…"), prefix="")`."""

    def serve(*, now=NOW, api_keys=(KEY,), **options):
        return APIClient(create_app(database, api_keys=api_keys, **{"clock": lambda: now, **options}))

    return serve


@pytest.fixture
def client(serve):
    return serve()


@pytest.fixture
def get(client):
    """Return a function that sends a GET request, checks that it succeeds, and returns its JSON."""

    def get(path, **options):
        response = client.get(path, **options)
        assert response.status_code == 200, response.text
        return response.json

    return get
