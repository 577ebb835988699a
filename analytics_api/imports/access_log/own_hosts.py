"""Detect the hosts of the site itself. Links between its own pages do not count as referrers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit

from ...database import Transaction
from ...database.secrets_table import find_value, set_value
from ...errors import IngestError
from ..source import Source
from .lines import MAX_LINE_BYTES, looks_like_log, match_line, virtual_host
from .parser import LineParser, bare_host
from .site import Site

MIN_ASSET_REQUESTS = 3  # a host that is the referrer of fewer asset requests is not detected
MAX_REMEMBERED = 1_000

OWN_HOSTS = "own_hosts"  # the name of the list in the table `secrets`


def detect_own_hosts(site: Site, lines: Iterable[bytes]) -> frozenset[str]:
    """Return the site's own hosts, normalized by bare_host(). If `site.hosts` is None, detect them in the lines."""
    of_url = [urlsplit(site.url).hostname or ""] if site.url else []
    if site.hosts is not None:
        return frozenset(filter(None, map(bare_host, [*of_url, *site.hosts])))
    parser = LineParser(site, frozenset(), b"")
    virtual_hosts: set[str] = set()
    referrers: Counter[str] = Counter()
    for line in lines:
        match = match_line(line)[0] if len(line) < MAX_LINE_BYTES else None
        if match is None:
            continue
        host, _, _, request, status, referrer, _ = match.groups()
        virtual_hosts.add(bare_host(virtual_host(host)[0]))
        if parser.outcome(None, request, status).event_type == "asset":
            domain = parser.referrer(None, referrer)[1]
            if domain:
                referrers[domain] += 1
    top = [
        domain
        for domain, count in referrers.most_common(1)
        if count >= MIN_ASSET_REQUESTS and count * 2 > referrers.total()
    ]
    return frozenset(filter(None, [*map(bare_host, of_url), *virtual_hosts, *top, *site.other_hosts]))


def has_pages_without_host(site: Site, lines: Iterable[bytes]) -> bool:
    """Return whether pages would be stored as paths, because neither the lines nor `site` have a host."""
    parser = LineParser(site, frozenset(), b"")
    for line in lines:
        match = match_line(line)[0] if len(line) < MAX_LINE_BYTES else None
        if match is not None:
            parser.outcome(match[1], match[4], match[5])
    return parser.has_pages_without_host


def own_hosts_of_files(site: Site, paths: Iterable[str]) -> frozenset[str]:
    """Return the hosts that are detected in access logs. Unreadable files and other formats are skipped."""
    hosts: frozenset[str] = frozenset()
    for path in paths:
        try:
            sample = Source(path).sample()
        except IngestError:
            continue
        if looks_like_log(sample):
            hosts |= detect_own_hosts(site, sample)
    return hosts


def remember_hosts(at: Transaction, hosts: frozenset[str]) -> frozenset[str]:
    """Store hosts in the database, and return them together with the hosts of earlier imports."""
    earlier = frozenset(json.loads(find_value(at, OWN_HOSTS) or "[]"))
    if hosts - earlier:
        set_value(at, OWN_HOSTS, json.dumps(sorted(earlier | hosts)[:MAX_REMEMBERED]))
    return earlier | hosts
