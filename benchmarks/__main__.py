"""Measure, and write RESULTS.md.

    python -m benchmarks [--parts functions,leads] [--sizes 20k,200k,2M,20M] [--events 100M] [--leads 10k,100k,1M]

Without `--parts`, all parts are measured. For parts that are not measured, the report has their last results.
`--report` only writes the report.
"""

import argparse
import fcntl
import signal
import sys
import time
from contextlib import contextmanager
from importlib import import_module

from . import data, machine, report
from .findings import parse_number

PARTS = (
    "functions",
    "ranges",
    "ranges_postgresql",
    "filters",
    "leads",
    "customers",
    "throughput",
    "memory",
    "writing",
    "collecting",
    "engines",
    "starting",
)


def numbers(text):
    return sorted({parse_number(one) for one in text.split(",") if one})


def parts(text):
    names = [one for one in text.split(",") if one]
    if unknown := set(names) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: unknown; use some of {', '.join(PARTS)}")
    return names


def main():
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", type=parts, default=list(PARTS), help=f"some of {','.join(PARTS)}; by default all")
    parser.add_argument("--sizes", type=numbers, default="20k,200k,2M,20M", help="sizes of data sets, in events")
    parser.add_argument("--events", type=numbers, default="", help="additional sizes, such as 100M")
    parser.add_argument("--leads", type=numbers, default="10k,100k,1M", help="sizes of data sets, in leads")
    parser.add_argument("--report", action="store_true", help="only write the report")
    options = parser.parse_args()
    options.sizes = sorted({*options.sizes, *options.events})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # exit normally, so that servers are stopped
    with alone():
        for part in [] if options.report else options.parts:
            described = machine.described()  # fails if a package is missing, so it precedes the long measurement
            begun = time.monotonic()
            findings = import_module(f".{part}", __package__).measure(options)
            report.keep(part, described, findings)
            report.write(PARTS)
            print(f"{part}: {time.monotonic() - begun:.0f} s", flush=True)
        report.write(PARTS)


@contextmanager
def alone():
    """Take a lock, because concurrent runs would affect each other's results."""
    data.CACHE.mkdir(parents=True, exist_ok=True)
    with (data.CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another benchmark is running")
        yield


if __name__ == "__main__":
    main()
