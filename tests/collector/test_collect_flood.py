"""A flood of forged and invalid requests adds a bounded number of rows, all of them on the day of their arrival."""

import json
from random import Random

from helpers.client import NOW
from helpers.collecting import MINUTE

DAY = 24 * 60 * MINUTE

FORGED_TIMES = (0, 1.5, NOW - 400 * DAY, NOW + 400 * DAY, 2**53 - 1)
MARKUP = "<script>alert(1)</script>"
URLS = ("https://shop.example/", f"https://shop.example/?q={MARKUP}", "https://shop.example/" + "x" * 1_900)
BROKEN = (
    b"x" * 3_000_000,
    b"\xff\xfe" * 4_000,
    b"[" * 8_000,
    b'{"type": "page_view", "id": "' + b"\xed\xa0\x80" * 5 + b'"}',
    json.dumps([MARKUP] * 20).encode(),
)


def forged_event(draw, view):
    kind = draw.choice(["page_view", "page_end", "event"])
    event = {
        "type": kind,
        "id": f"flood-{draw.randrange(10**9):09}",
        "url": draw.choice(URLS[:2]),
        "at": draw.choice(FORGED_TIMES),
        "visitor": draw.choice(["same-visitor-of-16", f"forged-{draw.randrange(10**12):012}"]),
    }
    members = {
        "page_view": {"referrer": draw.choice(["", MARKUP, "https://other.example/" + "r" * 900])},
        "page_end": {"view": view, "visible": 2**53 - 1, "scroll": 100},
        "event": {"name": draw.choice(["signup", MARKUP]), "data": {"text": MARKUP * 10, "\0": "\ud800"}},
    }
    return event | members[kind]


def test_flood_leaves_bounded_rows(database, site, select):
    draw = Random(24)
    view = site.view(URLS[2])
    accepted, ids, visitors = 0, set(), set()
    for _ in range(40):
        events = [forged_event(draw, view) for _ in range(6)]
        accepted += site.post(events).status_code == 204
        ids |= {event["id"] for event in events if event["type"] != "page_end"}
        visitors |= {event["visitor"] for event in events if event["type"] != "page_end"}
        assert site.post(draw.choice(BROKEN)).status_code in (400, 413)

    assert accepted == 40
    assert select("count(*)", "events") == [(len(ids) + 1,)]
    assert select("count(*)", "sessions") == [(len(visitors) + 1,)]
    assert select("min(occurred_at), max(occurred_at)", "events") == [(NOW, NOW)]
    assert select("min(started_at), max(started_at), max(duration)", "sessions") == [(NOW, NOW, 0)]
    assert all(json.loads(data)["text"] == MARKUP * 10 for (data,) in select("data", "events where data is not null"))
    site.pass_time(3 * DAY)
    while site.collector._tidy():
        pass
    assert select("count(*)", "collector_events") == select("count(*)", "collector_sessions") == [(0,)]
    assert database.verify() == []
