"""Import access logs of web servers as sessions and events.

Each request becomes an event. The type of the event depends on the request's method, path and status:

    page_view  a GET of a page with status 2xx or 304
    asset      a GET of another file with status 2xx or 304; see ASSETS
    error      a request with status 4xx or 5xx
    request    any other request, such as a POST or a redirect

The visitor id is a hash of the address and the user agent with a salt that is stored in the database. The address is
not stored. A session consists of requests of a visitor without a gap longer than the timeout. Its entry and exit page
are its first and last page view, and its referrer is the referrer of the entry page. The session ends with its last
request. Importing later lines can extend a session.

Events of bots have types such as `bot_page_view`, and the name of the bot in `data`. They have no session, so bots
count neither as visitors nor as page views.

The id of an event is computed from its line (see event_ids.py). So a line that is imported again, from the same file or
another one, has no effect. New lines are added to existing sessions. Files can be imported in any order. At most one
batch of lines is in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import islice

from ...database import Database, Transaction, ignore_progress
from ..rejects import RejectHandler, Rejects
from ..report import Report, TableCounts, printable
from ..rows import OnWrite, ignore_write
from ..source import Source
from ..write import load
from .lines import looks_like_log
from .log_importer import LogImporter
from .own_hosts import detect_own_hosts, has_pages_without_host, own_hosts_of_files, remember_hosts
from .site import ASSETS, SITE, Site

__all__ = ["ASSETS", "SITE", "Site", "import_access_log", "looks_like_log", "own_hosts_of_files"]

log = logging.getLogger(__name__)

BATCH_LINES = 25_000
NO_HOST = (
    "pages are stored without a host, such as /about; use --site. A later import cannot change stored pages; to "
    "correct them, import into a new database with -d"
)
NO_AGENTS = (
    "no line has a user agent, so all requests count as requests of bots; to count them as visitors, import into a new "
    "database with -d and --bots include"
)


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
    """Import an access log as sessions and events in one transaction, and return a report.

    The formats are Common and Combined, both with or without a leading virtual host. Additional fields are ignored. The
    lines can be in any order.

    :param strict: whether to raise IngestError for the first invalid line. Otherwise, invalid lines are written to
        `rejects`.
    :param on_write: called with the number of lines since the last call, and the approximate total number.
    :param on_progress: called with the name of each counter that is rebuilt.
    """
    source = lines if isinstance(lines, Source) else Source(lines)
    rejects = rejects or Rejects()
    detected = detect_own_hosts(site, source.sample())
    total = source.estimated_lines
    is_warned = has_pages_without_host(site, source.sample())
    if is_warned:  # a long import can still be interrupted
        log.warning("%s: %s", printable(source.name), NO_HOST)

    def work(at: Transaction, is_bulk: bool) -> Report:
        report = Report(tables={"sessions": TableCounts(is_computed=True), "events": TableCounts()})
        reject = RejectHandler(report, "events", source.name, rejects, strict)
        hosts = detected if site.hosts is not None else remember_hosts(at, detected)
        importer = LogImporter(at, site, hosts, report)
        remaining = iter(source)
        first = 1
        while batch := list(islice(remaining, BATCH_LINES)):
            importer.write(batch, first, reject)
            first += len(batch)
            on_write(len(batch), total)
        report.lines_read = report.empty_lines + report.tables["events"].read
        report.notes += _notes(report, importer, hosts, site)
        report.warnings += [NO_HOST] if importer.parser.has_pages_without_host and not is_warned else []
        if site.bots == "separate" and report.event_types and not importer.parser.has_agents:
            report.warnings.append(NO_AGENTS)
        return report

    return load(db, total, work, on_progress, rejects)


def _notes(report: Report, importer: LogImporter, hosts: frozenset[str], site: Site) -> Iterable[str]:
    bots = sum(count for event_type, count in report.event_types.items() if event_type.startswith("bot_"))
    if bots:
        yield (
            f"bots: {bots:,} requests, stored as events with types of their own, without sessions; total_events "
            "counts them, the numbers of sessions, visitors and page views do not"
        )
    others = sum(report.event_types[event_type] for event_type in ("asset", "error", "request"))
    if others:
        yield f"assets, errors and other requests: {others:,}; total_events counts them, the page views do not"
    if importer.parser.prefixed_lines:
        yield (
            f"{importer.parser.prefixed_lines:,} lines have a prefix, which was ignored: "
            f"{importer.parser.prefix.decode(errors='replace')!r}"
        )
    if hosts:
        yield f"the site's own hosts: {', '.join(sorted(hosts))}"
    elif site.hosts is None and report.event_types:
        yield "the site's own hosts could not be detected, so they may count as referrers: use --host"
