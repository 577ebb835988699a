"""Calls of endpoints from Python, whose arguments are not checked by the parameters of a route."""

import pytest
from helpers.client import NOW

from analytics_api import AnalyticsError, Context
from analytics_api.endpoints.conversions import conversions
from analytics_api.endpoints.dashboard import dashboard
from analytics_api.endpoints.leads import board, board_stage, list_leads
from analytics_api.endpoints.overview import overview
from analytics_api.endpoints.pages import entry, top
from analytics_api.endpoints.sessions import daily
from analytics_api.endpoints.sources import sources

INTERVALS = "interval must be one of hour, day, week, month"


@pytest.mark.shared_database
@pytest.mark.any_engine
@pytest.mark.parametrize(
    ("endpoint", "arguments", "message"),
    [
        (overview, {"days": 7, "compare": "yearly"}, "compare must be one of previous, year"),
        (dashboard, {"compare": "yearly"}, "compare must be one of previous, year"),
        (daily, {"interval": "weekly"}, INTERVALS),
        (dashboard, {"interval": "weekly", "sections": ["overview"]}, INTERVALS),
        (dashboard, {"sections": ["totals"]}, "sections must be one of overview, series, "),
        (conversions, {"by": "country, 1"}, "by must be one of source, country, "),
        (conversions, {"attribution": "first_country, a.last"}, "attribution must be one of last, first"),
        (overview, {"days": 0}, "days must be an integer of 1 or more, not 0"),
        (overview, {"days": "7"}, "days must be an integer of 1 or more, not '7'"),
        (conversions, {"limit": -1}, "limit must be an integer of 1 or more, not -1"),
        (dashboard, {"limit": -1, "sections": ["overview"]}, "limit must be an integer of 1 or more, not -1"),
        (top, {"limit": None}, "limit must be an integer of 1 or more, not None"),
        (entry, {"limit": "5"}, "limit must be an integer of 1 or more, not '5'"),
        (sources, {"limit": 0}, "limit must be an integer of 1 or more, not 0"),
        (list_leads, {"limit": -1}, "limit must be an integer of 1 or more, not -1"),
        (board, {"limit": -1}, "limit must be an integer of 1 or more, not -1"),
        (board_stage, {"status": "new", "limit": -1}, "limit must be an integer of 1 or more, not -1"),
        (overview, {"filters": {"country": [1]}}, "country must be a list of strings, not [1]"),
        (overview, {"filters": {"country": None}}, "country must be a list of strings, not None"),
        (list_leads, {"limit": 1, "filters": {"score_min": 50}}, "score_min must be a list of strings, not 50"),
        (overview, {"from_": "2026-02-01"}, "from must be a datetime.date, not '2026-02-01'"),
    ],
)
def test_invalid_argument_is_an_error_with_its_name(database, endpoint, arguments, message):
    with pytest.raises(AnalyticsError) as refusal:
        endpoint(Context(database, None, NOW), **arguments)

    assert str(refusal.value).startswith(message)
