"""Import malicious files. Check the memory and time of each import, and that it prints a line at its end."""

import gzip
import os
import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

from common import folder, tell

MAX_MEMORY_MIB = 500
MAX_SECONDS = 60
KILL_SECONDS = 100
ADDRESS_SPACE = 8 << 30  # bytes; limits the damage of a regression

# The large values are in events, because a large value in a lead takes a second to add to the search index.
EVENTS = "CREATE TABLE events(event_id INTEGER PRIMARY KEY, session_id, event_type, occurred_at, data);\n"
EVENT = "INSERT INTO events VALUES({n},'s','page_view',1764100000000,'{value}');\n"
LEADS = "CREATE TABLE leads(lead_id INTEGER PRIMARY KEY, enquiry_datetime TEXT, contact_name TEXT);\n"
ROW = "INSERT INTO leads VALUES({n},'2026-01-01 00:00:00',{value});\n"


def dump(value, rows=1):
    return (LEADS + "".join(ROW.format(n=n, value=value) for n in range(rows))).encode()


def sqlite_file(path, schema, rows):
    """Create an SQLite file. The rows are inserted first, and then `schema` replaces the schema in the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("create table leads (lead_id integer primary key, enquiry_datetime text, contact_name text)")
        connection.executemany("insert into leads values (?, '2026-01-01', ?)", rows)
        if schema:
            connection.execute("pragma writable_schema = on")
            connection.execute("update sqlite_master set sql = ?", (schema,))
    return path.read_bytes()


def wide_dump(value, rows):
    return (EVENTS + "".join(EVENT.format(n=n, value=value) for n in range(rows))).encode()


def wide_file(path, value, rows):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(EVENTS)
        statement = "insert into events values (?, 's', 'page_view', 1764100000000, ?)"
        connection.executemany(statement, ((n, value) for n in range(rows)))
    return path.read_bytes()


def files(path):
    """Return the functions that create each file, by the file's name."""
    generated = (
        "create table leads (lead_id integer primary key, enquiry_datetime text, contact_name text, "
        "g text not null generated always as ({}) virtual)"
    )
    swelling = "printf('%.*c',60000000,'x')"
    searching = "instr(printf('%.*c',60000000,'a'),printf('%.*c',30000000,'a')||'b')"
    wide = "\U0001f600" + "a" * 3_900_000  # Python stores this string with four bytes per character
    header = b"lead_id,enquiry_datetime,contact_name\n"
    return {
        "40 rows of printf.sql": lambda: dump(swelling, 40),
        "one row of instr.sql": lambda: dump(searching),
        "10 rows of nested replace.sql": lambda: dump("replace(" * 6 + "'a'" + ",'a','aaaaaaaaaa')" * 6, 10),
        "40 values of 3.9 MB.sql": lambda: wide_dump(wide, 40),
        "40 values of 3.9 MB.db": lambda: wide_file(path / "wide.db", wide, 40),
        "generated column of instr.db": lambda: sqlite_file(path / "g1.db", generated.format(searching), [(1, "x")]),
        "generated column of printf.db": lambda: sqlite_file(path / "g2.db", generated.format(swelling), [(1, "x")]),
        "40 texts of 3.9 MB.csv": lambda: b"".join(
            [b"event_id,session_id,event_type,occurred_at,data\n"]
            + [b"%d,s,page_view,1764100000000,%s\n" % (n, wide.encode()) for n in range(40)]
        ),
        "40 texts of 3.9 MB.ndjson": lambda: b"".join(
            b'{"event_id":%d,"session_id":"s","event_type":"page_view","occurred_at":1764100000,"data":"%s"}\n'
            % (n, wide.encode())
            for n in range(40)
        ),
        "a quote that is never closed.csv": lambda: header + b'1,2026-01-01,"' + b"x\n" * 200_000,
        "a line of 200 MB.csv.gz": lambda: gzip.compress(header + b"1," + b"0" * 200_000_000, 1),
        "20,000 names of columns.ndjson": lambda: b"".join(b'{"lead_id":%d,"c%d":1}\n' % (n, n) for n in range(20_000)),
    }


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def import_of(path, name, data):
    """Import a file, and return the seconds and the lines of output."""
    file = path / name
    file.write_bytes(data)
    command = [
        sys.executable,
        "-c",
        "from analytics_api.cli import main; main()",
        "import",
        "-d",
        "target.db",
        "--rejects",
        "rejects.tsv",
        name,
    ]
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=limit, env={**os.environ}
    )
    try:
        output = process.communicate(timeout=KILL_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate()[0] + b"killed"
    seconds = time.monotonic() - started
    for rest in path.glob("target.db*"):
        rest.unlink()
    file.unlink()
    lines = output.decode(errors="replace").splitlines() or [""]
    return seconds, lines


def main():
    with folder() as path:
        for name, make in files(path).items():
            data = make()
            # RUSAGE_CHILDREN has the maximum memory of all earlier child processes. Therefore each file is imported by
            # a child of a new process.
            reader, writer = os.pipe()
            child = os.fork()
            if not child:
                seconds, lines = import_of(path, name, data)
                memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
                os.write(writer, f"{seconds}\t{memory}\t{lines[-1][:150]}".encode())
                os._exit(0)
            os.close(writer)
            with os.fdopen(reader) as pipe:
                seconds, memory, last = pipe.read().split("\t")
            os.waitpid(child, 0)
            tell(f"{name} ({len(data):,} bytes)", f"{float(seconds):.1f} s, {float(memory):.0f} MiB: {last}")
            if "COMPARE" not in os.environ:
                assert float(memory) < MAX_MEMORY_MIB, name
                assert float(seconds) < MAX_SECONDS, name
                assert "Traceback" not in last, name


main()
