"""Import the clicks of a clothing shop in 2008 (UCI Machine Learning Repository, data set 553).

    python examples/eshop_clickstream.py e-shop-clothing-2008.csv analytics.db

Each row is a click: `year;month;day;order;country;session ID;page 1 (main category);…`. The command `import` can rename
columns, but cannot combine three columns to a date or clicks to a session. This example does it in Python. The file may
be gzipped. A second run has no effect.

The file has only the day of a click and its place in the session. Therefore the clicks of a session get timestamps one
second apart, beginning at midnight, and sessions have no duration. The file does not identify visitors, so every
session has a different one.
"""

import csv
import gzip
import sys
from collections.abc import Iterator
from datetime import datetime, timezone

from analytics_api import open_database
from analytics_api.imports import import_rows

# Country codes by the number in the file. Number 12 is "unidentified"; numbers from 43 are domains such as .com.
COUNTRIES = (
    "AU AT BE VG KY CX HR CY CZ DK EE ?? FO FI FR DE GR HU IS IN IE IT LV LT LU MX NL NO PL PT RO RU SM SK SI ES SE CH "
    "UA AE GB US ?? ?? ?? ?? ??"
)
CATEGORIES = {"1": "trousers", "2": "skirts", "3": "blouses", "4": "sale"}


def clicks(path: str) -> Iterator[dict[str, str]]:
    """Yield the rows of the file as dictionaries."""
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file, delimiter=";")


def page(click: dict[str, str]) -> str:
    return f"/{CATEGORIES[click['page 1 (main category)']]}/{click['page 2 (clothing model)']}"


def country(click: dict[str, str]) -> str | None:
    code = COUNTRIES.split()[int(click["country"]) - 1]
    return None if code == "??" else code


def instant(click: dict[str, str]) -> datetime:
    """Return the timestamp of a click: midnight of its day, plus its place in the session in seconds."""
    order = int(click["order"])
    hour, minute, second = order // 3600, order // 60 % 60, order % 60
    year, month, day = (int(click[name]) for name in ("year", "month", "day"))
    return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)


def events(path: str) -> Iterator[dict[str, object]]:
    """Yield each click as a page view. It has no `event_id`, so the import computes one."""
    for click in clicks(path):
        yield {
            "session_id": f"eshop-{click['session ID']}",
            "event_type": "page_view",
            "page_url": page(click),
            "occurred_at": instant(click),
            "data": {"price": int(click["price"]), "colour": int(click["colour"]), "location": int(click["location"])},
        }


def sessions(path: str) -> list[dict[str, object]]:
    """Return all sessions, each from its first click to its last. The 24,000 sessions fit in memory."""
    found: dict[str, dict[str, object]] = {}
    for click in clicks(path):
        at = instant(click)
        session = found.setdefault(
            click["session ID"],
            {
                "session_id": f"eshop-{click['session ID']}",
                "visitor_id": f"eshop-{click['session ID']}",
                "started_at": at,
                "country": country(click),
                "entry_page": page(click),
                "duration": None,
                "event_count": 0,
            },
        )
        session |= {"ended_at": at, "exit_page": page(click), "event_count": int(str(session["event_count"])) + 1}
    return list(found.values())


def main(path: str, database: str) -> None:
    with open_database(database).closing() as db:
        for table, rows in (("sessions", sessions(path)), ("events", events(path))):
            print("\n".join(import_rows(db, table, rows, strict=True).lines()))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/eshop_clickstream.py FILE DATABASE")
    main(*sys.argv[1:])
