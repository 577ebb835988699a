"""The web pages: static files, and the small WSGI application that serves them."""

from __future__ import annotations

import gzip
import mimetypes
import re
from collections.abc import Iterable
from hashlib import blake2b
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final, NamedTuple

from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header
from werkzeug.wsgi import get_path_info

from ..errors import SettingError
from ..http.environ import HAS_POLICY, ROUTE
from ..http.representations import is_listed, make_etag
from ..http.requests import mount_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# The content and the module of each page, in the folder `static`, by the path below the mount. All share page.html.
PAGES: Final = {
    "/": ("statistics.html", "main.js"),
    "/conversions": ("conversions.html", "conversions.js"),
    "/leads": ("leads.html", "leads.js"),
    "/board": ("board.html", "board.js"),
}

CONTENT_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

# Comments on lines of their own; those behind code stay, because only a parser tells them from text.
COMMENTS: Final = re.compile(rb"^ *(?://.*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)$", re.MULTILINE)

SECURITY_HEADERS: Final = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "same-origin"),  # under no-referrer Chromium sends `Origin: null` with a form
    ("X-Content-Type-Options", "nosniff"),
)

NO_STORE: Final = ("Cache-Control", "no-store")
IMMUTABLE: Final = ("Cache-Control", "public, max-age=31536000, immutable")


class File(NamedTuple):
    """A file as it is sent: compressed once, when the application is created."""

    body: bytes
    compressed: bytes
    headers: tuple[tuple[str, str], ...]
    is_page: bool = False


class Dashboard:
    """Serve the pages at the mount, and their assets below a folder that has the hash of all of them as its name.

    Every link in the pages is relative, so that they work at any mount and behind a proxy that adds a prefix.

    :param api: the URL path of the API, as `create_dashboard` takes it.
    """

    def __init__(self, api: str) -> None:
        assets = read_assets()
        version = blake2b(b"".join(assets.values()), digest_size=8).hexdigest()
        folder = f"assets/{version}"
        self.files = {f"/{folder}/{name}": make_asset(name, body) for name, body in assets.items()}
        modules = sorted(name for name in assets if name.endswith(".js"))
        preloads = "\n".join(f'<link rel="modulepreload" href="{folder}/{name}">' for name in modules)
        shell = Template(read_text("page.html"))
        for path, (name, module) in PAGES.items():
            html = shell.substitute(
                assets=folder,
                api=escape(api),
                preloads=preloads,
                page=name.removesuffix(".html"),
                content=read_text(name),
                module=module,
            )
            headers = (NO_STORE, ("Content-Type", "text/html; charset=utf-8"))
            self.files[path] = make_file(html.encode(), headers, is_page=True)

    def serves(self, path: str) -> bool:
        """Return whether this path below the mount is a page's or an asset's."""
        return path in self.files

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[HAS_POLICY] = True
        path = get_path_info(environ)
        if path == "" and not environ["PATH_INFO"]:  # at /stats, where relative links would lead beside it
            return redirect_to_folder(environ, start_response)
        file = self.files.get(path)
        if file is None:
            return send_text(environ, start_response, "404 Not Found", "Not found")
        environ[ROUTE] = path if file.is_page else "/assets"
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return send_text(
                environ, start_response, "405 Method Not Allowed", "Method not allowed", ("Allow", "GET, HEAD")
            )
        return send_file(environ, start_response, file)


def create_dashboard(api: str = "/analytics") -> Dashboard:
    """Return the web pages as a WSGI application, to be mounted at any path of the API's host.

    :param api: the URL path of the API, as a browser asks for it: `/analytics`, or without the first slash relative to
        where the pages are mounted.
    :raises SettingError: when it is not such a path; the pages cannot use an API of another host.
    """
    if not isinstance(api, str) or api.startswith("//") or api.endswith("/") or not api.isprintable() or ":" in api:
        raise SettingError(f"api: use a path such as /analytics, of the host that has the pages, not {api!r}")
    return Dashboard(api)


def read_text(name: str) -> str:
    return (files(__package__) / "static" / name).read_text(encoding="utf-8")


def read_assets() -> dict[str, bytes]:
    """Return the static files that pages load, by name. Comments, a twelfth of their size compressed, are left out."""
    folder = files(__package__) / "static"
    names = sorted(file.name for file in folder.iterdir() if not file.name.endswith(".html"))
    return {name: remove_comments((folder / name).read_bytes()) for name in names}


def remove_comments(source: bytes) -> bytes:
    """Return a script or stylesheet without comments. Line breaks stay, so that errors name the lines of the files."""
    return COMMENTS.sub(lambda comment: b"\n" * comment[0].count(b"\n"), source)


def make_asset(name: str, body: bytes) -> File:
    suffix = f".{name.rpartition('.')[2]}"
    kind = CONTENT_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return make_file(body, (IMMUTABLE, ("Content-Type", kind)))


def make_file(body: bytes, headers: tuple[tuple[str, str], ...], *, is_page: bool = False) -> File:
    compressed = gzip.compress(body, 9, mtime=0)
    return File(body, compressed, (*headers, *SECURITY_HEADERS, ("Vary", "Accept-Encoding")), is_page)


def send_file(environ: WSGIEnvironment, start_response: StartResponse, file: File) -> list[bytes]:
    """Send a file, compressed to whoever accepts gzip; 304 when If-None-Match lists the tag of an asset."""
    is_compressed = parse_accept_header(environ.get("HTTP_ACCEPT_ENCODING"), Accept)["gzip"] > 0
    body = file.compressed if is_compressed else file.body
    headers = list(file.headers)
    if is_compressed:
        headers.append(("Content-Encoding", "gzip"))
    if not file.is_page:
        etag = make_etag(body)
        headers.append(("ETag", etag))
        if is_listed(environ.get("HTTP_IF_NONE_MATCH", ""), etag):
            unchanged = [(name, value) for name, value in headers if name not in ("Content-Type", "Content-Encoding")]
            start_response("304 Not Modified", unchanged)
            return []
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def send_text(
    environ: WSGIEnvironment, start_response: StartResponse, status: str, text: str, *headers: tuple[str, str]
) -> list[bytes]:
    body = text.encode()
    content = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, [NO_STORE, *SECURITY_HEADERS, *content, *headers])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def redirect_to_folder(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    return send_text(
        environ, start_response, "308 Permanent Redirect", "", ("Location", f"{mount_path(environ)}/{query}")
    )
