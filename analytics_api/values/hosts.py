"""Normalize host names and URL paths."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import unquote_to_bytes

from ..errors import IngestError

MAX_HOST_LENGTH = 253

AUTHORITY = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#\\]*)", re.IGNORECASE)
HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
IP_V6 = re.compile(r"\[([0-9a-f:.]+)\](?::[0-9]*)?", re.IGNORECASE)
PORT = re.compile(r":[0-9]*\Z")
DOTS = re.compile("[.\u3002\uff0e\uff61]")  # the label separators of IDNA

UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# A percent-encoded byte, or a byte that is neither reserved nor unreserved (RFC 3986, section 2).
NOT_PLAIN = re.compile(rb"%[0-9A-Fa-f]{2}|[^A-Za-z0-9._~/?:@!$&'()*+,;=#\[\]%-]")


@lru_cache(maxsize=20_000)
def normalize_host(value: str) -> str | None:
    """Return the normalized host of a host name, an authority or a URL, or None if the host is invalid.

    A normalized host is in lower case and punycode, without user, port, `www.` and trailing dot. An IPv6 address is
    compressed and in brackets.
    """
    value = value.strip()
    match = AUTHORITY.match(value)
    authority = match[1] if match else value.removeprefix("//")
    authority = authority.rpartition("@")[2]
    if not match and re.search(r"[/?#]", authority):
        authority = re.split(r"[/?#]", authority, maxsplit=1)[0]
    if authority.startswith("["):
        return _normalize_ip_v6(authority)
    host = PORT.sub("", authority)
    if "%" in host:
        try:
            host = unquote_to_bytes(host).decode()
        except UnicodeDecodeError:
            return None
    host = host.lower().rstrip(".")
    if not host.isascii():
        host = _to_punycode(host) or ""
    host = strip_www(host)
    return host if len(host) <= MAX_HOST_LENGTH and HOST.fullmatch(host) else None


def host_of_url(url: str) -> str | None:
    """Return the normalized host of an absolute URL, or None if the text is not an absolute URL."""
    return normalize_host(url) if AUTHORITY.match(url) else None


def strip_www(host: str) -> str:
    """Remove `www.`, unless the rest has no dot: `www.com` is not changed."""
    while host.startswith("www.") and "." in host[4:]:
        host = host[4:]
    return host


def normalize_path(path: bytes) -> str:
    """Normalize the percent-encoding of a path and query (RFC 3986, section 6.2.2).

    Bytes that are not allowed in a URL are encoded as `%XX` with upper-case digits. Encoded letters, digits and `-._~`
    are decoded. A `%` that is not followed by two hexadecimal digits is not changed.
    """
    return NOT_PLAIN.sub(_encode, path).decode("ascii")


def _encode(match: re.Match[bytes]) -> bytes:
    text = match[0]
    if len(text) == 1:
        return b"%%%02X" % text[0]
    code = int(text[1:], 16)
    return bytes([code]) if code in UNRESERVED else text.upper()


def _to_punycode(host: str) -> str | None:
    """Convert an internationalized host name to punycode. Python's own codec implements only IDNA 2003."""
    try:
        import idna
    except ModuleNotFoundError:
        raise IngestError("international host names need idna: pip install '.[server]' in the source folder") from None
    try:
        labels = [label if label.isascii() else idna.encode(label, uts46=True).decode() for label in DOTS.split(host)]
    except (idna.IDNAError, UnicodeError):
        return None
    return ".".join(labels)


def _normalize_ip_v6(authority: str) -> str | None:
    match = IP_V6.fullmatch(authority)
    try:
        return f"[{IPv6Address(match[1]).compressed}]" if match else None
    except AddressValueError:
        return None
