"""Write RESULTS.md and its plots from the files in results/."""

import json

from . import drawing
from .findings import Figure, Findings
from .machine import ROOT

FOLDER = ROOT / "benchmarks"
RESULTS = FOLDER / "results"
PLOTS = FOLDER / "plots"

HEAD = """# Results

`make bench` writes this file, on Linux with `wrk` installed; [README.md](README.md) describes its options. A figure is
the median, followed by the 10th and the 90th percentile. Programs that are compared run in turn, and a ratio is of two
measurements of the same round. Absolute times depend on the machine.
"""


def keep(part, machine, findings):
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine, "findings": findings.data()}, indent=1, ensure_ascii=False)
    (RESULTS / f"{part}.json").write_text(text + "\n", encoding="utf-8")


def write(parts):
    """Write the report from the last results of `parts`, in this order."""
    results = {}
    for part in parts:
        if (RESULTS / f"{part}.json").exists():
            data = json.loads((RESULTS / f"{part}.json").read_text(encoding="utf-8"))
            results[part] = (data["machine"], Findings.of(data["findings"]))
    PLOTS.mkdir(exist_ok=True)
    for stale in PLOTS.glob("*.svg"):
        stale.unlink()
    pieces = [HEAD, *machines(results), *bars(results)]
    for _, findings in results.values():
        pieces += section(findings)
    (FOLDER / "RESULTS.md").write_text("\n".join(pieces), encoding="utf-8")


def machines(results):
    """Return a table that describes the machine, and a table with the date and commit of each part."""
    yield "## Machine\n"
    own = ("taken", "commit")
    versions = {}
    for part, (machine, _) in results.items():
        rest = tuple((name, value) for name, value in machine.items() if name not in own)
        versions.setdefault(rest, []).append(part)
    for rest, parts in versions.items():
        if len(versions) > 1:
            yield f"For {', '.join(parts)}:\n"
        yield table(["", ""], [[name, value] for name, value in rest])
    yield table(["part", *own], [[part, *(machine[name] for name in own)] for part, (machine, _) in results.items()])


def bars(results):
    yield "## Targets\n"
    claims = [claim for _, findings in results.values() for claim in findings.claims]
    judged = [claim for claim in claims if not claim.scale]
    left = len(claims) - len(judged)
    yield f"{sum(map(met, judged))} of {len(judged)} are met; {left} others have a size that was not measured.\n"
    yield table(
        ["", "bar", "measured", ""],
        [
            [
                claim.what,
                f"{'at least' if claim.least else 'at most'} {number(claim.bar, claim.figure.unit)}",
                claim.figure,
                verdict(claim),
            ]
            for claim in claims
        ],
    )


def met(claim):
    return claim.figure.median >= claim.bar if claim.least else claim.figure.median <= claim.bar


def verdict(claim):
    by = claim.figure.median / claim.bar if claim.bar and claim.figure.median else 1.0
    by = max(by, 1 / by)
    if claim.scale:
        return f"not judged: {claim.scale}"
    return f"met by {by:.2f} times" if met(claim) else f"**missed by {by:.2f} times**"


def section(findings):
    yield f"## {findings.title}\n"
    yield from (f"{note}\n" for note in findings.notes)
    for one in findings.tables:
        yield f"### {one.title}\n"
        yield table(one.head, one.rows)
    for plot in findings.plots:
        (PLOTS / f"{plot.name}.svg").write_text(drawing.drawn(plot), encoding="utf-8")
        yield f"![{plot.title}](plots/{plot.name}.svg)\n"


def table(head, rows):
    lines = [head, ["---", *("---:" for _ in head[1:])], *([cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cell(value):
    if not isinstance(value, Figure):
        return str(value)
    if value.low == value.high:
        return number(value.median, value.unit)
    return f"{number(value.median, value.unit)} ({number(value.low, value.unit)} – {number(value.high, value.unit)})"


def number(value, unit):
    if unit == "s":
        for size, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if value >= size or name == "µs":
                return f"{three(value / size)} {name}"
    return three(value) + {"/s": "/s", "x": "×", "MB": " MB"}.get(unit, "")


def three(value):
    """Format a number with three significant digits, but with all digits before the decimal point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
