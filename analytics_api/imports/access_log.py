"""Access logs of web servers, as sessions and events.

A request is an event, whose type says what became of it:

    page_view  a GET of a page that was answered with 2xx or 304
    asset      the same of what a page is made of, or of a download: see ASSETS
    error      a request that was answered with 4xx or 5xx
    request    every other: another method, a redirect

A visitor is a hash of address and user agent under a salt that the database keeps to itself; the address is not stored.
Requests of a visitor with no longer than the timeout between one and the next are a session. Its entry and exit are
its first and last page view; its referrer is the one that came with its entry. It ends with its last request, as far
as is known: a session still going on when the log was taken is brought up to date by the import of what follows.

Bots that say so are kept, apart from people: their events have types of their own, `bot_page_view` and so on, with the
bot's name in `data`, and belong to no row of sessions. So nothing is lost, and what the dashboard counts is people.

Every event has an id made of its line (see identity.py). A line that was imported before is thereby known and changes
nothing, be it from the same file, the grown one, or another that overlaps; and what is new joins the sessions that are
there, in whichever order the pieces come. Nothing but a batch of lines is held in memory.
"""

from __future__ import annotations

import json
import re
import secrets
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from itertools import islice
from operator import itemgetter
from typing import Any, Literal
from urllib.parse import urlsplit

from ..database import Database, Transaction, ignore_progress
from ..errors import IngestError
from .bots import bot_name
from .event_ids import HASH_BITS, EventIds, id_ranges
from .hosts import host_of_url, normalize_host, normalize_path, strip_www
from .rejects import RejectHandler, Rejects
from .report import Report, TableCounts
from .rows import OnWrite, ignore_write
from .source import Source
from .write import load

BATCH = 25_000  # lines
LONGEST_LINE = 1 << 16  # bytes; servers take no longer requests than a quarter of this
LONGEST_URL = 2_000  # characters; an index of PostgreSQL takes 2704 bytes
CACHED = 20_000
CACHED_LENGTH = 400  # bytes, of what is longer there is little enough of the same
LAST_INSTANT = 253_402_300_799_999  # the end of year 9999
LAST_HOUR = LAST_INSTANT - 60 * 60 * 1000

# What is no page, by the end of its name.
ASSETS = frozenset(
    ending
    for kind in (
        "css js mjs map json xml rss atom xsl txt webmanifest wasm",
        "png jpg jpeg gif svg webp avif bmp ico cur tif tiff",
        "woff woff2 ttf otf eot",
        "mp3 mp4 m4a m4v webm ogg oga ogv opus wav flac avi mov mpg mpeg mkv flv swf",
        "pdf doc docx xls xlsx ppt pptx odt ods csv epub",
        "zip gz tgz bz2 xz zst tar rar 7z jar war exe msi dmg iso deb rpm apk bin",
    )
    for ending in kind.split()
)

VIRTUAL_HOST = rb"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
QUOTED = rb'[^"\\]*(?:\\.[^"\\]*)*'
LINE = re.compile(
    rb"""
    (?:(%b)\ (?!-\ ))?               # the virtual host, maybe with a port; an address is followed by "-"
    ([^\s|]+)\ [^\s|]+\ (?![^\[]*\ -\ -\ \[)[^\s\[][^\[]*\   # address, ident, user
    \[([^\]]{10,40})\]\              # time
    "(%b|.*?)"\                      # request; some servers don't escape the quotes within
    (\d{3}|-)\ (?:\d+|-)             # status, bytes
    (?:\ "(%b)"\ "(%b)".*            # referrer and user agent, and what a server adds
      |(?:\ [^"].*)?)"""
    % (VIRTUAL_HOST, QUOTED, QUOTED, QUOTED),
    re.VERBOSE | re.DOTALL,
)
# What nearly every line is, of which LINE would say the same, in half the time.
USUAL = re.compile(
    rb"""
    (?:(%b)\ (?=[^\s|-][^\s|]*\ -\ ))?([^\s|]+)\ -\   # a virtual host, and the address; no ident
    [^\s\[]+\                                  # a user without blanks
    \[(([^\]]{15})(\d\d:\d\d)([^\]]{6}))\]\     # time: to the hour, minute and second, zone
    "([^"\\]*)"\                              # nothing is escaped
    (\d{3})\ (?:\d+|-)
    \ "([^"\\]*)"\ "([^"\\]*)".*"""
    % VIRTUAL_HOST,
    re.VERBOSE | re.DOTALL,
)
# What containers, syslog and process managers put before a line.
PREFIX = re.compile(
    rb"""
    \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.,]*(?:Z|[+-]\d\d:?\d\d)\ (?:std(?:out|err)\ [FP]\ )?
        (?:\S+\ [^\s:\[]+(?:\[\d+\])?:\ )?
    | (?:<\d+>)?[A-Z][a-z]{2}\ [\ \d]\d\ \d\d:\d\d:\d\d\ \S+\ [^\s:\[]+(?:\[\d+\])?:\ +
    | [\w.-]+(?:-\d+)?\ *\|\ +
    | \d+\|[^|\s]+\ *\|\ +""",
    re.VERBOSE,
)
MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), start=1
    )
}
TIME = re.compile(rb"(\d\d?)/([A-Za-z]{3})/(\d{4}):(\d\d):(\d\d:\d\d) ([+-])(\d\d)([0-5]\d)")
AFTER_THE_HOUR = {
    b"%02d:%02d" % (minute, second): (minute * 60 + second) * 1000
    for minute in range(60)
    for second in range(61)  # a leap second is one after the 59th
}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)

