"""The web pages: static files, and a WSGI application that serves them."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

from werkzeug.wsgi import get_path_info

from ..errors import SettingError
from ..http.environ import HAS_POLICY, ROUTE
from ..http.requests import mount_path
from ..http.static_files import File, make_file, send_file

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# For each page, by its path below the mount: its content and its JavaScript module, which are files in `static`. All
# pages share page.html.
PAGES: Final = {
    "/": ("statistics.html", "main.js"),
    "/conversions": ("conversions.html", "conversions.js"),
    "/leads": ("leads.html", "leads.js"),
    "/board": ("board.html", "board.js"),
}

STATIC: Final = Path(__file__).with_name("static")
CONTENT_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

COMMENTS: Final = re.compile(rb"^ *(?://.*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)$", re.MULTILINE)
# A comment after code remains if it contains a quote, because its `//` could be in a string that ends at this quote.
TRAILING_COMMENTS: Final = re.compile(rb" +// [^\"'`\n]*$", re.MULTILINE)
INDENTATION: Final = re.compile(rb"^ +", re.MULTILINE)

IMPORTS: Final = re.compile(r'^import .* from "\./(\w+\.js)";$', re.MULTILINE)

SCRIPT: Final = re.compile(r"[!-~]*\.js(\?[!-~]*)?")

SECURITY_HEADERS: Final = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "same-origin"),  # with no-referrer, Chromium would send `Origin: null` with a form
    ("X-Content-Type-Options", "nosniff"),
)

NO_STORE: Final = ("Cache-Control", "no-store")
IMMUTABLE: Final = ("Cache-Control", "public, max-age=31536000, immutable")


class Dashboard:
    """Serve the web pages and their assets.

    The folder of the assets is named by a hash of all assets, so browsers can cache them forever. All links in the
    pages are relative, so the pages work at any mount, and behind a proxy that adds a prefix.

    :param api: the URL path of the API, as in create_dashboard().
    :param script: the address of the collector's script, or an empty string.
    :ivar files: the pages and assets by their paths below the mount.
    """

    def __init__(self, api: str, script: str = "") -> None:
        assets = compress_assets()
        version = blake2b(b"".join(asset.body for asset in assets.values()), digest_size=8).hexdigest()
        folder = f"assets/{version}"
        self.files = {f"/{folder}/{name}": asset for name, asset in assets.items()}
        shell = Template(read_text("page.html"))
        for path, (name, module) in PAGES.items():
            # A browser compiles every preloaded module at each load, even an unused one. With the modules of other
            # pages, a load would take a tenth more CPU time.
            imports = list_imports(module)
            preloads = "\n".join(f'<link rel="modulepreload" href="{folder}/{each}">' for each in imports)
            html = shell.substitute(
                assets=folder,
                api=escape(api),
                script=escape(script),
                preloads=preloads,
                page=name.removesuffix(".html"),
                content=read_text(name),
                module=module,
            )
            headers = (NO_STORE, ("Content-Type", "text/html; charset=utf-8"), *SECURITY_HEADERS)
            self.files[path] = make_file(html.encode(), headers, has_etag=False)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[HAS_POLICY] = True
        path = get_path_info(environ)
        if path == "" and not environ["PATH_INFO"]:  # without a final slash, relative links would be wrong
            return redirect_to_folder(environ, start_response)
        file = self.files.get(path)
        if file is None:
            return send_text(environ, start_response, "404 Not Found", "Not found")
        environ[ROUTE] = path if path in PAGES else "/assets"
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return send_text(
                environ, start_response, "405 Method Not Allowed", "Method not allowed", ("Allow", "GET, HEAD")
            )
        return send_file(environ, start_response, file)


def create_dashboard(api: str = "/analytics", *, script: str | None = None) -> Dashboard:
    """Return the web pages as a WSGI application, to be mounted at any path of the API's host.

    :param api: the URL path of the API: absolute such as `/analytics`, or relative to the path at which the pages are
        mounted.
    :param script: the address of the collector's script: a URL, or a path as for `api`, such as `/visits/a.js`. The
        statistics page shows it in the script tag while the database has no visits.
    :raises SettingError: `api` is not such a path (the pages cannot use an API on another host), or `script` is not
        such an address.
    """
    if not isinstance(api, str) or api.startswith("//") or api.endswith("/") or not api.isprintable() or ":" in api:
        raise SettingError(f"api: use a path on the host of the pages, such as /analytics, not {api!r}")
    if script is not None and not (isinstance(script, str) and SCRIPT.fullmatch(script)):
        raise SettingError(f"script: use the address of the collector's script, such as /visits/a.js, not {script!r}")
    return Dashboard(api, script or "")


def read_text(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


@cache
def list_imports(module: str) -> list[str]:
    """Return the sorted names of a module and of all modules that it imports, directly or not."""
    names = [module]
    for name in names:
        names += set(IMPORTS.findall(read_text(name))) - set(names)
    return sorted(names)


def read_assets() -> dict[str, bytes]:
    """Return the static files that pages load, by name. Removing comments makes the compressed files 1/12 smaller."""
    names = sorted(file.name for file in STATIC.iterdir() if not file.name.endswith(".html"))
    return {name: shorten_source((STATIC / name).read_bytes()) for name in names}


@cache
def compress_assets() -> dict[str, File]:
    """Return the assets as files to send. The applications of a process share them, because compressing takes 10 ms."""
    return {name: make_asset(name, body) for name, body in read_assets().items()}


def shorten_source(source: bytes) -> bytes:
    """Return a script or stylesheet without comments and indentation.

    Newlines remain, so that line numbers in errors are correct.
    """
    uncommented = COMMENTS.sub(lambda comment: b"\n" * comment[0].count(b"\n"), source)
    return INDENTATION.sub(b"", TRAILING_COMMENTS.sub(b"", uncommented))


def make_asset(name: str, body: bytes) -> File:
    suffix = f".{name.rpartition('.')[2]}"
    kind = CONTENT_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return make_file(body, (IMMUTABLE, ("Content-Type", kind), *SECURITY_HEADERS))


def send_text(
    environ: WSGIEnvironment, start_response: StartResponse, status: str, text: str, *headers: tuple[str, str]
) -> list[bytes]:
    body = text.encode()
    content = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, [NO_STORE, *SECURITY_HEADERS, *content, *headers])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def redirect_to_folder(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Redirect to the mount with a final slash."""
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    return send_text(
        environ, start_response, "308 Permanent Redirect", "", ("Location", f"{mount_path(environ)}/{query}")
    )
