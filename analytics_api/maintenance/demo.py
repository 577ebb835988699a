"""Generate reproducible demo data of any size.

A `Plan` contains the parameters. The functions `sessions`, `events`, `leads`, `submissions` and `moves` generate the
rows of one table each, as tuples in the order of `COLUMNS`. `batches` generates the rows of all tables. Rows are
generated when they are read, so the memory in use does not depend on their number.

The same plan generates the same rows on every machine and Python version. Therefore the code does not use hash, pow,
log or sums of floats, whose results differ between platforms and Python versions.
"""

import json
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property, lru_cache
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

from ..values.calendar import DAY_MS, HOUR_MS, MINUTE_MS
from . import demo_moves
from .demo_values import (
    ACTIONS,
    BUTTONS,
    CITIES,
    COUNTRIES,
    FAMILY_NAMES,
    FUNNEL,
    GIVEN_NAMES,
    LABELS,
    NETWORKS,
    ORIGINS,
    PATHS,
    PROJECTS,
    REFERRERS,
    REPEATS,
    RHYTHM,
    SECTIONS,
    campaign_query,
)
from .demo_values import (
    COLUMNS as COLUMNS,
)

Row = tuple[Any, ...]
Draw = Callable[[], float]  # returns a random number from 0 (inclusive) to 1 (exclusive)

IDLE = 10 * MINUTE_MS  # a tracker ends a session after this time without events

MASK = 2**64 - 1
# Odd factors. The products of such a factor and consecutive integers, modulo 2**64, are distinct ids in random order.
VISITOR, SESSION, DEVICE = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F
SEED = 0xE7037ED1A0B428DB
STRIDE = 2**31 - 1  # a prime number; for consecutive k, `k * STRIDE % pages` is every page


@dataclass(frozen=True)
class Plan:
    """The parameters of the demo data. A session has about ten events.

    :param now: the end of the period, in milliseconds since the epoch.
    :param sessions: number of sessions.
    :param leads: number of leads; None for one per 20 sessions.
    :param pages: number of pages, ignoring query strings. With as many sessions or more, every page is viewed.
    :param days: length of the period in UTC days.
    :raises ValueError: a number is out of range, or there are leads but no sessions.
    """

    now: int
    sessions: int = 2_000
    leads: int | None = None
    pages: int = 400
    days: int = 90
    seed: int = 1

    def __post_init__(self) -> None:
        if self.sessions < 0 or self.lead_count < 0 or self.pages < 1 or self.days < 1:
            raise ValueError("numbers must not be negative, and there must be at least one page and one day")
        if self.lead_count and not self.sessions:
            raise ValueError("there must be sessions if there are leads")

    @property
    def lead_count(self) -> int:
        return self.sessions // 20 if self.leads is None else self.leads

    @cached_property
    def page_urls(self) -> list[str]:
        """The pages, most frequent first."""
        known = [f"https://example.com/{path}" for path in PATHS[: self.pages]]
        return known + [f"https://example.com/{SECTIONS[n % 6]}-{n}" for n in range(len(known), self.pages)]

    def has_lead(self, index: int) -> bool:
        """Return whether the session with this number has a lead."""
        return index * self.lead_count % self.sessions + self.lead_count >= self.sessions

    def draws(self, purpose: str) -> Draw:
        """Return a random number generator for a table, so that each table can be generated separately."""
        return random.Random(f"{purpose} {self.seed}").random


