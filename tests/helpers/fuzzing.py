"""Generate random and malformed requests, and check rules that every response must satisfy."""

import io
import json
import random
from wsgiref.validate import validator

from analytics_api.middleware.auth import extract_keys
from analytics_api.openapi import document
from helpers.client import KEY

PATHS = [*document()["paths"], "/analytics", "/", "/healthz", "/readyz", "/openapi.json", "/metrics", "*"]
NAMES = ["limit", "offset", "q", "status", "sort", "days", "format", "", "limit[]", "LIMIT", "q\0", "é"]
TEXTS = [
    "", "0", "1", "-1", "+5", " 7 ", "30", "100", "101", "1e9", "1.5", "0x10", "٣", "9" * 25, "-" + "9" * 5000, "NaN",
    "null", "new", "NEW", " won ", "none", "newest", "name_asc", "csv", "ndjson", "xml", "ann", "a", "zz", "%", "_",
    "%%", "\\", "'", '"', "''", "\"*\"", "ann OR ben", "NEAR(a b)", "*", "^a", "-", "{}", "col:ann", "\0", "\x00ann",
    "\n", "\r\nX-Evil: 1", "\x1f", "\x7f", "é", "İ", "ß", "ſ", "K", "日本語", "🙂", "\ud83d", "\ufffe", "‮", "x" * 1000,
    "x" * 1001, "é" * 3000, "../../etc/passwd", "<script>", "${7*7}", "{{7*7}}", "' or 1=1 --",
    "'; drop table leads; --", "1 union select * from api_keys", "%00", "%ff", "%c3%28", "+", "&", "=", ";",
]  # fmt: skip
METHODS = ["GET"] * 10 + ["PATCH"] * 6 + ["HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE"]
BODIES = [
    b"", b"{}", b"[]", b"null", b"1", b'"won"', b'{"status": "won"}', b'{"status": " LOST "}', b'{"status": "none"}',
    b'{"status": null}', b'{"status": ["won"]}', b'{"status": {"status": "won"}}', b'{"status": "\\u0000"}',
    b'{"status": "\\ud800"}', b'{"status": 1e999}', b'{"status": "won", "status": "lost"}',
    b'{"status": "won", "lead_id": 9, "changed_by": "x"}', b"{" * 5000, b"[" * 100_000, b"\xff\xfe{}",
    b'\xef\xbb\xbf{"status": "won"}', b'{"status": "won"', b"status=won", b"x" * 70_000,
    b'{"a":' + b"9" * 5000 + b"}", b"NaN",
]  # fmt: skip
HEADERS = {
    "HTTP_IF_NONE_MATCH": ["*", '"x"', "W/", '"', ",,,", "x" * 5000, "\xff"],
    "HTTP_ORIGIN": ["null", "https://dashboard.example", "https://evil.example", "\xff", "x" * 5000],
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": ["PATCH", "", "\xff"],
    "HTTP_X_REQUEST_ID": ["a", "x" * 500, "\xff", "a b", 'a"b'],
    "HTTP_X_FORWARDED_FOR": ["1.2.3.4", ",,,", "\xff", "x" * 2000],
    "HTTP_X_FORWARDED_PREFIX": ["/x", "\xff", ",", "//", "/analytics/leads"],
    "HTTP_X_FORWARDED_HOST": ["evil.example", "\xff", "a, b"],
    "HTTP_X_FORWARDED_PORT": ["443", "x", "\xff", "-1"],
    "HTTP_X_FORWARDED_PROTO": ["https", "http"],
    "HTTP_HOST": ["", "shop.example:99999", "[::1", "\xff"],
    "HTTP_ACCEPT": ["text/html", "\xff"],
    "HTTP_COOKIE": ["a=b", "\xff"],
    "CONTENT_TYPE": ["application/json", "text/plain", "multipart/form-data; boundary=x", "\xff", ""],
    "HTTP_AUTHORIZATION": ["Bearer x", "Bearer", "Basic x", "\xff", "Bearer " + "x" * 9000],
}