REQUEST = re.compile(rb"([A-Za-z_-]+) +(\S+)(?: +HTTP/\d(?:\.\d)?)?")
ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
PLAIN = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"v": b"\v", b"f": b"\f"}

SALT = """
select value
from secrets
where name = 'visitor_salt'
"""

HOSTS = "own_hosts"  # beside the salt: which hosts a log's first lines showed
MAX_HOSTS = 1_000

SECRET = """
select value
from secrets
where name = :name
"""

SAVE_SECRET = """
insert into secrets (name, value)
values (:name, :value)
on conflict (name) do update set value = excluded.value
"""

NEW_SALT = """
insert into secrets (name, value)
values ('visitor_salt', :value)
on conflict (name) do nothing
"""

# By the key alone, both, since in bulk there is no other index.
KNOWN_EVENTS = """
select event_id
from events
where event_id between :low and :high
"""

NEAREST_EVENT = """
select min(event_id) as event_id
from events
where event_id between :low and :high
"""

# Of a visitor the sessions' ids are in the order of their starts.
LATEST_SESSION = """
select session_id, started_at, coalesce(ended_at, started_at) as ended_at, event_count, entry_page, exit_page,
  referrer, referrer_domain
from sessions
where session_id between :low and :high
order by session_id desc
limit 1
"""

PAGES_VIEWED = """
select min(occurred_at) as first, max(occurred_at) as last
from events
where event_id between :low and :high and session_id = :session_id and event_type = 'page_view'
"""

MOVE_EVENTS = """
update events
set session_id = :session_id
where event_id between :low and :high and session_id = :was
"""

DROP_SESSION = """
delete from sessions
where session_id = :session_id
"""

SESSION_COLUMNS = (
    "session_id",
    "visitor_id",
    "started_at",
    "ended_at",
    "duration",
    "event_count",
    "entry_page",
    "exit_page",
    "referrer",
    "referrer_domain",
)
EVENT_COLUMNS = ("event_id", "session_id", "event_type", "page_url", "occurred_at", "data")


@dataclass(frozen=True, slots=True)
class Site:
    """How a log is to be understood.

    `url` is what stands before the paths of its pages, `https://shop.example`; without one they are told as paths, and
    in a log that names its virtual hosts as theirs. `hosts` are the site's own, whose referrers are none; left out,
    they are found in the log's first lines, as virtual hosts, and as where most of the requests for assets come from.
    `assets` are the endings of what is no page. `query`: pages keep what stands behind the question mark. `timeout` is
    in seconds, one at least. `bots`: "apart", as said above, or "alike", and then they are visitors as others are, with
    a name in `data`.
    """

    url: str | None = None
    hosts: Iterable[str] | None = None
    assets: Iterable[str] = ASSETS
    query: bool = True
    timeout: float = 30 * 60
    bots: Literal["apart", "alike"] = "apart"


