"""The engagement score of a session."""

from itertools import product

from analytics_api.collector.visits import Visit

TIMES = (0, 5_000, 90_000, 180_000, 10**9)
SCROLLS = (0, 33, 100)
PAGES = (0, 1, 2, 5, 100)
EVENTS = (0, 1, 2, 100)


def score(visible_ms, scroll, page_views, other_events):
    visit = Visit("v", "s", 0, 0, 0, page_views, other_events, visible_ms, scroll)
    return visit.score


def test_score_is_100_at_most():
    assert score(0, 0, 1, 0) == 0
    assert score(180_000, 100, 5, 2) == score(10**9, 100, 100, 100) == 100


def test_score_grows_with_each_measure():
    measures = (TIMES, SCROLLS, PAGES, EVENTS)
    for place, values in enumerate(measures):
        for others in product(*(measures[other] for other in range(4) if other != place)):
            scores = [score(*others[:place], value, *others[place:]) for value in values]
            assert scores == sorted(scores)
            assert scores[0] < scores[-1]


def test_each_measure_has_its_points():
    assert [score(180_000, 0, 1, 0), score(0, 100, 1, 0), score(0, 0, 5, 0), score(0, 0, 1, 2)] == [40, 20, 20, 20]
