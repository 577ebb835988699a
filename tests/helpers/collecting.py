"""Send events to a collector as a browser would, with a clock that the test moves."""

import json
from itertools import count
from wsgiref.validate import validator

from werkzeug.test import Client

from analytics_api.collector import create_collector
from helpers.client import NOW

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
HOSTS = ("shop.example", "*.shop.example")
HOME = "https://shop.example/"

MINUTE = 60_000


class BufferedClient(Client):
    """A test client that reads and closes each response."""

    def open(self, *args, **options):
        return super().open(*args, **{"buffered": True, **options})


class Site:
    """A collector, and the clock that it reads."""

    def __init__(self, database, *, now=NOW, hosts=HOSTS, **options):
        self.now = now
        self.ids = count(1)
        self.collector = create_collector(database, hosts=hosts, clock=lambda: self.now, **options)
        self.client = BufferedClient(validator(self.collector), use_cookies=False)

    def pass_time(self, milliseconds):
        self.now += milliseconds

    def event(self, type_, url=HOME, **members):
        return {"type": type_, "id": f"event-{next(self.ids):06}", "url": url, "at": self.now, **members}

    def post(self, body, *, address="192.0.2.1", agent=BROWSER, headers=()):
        """Send a body: bytes, or a value that is sent as JSON. Return the response."""
        data = body if isinstance(body, bytes) else json.dumps(body)
        return self.client.post(
            "/collect",
            data=data,
            content_type="text/plain;charset=UTF-8",
            headers={"User-Agent": agent, **dict(headers)},
            environ_base={"REMOTE_ADDR": address},
        )

    def send(self, *events, **options):
        """Send events, and check that they are accepted."""
        response = self.post(list(events), **options)
        assert response.status_code == 204, response.text
        assert response.data == b""

    def view(self, url=HOME, *, referrer=None, visitor=None, **options):
        """Send a page view and return its id."""
        members = {"referrer": referrer, "visitor": visitor}
        event = self.event("page_view", url, **{name: text for name, text in members.items() if text is not None})
        self.send(event, **options)
        return event["id"]

    def end(self, view, *, visible=0, scroll=0, url=HOME, **options):
        """Send the event that ends a page view."""
        self.send(self.event("page_end", url, view=view, visible=visible, scroll=scroll), **options)

    def act(self, name, *, url=HOME, **options):
        """Send an event with a name."""
        self.send(self.event("event", url, name=name), **options)

    def lead(self, fields, *, url=HOME, form="contact", anonymous=None, **options):
        """Send a form and return the response."""
        members = {"form": form, "fields": fields} | ({} if anonymous is None else {"anonymous": anonymous})
        return self.post(self.event("lead", url, **members), **options)