SITE = Site()


def import_access_log(
    db: Database,
    lines: Source | Iterable[bytes],
    *,
    site: Site = SITE,
    strict: bool = False,
    rejects: Rejects | None = None,
    on_write: OnWrite = ignore_write,
    on_progress: Callable[[str], object] = ignore_progress,
) -> Report:
    """Make sessions and events of the lines of an access log, in one transaction; what was done.

    Common, Combined, and either with a virtual host in front; more fields behind are passed over. The lines may be in
    any order. Those that were imported before change nothing. A line that is no such line, or is dated impossibly, goes
    to `rejects`; with `strict` the first one raises IngestError, and nothing is written. `on_write` is called
    with so many more lines and about how many there are, `on_progress` with each rollup that is rebuilt.
    """
    source = lines if isinstance(lines, Source) else Source(lines)
    hosts = own_hosts(site, source)
    rows = source.rows

    def work(at: Transaction, is_bulk: bool) -> Report:
        report = Report(tables={"sessions": TableCounts(is_made=True), "events": TableCounts()})
        refuse = RejectHandler(report, "events", source.name, rejects or Rejects(), strict)
        known = hosts if site.hosts is not None else hosts | remembered_hosts(at, hosts)
        log = _Log(at, site, known, report)
        coming = iter(source)
        first = 1
        while batch := list(islice(coming, BATCH)):
            log.take(batch, first, refuse)
            first += len(batch)
            on_write(len(batch), rows)
        report.lines_read = report.empty_lines + report.tables["events"].read
        kept_apart = sum(count for kind, count in report.event_types.items() if kind.startswith("bot_"))
        if kept_apart:
            report.notes.append(f"bots: {kept_apart:,} requests, kept as events of their own types and in no session")
        if log.reading.prefixed:
            report.notes.append(
                f"{log.reading.prefixed:,} lines begin with something else, which was passed over: "
                f"{log.reading.prefix.decode(errors='replace')!r}"
            )
        if known:
            report.notes.append(f"the site's own hosts: {', '.join(sorted(known))}")
        elif site.hosts is None:
            report.notes.append("no host of the site's own was found, so its pages may count as referrers: use --host")
        return report

    return load(db, rows, work, on_progress)


def looks_like(lines: Iterable[bytes]) -> bool:
    """Whether any of the lines is one of an access log."""
    return any(len(line) < LONGEST_LINE and match_line(line)[0] for line in lines)


def match_line(line: bytes) -> tuple[re.Match[bytes] | None, bytes]:
    """Return the match of a line, and the prefix of another program that stands before it."""
    line = line.rstrip(b"\r\n")
    prefix = PREFIX.match(line)
    if prefix:
        found = LINE.fullmatch(line, prefix.end())
        if found:
            return found, prefix[0]
    return LINE.fullmatch(line), b""


def own_hosts(site: Site, source: Source) -> frozenset[str]:
    """The hosts of the site, `www.` dropped: those that are given, or else those that the log's beginning shows."""
    given = [urlsplit(site.url).hostname or ""] if site.url else []
    if site.hosts is not None:
        return frozenset(filter(None, map(_bare, [*given, *site.hosts])))
    reading = _Reading(site, frozenset(), b"")
    virtual: set[str] = set()
    referred: Counter[str] = Counter()
    for line in source.sample():
        found = match_line(line)[0] if len(line) < LONGEST_LINE else None
        if found is None:
            continue
        host, _, _, request, status, referrer, _ = found.groups()
        virtual.add(_bare(_virtual_host(host)[0]))
        if reading.answer(None, request, status)[0] == "asset":
            domain = reading.referrer(None, referrer)[1]
            if domain:
                referred[domain] += 1
    top = [domain for domain, count in referred.most_common(1) if count >= 3 and count * 2 > referred.total()]
    return frozenset(filter(None, [*map(_bare, given), *virtual, *top]))


# A request, understood: instant, event_id, type, URL, data, virtual host, referrer. Bare, for there are many.
_Request = tuple[int, int, str, str | None, str | None, bytes | None, bytes | None]
INSTANT, EVENT_ID = itemgetter(0), itemgetter(1)


