"""Look up a client address in a list of VPN networks, and in a database of countries."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Any

from ..errors import SettingError


class Networks:
    """A set of networks.

    :param lines: networks such as `192.0.2.0/24`, or addresses. Empty lines and lines that begin with `#` are ignored.
    :raises SettingError: a line is not a network; the message begins with the line's number.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        networks = [network for number, line in enumerate(lines, start=1) if (network := _parse(number, line))]
        self.ranges = {
            version: sorted((int(network[0]), int(network[-1])) for network in collapsed)
            for version, collapsed in (
                (4, collapse_addresses(network for network in networks if isinstance(network, IPv4Network))),
                (6, collapse_addresses(network for network in networks if isinstance(network, IPv6Network))),
            )
        }

    def __contains__(self, address: str) -> bool:
        """Return whether an address is in one of the networks. Return False for a string that is not an address."""
        if not any(self.ranges.values()):  # most installations have no list
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        ranges = self.ranges[parsed.version]
        index = bisect_right(ranges, int(parsed), key=lambda bounds: bounds[0]) - 1
        return index >= 0 and int(parsed) <= ranges[index][1]


def _parse(number: int, line: str) -> IPv4Network | IPv6Network | None:
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise SettingError(f"line {number} must be a network such as 192.0.2.0/24, not {text[:50]!r}") from None


def is_private(address: str) -> bool:
    """Return whether a proxy on this machine or its network may have the address.

    This is true for private addresses, and for "", which is the address of a client of a UNIX socket.
    """
    try:
        return ip_address(address).is_private
    except ValueError:
        return True


class Countries:
    """A database of countries in MaxMind's format (MMDB).

    :raises SettingError: the file cannot be read, or the package maxminddb is missing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            import maxminddb
        except ModuleNotFoundError:
            raise SettingError("it needs the package maxminddb: pip install '.[geoip]' in the source folder") from None
        try:
            self.reader: Any = maxminddb.open_database(path)
        except OSError as error:
            raise SettingError(f"{os.fspath(path)}: {error.strerror}") from None
        except maxminddb.InvalidDatabaseError:
            raise SettingError(f"{os.fspath(path)}: this is not an MMDB file") from None

    def find(self, address: str) -> str | None:
        """Return the country code of an address, or None if it is unknown."""
        try:
            row = self.reader.get(address)
        except ValueError:  # not an address, or an IPv6 address in a database for IPv4
            return None
        country = row.get("country") if isinstance(row, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) else None
