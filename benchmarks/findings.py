"""The results of a part of the benchmark: figures, tables, claims and plots.

They are stored as JSON, so that the report can be written without measuring again.
"""

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A median with the 10th and 90th percentiles. `unit` is `s`, `/s`, `x`, `MB`, or empty for a number."""

    median: float
    low: float
    high: float
    unit: str = "s"

    @classmethod
    def of(cls, samples, unit="s"):
        ordered = sorted(samples)
        last = len(ordered) - 1
        return cls(median(ordered), ordered[round(last * 0.1)], ordered[round(last * 0.9)], unit)


@dataclass(frozen=True)
class Claim:
    """A target and a measurement. The target is the maximum of the median, or the minimum if `least` is true.

    If the target is for another size of data, `scale` is the size of the measured data, and the target is not checked.
    """

    what: str
    bar: float
    figure: Figure
    least: bool = False
    scale: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text and figures."""

    title: str
    head: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True)
class Plot:
    """Lines of points on linear or logarithmic axes. If `kind` is `bars`, each line has one point and becomes a bar."""

    name: str
    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]
    kind: str = "log"


@dataclass
class Findings:
    """The results of a part of the benchmark. `notes` are paragraphs before the tables."""

    title: str
    notes: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)

    def data(self):
        return asdict(self)

    @classmethod
    def of(cls, data):
        def cell(value):
            return Figure(**value) if isinstance(value, dict) else value

        return cls(
            data["title"],
            data["notes"],
            [Claim(**{**claim, "figure": Figure(**claim["figure"])}) for claim in data["claims"]],
            [Table(t["title"], t["head"], [list(map(cell, row)) for row in t["rows"]]) for t in data["tables"]],
            [Plot(**plot) for plot in data["plots"]],
        )


def abbreviate(number):
    """Return 20_000 as `20k`, 2_000_000 as `2M`."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def parse_number(text):
    """Parse `20k` as 20_000.

    :raises ValueError: the text has another format.
    """
    size = {"k": 1_000, "M": 1_000_000}.get(text[-1:], 1)
    return round(float(text.rstrip("kM")) * size)