@dataclass(slots=True)
class _Visit:
    """Requests of one visitor without a pause, from the log or, with `rows`, from the database as well."""

    started: int
    ended: int
    events: int
    # (0 for a page view and 1 for none, its instant, page, referrer, domain), of the first
    entry: tuple[int, int, str | None, str | None, str | None]
    # (1 for a page view and 0 for none, its instant, page), of the last
    exit: tuple[int, int, str | None]
    requests: list[_Request] = field(default_factory=list)
    rows: list[tuple[str, int, int]] = field(default_factory=list)  # session_id, started, ended

    def joined(self, other: _Visit) -> _Visit:
        first, second = (self, other) if self.started <= other.started else (other, self)
        return _Visit(
            first.started,
            max(first.ended, second.ended),
            first.events + second.events,
            min(first.entry, second.entry, key=lambda entry: entry[:2]),  # the first one's when both are as early
            max(second.exit, first.exit, key=lambda exit: exit[:2]),
            first.requests + second.requests,
            first.rows + second.rows,
        )


class _Reading:
    """What a line says. Whatever comes again and again is worked out once."""

    def __init__(self, site: Site, hosts: frozenset[str], salt: bytes) -> None:
        self.site = site
        self.hosts = hosts
        self.salt = salt
        self.base = (site.url or "").rstrip("/")
        self.assets = tuple("." + ending.lower().lstrip(".") for ending in site.assets)
        self.bots_apart = site.bots == "apart"
        self.combined = False  # the line before had a user agent
        self.prefixed = 0  # lines with something in front of the address
        self.prefix = b""
        self.event_ids = EventIds(salt)
        self.hours: dict[bytes, int] = {}
        self.visitors: dict[tuple[bytes, bytes | None], tuple[str, bytes, str | None]] = {}
        self.agents: dict[bytes, str | None] = {}
        self.of_bots: dict[tuple[str, str, str | None], tuple[str, str]] = {}
        self.answers: dict[tuple[bytes | None, bytes, bytes], tuple[str, str | None, str | None, bytes]] = {}
        self.referrers: dict[tuple[bytes | None, bytes], tuple[str | None, str | None]] = {}

    def request(self, line: bytes) -> tuple[str, bool, _Request]:
        """The line's visitor, whether that is a bot to be kept apart, and the request.

        Raises ValueError with the reason when it is no line of a log.
        """
        if len(line) > LONGEST_LINE:
            raise ValueError(f"longer than {LONGEST_LINE:,} bytes")
        found = USUAL.fullmatch(line)
        host, address, time, to_hour, clock, zone, request, status, referrer, agent = (
            found.groups() if found else self.unusual(line)
        )
        self.combined = agent is not None
        hour, after = self.hours.get(to_hour + zone), AFTER_THE_HOUR.get(clock)
        instant = self.instant(time) if hour is None or after is None else hour + after
        key = (address, agent)
        visitor, digest, bot = self.visitors.get(key) or self.visitor(*key)
        asked = (host, request, status)
        kind, url, data, content = self.answers.get(asked) or self.answer(*asked)
        event_id = self.event_ids.make(instant, b"%b%b%d" % (digest, content, instant))
        if bot:
            kind, data = self.by_bot(bot, kind, data)
        return visitor, bool(bot) and self.bots_apart, (instant, event_id, kind, url, data, host, referrer)

    def unusual(self, line: bytes) -> tuple[Any, ...]:
        """The same fields of a line, whichever it is."""
        found, prefix = match_line(line)
        if found is None:
            raise ValueError("not a line of an access log")
        if prefix:
            self.prefixed += 1
            self.prefix = self.prefix or prefix
        host, address, time, request, status, referrer, agent = found.groups()
        if agent is None and self.combined and not line.endswith(b"\n"):
            raise ValueError("cut short")  # the log was taken while the server wrote
        return host, address, time, time[:15], time[15:20], time[20:], request, status, referrer, agent

    def instant(self, text: bytes) -> int:
        """Milliseconds since the epoch."""
        try:
            instant, hour = _instant(text)
        except (ValueError, KeyError, OverflowError, TypeError):
            instant = hour = -1
        if not 0 <= instant <= LAST_INSTANT:
            raise ValueError("not a time from 1970 to 9999")
        if hour is not None and len(text) == 26 and 0 <= hour < LAST_HOUR:
            _keep(self.hours, text[:15] + text[20:], hour)
        return instant

    def visitor(self, address: bytes, agent: bytes | None) -> tuple[str, bytes, str | None]:
        """The visitor's id, as text and bare, and the bot's name when it is one."""
        digest = blake2b(address.lower() + b"\0" + (agent or b"-"), key=self.salt, digest_size=8).digest()
        visitor = digest.hex(), digest, None if agent is None else self.bot(agent)
        if len(agent or b"") < CACHED_LENGTH:
            _keep(self.visitors, (address, agent), visitor)
        return visitor

    def bot(self, agent: bytes) -> str | None:
        if agent not in self.agents:
            name = bot_name(agent.decode(errors="replace"))
            _keep(self.agents, agent, name and name[:100])
        return self.agents[agent]

    def by_bot(self, bot: str, kind: str, data: str | None) -> tuple[str, str]:
        """The type and the data of a bot's event, that would be these for a person."""
        key = (bot, kind, data)
        if key not in self.of_bots:
            told = json.dumps({"bot": bot} | json.loads(data or "{}"))
            _keep(self.of_bots, key, (f"bot_{kind}" if self.bots_apart else kind, told))
        return self.of_bots[key]

    def answer(self, host: bytes | None, request: bytes, status: bytes) -> tuple[str, str | None, str | None, bytes]:
        """The event's type, its page's URL, what is kept beside, and a hash of all three arguments."""
        found = REQUEST.fullmatch(request)
        method, target = (found[1].decode(), normalize_path(unescape(found[2]))) if found else (None, "")
        absolute = ABSOLUTE.match(target)  # at the start alone: a query may have a URL of its own
        path = target[absolute.end() if absolute else 0 :].partition("#")[0]
        if not path and target:
            path = "/"  # of http://shop.example
        plain, mark, query = path.partition("?")
        url = data = None
        if path.startswith("/"):
            before = self.base or _virtual_host(host)[1]
            url = (before + plain + (mark + query if self.site.query and query else ""))[:LONGEST_URL]
        if method == "GET" and url and (status[:1] == b"2" or status == b"304"):
            kind = "asset" if plain.lower().endswith(self.assets) else "page_view"
        else:
            kind = "error" if status >= b"4" else "request"
            data = json.dumps({"method": method, "status": int(status) if status != b"-" else None})
        content = blake2b(b"%b %b %b" % (host or b"-", status, request), key=self.salt, digest_size=8).digest()
        answer = kind, url, data, content
        if len(request) < CACHED_LENGTH:
            _keep(self.answers, (host, request, status), answer)
        return answer

    def referrer(self, host: bytes | None, referrer: bytes | None) -> tuple[str | None, str | None]:
        """The referrer and its domain; None when it is the site itself, or no URL."""
        if referrer is None or len(referrer) < 4:
            return None, None
        key = (host, referrer)
        known = self.referrers.get(key)
        if known is None:
            known = None, None
            text = text_of(referrer)
            domain = host_of_url(text)
            if domain and domain not in self.hosts and domain != _bare(_virtual_host(host)[0]):
                known = text[:LONGEST_URL], domain
            if len(referrer) < CACHED_LENGTH:
                _keep(self.referrers, key, known)
        return known


