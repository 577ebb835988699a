"""A writer gathers items, and several writers of one database take turns."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event

import pytest
from helpers.collecting import Site

from analytics_api import open_database
from analytics_api.collector import writer

pytestmark = pytest.mark.slow

VIEWS = 600
CLIENTS = 12  # number of clients for each writer


def write_batches(items):
    """Return the batches in which a writer writes these items, which are enqueued at once."""
    batches = []
    is_written = Event()

    def write(batch):
        batches.append(list(batch))
        if sum(map(len, batches)) == len(items):
            is_written.set()
        return {}

    group_writer = writer.GroupWriter(write, lambda: False)
    for item in items:
        group_writer.enqueue(item, lambda error: None)
    assert is_written.wait(20)
    group_writer.close()
    return batches


def test_enough_items_begin_a_batch_at_once(monkeypatch):
    monkeypatch.setattr(writer, "GATHER_SECONDS", 600)

    assert write_batches(range(writer.ENOUGH)) == [list(range(writer.ENOUGH))]


def test_few_items_begin_a_batch_after_gathering(monkeypatch):
    monkeypatch.setattr(writer, "GATHER_SECONDS", 0.5)

    assert write_batches(range(writer.ENOUGH - 1)) == [list(range(writer.ENOUGH - 1))]


def test_done_callback_is_called_once_after_all_items(monkeypatch):
    calls = []
    is_called = Event()

    def finish():
        calls.append("finish")
        is_called.set()

    def on_done(error):
        calls.append("done")
        return finish

    monkeypatch.setattr(writer, "GATHER_SECONDS", 600)
    group_writer = writer.GroupWriter(lambda batch: {}, lambda: False)
    for item in range(writer.ENOUGH):
        group_writer.enqueue(item, on_done)
    assert is_called.wait(20)
    group_writer.close()

    assert calls.count("done") == writer.ENOUGH
    assert calls[-1] == "finish"
    assert calls.count("finish") == 1


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
