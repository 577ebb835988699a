"""Send SQL injections in every parameter and header: a list of known strings, then sqlmap if it is installed."""

import hashlib
import json
import shutil
import subprocess
import time
from urllib.parse import quote

from common import KEY, filled, folder, serving, tell, verify_history

from analytics_api import open_database

STRINGS = [
    "'", "''", '"', "`", "\\", "\\'", "%27", "';", "'--", "'/*", "' or '1'='1", "' or 1=1--", '" or ""="', "1 or 1=1",
    "1) or (1=1", "') or ('1'='1", "' or 1=1 limit 1 offset 1--", "1' and '1'='2", "1 and 1=2",
    "' union select null--", "1 order by 99--",
    "' union select name,digest,scopes,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1 from api_keys--", "1; drop table leads",
    "'; drop table leads;--", "'; delete from leads; --", "'; update leads set status='won'; --",
    "'; pragma writable_schema=1; --", "'; attach 'x.db' as x; --", "' and randomblob(500000000) and '1'='1",
    "1 and 1=randomblob(900000000)", "' and (select count(*) from sqlite_schema,sqlite_schema)--",
    "'||(select digest from api_keys)||'", "case when 1=1 then 1 else 2 end", "(select 1)", "newest,(select 1)",
    "newest; --", "lead_id", "load_extension('x')", "' and load_extension('x')--", "'; select pg_sleep(5)--",
    "1; waitfor delay '0:0:5'--", "' and sleep(5)#", "sleep(5)", '"*" OR contact_name:*', 'lead_search: "a"',
    "a* NOT b", "NEAR(a b, 5)", "^ann", "{contact_name}: ann", '" OR "', "ann*", "rank:", "(", ")", ":limit",
    ":status", "?1", "$1", "@x", "%s", "%(status)s", "{0}", "%%%%%%%%", "_____", "%_\\", "\x00' or 1=1--",
    "ʼ or 1=1--", "＇ or 1=1--",
]  # fmt: skip
PARAMETERS = {
    "/analytics/sessions/daily": {"days": "30"},
    "/analytics/pages/top": {"limit": "20"},
    "/analytics/sources": {"limit": "100"},
    "/analytics/leads": {"limit": "25", "offset": "0", "q": "ann", "status": "new", "sort": "newest"},
    "/analytics/leads/export": {"format": "csv", "q": "ann", "status": "new", "sort": "newest"},
}
HEADERS = [
    "X-API-Key",
    "Authorization",
    "If-None-Match",
    "X-Request-ID",
    "Origin",
    "User-Agent",
    "Referer",
    "Cookie",
    "Accept",
]


def digest(path):
    """Return a digest of the rows of each STRICT table, by the table's name.

    The scratch tables of triggers and the search index, which are not STRICT, are omitted.
    """
    with open_database(path).closing() as database:
        tables = database.rows(
            "select name from sqlite_schema where type = 'table' and sql like '%strict%' order by name"
        )
        return {
            table["name"]: hashlib.sha256(
                json.dumps(database.rows(f'select * from "{table["name"]}" order by 1'), default=repr).encode()
            ).hexdigest()
            for table in tables
        }


def send_strings(server):
    """Send each string in each place, and return the number of requests and the duration of the slowest in seconds."""
    requests, slowest = 0, 0.0

    def ask(method, path, body=None, headers=None, least=None):
        nonlocal requests, slowest
        begun = time.monotonic()
        status, _, content = server.request(method, path, body, {"X-API-Key": KEY, **(headers or {})})
        took = time.monotonic() - begun
        assert status in (200, 304, 400, 401, 404), (path, status, content)
        assert took < 3, (path, took)
        assert b"sqlite" not in content.lower()
        assert b"syntax" not in content.lower()
        requests, slowest = requests + 1, max(slowest, took)
        return status, content

    for text in STRINGS:
        quoted = quote(text, safe="")
        for path, parameters in PARAMETERS.items():
            for name in parameters:
                query = "&".join(
                    f"{other}={quoted if other == name else quote(value)}" for other, value in parameters.items()
                )
                status, content = ask("GET", f"{path}?{query}")
                if name == "q" and status == 200 and path == "/analytics/leads":
                    total = json.loads(content)["total"]
                    assert total == 0 or text in ("(", ")"), (text, total)  # no lead contains the string
                elif name != "q":
                    assert status == 400, (path, name, text, status)
        for method in ("GET", "PATCH"):
            status, _ = ask(method, f"/analytics/leads/{quoted}", '{"status": "won"}' if method == "PATCH" else None)
            assert status in (400, 404), (text, status)
        status, _ = ask("PATCH", "/analytics/leads/1", json.dumps({"status": text}))
        assert status == 404, (text, status)
        for header in HEADERS:
            value = text.replace("\x00", "").encode()
            status, content = ask("GET", "/analytics/geo", headers={header: value})
            assert status == (401 if header == "X-API-Key" else 200), (header, text, status)
    return requests, slowest


def sqlmap(server, path, target, *options):
    """Run sqlmap on a target; return True if it finds nothing."""
    command = ["sqlmap", "-u", f"http://127.0.0.1:{server.address[1]}{target}", "--batch", "--flush-session"]
    command += ["--disable-coloring", "--dbms=sqlite", "--ignore-code=400,401,404", "--threads=4", "--timeout=10"]
    command += ["--level=3", "--risk=2", "--output-dir", path / "sqlmap", *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=170, stdin=subprocess.DEVNULL)
    assert "all tested parameters do not appear to be injectable" in run.stdout, run.stdout[-3000:] + run.stderr
    assert "is vulnerable" not in run.stdout
    return True


def main():
    with folder() as path:
        filled(path / "analytics.db")
        with serving(path, "--workers", "2", "--threads", "4") as server:
            before = digest(path / "analytics.db")
            requests, slowest = send_strings(server)
            assert digest(path / "analytics.db") == before
            tell(
                f"{len(STRINGS)} strings in every parameter, path, body and header",
                f"{requests:,} requests, each string was treated as plain text, slowest {slowest * 1000:.0f} ms,"
                " no row of the database changed",
            )
            if shutil.which("sqlmap") is None:
                tell("sqlmap", "is not installed")
                return
            version = subprocess.run(["sqlmap", "--version"], capture_output=True, text=True).stdout.split()[0]
            key = ["--headers", f"X-API-Key: {KEY}"]
            leads = "/analytics/leads?limit=25&offset=0&q=ann&status=new&sort=newest"
            runs = [
                (leads, *key),
                ("/analytics/leads/1*", *key),
                ("/analytics/pages/top?limit=20", *key),
                ("/analytics/sessions/daily?days=30", *key),
                ("/analytics/leads/1", "--method=PATCH", '--data={"status": "won*"}', *key),
                ("/analytics/geo", "--headers", "X-API-Key: x*\nAuthorization: Bearer y*\nX-Request-ID: z*"),
            ]
            begun = time.monotonic()
            clean = [sqlmap(server, path, *run) for run in runs]
            took = time.monotonic() - begun
            lines = len(server.lines())
        with open_database(path / "analytics.db").closing() as database:
            verify_history(database)
        assert "Traceback" not in server.log.read_text()
        tell(
            f"sqlmap {version}",
            f"{len(clean)} runs, {lines - requests:,} requests in {took:.0f} s: nothing is injectable",
        )


main()