class _Log:
    """Batches of lines on their way into the database."""

    def __init__(self, at: Transaction, site: Site, hosts: frozenset[str], report: Report) -> None:
        self.at = at
        self.reading = _Reading(site, hosts, _salt(at))
        self.pause = round(site.timeout * 1000)
        self.report = report

    def take(self, lines: list[bytes], first: int, refuse: RejectHandler) -> None:
        """Write what is new in these lines, which are numbered from `first` on."""
        sessions, events = self.report.tables["sessions"], self.report.tables["events"]
        people: dict[str, list[_Request]] = defaultdict(list)
        bots: dict[str, list[_Request]] = defaultdict(list)
        for number, line in enumerate(lines, start=first):
            try:
                visitor, bot, request = self.reading.request(line)
            except ValueError as reason:
                if line.strip():
                    events.read += 1
                    refuse(number, line, str(reason))
                else:
                    self.report.empty_lines += 1
            else:
                (bots if bot else people)[visitor].append(request)
        requests = [request for group in (people, bots) for these in group.values() for request in these]
        events.read += len(requests)
        self.report.add_event_types(request[2] for request in requests)
        known = self._known(sorted(map(EVENT_ID, requests)))
        if known:
            for group in (people, bots):
                for these in group.values():
                    these[:] = [request for request in these if request[1] not in known]
        rows: list[tuple[Any, ...]] = []
        for visitor, these in bots.items():
            rows += _events(f"bot-{visitor}", these)
        written = []
        visits = [
            (visitor, visit) for visitor, these in people.items() if these for visit in self._visits(visitor, these)
        ]
        for visitor, visit in visits:
            session_id = f"{visitor}-{visit.started // 1000:010x}"
            for was, started, ended in visit.rows:
                if was != session_id:
                    self._move(was, started, ended, session_id)
            sessions.written += not visit.rows
            sessions.joined += max(len(visit.rows) - 1, 0)
            times = visit.started, visit.ended, visit.ended - visit.started
            _, _, entry_page, referrer, domain = visit.entry
            written.append((session_id, visitor, *times, visit.events, entry_page, visit.exit[2], referrer, domain))
            rows += _events(session_id, visit.requests)
        if written:
            written.sort(key=itemgetter(0))
            self.at.insert("sessions", SESSION_COLUMNS, written, on_conflict="update")
        if rows:
            rows.sort(key=itemgetter(0))
            events.written += self.at.insert("events", EVENT_COLUMNS, rows, on_conflict="ignore")

    def _known(self, ids: list[int]) -> set[int]:
        """Those of the ids that the database has; they are in order."""
        known: set[int] = set()
        within = 10 << HASH_BITS  # ten seconds: a busy log is asked for as a whole, a quiet one's rows one by one
        end = 0
        while end < len(ids):
            begin, end = end, end + 1
            while end < len(ids) and ids[end] - ids[end - 1] <= within:
                end += 1
            found = self.at.rows(KNOWN_EVENTS, low=ids[begin], high=ids[end - 1])
            known.update(row["event_id"] for row in found)
            if not found and end < len(ids):  # there may be none for long, as in a log that is new
                nearest = self.at.rows(NEAREST_EVENT, low=ids[end], high=ids[-1])[0]["event_id"]
                end = len(ids) if nearest is None else bisect_left(ids, nearest, end)
        return known

    def _visits(self, visitor: str, requests: list[_Request]) -> Iterator[_Visit]:
        """The requests as visits, each joined with what the database has of it."""
        requests.sort(key=INSTANT)
        visit: _Visit | None = None
        begun = 0
        for position in range(1, len(requests) + 1):
            if position < len(requests) and requests[position][0] - requests[position - 1][0] <= self.pause:
                continue
            new = self._visit(requests[begun:position])
            begun = position
            if visit is not None and new.started - visit.ended > self.pause:
                yield visit
                visit = None
            visit = self._with_rows(visitor, new if visit is None else visit.joined(new))
        if visit is not None:
            yield visit

    def _visit(self, requests: list[_Request]) -> _Visit:
        pages = [request for request in requests if request[2] == "page_view"]
        first, last = (pages[0], pages[-1]) if pages else (requests[0], requests[-1])
        referrer, domain = self.reading.referrer(first[5], first[6])
        return _Visit(
            requests[0][0],
            requests[-1][0],
            len(requests),
            (0, first[0], first[3], referrer, domain) if pages else (1, first[0], None, referrer, domain),
            (1, last[0], last[3]) if pages else (0, last[0], None),
            requests,
        )

    def _with_rows(self, visitor: str, visit: _Visit) -> _Visit:
        """The visit joined with the sessions of the database that it touches."""
        joined = {session_id for session_id, *_ in visit.rows}
        last = visit.ended + self.pause
        while last >= 0:
            row = self.at.row(LATEST_SESSION, low=f"{visitor}-", high=f"{visitor}-{last // 1000:010x}")
            if row is None or row["ended_at"] < visit.started - self.pause:
                break
            if row["session_id"] not in joined and row["started_at"] <= last:
                visit = self._row_visit(row, visit).joined(visit)
            last = row["started_at"] // 1000 * 1000 - 1
        return visit

    def _row_visit(self, row: dict[str, Any], beside: _Visit) -> _Visit:
        session_id, started, ended = row["session_id"], row["started_at"], row["ended_at"]
        entered, left = started, ended
        if started < beside.ended and beside.started < ended:  # they go through each other: when was what?
            times = [
                found
                for low, high in id_ranges(started, ended)
                for found in self.at.rows(PAGES_VIEWED, low=low, high=high, session_id=session_id)
                if found["first"] is not None
            ]
            if times:
                entered, left = min(found["first"] for found in times), max(found["last"] for found in times)
        return _Visit(
            started,
            ended,
            row["event_count"],
            (int(row["entry_page"] is None), entered, row["entry_page"], row["referrer"], row["referrer_domain"]),
            (int(row["exit_page"] is not None), left, row["exit_page"]),
            rows=[(session_id, started, ended)],
        )

    def _move(self, was: str, started: int, ended: int, session_id: str) -> None:
        for low, high in id_ranges(started, ended):
            self.at.execute(MOVE_EVENTS, low=low, high=high, was=was, session_id=session_id)
        self.at.execute(DROP_SESSION, session_id=was)


