"""Find the source of a session: where its first event says that the visitor came from."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from ..imports.hosts import AUTHORITY, MAX_HOST_LENGTH
from .hosts import Hosts, host_of
from .parse import Event

PRINTABLE: Final = re.compile("[!-~]+")
MAX_FIELDS: Final = 100


class Sources:
    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts

    def find(self, event: Event) -> tuple[str | None, str | None]:
        """Return `referrer` and `referrer_domain` of a session that begins with this event.

        The site's own pages are no referrers. A parameter `utm_source` of the page wins over the referrer's host.
        """
        referrer: str | None = event.get("referrer")
        if referrer is None or not PRINTABLE.fullmatch(referrer) or self.hosts.include_url(referrer):
            referrer = None
        domain = host_of(referrer) if referrer and AUTHORITY.match(referrer) else None
        return referrer if domain else None, utm_source(event["url"]) or domain


def utm_source(url: str) -> str | None:
    """Return the parameter `utm_source`, normalized if it is a host name, and in lower case. None if it is empty."""
    if "utm_source=" not in url:
        return None
    try:
        fields = parse_qsl(urlsplit(url).query, max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    text = "".join(dict(fields).get("utm_source", "").replace("@", " ").split("\0")).strip()[:MAX_HOST_LENGTH].lower()
    return (host_of(text) if "." in text else None) or text or None
