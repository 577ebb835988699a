"""The command `analytics-api site`, and the counters after a change of the settings."""

from datetime import date

import pytest
from helpers.cli import isolated_cwd, run
from helpers.client import instant

from analytics_api.errors import SettingError
from analytics_api.maintenance import site as site_settings
from analytics_api.maintenance.purge import purge
from analytics_api.maintenance.site import change_settings, find_outdated_offset, read_offsets, read_settings


@pytest.fixture
def visits(insert):
    """Insert sessions before and after midnight in UTC and in Kolkata, and views of one page with two query strings."""
    insert(
        "sessions",
        {"session_id": "a", "visitor_id": "ann", "started_at": instant("2026-02-23 18:29:00"), "entry_page": "/a?x"},
        {"session_id": "b", "visitor_id": "ann", "started_at": instant("2026-02-23 18:31:00"), "entry_page": "/a?y"},
        {"session_id": "c", "visitor_id": "ann", "started_at": instant("2026-02-24 00:30:00"), "exit_page": "/b#top"},
    )
    view = {"session_id": "a", "event_type": "page_view"}
    insert(
        "events",
        {**view, "page_url": "/a?x", "occurred_at": instant("2026-02-23 18:29:00")},
        {**view, "page_url": "/a?y", "occurred_at": instant("2026-02-23 18:31:00")},
        {**view, "page_url": "#", "occurred_at": instant("2026-02-24 09:00:00")},
    )


def count_days(get):
    return [(day["date"], day["total_sessions"]) for day in get("/analytics/sessions/daily")]


def test_time_zone_moves_rows_to_their_days(database, visits, get):
    before = count_days(get)

    changed = change_settings(database, time_zone="Asia/Kolkata")

    assert changed
    assert read_settings(database) == ("Asia/Kolkata", "keep")
    assert before == [("2026-02-23", 2), ("2026-02-24", 1)]
    assert count_days(get) == [("2026-02-23", 1), ("2026-02-24", 2)]
    assert database.verify() == []


def test_rows_after_a_change_count_in_the_new_zone(database, visits, insert, get):
    change_settings(database, time_zone="Asia/Kolkata")

    insert("sessions", session_id="d", visitor_id="bob", started_at=instant("2026-02-23 18:30:00"))

    assert count_days(get) == [("2026-02-23", 1), ("2026-02-24", 3)]
    assert database.verify() == []


def test_page_query_drop_counts_pages_without_query(database, visits, get):
    change_settings(database, page_query="drop")

    assert get("/analytics/pages/top") == [{"page": "/a", "views": 2, "unique_sessions": 1}]
    assert get("/analytics/pages/entry") == [{"page": "/a", "sessions": 2}]
    assert get("/analytics/pages/exit") == [{"page": "/b", "sessions": 1}]
    assert database.verify() == []


def test_page_query_keep_counts_pages_with_query_again(database, visits, get):
    before = get("/analytics/pages/top"), get("/analytics/pages/entry")
    change_settings(database, page_query="drop")

    change_settings(database, page_query="keep")

    assert (get("/analytics/pages/top"), get("/analytics/pages/entry")) == before
    assert database.verify() == []


@pytest.mark.slow
def test_same_settings_change_nothing(database, visits):
    change_settings(database, time_zone="Europe/Berlin", page_query="drop")

    assert not change_settings(database, time_zone="Europe/Berlin", page_query="drop")
    assert not change_settings(database)


def test_settings_that_two_commands_change_are_both_kept(database, visits, monkeypatch):
    def rebuild(change, **options):
        """Let another command finish between the first command's reads and its transaction."""
        monkeypatch.undo()
        change_settings(database, time_zone="Asia/Kolkata")
        database.rebuild(change, **options)

    monkeypatch.setattr(database, "rebuild", rebuild)

    change_settings(database, page_query="drop")

    assert read_settings(database) == ("Asia/Kolkata", "drop")
    assert database.verify() == []


def test_purged_days_stay_in_another_zone(database, visits, insert, get):
    purge(database, date(2026, 2, 24), keep_totals=True)

    change_settings(database, time_zone="Asia/Kolkata", page_query="drop")

    assert count_days(get) == [("2026-02-23", 2), ("2026-02-24", 1)]
    assert get("/analytics/overview")["unique_visitors"] == 1
    assert database.verify() == []


def test_progress_names_each_counter(database, visits):
    steps = []

    change_settings(database, time_zone="Asia/Kolkata", on_progress=steps.append)

    assert {"event_counts", "session_returns", "status_counts"} <= set(steps)