def _events(session_id: str, requests: Iterable[_Request]) -> Iterator[tuple[Any, ...]]:
    for instant, event_id, kind, url, data, _, _ in requests:
        yield event_id, session_id, kind, url, instant, data


def _instant(text: bytes) -> tuple[int, int | None]:
    """Milliseconds since the epoch, and those at the begin of the hour when that is told apart."""
    found = TIME.fullmatch(text)
    if found is None:  # nginx has $time_iso8601 too
        return (datetime.fromisoformat(text.decode("ascii").replace("Z", "+00:00")) - EPOCH) // MILLISECOND, None
    day, month, year, hour, clock, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == b"-" else 1)
    moment = datetime(int(year), MONTHS[month.lower()], int(day), int(hour), tzinfo=timezone.utc)
    at_hour = (moment - offset - EPOCH) // MILLISECOND
    return at_hour + AFTER_THE_HOUR[clock], at_hour


def text_of(raw: bytes) -> str:
    """A field as text, the server's escapes undone. What is no UTF-8 is U+FFFD; so is NUL, which PostgreSQL refuses."""
    return unescape(raw).decode(errors="replace").replace("\0", "\ufffd")


def unescape(raw: bytes) -> bytes:
    """Return a field with the server's escapes undone."""
    return ESCAPE.sub(lambda found: _unescaped(found[1], found[2]), raw) if b"\\" in raw else raw


