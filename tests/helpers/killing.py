"""Kill a collecting server, and on PostgreSQL its database, with SIGKILL while clients send page views."""

import json
import os
import random
import signal
import time
from http.client import HTTPException
from threading import Event, Thread
from typing import NamedTuple

from analytics_api import open_database
from helpers.collecting import BROWSER
from helpers.server import listen, start, wait_for

OPTIONS = ("--workers", "2")
SETTINGS = {"ANALYTICS_COLLECT_HOSTS": "shop.example", "ANALYTICS_TRUSTED_PROXIES": "1"}


class ViewCounts(NamedTuple):
    """Numbers of page views and requests."""

    acknowledged: int
    unacknowledged: int  # stored, but the server was killed before its response
    cut_off: int  # requests without a response


def send(server, client, over, acknowledged, cut_off):
    """Send page views. Send each one again until it is acknowledged, as the script a.js does."""
    number = 0
    while not over.is_set():
        number += 1
        event = {"type": "page_view", "id": f"{client:04}-{number:08}", "url": "https://shop.example/", "at": 0}
        headers = {"User-Agent": BROWSER, "X-Forwarded-For": f"192.0.2.{client}", "Content-Type": "text/plain"}
        while True:
            try:
                status, _, body = server.request("POST", "/collect", json.dumps(event), headers.items(), timeout=30)
                assert status in (204, 503), (status, body)
            except (OSError, HTTPException):
                status = None
                cut_off.append(event["id"])
            if status == 204:
                acknowledged.append(event["id"])
            if status == 204 or over.is_set():
                break
            time.sleep(0.01)


def kill_while_collecting(folder, kills, *, cluster=None, clients=16, views=100):
    """Kill the processes of the server and of the cluster, start them again, and check the stored rows.

    This is done `kills` times, each time after `views` more page views were acknowledged.
    """
    database = cluster.url() if cluster else folder / "analytics.db"
    over, acknowledged, cut_off = Event(), [], []
    with listen() as listener:
        server = start(listener, folder, *OPTIONS, database=database, **SETTINGS)
        threads = [
            Thread(target=send, args=(server, client, over, acknowledged, cut_off)) for client in range(1, clients + 1)
        ]
        try:
            for thread in threads:
                thread.start()
            for _ in range(kills):
                before = len(acknowledged)
                wait_for(lambda before=before: len(acknowledged) > before + views, 60)
                time.sleep(random.uniform(0, 0.1))
                kill(server, cluster)
                server.process = start(listener, folder, *OPTIONS, database=database, **SETTINGS).process
            before = len(acknowledged)
            wait_for(lambda: len(acknowledged) > before, 60)
        finally:
            over.set()
            for thread in threads:
                thread.join()
            server.process.terminate()
            server.process.wait(40)
    return ViewCounts(len(acknowledged), check(database, acknowledged, clients), len(cut_off))


def kill(server, cluster):
    pids = [server.process.pid, *server.workers()]
    if cluster:
        cluster.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    server.process.wait()
    if cluster:
        cluster.start()


def check(url, acknowledged, clients):
    """Check that each acknowledged view is stored once. Return the number of stored views that are not acknowledged."""
    with open_database(url).closing() as database:
        [(views,)] = database.tuples("select count(*) from events")
        stored = {event_id for (event_id,) in database.tuples("select event_id from collector_events")}
        [(sessions, counted)] = database.tuples("select count(*), sum(event_count) from sessions")
        assert set(acknowledged) <= stored, sorted(set(acknowledged) - stored)[:5]
        assert len(acknowledged) == len(set(acknowledged))
        assert len(stored) == views == counted, (len(stored), views, counted)
        assert sessions == clients, sessions
        assert database.verify() == []
    return len(stored - set(acknowledged))
