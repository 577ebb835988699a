"""The WSGI application that sends the script to browsers, and receives the events that the script sends."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from werkzeug.wsgi import get_path_info

from ..database import Database
from ..errors import DatabaseError, Forbidden, InvalidRequest, RequestError, Unavailable
from ..http.environ import LATE_RESPONSE, REQUEST_ID, ROUTE
from ..http.origins import WarningLog
from ..http.representations import encode_json
from ..http.requests import read_body
from ..values.timestamps import shorten
from .batch import Arrival, Batch
from .hosts import Hosts, host_in
from .identity import Identity
from .machines import machine_reason
from .networks import Countries, Networks, is_private
from .parse import MAX_LEAD_BYTES, Event, TooLarge, parse_events
from .script import send_script
from .sources import Sources
from .tidy import tidy
from .writer import GroupWriter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

# Pages of any origin may read a reply, because it only says whether the events were accepted.
REPLY_HEADERS: Final = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "Retry-After"),
    ("Cache-Control", "no-store"),
)
PREFLIGHT_HEADERS: Final = (
    ("Access-Control-Allow-Methods", "POST"),
    ("Access-Control-Allow-Headers", "Content-Type"),
    ("Access-Control-Max-Age", "86400"),
)
CONTENT_TYPES: Final = ("", "text/plain", "application/json")

ADD_HOST: Final = "list the host in ANALYTICS_COLLECT_HOSTS, or in the argument hosts of create_collector"

# A server that listens on an IPv6 address sees an IPv4 address with this prefix, such as ::ffff:192.0.2.1.
MAPPED: Final = re.compile(r"^::ffff:(?=[0-9.]+$)", re.IGNORECASE)

NO_COUNTRY: Final = frozenset({"XX", "T1"})  # values of CF-IPCountry for unknown and Tor


class Collector:
    """Serve `GET /a.js` and `POST /collect`. Create it with `create_collector`."""

    paths = frozenset({"/a.js", "/collect"})

    def __init__(
        self,
        db: Database,
        hosts: Hosts,
        *,
        clock: Callable[[], int],
        trusted_proxies: int,
        countries: Countries | None,
        vpn_networks: Networks,
        contact_ip: bool,
    ) -> None:
        self.db = db
        self.hosts = hosts
        self.sources = Sources(hosts)
        self.identity = Identity(db)
        self.clock = clock
        self.trusted_proxies = trusted_proxies
        self.countries = countries
        self.vpn_networks = vpn_networks
        self.contact_ip = contact_ip
        self.warnings = WarningLog(log)
        self.writer = GroupWriter(self._write, self._tidy)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = get_path_info(environ)
        if path not in self.paths:
            return _send_error(environ, start_response, 404, "The collector has /a.js and /collect only")
        environ[ROUTE] = path
        method = environ["REQUEST_METHOD"]
        if path == "/a.js":
            if method not in ("GET", "HEAD"):
                return _send_error(environ, start_response, 405, "Method not allowed", (("Allow", "GET, HEAD"),))
            return send_script(environ, start_response)
        if method == "OPTIONS":
            return _send(start_response, 204, PREFLIGHT_HEADERS)
        if method != "POST":
            return _send_error(environ, start_response, 405, "Method not allowed", (("Allow", "OPTIONS, POST"),))
        try:
            arrival = self.read(environ)
            late = environ.get(LATE_RESPONSE)
            if late is None:
                self.writer.submit(arrival)
            else:
                self.writer.enqueue(arrival, lambda error: late.send(lambda: _reply(environ, start_response, error)))
                late.is_expected = True
        except Exception as error:
            return _reply(environ, start_response, error)
        return _reply(environ, start_response, None) if late is None else []

    def read(self, environ: WSGIEnvironment) -> Arrival:
        """Read and check a request. Return its events with the facts about the client.

        This method does not use the database, because a worker's main thread calls it, which must not wait.

        :raises RequestError: the request is invalid.
        """
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() not in CONTENT_TYPES:
            raise InvalidRequest("Content-Type must be text/plain or application/json")
        events = parse_events(read_body(environ, MAX_LEAD_BYTES, TooLarge))
        self._check_hosts(environ, events)
        address = self.client_address(environ)
        return Arrival(
            now=self.clock(),
            machine=machine_reason(environ, events),
            events=events,
            address=address,
            agent=environ.get("HTTP_USER_AGENT", ""),
            country=self._country(environ, address),
            vpn_suspected=address in self.vpn_networks,
            contact_ip=address if self.contact_ip else None,
        )

    def start(self) -> None:
        """Start the thread that writes events, ends sessions, and deletes old rows and salts.

        If this method is not called, the first event starts the thread.
        """
        self.writer.start()

    def close(self) -> None:
        """Stop the thread that writes events. The next event starts it again."""
        self.writer.close()

    def client_address(self, environ: WSGIEnvironment) -> str:
        """Return the address of the client, as the outermost trusted proxy saw it, or as this server sees it."""
        addresses: list[str] = [
            part.strip() for part in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()
        ]
        if self.trusted_proxies and len(addresses) >= self.trusted_proxies:
            return MAPPED.sub("", addresses[-self.trusted_proxies])
        address = MAPPED.sub("", str(environ.get("REMOTE_ADDR") or ""))
        if addresses and is_private(address):
            self.warnings.warn(
                f"the number of addresses in X-Forwarded-For is {len(addresses)}, but ANALYTICS_TRUSTED_PROXIES or "
                f"trusted_proxies is {self.trusted_proxies}: all visitors with the same browser count as one"
            )
        return address

    def _check_hosts(self, environ: WSGIEnvironment, events: Sequence[Event]) -> None:
        """Reject events of pages on other sites.

        This prevents mistakes, such as a copied page, but not forgery: a program can send any URL and Origin.
        """
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self.hosts.include_url(origin):
            raise self._foreign(f"The origin {shorten(origin)} is not one of this site's hosts; {ADD_HOST}")
        for event in events:
            if not self.hosts.include_url(event["url"]):
                host = host_in(event["url"])
                raise self._foreign(f"The host {shorten(host)} of a url is not one of this site's hosts; {ADD_HOST}")

    def _foreign(self, message: str) -> Forbidden:
        """Return the error for a host that is not listed, and log it once, because few people look at the response."""
        self.warnings.warn(f"events were rejected: {ascii(message)[1:-1]}")
        return Forbidden(message)

    def _country(self, environ: WSGIEnvironment, address: str) -> str | None:
        code = environ.get("HTTP_CF_IPCOUNTRY", "").upper() if self.trusted_proxies else ""
        if len(code) == 2 and code.isascii() and code.isalpha() and code not in NO_COUNTRY:
            return code
        return None if self.countries is None else self.countries.find(address)

    def _identify(self, arrival: Arrival) -> Arrival:
        now, events, identity = arrival.now, arrival.events, self.identity
        daily = identity.daily_visitor(arrival.address, arrival.agent, now)
        return arrival._replace(
            day=identity.salt(now).today.day,
            visitors=[identity.stored_visitor(event["visitor"]) if "visitor" in event else daily for event in events],
            sender=identity.sender(arrival.address) if any(event["type"] == "lead" for event in events) else "",
        )

    def _write(self, arrivals: Sequence[Arrival]) -> Mapping[int, Exception]:
        identified = [self._identify(arrival) for arrival in arrivals]
        return self.db.write(lambda at: Batch(at, self.sources).write(identified), pipeline=True)

    def _tidy(self) -> bool:
        self.identity.salt(self.clock())  # deletes old salts on a new day, even if nobody visits the site
        return self.db.write(lambda at: tidy(at, self.clock()))


def _reply(environ: WSGIEnvironment, start_response: StartResponse, error: Exception | None) -> list[bytes]:
    if error is None:
        return _send(start_response, 204)
    if isinstance(error, RequestError):
        return _send_error(environ, start_response, error.status, str(error), error.headers)
    if isinstance(error, DatabaseError):
        log.error("events cannot be written: %s", error)
        return _send_error(environ, start_response, 503, "The events cannot be written now", Unavailable.headers)
    log.error("events cannot be written", exc_info=error, extra={"fields": {"request_id": environ.get(REQUEST_ID)}})
    return _send_error(environ, start_response, 500, "The events cannot be written")


def _send(start_response: StartResponse, status: int, headers: Iterable[tuple[str, str]] = ()) -> list[bytes]:
    start_response(f"{status} {HTTPStatus(status).phrase}", [*REPLY_HEADERS, *headers])
    return []


def _send_error(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    status: int,
    message: str,
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    body = encode_json({"error": message})
    content = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    _send(start_response, status, (*headers, *content))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
