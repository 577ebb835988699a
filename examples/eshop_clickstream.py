"""Import the clicks of a clothing shop in 2008, a data set of the UCI Machine Learning Repository (number 553).

    python examples/eshop_clickstream.py e-shop-clothing-2008.csv analytics.db

Its rows are clicks: `year;month;day;order;country;session ID;page 1 (main category);…`. A command line can rename
columns, but not make a date of three, nor a session of its clicks; this is how to do that with the public functions.
The file may be gzipped. A second run adds nothing.

What the file does not say is not made up: of a click only its day is known and its place in the session, so the clicks
of a session are told as a second apart from midnight on, and sessions have no duration. Nobody is known to have come
twice, so every session has a visitor of its own.
"""

import csv
import gzip
import sys
from collections.abc import Iterator
from datetime import datetime, timezone

from analytics_api import open_database
from analytics_api.imports import import_rows

# The country of the address, by the number that the file has for it. 12 is "unidentified", and from 43 on they are
# domains such as .com, which are no countries.
COUNTRIES = (
    "AU AT BE VG KY CX HR CY CZ DK EE ?? FO FI FR DE GR HU IS IN IE IT LV LT LU MX NL NO PL PT RO RU SM SK SI ES SE CH "
    "UA AE GB US ?? ?? ?? ?? ??"
)
CATEGORIES = {"1": "trousers", "2": "skirts", "3": "blouses", "4": "sale"}


def clicks(path: str) -> Iterator[dict[str, str]]:
    """The file's rows, by the names in its header."""
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file, delimiter=";")


def page(click: dict[str, str]) -> str:
    return f"/{CATEGORIES[click['page 1 (main category)']]}/{click['page 2 (clothing model)']}"


def country(click: dict[str, str]) -> str | None:
    code = COUNTRIES.split()[int(click["country"]) - 1]
    return None if code == "??" else code


def instant(click: dict[str, str]) -> datetime:
    """Midnight of the click's day, and a second for each click of the session up to it."""
    order = int(click["order"])
    hour, minute, second = order // 3600, order // 60 % 60, order % 60
    year, month, day = (int(click[name]) for name in ("year", "month", "day"))
    return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)


def events(path: str) -> Iterator[dict[str, object]]:
    """Every click as a page view. Without an `event_id`: the import makes one of what the row says."""
    for click in clicks(path):
        yield {
            "session_id": f"eshop-{click['session ID']}",
            "event_type": "page_view",
            "page_url": page(click),
            "occurred_at": instant(click),
            "data": {"price": int(click["price"]), "colour": int(click["colour"]), "location": int(click["location"])},
        }


def sessions(path: str) -> list[dict[str, object]]:
    """Every session, from its first click to its last. The 24 thousand of them fit in memory."""
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
    main(*sys.argv[1:])
