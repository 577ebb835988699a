"""Record the visits of a site: a WSGI application that serves the script `/a.js` and receives events at `/collect`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from ..database import Database, resolve_database
from ..errors import SettingError
from ..values.timestamps import check_clock, now
from .application import Collector
from .hosts import Hosts
from .machines import require_crawler_list
from .networks import Countries, Networks

__all__ = ["Collector", "create_collector"]


def create_collector(
    database: str | os.PathLike[str] | Database,
    *,
    hosts: Iterable[str],
    clock: Callable[[], int] = now,
    trusted_proxies: int = 0,
    contact_ip: bool = True,
    geoip: str | os.PathLike[str] | None = None,
    vpn_networks: Iterable[str] = (),
) -> Collector:
    """Return a WSGI application that records the events of a site's pages. Environment variables are not read.

    It needs the packages of the extra `collector`. Its requests need no API key.

    :param database: the path or URL of a database, which is created if it does not exist, or an open Database.
    :param hosts: the site's host names. `example.com` includes `www.example.com`; `*.example.org` is every subdomain.
    :param clock: returns the current time in milliseconds since the epoch.
    :param trusted_proxies: number of reverse proxies whose `X-Forwarded-For` is trusted. With 1 or more, the country is
        taken from the header `CF-IPCountry`.
    :param contact_ip: whether to store the client address of a form in `lead_submissions`.
    :param geoip: the path of an MMDB file with the countries of addresses. A trusted `CF-IPCountry` takes precedence.
    :param vpn_networks: networks such as `192.0.2.0/24`. Sessions from these networks have `vpn_suspected` 1.
    :raises DatabaseError: the database cannot be opened.
    :raises SettingError: an argument is invalid (the message begins with its name), or a package is missing.
    """
    site = Hosts(hosts)
    if isinstance(trusted_proxies, bool) or not isinstance(trusted_proxies, int) or trusted_proxies < 0:
        raise SettingError("trusted_proxies: pass the number of proxies, 0 or more")
    check_clock(clock)
    require_crawler_list()
    return Collector(
        resolve_database(database),
        site,
        clock=clock,
        trusted_proxies=trusted_proxies,
        countries=_parse_countries(geoip),
        vpn_networks=_parse_networks(vpn_networks),
        contact_ip=contact_ip,
    )


def _parse_countries(path: str | os.PathLike[str] | None) -> Countries | None:
    try:
        return None if path is None else Countries(path)
    except SettingError as error:
        raise SettingError(f"geoip: {error}") from None


def _parse_networks(lines: Iterable[str]) -> Networks:
    if isinstance(lines, str) or not isinstance(lines, Iterable):
        raise SettingError(f"vpn_networks: pass a list of networks, not {lines!r}")
    try:
        return Networks(lines)
    except SettingError as error:
        raise SettingError(f"vpn_networks: {error}") from None
