"""Kill the collector's server with SIGKILL 20 times while clients send page views, and look for acknowledged ones."""

import json
import os
import random
import signal
import time
from http.client import HTTPException
from threading import Event, Thread

from common import folder, listen, start, tell, wait_for

from analytics_api import open_database

KILLS = 20
CLIENTS = 16
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
OPTIONS = ("--workers", "2")
SETTINGS = {"ANALYTICS_COLLECT_HOSTS": "shop.example", "ANALYTICS_TRUSTED_PROXIES": "1"}


def send(server, client, over, acknowledged, cut_off):
    """Send views, and each again until it is acknowledged, as the script does."""
    number = 0
    while not over.is_set():
        number += 1
        event = {"type": "page_view", "id": f"{client:04}-{number:08}", "url": "https://shop.example/", "at": 0}
        headers = {"User-Agent": AGENT, "X-Forwarded-For": f"192.0.2.{client}", "Content-Type": "text/plain"}
        while True:
            try:
                status, _, body = server.request("POST", "/collect", json.dumps(event), headers.items(), timeout=20)
                assert status in (204, 503), (status, body)
            except (OSError, HTTPException):
                status = None
                cut_off.append(event["id"])
            if status == 204:
                acknowledged.append(event["id"])
            if status == 204 or over.is_set():
                break


def main():
    with folder() as path, listen() as listener:
        server = start(listener, path, *OPTIONS, **SETTINGS)
        over, acknowledged, cut_off = Event(), [], []
        clients = [
            Thread(target=send, args=(server, client, over, acknowledged, cut_off)) for client in range(1, CLIENTS + 1)
        ]
        for client in clients:
            client.start()
        for _ in range(KILLS):
            before = len(acknowledged)
            wait_for(lambda before=before: len(acknowledged) > before + 100, 60)
            time.sleep(random.uniform(0, 0.1))
            for pid in [server.process.pid, *server.workers()]:
                os.kill(pid, signal.SIGKILL)
            server.process.wait()
            server.process = start(listener, path, *OPTIONS, **SETTINGS).process
        over.set()
        for client in clients:
            client.join()
        server.process.terminate()
        server.process.wait(40)
        with open_database(path / "analytics.db").closing() as database:
            [(views,)] = database.tuples("select count(*) from events")
            stored = {event_id for (event_id,) in database.tuples("select event_id from collector_events")}
            [(sessions, counted)] = database.tuples("select count(*), sum(event_count) from sessions")
            assert set(acknowledged) <= stored, sorted(set(acknowledged) - stored)[:5]
            assert len(acknowledged) == len(set(acknowledged))
            assert len(stored) == views == counted, (len(stored), views, counted)
            assert sessions == CLIENTS, sessions
            assert database.verify() == []
        tell("killed", f"{KILLS} x server and its 2 workers")
        tell(
            "page views",
            f"{len(acknowledged):,} acknowledged, none lost and none twice; {len(cut_off)} requests cut off;"
            f" {len(stored - set(acknowledged))} stored without an acknowledgement",
        )
        tell("sessions", f"{sessions}, one for each visitor; verify holds")


if __name__ == "__main__":
    main()
