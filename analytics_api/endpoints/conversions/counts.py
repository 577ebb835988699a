"""The rows of conversions: keys, counts, rates and medians."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypedDict, get_args

from ...database import Database
from ...values.calendar import DAY_MS, Interval
from ...values.rounding import mean

By = Literal["source", "country", "entry_page", "campaign", "project", "day", "week", "month", "total"]
BY: Final[tuple[By, ...]] = get_args(By)
Attribution = Literal["last", "first"]
ATTRIBUTIONS: Final[tuple[Attribution, ...]] = get_args(Attribution)
UNKNOWN: Final = "(unknown)"
NONE: Final = "(none)"
ALL: Final = "(all)"  # the key of the only row by `total`


class ConversionCounts(TypedDict):
    sessions: int | None
    leads: int
    won: int
    lost: int
    open: int
    lead_rate: float | None
    win_rate: float | None
    median_days_to_lead: float | None
    median_days_to_won: float | None


class ConversionKey(TypedDict, total=False):
    source: str
    country: str
    entry_page: str
    campaign: str
    project: str
    day: str
    week: str
    month: str
    total: str


class EarlierConversion(ConversionCounts, ConversionKey):
    pass


class Conversion(EarlierConversion, total=False):
    previous: EarlierConversion


@dataclass
class LeadCounts:
    """The leads with one key.

    :param to_lead: the durations from the first session to the enquiry, in milliseconds.
    :param to_won: the durations from the enquiry to the last move to won, in milliseconds.
    """

    count: int = 0
    won: int = 0
    lost: int = 0
    to_lead: list[int] = field(default_factory=list)
    to_won: list[int] = field(default_factory=list)

    def add(self, count: int, won: int, lost: int, to_lead: str | None, to_won: str | None) -> None:
        self.count += count
        self.won += won
        self.lost += lost
        self.to_lead += _split(to_lead)
        self.to_won += _split(to_won)

    def describe(self, sessions: int | None) -> ConversionCounts:
        return {
            "sessions": sessions,
            "leads": self.count,
            "won": self.won,
            "lost": self.lost,
            "open": self.count - self.won - self.lost,
            "lead_rate": _rate(self.count, sessions),
            "win_rate": _rate(self.won, self.won + self.lost),
            "median_days_to_lead": _median_days(self.to_lead),
            "median_days_to_won": _median_days(self.to_won),
        }


@dataclass(frozen=True)
class Request:
    """The arguments of a request, and the database."""

    db: Database
    by: By
    attribution: Attribution

    @property
    def interval(self) -> Interval | None:
        """The interval of each row, or None if the rows are not by day, week or month."""
        return self.by if self.by == "day" or self.by == "week" or self.by == "month" else None


def _split(numbers: str | None) -> list[int]:
    return [int(number) for number in numbers.split(",")] if numbers else []


def _rate(part: int, whole: int | None) -> float | None:
    return mean(part, whole, parts=10_000) if whole else None


def _median_days(durations: list[int]) -> float | None:
    """Return the median in days. For an even number of values, it is the mean of the two in the middle."""
    if not durations:
        return None
    durations.sort()
    middle = len(durations) // 2
    return mean(durations[middle] + durations[-1 - middle], 2, DAY_MS, parts=100)
