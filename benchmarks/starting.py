"""Measure how long `import analytics_api` takes, in new processes."""

import subprocess
import sys
import time

from .findings import Claim, Figure, Findings, Table
from .machine import ROOT

ROUNDS = 20
SLOWEST_SHOWN = 10  # number of modules in the report
STATEMENTS = {"empty": "pass", "package": "import analytics_api"}


def measure(options):
    taken = {name: [] for name in STATEMENTS}
    for _ in range(ROUNDS):
        for name, statement in STATEMENTS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
            taken[name].append(time.perf_counter() - begun)
    more = Figure.of([whole - empty for whole, empty in zip(taken["package"], taken["empty"])])
    output = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", STATEMENTS["package"]],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stderr  # fmt: skip
    lines = [line.removeprefix("import time:").split("|") for line in output.splitlines()[1:]]
    slowest = sorted(((int(own), module.strip()) for own, _, module in lines), reverse=True)[:SLOWEST_SHOWN]
    return Findings(
        "Starting",
        ["The duration of a new process that imports the package, minus that of an empty process."],
        [Claim("import of the package", 0.12, more)],
        [
            Table("Processes", ["", "start to end"], [[f"`{STATEMENTS[n]}`", Figure.of(taken[n])] for n in STATEMENTS]),
            Table(
                "The slowest modules (`-X importtime`)",
                ["", "itself"],
                [[f"`{module}`", Figure.of([own / 1e6])] for own, module in slowest],
            ),
        ],
    )
