"""Describe the machine and the software versions of a measurement."""

import os
import platform
import sqlite3
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
GENERATED = (":!benchmarks/RESULTS.md", ":!benchmarks/results", ":!benchmarks/plots")  # files that the benchmark writes
PACKAGES = ("werkzeug", "gunicorn", "granian", "flask", "fastapi", "uvicorn", "datasette", "pysqlite3-binary")


def described():
    """Return the properties of the machine and the versions of the software, as text by name."""
    processor = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "taken": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "processor": processor[0].partition(":")[2].strip() if processor else platform.processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    } | {package: version(package) for package in PACKAGES}


def _commit():
    if not (commit := _git("rev-parse", "--short=12", "HEAD")):
        return "unknown"
    return commit + (" and changes" if _git("status", "--short", "-uno", "--", ".", *GENERATED) else "")


def _git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()
