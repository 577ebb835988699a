"""Limit the number of leads from one address, so that a program cannot fill the list of leads."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Final

from ..database import Transaction
from ..errors import RequestError
from ..values.calendar import HOUR_MS

MAX_PER_HOUR: Final = 10

SELECT_RECENT: Final = """
select received_at
from collector_leads
where sender = :sender and received_at > :since
order by received_at desc
limit :number
"""

INSERT: Final = """
insert into collector_leads (event_id, sender, received_at)
values (:event_id, :sender, :received_at)
"""

# Two concurrent transactions with leads conflict, because both update this row. The later transaction is retried. It
# then finds the leads of the earlier transaction, one of which may have the same e-mail address.
LOCK: Final = """
update secrets set value = value
where name = :name
"""


class TooManyLeads(RequestError):
    """The address has sent MAX_PER_HOUR leads within an hour."""

    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"At most {MAX_PER_HOUR} forms an hour can be sent from an address")
        self.headers = (("Retry-After", str(retry_after)),)


def check_limit(at: Transaction, sender: str, number: int, now: int) -> None:
    """Check that the sender may send more leads.

    :param number: the number of further leads.
    :raises TooManyLeads: the sender would have sent more than MAX_PER_HOUR within an hour.
    """
    recent = [
        row["received_at"] for row in at.rows(SELECT_RECENT, sender=sender, since=now - HOUR_MS, number=MAX_PER_HOUR)
    ]
    excess = len(recent) + number - MAX_PER_HOUR
    if excess > 0:
        oldest = recent[-min(excess, len(recent))] if recent else now
        raise TooManyLeads(max(1, -(-(oldest + HOUR_MS - now) // 1000)))


def add_sender(at: Transaction, event_id: str, sender: str, now: int) -> None:
    """Count a lead of the sender."""
    at.execute(INSERT, event_id=event_id, sender=sender, received_at=now)


def network_of(address: str) -> str:
    """Return an IPv4 address unchanged, and the /64 network of an IPv6 address, because one customer has all of it."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(int(parsed) >> 64) + "/64" if isinstance(parsed, IPv6Address) else address
