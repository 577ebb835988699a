"""Access logs of web servers, as sessions and events.

A request is an event, whose type says what became of it:

    page_view  a GET of a page that was answered with 2xx or 304
    asset      the same of a part of a page, or of a download: see ASSETS
    error      a request that was answered with 4xx or 5xx
    request    every other: another method, a redirect

A visitor is a hash of address and user agent under a salt that stays in the database; the address is not stored.
Requests of a visitor with no longer than the timeout between one and the next are a session. Its entry and exit are
its first and last page view; its referrer is that of its entry. It ends with its last request, as far as is known: an
import of the lines that follow extends it.

Events of bots have types of their own, `bot_page_view` and so on, with the bot's name in `data`, and no row of
sessions, so the dashboard counts people.

Every event has an id made of its line (see event_ids.py). A line that was imported before changes nothing, be it from
the same file, the grown one, or another that overlaps; new lines join the sessions that are there, in any order of the
files. No more than a batch of lines is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from ...database import Database, Transaction, ignore_progress
from ..rejects import RejectHandler, Rejects
from ..report import Report, TableCounts
from ..rows import OnWrite, ignore_write
from ..source import Source
from ..write import load
from .lines import looks_like_log
from .log_importer import LogImporter
from .own_hosts import detect_own_hosts, own_hosts_of_files, remember_hosts
from .site import ASSETS, SITE, Site

__all__ = ["ASSETS", "SITE", "Site", "import_access_log", "looks_like_log", "own_hosts_of_files"]

BATCH_LINES = 25_000


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
    """Make sessions and events of the lines of an access log, in one transaction; return what was done.

    The formats are Common and Combined, either with a virtual host in front; further fields are ignored. The lines may
    be in any order. Lines that were imported before change nothing.

    :param strict: raise IngestError for the first line that is not one of a log; it otherwise goes to `rejects`.
    :param on_write: called with so many more lines, and about how many there are.
    :param on_progress: called with the name of each rollup that is rebuilt.
    """
    source = lines if isinstance(lines, Source) else Source(lines)
    detected = detect_own_hosts(site, source.sample())
    rows = source.rows

    def work(at: Transaction, is_bulk: bool) -> Report:
        report = Report(tables={"sessions": TableCounts(is_made=True), "events": TableCounts()})
        reject = RejectHandler(report, "events", source.name, rejects or Rejects(), strict)
        hosts = detected if site.hosts is not None else remember_hosts(at, detected)
        importer = LogImporter(at, site, hosts, report)
        remaining = iter(source)
        first = 1
        while batch := list(islice(remaining, BATCH_LINES)):
            importer.write(batch, first, reject)
            first += len(batch)
            on_write(len(batch), rows)
        report.lines_read = report.empty_lines + report.tables["events"].read
        report.notes += _notes(report, importer, hosts, site)
        return report

    return load(db, rows, work, on_progress)


def _notes(report: Report, importer: LogImporter, hosts: frozenset[str], site: Site) -> Iterable[str]:
    bots = sum(count for event_type, count in report.event_types.items() if event_type.startswith("bot_"))
    if bots:
        yield f"bots: {bots:,} requests, stored as events of their own types and in no session"
    if importer.parser.prefixed_lines:
        yield (
            f"{importer.parser.prefixed_lines:,} lines begin with something else, which was ignored: "
            f"{importer.parser.prefix.decode(errors='replace')!r}"
        )
    if hosts:
        yield f"the site's own hosts: {', '.join(sorted(hosts))}"
    elif site.hosts is None:
        yield "no host of the site's own was found, so its pages may count as referrers: use --host"
