"""The example examples/eshop_clickstream.py."""

import runpy
from pathlib import Path

import pytest
from helpers.counters import read_totals

SCRIPT = Path(__file__).parents[2] / "examples" / "eshop_clickstream.py"

CLICKS = """\
year;month;day;order;country;session ID;page 1 (main category);page 2 (clothing model);colour;location;\
model photography;price;price 2;page
2008;4;1;1;29;1;1;A13;1;5;1;28;2;1
2008;4;1;2;29;1;2;B4;10;2;1;52;1;1
2008;8;13;61;12;24026;4;P1;2;1;1;38;1;1
"""


@pytest.mark.any_engine
def test_clicks_become_sessions_and_page_views(database, tmp_path):
    (tmp_path / "clicks.csv").write_text(CLICKS)
    main = runpy.run_path(str(SCRIPT))["main"]

    for _ in range(2):
        main(str(tmp_path / "clicks.csv"), database.url)

    assert database.rows(
        """select session_id, country, entry_page, exit_page, event_count, started_at, duration
        from sessions order by started_at"""
    ) == [
        {
            "session_id": "eshop-1",
            "country": "PL",
            "entry_page": "/trousers/A13",
            "exit_page": "/skirts/B4",
            "event_count": 2,
            "started_at": 1207008001000,
            "duration": None,
        },
        {
            "session_id": "eshop-24026",
            "country": None,
            "entry_page": "/sale/P1",
            "exit_page": "/sale/P1",
            "event_count": 1,
            "started_at": 1218585661000,
            "duration": None,
        },
    ]
    assert read_totals(database)["events"] == 3
    assert database.row("select data from events where page_url = '/skirts/B4'") == {
        "data": '{"price":52,"colour":10,"location":2}'
    }
