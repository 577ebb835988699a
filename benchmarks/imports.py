"""Compare the CPU time of `analytics-api import` in several source trees, in one run.

    python -m benchmarks.imports [--sessions 60000] [--rounds 3] [TREE ...]

Without trees, only this one is measured. All trees run with this Python and its packages, and import the same files in
turn. The files are imported into new databases, and a few rows into a database with many. Times are the user and system
seconds of the process, so that other programs have little effect. Ratios are to the first tree.
"""

import argparse
import csv
import os
import random
import resource
import statistics
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from .machine import ROOT

BEGIN = 1_767_225_600_000  # 2026-01-01
DAY = 86_400_000
DAYS = 60
SHARE_OF_APPENDED = 20  # the database has 20 times as many rows as are appended to it later
COLUMNS = (
    "session_id", "visitor_id", "fingerprint", "started_at", "ended_at", "duration", "event_count", "entry_page",
    "exit_page", "country", "referrer", "referrer_domain",
)  # fmt: skip
EVENT_COLUMNS = ("event_id", "session_id", "event_type", "page_url", "occurred_at")
REFERRERS = (("", ""), ("https://www.google.com/", "www.google.com"), ("https://bing.com/x", "bing.com"))
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:38.0) Gecko/20100101 Firefox/38.0"
RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from analytics_api.cli import main; main()"


def sessions(first, number, draw):
    """Return rows of COLUMNS with random times, and with two sessions per visitor on average."""
    rows = []
    for place in range(first, first + number):
        instant, duration, visitor = BEGIN + draw.randrange(DAYS * DAY), draw.randrange(600_000), draw.randrange(30_000)
        referrer, domain = draw.choice(REFERRERS)
        row = (f"s{place}", f"v{visitor}", f"f{visitor}", instant, instant + duration, duration, 2, "/", "/b",
               draw.choice(("IN", "DE", "US")), referrer, domain)  # fmt: skip
        rows.append(row)
    return rows


def events(first, rows, draw):
    """Return rows of EVENT_COLUMNS, two to three for each session."""
    return [
        (place, row[0], "page_view", f"/p{draw.randrange(200)}", row[3] + draw.randrange(600_000))
        for place, row in enumerate((row for row in rows for _ in range(draw.choice((2, 3)))), start=first)
    ]


def log_line(place, draw):
    instant = datetime.fromtimestamp(BEGIN / 1000 + place * 8, timezone.utc)
    address = f"203.0.{draw.randrange(60)}.{draw.randrange(250)}"
    referrer = draw.choice(("-", "https://www.google.com/"))
    return (
        f'{address} - - [{instant:%d/%b/%Y:%H:%M:%S +0000}] "GET /p{draw.randrange(200)} HTTP/1.1" 200 512 '
        f'"{referrer}" "{USER_AGENT}"\n'
    )


def write_csv(path, columns, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def write_files(folder, number):
    """Write the files. Return, for each import, the files to import before it, and the files to measure."""
    draw = random.Random(3)
    many, few = sessions(0, number, draw), sessions(number, number // SHARE_OF_APPENDED, draw)
    views, few_views = events(1, many, draw), events(3 * number, few, draw)
    paths = {name: folder / name for name in ("s.csv", "e.csv", "more-s.csv", "more-e.csv", "d.sql", "l.log")}
    write_csv(paths["s.csv"], COLUMNS, many)
    write_csv(paths["e.csv"], EVENT_COLUMNS, views)
    write_csv(paths["more-s.csv"], COLUMNS, few)
    write_csv(paths["more-e.csv"], EVENT_COLUMNS, few_views)
    with paths["d.sql"].open("w") as file:
        file.write(f"create table sessions ({', '.join(COLUMNS)});\n")
        for row in many:
            values = ",".join(str(value) if isinstance(value, int) else f"'{value}'" for value in row)
            file.write(f"INSERT INTO sessions VALUES({values});\n")
    with paths["l.log"].open("w") as file:
        file.writelines(log_line(place, draw) for place in range(number * 5 // 2))
    return {
        "CSV of sessions": ([], [paths["s.csv"]]),
        "CSV of sessions, CSV of events": ([], [paths["s.csv"], paths["e.csv"]]),
        "SQL dump of sessions": ([], [paths["d.sql"]]),
        "access log": ([], [paths["l.log"]]),
        "a few sessions more": ([paths["s.csv"], paths["e.csv"]], [paths["more-s.csv"]]),
        "a few sessions and events more": (
            [paths["s.csv"], paths["e.csv"]], [paths["more-s.csv"], paths["more-e.csv"]],
        ),
    }  # fmt: skip


def imported(tree, database, files):
    """Import files, and return the CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", RUN, tree, "import", "-d", database, *files]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(tree, folder, before, files):
    database = folder / "measured.db"
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    if before:
        imported(tree, database, before)
    return imported(tree, database, files)


def main():
    parser = argparse.ArgumentParser("python -m benchmarks.imports", description=__doc__.partition("\n")[0])
    parser.add_argument("trees", nargs="*", type=Path, default=[ROOT], metavar="TREE")
    parser.add_argument("--sessions", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    trees = [tree.resolve() for tree in options.trees]
    os.environ.pop("PYTHONPATH", None)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for label, (before, files) in write_files(folder, options.sessions).items():
            seconds = {tree: [] for tree in trees}
            for number in range(options.rounds):
                for tree in trees if number % 2 else trees[::-1]:
                    seconds[tree].append(measured(tree, folder, before, files))
            medians = [statistics.median(seconds[tree]) for tree in trees]
            ratios = " ".join(f"{median:6.2f} s ({median / medians[0]:.2f}x)" for median in medians)
            print(f"{label:32} {ratios}", flush=True)


if __name__ == "__main__":
    main()
