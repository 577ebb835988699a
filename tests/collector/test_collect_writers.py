"""Several writers of one database take turns."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from helpers.collecting import Site

from analytics_api import open_database

pytestmark = pytest.mark.slow

VIEWS = 600
CLIENTS = 12  # number of clients for each writer


def test_two_writers_take_turns(tmp_path):
    path = tmp_path / "analytics.db"
    with open_database(path).closing() as first, open_database(path).closing() as second:
        sites = [Site(first), Site(second)]
        sites[1].ids = count(500_000)
        counts = [0, 0]

        def send(client):
            writer = client % 2
            while sum(counts) < VIEWS:
                sites[writer].view(address=f"192.0.2.{client}")
                counts[writer] += 1

        with ThreadPoolExecutor(2 * CLIENTS) as pool:
            list(pool.map(send, range(2 * CLIENTS)))
        for site in sites:
            site.collector.close()
        [(views,)] = first.tuples("select count(*) from events")
        assert first.verify() == []

    assert views >= VIEWS
    assert min(counts) >= VIEWS // 4