def _unescaped(code: bytes | None, letter: bytes) -> bytes:
    return bytes.fromhex(code.decode()) if code else PLAIN.get(letter, letter)


def _virtual_host(host: bytes | None) -> tuple[str, str]:
    """The name in lower case, and the URL of its root; both empty for none."""
    if host is None or host in (b"-", b"_"):
        return "", ""
    name, colon, port = text_of(host).lower().rpartition(":")
    if not colon or not port.isdecimal():
        name, port = text_of(host).lower(), "443"
    scheme = "https" if port == "443" else "http"
    return name, f"{scheme}://{name}" + ("" if port in ("80", "443") else f":{port}")


def _bare(host: str) -> str:
    return normalize_host(host) or strip_www(host.lower())


def _keep(cache: dict[Any, Any], key: Any, value: Any) -> None:
    if len(cache) >= CACHED:
        cache.clear()
    cache[key] = value


def remembered_hosts(at: Transaction, found: frozenset[str]) -> frozenset[str]:
    """Return the site's own hosts that earlier logs showed, and remember those of this one."""
    row = at.row(SECRET, name=HOSTS)
    earlier = frozenset(json.loads(row["value"])) if row else frozenset()
    if found - earlier:
        at.execute(SAVE_SECRET, name=HOSTS, value=json.dumps(sorted(earlier | found)[:MAX_HOSTS]))
    return earlier | found


def _salt(at: Transaction) -> bytes:
    at.execute(NEW_SALT, value=secrets.token_hex(32))
    row = at.row(SALT)
    if row is None:
        raise IngestError("the database keeps no salt for visitors")
    return bytes.fromhex(row["value"])
