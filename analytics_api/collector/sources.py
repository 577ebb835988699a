"""Find the source of a session, which is the site or campaign from which the visitor came."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from ..values.hosts import AUTHORITY, MAX_HOST_LENGTH
from .hosts import Hosts, host_of
from .parse import Event

PRINTABLE: Final = re.compile("[!-~]+")
MAX_FIELDS: Final = 100


class Sources:
    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts

    def find(self, event: Event) -> tuple[str | None, str | None]:
        """Return the columns `referrer` and `referrer_domain` for a session that begins with this event.

        Pages of the site itself are not used as referrers. The parameter `utm_source` in the URL of the page takes
        precedence over the host of the referrer.
        """
        referrer: str | None = event.get("referrer")
        if referrer is None or not PRINTABLE.fullmatch(referrer) or self.hosts.include_url(referrer):
            referrer = None
        domain = host_of(referrer) if referrer and AUTHORITY.match(referrer) else None
        return referrer if domain else None, utm_source(event["url"]) or domain


def utm_source(url: str) -> str | None:
    """Return the parameter `utm_source` in lower case, or None if it is empty. A host name is normalized."""
    if "utm_source=" not in url:
        return None
    try:
        fields = parse_qsl(urlsplit(url).query, max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    text = "".join(dict(fields).get("utm_source", "").replace("@", " ").split("\0")).strip()[:MAX_HOST_LENGTH].lower()
    return (host_of(text) if "." in text else None) or text or None
