"""A made-up data set: seeded, believable, of any size, ending at a given instant.

A `Plan` says what is wanted; `sessions`, `events`, `leads` and `submissions` stream the rows of one table
each, as tuples in the order of `COLUMNS`, and `batches` streams all four. Only the pages' names are held.

The same plan gives the same rows on every machine and Python. That is why the arithmetic is integers, random
numbers and plain products: hash, pow, log and, since 3.12, the sum of floats are not the same everywhere.
"""

import json
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any
from unicodedata import normalize

Row = tuple[Any, ...]

COLUMNS: dict[str, tuple[str, ...]] = {
    table: tuple(names.split())
    for table, names in {
        "sessions": """session_id visitor_id fingerprint started_at ended_at duration engagement_score
            event_count entry_page exit_page country referrer referrer_domain vpn_suspected""",
        "events": "event_id session_id event_type page_url occurred_at data",
        "leads": """lead_id enquiry_datetime contact_name contact_email contact_phone project_name
            project_location project_source contact_country_name contact_city visitor_id session_id
            engagement_score engagement_label form_submit_count suspicion_score status""",
        "lead_submissions": """submission_id lead_id submitted_at project_name visitor_id session_id
            contact_email contact_phone contact_ip source referer cta_name is_primary_lead is_duplicate_window
            payload_json""",
    }.items()
}

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
IDLE = 10 * MINUTE  # a tracker knows that a visit is over after so much silence

MASK = 2**64 - 1
# Odd, so multiplying by one modulo 2**64 gives distinct ids, and in no order: real ids are not sorted either.
VISITOR, SESSION, DEVICE = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F
SEED = 0xE7037ED1A0B428DB
STRIDE = 2**31 - 1  # a prime above any number of pages, so its multiples come by all of them

# Weights by UTC hour: busy in the Indian day.
RHYTHM = (9, 8, 10, 14, 22, 34, 46, 54, 60, 62, 60, 57, 55, 58, 60, 56, 50, 44, 38, 32, 26, 20, 15, 11)
PATHS = ("", "sky-towers", "projects", "contact", "sky-towers/plans", "green-acres", "thank-you", "about")
SECTIONS = ("blog/guide", "projects/tower", "projects/villa", "localities/sector", "plans/unit", "news/item")

# Decks to draw from: a value is in one as many times as it is likely.
CODES = """IN US AE GB SG CA AU DE SA QA KW OM NL FR MY HK NZ ZA BH KE NG JP IE CH SE ES IT TH ID PH LK NP
    BD PK VN KR CN TW BR MX AR CL PL PT BE AT DK NO FI CZ RO GR TR IL EG MU TZ UG GH FJ"""