def sessions(plan: Plan) -> Iterator[Row]:
    """Generate the rows of sessions in the order of `started_at`. About 70% of them have a new visitor."""
    draw = plan.draws("sessions")
    pages, urls = plan.pages, plan.page_urls
    offset = plan.seed * SEED
    step = min(8, max(1, plan.sessions // pages))
    for index, start in enumerate(_starts(plan, draw)):
        visitor = _visitor(index, draw)
        key = (visitor * VISITOR + offset) & MASK
        device = visitor - (visitor % 8 == 3)  # some visitors share a device
        event_count, duration, score = _draw_measures(plan, index, start, draw)
        entry_page = exit_page = _page(pages, draw)
        if index % step == 0:  # together, these sessions view every page
            entry_page = exit_page = index // step * STRIDE % pages
        if event_count > 2:
            exit_page = _page(pages, draw)
        referrer, domain = REFERRERS[int(len(REFERRERS) * draw())]
        entry_url = urls[entry_page] + campaign_query(domain, entry_page, key) if index % step else urls[entry_page]
        yield (
            f"session_{(index * SESSION + offset) & MASK:016x}",
            f"{key:016x}",
            None if visitor % 13 == 7 else f"fp_{(device * DEVICE + offset) & MASK:016x}",
            start,
            None if duration is None else start + duration,
            duration,
            score,
            event_count,
            entry_url,
            entry_url if event_count <= 2 else urls[exit_page],
            COUNTRIES[key * len(COUNTRIES) >> 64],
            referrer,
            domain,
            1 if visitor % 31 == 5 else 0,
        )


def _starts(plan: Plan, draw: Draw) -> Iterator[int]:
    """Divide the period into a part for each session, and generate a random start in each part, in ascending order."""
    edges, totals, pace = _timeline(plan)
    last = len(totals) - 1
    share = totals[last] / max(plan.sessions, 1)
    for index in range(plan.sessions):
        point = (index + draw()) * share
        stretch = bisect_right(totals, point, 0, last) - 1
        yield edges[stretch] + int((point - totals[stretch]) * pace[stretch])


def _visitor(index: int, draw: Draw) -> int:
    """Return the number of the visitor of a session. The visitor is new, regular or recent."""
    visitor, turn = divmod(7 * index + 9, 10)
    if turn >= 3:
        return visitor
    chance = draw()
    if chance < 0.1:
        return int(visitor * chance * chance * chance * 1000)
    chance = draw()
    return visitor - 1 - int(visitor * chance * chance * chance)


def _draw_measures(plan: Plan, index: int, start: int, draw: Draw) -> tuple[int, int | None, int | None]:
    """Return the number of events of a session, its duration and its engagement score.

    The duration of an open session is None. Some sessions have no score.
    """
    chance = draw()
    event_count = 1 + int(38 * chance * chance * chance)
    if event_count < 5 and plan.has_lead(index):
        event_count = 5  # a visitor views some pages before filling in a form
    duration = event_count * int(4_000 + 29_000 * draw())
    is_closed = draw() > 0.02 and start + duration + IDLE <= plan.now  # trackers miss the end of some sessions
    if start + duration > plan.now:
        event_count = event_count * (plan.now - start) // duration or 1
    interest = draw() + draw()
    score = int(56 * event_count / (event_count + 8) + 29 * interest) - 4  # always in 0..100
    return event_count, duration if is_closed else None, score if interest > 0.28 else None


def _page(pages: int, draw: Draw) -> int:
    """Return the number of a random page, with approximately a Zipf distribution."""
    chance = draw()
    return int(pages * chance * chance * chance)


def events(plan: Plan) -> Iterator[Row]:
    """Generate the rows of events in the order of their sessions, and within a session in the order of `occurred_at`.

    The first event of a session is a view of its entry page, and the last page view is of its exit page. The last event
    of a session with a lead is the submission of the form, unless the session has just begun.
    """
    draw = plan.draws("events")
    event_id = 0
    for index, row in enumerate(sessions(plan)):
        for event_type, page, occurred_at, data in _events_of(plan, index, row, draw):
            event_id += 1
            yield event_id, row[0], event_type, page, occurred_at, data


def _events_of(plan: Plan, index: int, session: Row, draw: Draw) -> Iterator[tuple[str, str, int, str | None]]:
    start, event_count, page, last_page = session[3], session[7], session[8], session[9]
    yield "page_view", page, start, None
    if event_count == 1:
        return
    span = _span(session, plan.now)
    step = span / event_count
    for number in range(1, event_count - 2):
        kind, data = ACTIONS[int(len(ACTIONS) * draw())]
        if kind == "page_view":
            page = plan.page_urls[_page(plan.pages, draw)]
        yield kind, page, int(start + step * (number + draw())), data
    if event_count > 2:
        page = last_page
        yield "page_view", page, int(start + step * (event_count - 2 + draw())), None
    if plan.has_lead(index):
        yield "form_submit", page, start + span, '{"form":"enquiry"}'
    else:
        yield "heartbeat", page, start + span, None


def leads(plan: Plan) -> Iterator[Row]:
    """Generate the rows of leads in the order of their sessions. 10% of the leads have no session id."""
    return (lead for lead, _ in _enquiries(plan))


def submissions(plan: Plan) -> Iterator[Row]:
    """Generate the rows of lead_submissions in the order of their leads: the first submission, then follow-ups."""
    return (form for _, forms in _enquiries(plan) for form in forms)


def moves(plan: Plan) -> Iterator[Row]:
    """Generate the rows of lead_status_changes in the order of their leads."""
    return demo_moves.moves(((row[0], row[1], row[-1]) for row in leads(plan)), plan.now, plan.draws("moves"))


def batches(plan: Plan, size: int = 10_000) -> Iterator[tuple[str, list[Row]]]:
    """Generate pairs of a table name and up to `size` rows of the table.

    Each batch of sessions is followed by the batches of its events. Leads, submissions and moves are at the end.
    """
    all_sessions, all_events = sessions(plan), events(plan)
    while chunk := list(islice(all_sessions, size)):
        yield "sessions", chunk
        count = sum(row[7] for row in chunk)
        for done in range(0, count, size):
            yield "events", list(islice(all_events, min(size, count - done)))
    of_leads = {"leads": leads(plan), "lead_submissions": submissions(plan), "lead_status_changes": moves(plan)}
    for table, rows in of_leads.items():
        while chunk := list(islice(rows, size)):
            yield table, chunk


def recordings(plan: Plan, directory: str | Path, limit: int = 1_000) -> int:
    """Write one to four files `sessions/<session_id>/<n>.json` for each session, and return the number of files.

    :param limit: maximum number of files.
    """
    parts = ((row, part) for index, row in enumerate(sessions(plan)) for part in range(1, 2 + index % 4))
    written = 0
    for row, part in islice(parts, limit):
        path = Path(directory, "sessions", row[0], f"{part}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"session_id": row[0], "part": part, "started_at": row[3], "frames": []}
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")
        written += 1
    return written


@lru_cache(maxsize=1)  # for the days from 1970 on, it takes a quarter of a second, and each table needs it
def _timeline(plan: Plan) -> tuple[list[int], list[int], list[float]]:
    """Divide the period into intervals. The weight of an interval is proportional to the sessions that begin in it.

    :returns: the boundaries of the intervals, the sum of weights before each, and the ms per unit of weight in each.
    """
    draw = plan.draws("days")
    now = plan.now
    midnight = now - now % DAY_MS
    first = min(midnight - (plan.days - 1) * DAY_MS, now - HOUR_MS)
    # The last interval is on the current day, even just after midnight.
    edges = [*range(first, now - HOUR_MS, HOUR_MS), now - HOUR_MS, max(midnight, now - IDLE), now]
    factors = [85 + int(31 * draw()) for _ in range(plan.days + 1)]

    weights = []
    for start, end in pairwise(edges):
        age = (start - first) // DAY_MS
        week = 6 if (start // DAY_MS + 3) % 7 >= 5 else 10  # day 0 was a Thursday
        activity = RHYTHM[start % DAY_MS // HOUR_MS] * week * (plan.days + age) * factors[age]
        weights.append(activity * ((end - start) // 1000))
    # The last two intervals have a minimum weight, so that small data sets have sessions in the last hour and today.
    minimum = sum(weights) * min(12, 2 + plan.sessions // 100) // max(plan.sessions, 1)
    weights[-2:] = [max(weight, minimum) for weight in weights[-2:]]
    widths = [end - start for start, end in pairwise(edges)]
    pace = [width / max(weight, 1) for width, weight in zip(widths, weights, strict=True)]
    return edges, list(accumulate(weights, initial=0)), pace


def _span(session: Row, now: int) -> int:
    """Return the milliseconds from the start of a session to its last event, or an estimate for an open session."""
    duration: int | None = session[5]
    return min(now - session[3], session[7] * 15_000) if duration is None else duration


def _enquiries(plan: Plan) -> Iterator[tuple[Row, list[Row]]]:
    """Generate each lead together with its submissions, because the row of the lead has the number of submissions."""
    draw = plan.draws("leads")
    lead_id = submission_id = 0
    for index, session in enumerate(sessions(plan)):
        leads_so_far = (index + 1) * plan.lead_count // plan.sessions
        for nth in range(leads_so_far - lead_id):
            lead_id += 1
            span = _span(session, plan.now)
            sent_at = session[3] + (int(span * draw()) if nth else span)
            person = _person(lead_id, session, draw)
            forms = list(_forms(plan, submission_id, sent_at, session, person, draw))
            submission_id += len(forms)
            yield _lead(plan, sent_at, session[12], person, len(forms), draw), forms


class _Person(NamedTuple):
    """The person who fills in a form, and the project of the enquiry."""

    lead_id: int
    visitor_id: str | None
    session_id: str | None
    score: int | None
    country: str
    given_name: str
    family_name: str
    contact: tuple[str | None, str | None]  # e-mail address and phone number
    project: str
    location: str
    origin: str
    address: str


def _person(lead_id: int, session: Row, draw: Draw) -> _Person:
    visitor, session_id, score = session[1], session[0], session[6]
    if draw() < 0.1:  # the browser blocks the tracker
        visitor = session_id = score = None
    given_name, family_name = _pick(GIVEN_NAMES, draw), _pick(FAMILY_NAMES, draw)
    plain = normalize("NFKD", f"{given_name}.{family_name}").encode("ascii", "ignore").decode().lower()
    mailbox = plain.replace("'", "").strip(".") + str(lead_id)
    email = f"{mailbox}@example.{_pick(('com', 'org', 'net'), draw)}"
    phone = f"5550{lead_id * STRIDE % 1_000_000:06}"  # not a real phone number
    contact = (email if draw() > 0.03 else None, phone if draw() > 0.05 else None)
    project, location = _pick(PROJECTS, draw)
    origin, address = _pick(ORIGINS, draw), f"{_pick(NETWORKS, draw)}.{1 + lead_id % 254}"
    return _Person(
        lead_id, visitor, session_id, score, session[10] or "IN", given_name, family_name, contact, project, location,
        origin, address,
    )  # fmt: skip


def _forms(plan: Plan, submission_id: int, sent_at: int, session: Row, person: _Person, draw: Draw) -> Iterator[Row]:
    """Generate the submissions of a lead. The first has the id after `submission_id`."""
    submitted_at = sent_at
    for repeat in range(1 + _pick(REPEATS, draw)):
        is_same_hour = repeat and draw() < 0.3
        if repeat:
            submitted_at += int(1_000 + 4 * MINUTE_MS * draw()) if is_same_hour else int(HOUR_MS + 9 * DAY_MS * draw())
        if submitted_at > plan.now:
            break
        is_same_visit = not repeat or is_same_hour
        project = person.project if is_same_visit or draw() < 0.8 else _pick(PROJECTS, draw)[0]
        name = f"{person.given_name} {person.family_name}" if is_same_visit else person.given_name
        email, phone = person.contact
        if not is_same_visit and draw() < 0.3:
            phone = f"5550{(person.lead_id * STRIDE + repeat) % 1_000_000:06}"
        payload = {"FIRSTNAME": name, "EMAIL": email, "PHONE": phone, "PROJECT": project}
        submission_id += 1
        yield (
            submission_id, person.lead_id, _text(submitted_at), project, person.visitor_id,
            person.session_id if is_same_visit else None, email, phone, person.address, person.origin,
            session[9 if is_same_visit else 8], _pick(BUTTONS, draw), 0 if repeat else 1, 1 if is_same_hour else 0,
            json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
        )  # fmt: skip


def _lead(plan: Plan, sent_at: int, domain: str | None, person: _Person, forms: int, draw: Draw) -> Row:
    label = None
    if person.score is not None:
        label = next(name for minimum, name in LABELS if person.score >= minimum)
    chance = draw() * draw()
    status = FUNNEL[(person.lead_id - 1) % 20] if plan.now - sent_at > HOUR_MS else "new"
    if person.lead_id > len(FUNNEL):
        status = demo_moves.close(status, domain, draw())
    return (
        person.lead_id, _text(sent_at), f"{person.given_name} {person.family_name}", *person.contact, person.project,
        person.location, person.origin, person.country, _pick(CITIES.get(person.country, (None,)), draw),
        person.visitor_id, person.session_id, person.score, label, forms, int(100 * chance * chance), status,
    )  # fmt: skip


def _pick(options: Any, draw: Draw) -> Any:
    return options[int(len(options) * draw())]


def _text(instant: int) -> str:
    return datetime.fromtimestamp(instant // 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