def to_environ(text):
    """Encode text as in the environ: its UTF-8 bytes decoded as Latin-1 (PEP 3333)."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def to_query(text, random):
    """Encode text for a query string, correctly or incorrectly."""
    raw = text.encode("utf-8", "surrogatepass")
    way = random.random()
    if way < 0.6:
        return "".join(chr(b) if chr(b).isalnum() and b < 128 else f"%{b:02X}" for b in raw)
    return raw.decode("latin-1") if way < 0.9 else raw.decode("latin-1").replace("%", "")


def request(random):
    """Return a random environ that a server could pass to the application."""
    path = random.choice(PATHS)
    known = random.random() < 0.6
    lead = random.choice(["1", "2", "40", "41"] if known else ["0", "-1", "01", "9" * 18, "9" * 19, *TEXTS])
    path = to_environ(path.replace("{lead_id}", lead))
    if random.random() < 0.05:
        path += random.choice(["/", "//", "/..", "\0", ".json", "%2f", "\xff"])
    if random.random() < 0.03:
        path = random.choice(["/", "//", "", "/\xff"]) + path
    query = "&".join(
        to_query(random.choice(NAMES), random)
        + random.choice(["=", "=", "=", ""])
        + to_query(random.choice(TEXTS), random)
        for _ in range(random.choice([0, 0, 1, 1, 2, 3, 5, 120]))
    )
    body = random.choice(BODIES) if random.random() < 0.5 else b""
    environ = {
        "REQUEST_METHOD": random.choice(METHODS),
        "SCRIPT_NAME": "/under/a/path",
        "PATH_INFO": path if path.startswith("/") else f"/{path}",
        "QUERY_STRING": query,
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body) + random.choice([0, 0, 0, 0, 5])),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "REMOTE_ADDR": "127.0.0.1",
    }
    for name, values in HEADERS.items():
        if random.random() < 0.08:
            environ[name] = random.choice(values)
    if random.random() < 0.9:
        environ["HTTP_X_API_KEY"] = KEY
    return environ


def call(application, environ):
    """Call a WSGI application and return status, headers and body."""
    started = []
    body = application(environ, lambda status, headers, *rest: started.append((status, headers)) or (lambda data: None))
    try:
        content = b"".join(body)
    finally:
        body.close()
    ((status, headers),) = started
    return int(status[:3]), dict(headers), content


def find_fault(environ, status, headers, content):
    """Return the rule that a response violates, or None."""
    if status not in (200, 204, 304, 400, 401, 403, 404, 405):
        return "undocumented status"
    if b"Traceback" in content or b"sqlite" in content.lower() or KEY.encode() in content:
        return "the body discloses internals"
    if status in (204, 304) or environ["REQUEST_METHOD"] == "HEAD":
        return "unexpected body" if content else None
    kind = headers["Content-Type"]
    if kind == "text/html; charset=utf-8" and status == 404:  # a page for browsers that are at an unknown path
        is_api = extract_keys(environ) or environ["PATH_INFO"].startswith("/analytics/")
        return "browser page from the API" if is_api else None
    if kind.startswith("text/"):  # an export or the metrics
        return None if status == 200 else "error is not JSON"
    if kind == "application/x-ndjson":
        return None if all(isinstance(json.loads(line), dict) for line in content.splitlines()) else "line is not JSON"
    if kind != "application/json" or int(headers["Content-Length"]) != len(content):
        return "headers do not match the body"
    value = json.loads(content.decode())
    if status >= 400 and not (
        list(value) == ["error"] and isinstance(value["error"], str) and value["error"].isprintable()
    ):
        return "error has another shape"
    return None


def fuzz(application, requests, seed):
    """Send random requests, fail at the first response that violates a rule, and return the number of each status."""
    source, checked, statuses = random.Random(seed), validator(application), {}
    for _ in range(requests):
        environ = request(source)
        visible = {name: value for name, value in environ.items() if not name.startswith("wsgi.")}
        status, headers, content = call(checked, environ)
        fault = find_fault(visible, status, headers, content)
        assert fault is None, (fault, status, headers, content[:500], visible)
        statuses[status] = statuses.get(status, 0) + 1
    return statuses