COUNTRIES: list[str | None] = [None] * 24 + [""] * 6
COUNTRIES += [code for rank, code in enumerate(CODES.split(), 1) for _ in range(240 // rank)]
HOSTS = {"google.com": 330, "facebook.com": 80, "bing.com": 45, "linkedin.com": 40, "t.co": 30}
TOPICS = ("homes", "property", "city-news", "expat", "invest", "interiors", "forum", "architecture")
BLOGS = [f"{topic}-{number}.example" for number in range(25) for topic in TOPICS]
REFERRERS: list[tuple[str | None, str | None]] = [(None, None)] * 250 + [("", "")] * 10
REFERRERS += [(f"https://{host}/", host) for host, weight in HOSTS.items() for _ in range(weight)]
REFERRERS += [(f"https://{blog}/articles/{len(blog) * 37}", blog) for blog in BLOGS]
ACTIONS: list[tuple[str, str | None]] = [*[("page_view", None)] * 18, *[("heartbeat", None)] * 6]
ACTIONS += [("scroll", f'{{"depth":{depth}}}') for depth in (25, 25, 50, 50, 75, 90, 100)]
ACTIONS += [("click", f'{{"target":"{name}"}}') for name in ("menu", "gallery", "brochure", "map", "call")]
ACTIONS += [("video_play", '{"video":"walk-through"}'), ("form_start", '{"form":"enquiry"}')]

STATUSES = ("new", "contacted", "qualified", "proposal", "won", "lost")
# Dealt out in turn, so the shares are those of a funnel and the first six leads show all six stages.
FUNNEL = [STATUSES[int(stage)] for stage in "01234501020102130105"]
LABELS = ((70, "Very Hot"), (55, "Hot"), (40, "Warm"), (0, "Cold"))
GIVEN = """Rahul Priya Amit Sneha Vikram Ananya Rohan Kavita Arjun Meera Sanjay Neha Aditya Pooja Farhan
    Lakshmi Divya Émile Zoë José Jürgen Søren Chloé Łukasz Aoife Noor Grace Daniel Maria 芳 Олена"""
FAMILY = """Sharma Patel Iyer Khan Deshmukh Reddy Nair Kulkarni Singh Gupta Joshi Menon D'Souza Banerjee Rao
    Verma Grün Müller Núñez O'Brien Smith Johnson García Lefèvre Åberg Kowalski Tanaka Haddad Okafor 王 李"""
PROJECTS = (
    ("Sky Towers", "Pune"),
    ("Green Acres", "Pune"),
    ("Lake View Residency", "Mumbai"),
    ("The Arcade", "Bengaluru"),
    ("Sunrise Heights", "Pune"),
    ("Château Rouge", "Goa"),
)
CITIES = {
    "IN": ("Pune", "Mumbai", "Bengaluru", "Hyderabad", "Delhi", "Nāgpur"),
    "US": ("Austin", "New York", "San José"),
    "AE": ("Dubai", "Abu Dhabi"),
    "GB": ("London", "Leeds"),
    "DE": ("München", "Köln"),
}
ORIGINS = ("WebSite", "WebSite", "WebSite", "Google Ads", "Facebook", "Referral")
BUTTONS = ("hero-form", "hero-form", "sticky-footer", "brochure-popup", "exit-intent", None)
NETWORKS = ("192.0.2", "198.51.100", "203.0.113")  # those kept for documentation: nobody's addresses
REPEATS = (0, 0, 0, 0, 0, 0, 1, 1, 2, 4)  # how often someone comes back to the form


@dataclass(frozen=True)
class Plan:
    """What to make: so many sessions, about ten events each, over the `days` UTC days that end at `now` (ms).

    Leads are one in 20 sessions unless given. With as many sessions as `pages` every page is viewed.
    """

    now: int
    sessions: int = 2_000
    leads: int | None = None
    pages: int = 400
    days: int = 90
    seed: int = 1

    def __post_init__(self) -> None:
        if self.sessions < 0 or self.lead_count < 0 or self.pages < 1 or self.days < 1:
            raise ValueError("a plan takes no negative numbers, and at least one page and one day")
        if self.lead_count and not self.sessions:
            raise ValueError("leads come out of sessions, and there are none")

    @property
    def lead_count(self) -> int:
        return self.sessions // 20 if self.leads is None else self.leads

    @cached_property
    def page_urls(self) -> list[str]:
        """The distinct pages, the most viewed first."""
        known = [f"https://example.com/{path}" for path in PATHS[: self.pages]]
        return known + [f"https://example.com/{SECTIONS[n % 6]}-{n}" for n in range(len(known), self.pages)]

    def draws(self, purpose: str) -> Callable[[], float]:
        """Numbers in 0..1, a stream to each purpose, so a table can be made without the others."""
        return random.Random(f"{purpose} {self.seed}").random


def sessions(plan: Plan) -> Iterator[Row]:
    """The rows of sessions, by `started_at`, none after `now`. Seven in ten come from a new visitor."""
    now, count, wanted, pages, urls = plan.now, plan.sessions, plan.lead_count, plan.pages, plan.page_urls
    draw = plan.draws("sessions")
    countries, referrers, sources = COUNTRIES, REFERRERS, len(REFERRERS)
    edges, totals, pace = _timeline(plan)
    last = len(totals) - 1
    share = totals[last] / max(count, 1)
    sweep = min(8, max(1, count // pages))
    offset = plan.seed * SEED

    for index in range(count):
        # Each session has its share of the timeline and starts somewhere in it: in order, without sorting.
        point = (index + draw()) * share
        stretch = bisect_right(totals, point, 0, last) - 1
        start = edges[stretch] + int((point - totals[stretch]) * pace[stretch])

        visitor, turn = divmod(7 * index + 9, 10)
        if turn < 3:
            chance = draw()
            if chance < 0.1:  # one of the few who come back all the time
                visitor = int(visitor * chance * chance * chance * 1000)
            else:  # someone who was here lately
                chance = draw()
                visitor -= 1 + int(visitor * chance * chance * chance)
        key = (visitor * VISITOR + offset) & MASK
        device = visitor - (visitor % 8 == 3)  # some share one

        chance = draw()
        size = 1 + int(38 * chance * chance * chance)
        if size < 5 and index * wanted % count + wanted >= count:
            size = 5  # nobody fills in a form at first sight
        length = size * int(4_000 + 29_000 * draw())
        closed = draw() > 0.02 and start + length + IDLE <= now  # of some the end was never heard
        if start + length > now:
            size = size * (now - start) // length or 1
        mood = draw() + draw()
        score = int(56 * size / (size + 8) + 29 * mood) - 4  # by its factors never outside 0..100

        chance = draw()
        entry = leave = int(pages * chance * chance * chance)  # near enough to Zipf's law
        if index % sweep == 0:  # the long tail that searches lead to, here so that no page is left out
            entry = leave = index // sweep * STRIDE % pages
        if size > 2:
            chance = draw()
            leave = int(pages * chance * chance * chance)
        referrer, domain = referrers[int(sources * draw())]
        yield (
            f"session_{(index * SESSION + offset) & MASK:016x}",
            f"{key:016x}",
            None if visitor % 13 == 7 else f"fp_{(device * DEVICE + offset) & MASK:016x}",
            start,
            start + length if closed else None,
            length if closed else None,
            score if mood > 0.28 else None,
            size,
            urls[entry],
            urls[leave],
            countries[key * len(countries) >> 64],
            referrer,
            domain,
            1 if visitor % 31 == 5 else 0,
        )


def events(plan: Plan) -> Iterator[Row]:
    """The rows of events: session by session in the order of `sessions`, within one by `occurred_at`.

    A session begins with a view of its entry page, and the last page viewed is its exit page. Where a lead
    comes out of it, its last event is the form that was sent, unless it only just began.
    """
    now, count, wanted, pages, urls = plan.now, plan.sessions, plan.lead_count, plan.pages, plan.page_urls
    draw = plan.draws("events")
    deck, cards = ACTIONS, len(ACTIONS)
    event = 0

    for index, row in enumerate(sessions(plan)):
        session, start, size, page = row[0], row[3], row[7], row[8]
        event += 1
        yield event, session, "page_view", page, start, None
        if size == 1:
            continue
        span = _span(row, now)
        step = span / size
        for place in range(1, size - 2):
            kind, data = deck[int(cards * draw())]
            if kind == "page_view":
                chance = draw()
                page = urls[int(pages * chance * chance * chance)]
            event += 1
            yield event, session, kind, page, int(start + step * (place + draw())), data
        if size > 2:
            page = row[9]
            event += 1
            yield event, session, "page_view", page, int(start + step * (size - 2 + draw())), None
        event += 1
        if index * wanted % count + wanted >= count:
            yield event, session, "form_submit", page, start + span, '{"form":"enquiry"}'
        else:
            yield event, session, "heartbeat", page, start + span, None


def leads(plan: Plan) -> Iterator[Row]:
    """The rows of leads, in the order of the sessions that they come from; one in ten names no session."""
    return (lead for lead, _ in _enquiries(plan))


def submissions(plan: Plan) -> Iterator[Row]:
    """The rows of lead_submissions: lead by lead, the first form, then its follow-ups at later seconds."""
    return (form for _, forms in _enquiries(plan) for form in forms)


def batches(plan: Plan, size: int = 10_000) -> Iterator[tuple[str, list[Row]]]:
    """Tables' names with up to `size` rows: sessions, all events of these, more sessions; leads come last."""
    visits, happenings = sessions(plan), events(plan)
    while chunk := list(islice(visits, size)):
        yield "sessions", chunk
        due = sum(row[7] for row in chunk)
        for done in range(0, due, size):
            yield "events", list(islice(happenings, min(size, due - done)))
    for table, rows in (("leads", leads(plan)), ("lead_submissions", submissions(plan))):
        while chunk := list(islice(rows, size)):
            yield table, chunk


def recordings(plan: Plan, directory: str | Path, limit: int = 1_000) -> int:
    """How many files it wrote: one to four `sessions/<session_id>/<n>.json` a session, at most `limit`."""
    parts = ((row, part) for index, row in enumerate(sessions(plan)) for part in range(1, 2 + index % 4))
    written = 0
    for row, part in islice(parts, limit):
        path = Path(directory, "sessions", row[0], f"{part}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"session_id": row[0], "part": part, "started_at": row[3], "frames": []}
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")
        written += 1
    return written


def _timeline(plan: Plan) -> tuple[list[int], list[int], list[float]]:
    """The instants between stretches of time, the weight before each, and each stretch's ms a weight."""
    draw = plan.draws("days")
    now = plan.now
    midnight = now - now % DAY
    first = min(midnight - (plan.days - 1) * DAY, now - HOUR)
    # The last stretch is never of yesterday, however young the day is.
    edges = [*range(first, now - HOUR, HOUR), now - HOUR, max(midnight, now - IDLE), now]
    luck = [85 + int(31 * draw()) for _ in range(plan.days + 1)]

    weights = []
    for start, end in pairwise(edges):
        age = (start - first) // DAY
        week = 6 if (start // DAY + 3) % 7 >= 5 else 10  # day 0 was a Thursday
        busy = RHYTHM[start % DAY // HOUR] * week * (plan.days + age) * luck[age]
        weights.append(busy * ((end - start) // 1000))
    # The last hour and today have something to show in small sets too; in large ones this changes nothing.
    least = sum(weights) * min(12, 2 + plan.sessions // 100) // max(plan.sessions, 1)
    weights[-2:] = [max(weight, least) for weight in weights[-2:]]
    widths = [end - start for start, end in pairwise(edges)]
    pace = [width / max(weight, 1) for width, weight in zip(widths, weights, strict=True)]
    return edges, list(accumulate(weights, initial=0)), pace


def _span(session: Row, now: int) -> int:
    """Milliseconds from a session's start to its last event; made up for one that has no end."""
    duration: int | None = session[5]
    return min(now - session[3], session[7] * 15_000) if duration is None else duration


def _enquiries(plan: Plan) -> Iterator[tuple[Row, list[Row]]]:
    """Every lead with its submissions: made together, since a lead tells how many there are."""
    draw = plan.draws("leads")
    given_names, family_names = GIVEN.split(), FAMILY.split()
    lead = submission = 0

    def pick(options: Any) -> Any:
        return options[int(len(options) * draw())]

    for index, row in enumerate(sessions(plan)):
        due = (index + 1) * plan.lead_count // plan.sessions
        for nth in range(due - lead):
            lead += 1
            span = _span(row, plan.now)
            at = sent = row[3] + (int(span * draw()) if nth else span)
            visitor, session, score, country = row[1], row[0], row[6], row[10] or "IN"
            if draw() < 0.1:  # their browser keeps the tracker out
                visitor = session = score = None
            given, family = pick(given_names), pick(family_names)
            plain = normalize("NFKD", f"{given}.{family}").encode("ascii", "ignore").decode().lower()
            mailbox = plain.replace("'", "").strip(".") + str(lead)
            email = f"{mailbox}@example.{pick(('com', 'org', 'net'))}"
            phone = f"5550{lead * STRIDE % 1_000_000:06}"  # rings nowhere
            contact = (email if draw() > 0.03 else None, phone if draw() > 0.05 else None)
            project, location = pick(PROJECTS)
            origin, address = pick(ORIGINS), f"{pick(NETWORKS)}.{1 + lead % 254}"
            forms: list[Row] = []
            for again in range(1 + pick(REPEATS)):
                at_once = again and draw() < 0.3
                if again:
                    at += int(1_000 + 4 * MINUTE * draw()) if at_once else int(HOUR + 9 * DAY * draw())
                if at > plan.now:
                    break
                same = not again or at_once
                wish = project if same or draw() < 0.8 else pick(PROJECTS)[0]
                name = f"{given} {family}" if same else given
                payload = {"FIRSTNAME": name, "EMAIL": contact[0], "PHONE": contact[1], "PROJECT": wish}
                submission += 1
                forms.append((
                    submission, lead, _text(at), wish, visitor, session if same else None, *contact, address,
                    origin, row[9 if same else 8], pick(BUTTONS), 0 if again else 1, 1 if at_once else 0,
                    json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
                ))  # fmt: skip
            label = None if score is None else next(name for least, name in LABELS if score >= least)
            chance = draw() * draw()
            status = FUNNEL[(lead - 1) % 20] if plan.now - sent > HOUR else "new"
            yield (
                lead, _text(sent), f"{given} {family}", *contact, project, location, origin, country,
                pick(CITIES.get(country, (None,))), visitor, session, score, label, len(forms),
                int(100 * chance * chance), status,
            ), forms  # fmt: skip


def _text(instant: int) -> str:
    return datetime.fromtimestamp(instant // 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