@pytest.mark.parametrize("name", ["Asia/Pune", "localtime"])
def test_unknown_zone_changes_nothing(database, visits, get, name):
    before = count_days(get)

    with pytest.raises(SettingError, match="--time-zone must be a name of the IANA database"):
        change_settings(database, time_zone=name)

    assert read_settings(database) == ("UTC", "keep")
    assert count_days(get) == before


def test_failure_leaves_settings_and_counters(database, visits, get):
    before = count_days(get)

    def fail(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change_settings(database, time_zone="Asia/Kolkata", on_progress=fail)

    assert read_settings(database) == ("UTC", "keep")
    assert count_days(get) == before
    assert database.verify() == []


@pytest.mark.slow
@pytest.mark.any_engine
def test_outdated_offsets_are_found_and_replaced(database, visits):
    change_settings(database, time_zone="Europe/Berlin")
    spring = instant("2027-03-28 01:00:00")
    database.write(lambda at: at.execute("delete from site_offsets where begins_at >= :spring", spring=spring))

    outdated = find_outdated_offset(database)
    changed = change_settings(database, time_zone="Europe/Berlin")

    assert (outdated, changed) == (spring, True)
    assert find_outdated_offset(database) is None


def test_system_without_zones_names_the_package(database, monkeypatch):
    monkeypatch.setattr(site_settings, "available_timezones", set)

    with pytest.raises(SettingError, match="install the package tzdata"):
        change_settings(database, time_zone="Asia/Kolkata")


@pytest.mark.any_engine
def test_first_zone_offset_covers_every_instant(database):
    change_settings(database, time_zone="Australia/Lord_Howe")

    offsets = read_offsets(database)

    assert offsets[0].begins_at == 0
    assert offsets[-1].begins_at > instant("9999-01-01 00:00:00")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
class TestCommand:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        isolated_cwd(monkeypatch, tmp_path)

    def test_site_shows_the_settings(self, database):
        lines = run("site").splitlines()

        assert lines[0].startswith("time zone: UTC (today is 2")
        assert lines[1:] == [
            "page query: keep: pages are counted with query and fragment, and keys with the scope stats can read both",
            "first day: none",
            "days purged with --keep-totals: none",
        ]

    @pytest.mark.slow
    def test_site_changes_zone_and_page_query(self, database, visits):
        lines = run("site", "--time-zone", "Asia/Kolkata", "--page-query", "drop").splitlines()

        assert lines[0] == "all counters were rebuilt"
        assert lines[1].startswith("time zone: Asia/Kolkata (today is 2")
        assert lines[2:] == [
            "page query: drop: pages are counted without query and fragment",
            "first day: 2026-02-23",
            "days purged with --keep-totals: none",
        ]
        assert run("site", "--time-zone", "Asia/Kolkata").splitlines()[0] == "nothing changed"

    def test_site_shows_the_first_day_with_rows(self, database, visits):
        run("purge", "--before", "2026-02-24", "--keep-totals")

        assert run("site").splitlines()[2:] == [
            "first day: 2026-02-23",
            "days purged with --keep-totals: before 2026-02-24, still counted",
        ]

    def test_site_omits_days_purged_without_totals(self, database, visits):
        run("purge", "--before", "2026-02-23", "--keep-totals")
        run("purge", "--before", "2026-02-24")

        assert run("site").splitlines()[3] == "days purged with --keep-totals: before 2026-02-23, still counted"

    def test_site_rejects_an_unknown_zone(self, database):
        output = run("site", "--time-zone", "Pune", status=1)

        assert output == "Error: --time-zone must be a name of the IANA database such as Asia/Kolkata, not 'Pune'\n"

    @pytest.mark.parametrize("name", ["asia/kolkata", "Asia/Kolkatta", "Kolkata"])
    def test_site_suggests_the_nearest_zone(self, database, name):
        output = run("site", "--time-zone", name, status=1)

        assert output.endswith(f", not {name!r}; did you mean Asia/Kolkata?\n")

    @pytest.mark.slow
    def test_verify_names_outdated_offsets(self, database, visits):
        run("site", "--time-zone", "Europe/Berlin")
        spring = instant("2027-03-28 01:00:00")
        database.write(lambda at: at.execute("delete from site_offsets where begins_at >= :spring", spring=spring))

        output = run("verify", status=1)

        assert output == (
            "Error: the offsets of Europe/Berlin from 2027-03-28 on are outdated;"
            " `analytics-api site --time-zone Europe/Berlin` updates them\n"
        )

    @pytest.mark.slow
    def test_purge_uses_the_time_zone_of_the_site(self, database, visits):
        run("site", "--time-zone", "Asia/Kolkata")

        output = run("purge", "--before", "2026-02-24")

        assert output == "events: 1 deleted\nsessions: 1 deleted\n"
        assert database.verify() == []
