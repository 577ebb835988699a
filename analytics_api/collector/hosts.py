"""The host names of the site. Only pages on these hosts may send events. Their URLs do not count as referrers."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import IngestError, SettingError
from ..values.hosts import AUTHORITY, PORT, normalize_host


class Hosts:
    """A set of host names that belong to one site.

    `example.com` includes `www.example.com`. `*.example.org` includes every subdomain, but not `example.org`. Ports are
    ignored.

    :raises SettingError: a name is invalid, or there are no names.
    """

    def __init__(self, names: Iterable[str]) -> None:
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise SettingError(f"hosts: pass a list of host names, not {names!r}")
        parsed = [_parse(name) for name in names]
        if not parsed:
            raise SettingError("hosts: at least one host name is required")
        self.names = frozenset(name for name, is_wildcard in parsed if not is_wildcard)
        self.suffixes = tuple(f".{name}" for name, is_wildcard in parsed if is_wildcard)

    def include_url(self, url: str) -> bool:
        """Return whether the host of an absolute URL or of an origin belongs to the site."""
        host = host_in(url).lower().rstrip(".")
        name = host_of(host)
        return name is not None and (name in self.names or host.endswith(self.suffixes))


def host_in(url: str) -> str:
    """Return the host of an absolute URL as it is written in the URL, or "" if the URL has no host."""
    match = AUTHORITY.match(url)
    return PORT.sub("", match[1].rpartition("@")[2]) if match else ""


def host_of(text: str) -> str | None:
    """Return the normalized host of a host name or URL, or None if it is invalid."""
    try:
        return normalize_host(text)
    except IngestError:  # the name is not ASCII, and idna is not installed; browsers send punycode instead
        return None


def _parse(name: str) -> tuple[str, bool]:
    """Return the normalized host, and whether the name is a wildcard."""
    if not isinstance(name, str):
        raise SettingError(f"hosts: {name!r} is not a string")
    is_wildcard = name.startswith("*.")
    bare = name[2:] if is_wildcard else name
    host = None if "/" in bare or "@" in bare or " " in bare else host_of(bare)
    if host is None:
        raise SettingError(f"hosts: {name!r} is not a host name such as example.com or *.example.com")
    return host, is_wildcard
