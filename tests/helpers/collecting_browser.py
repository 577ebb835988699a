"""Serve pages with the script a.js to Chromium, collect their visits, and read the stored rows."""

import subprocess
import threading
import time
from contextlib import contextmanager

from werkzeug.wrappers import Request, Response

from analytics_api.collector import create_collector
from helpers.app_server import serving_app
from helpers.browser import PROGRAM
from helpers.server import wait_for
from helpers.sqlite import new_database_in

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"

# By default, `navigator.webdriver` is true under Playwright, and the collector would take the browser for a machine.
# Host names under `.example` resolve to this computer.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-blink-features=AutomationControlled",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
    f"--user-agent={AGENT}",  # beacons that are sent when a page is left do not use the user agent of a context
)


class Pages:
    """A site that has a page at any path. Each page contains `tag` and `body`."""

    def __init__(self, collector):
        self.collector = collector
        self.tag = f'<script defer src="{collector}/a.js"></script>'
        self.head = self.body = ""
        self.policy = None
        self.requests = []  # (path, header Sec-Purpose) of each request
        self.release = threading.Event()  # requests of /wait wait until it is set

    def options(self, text):
        self.tag = f'<script defer src="{self.collector}/a.js" {text}></script>'

    def __call__(self, environ, start_response):
        request = Request(environ)
        self.requests.append((request.path, request.headers.get("Sec-Purpose")))
        if request.path == "/wait":
            self.release.wait(20)
        html = f"<!doctype html><title>{request.path}</title>{self.head}{self.tag}<body>{self.body}</body>"
        response = Response(html, mimetype="text/html")
        if self.policy:
            response.headers["Content-Security-Policy"] = self.policy
        return response(environ, start_response)


class Broken:
    """Middleware around the collector. While `status` is set, it sends this status instead of calling the collector."""

    def __init__(self, app):
        self.app = app
        self.status = None
        self.requests = 0

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/collect" and environ["REQUEST_METHOD"] == "POST":
            self.requests += 1
            if self.status:
                return Response("", self.status, {"Access-Control-Allow-Origin": "*"})(environ, start_response)
        return self.app(environ, start_response)


class Shop:
    """A site on shop.example, its collector on stats.example, and one browser profile."""

    def __init__(self, database, collector, pages, context, port):
        self.database = database
        self.collector = collector
        self.pages = pages
        self.context = context
        self.base = f"http://shop.example:{port}"

    def open(self, path="/"):
        page = self.context.new_page()
        page.goto(self.base + path)
        return page

    def rows(self, columns, table, order="1"):
        return self.database.tuples(f"select {columns} from {table} order by {order}")

    def views(self):
        """Return the paths of the page views in order."""
        rows = self.rows("page_url", "events where event_type = 'page_view'", "event_id")
        return [url.removeprefix(self.base) for (url,) in rows]

    def wait_for_views(self, *paths):
        wait_for(lambda: len(self.views()) >= len(paths))
        time.sleep(0.1)  # time for a view that must not arrive
        views = self.views()
        assert views == list(paths), views

    def wait_for_end(self):
        wait_for(lambda: self.rows("count(*)", "sessions where ended_at is not null") == [(1,)])


@contextmanager
def opening_shop(folder, new_context=lambda: None):
    """Yield a Shop with an empty database. At the end, check that no page raised an error, and verify the counters."""
    with new_database_in(folder) as database:
        collector = create_collector(database, hosts=["shop.example", "*.shop.example"])
        broken = Broken(collector)
        pages = Pages("")
        with serving_app(broken) as stats, serving_app(pages) as site:
            pages.collector = f"http://stats.example:{stats.rpartition(':')[2]}"
            pages.options("")
            context = new_context()
            problems = []
            if context:
                context.set_default_timeout(15_000)
                context.on("weberror", lambda error: problems.append(str(error.error)))
            yield Shop(database, broken, pages, context, site.rpartition(":")[2])
            if context:
                context.close()
        collector.close()
        assert problems == []
        assert database.verify() == []


@contextmanager
def running_chromium(folder, url):
    """Open a page in a Chromium without a debugger. With one, Chromium neither prerenders pages nor hides tabs."""
    options = ("--headless", "--disable-gpu", "--no-first-run", "--disable-popup-blocking", *ARGUMENTS)
    process = subprocess.Popen(
        [PROGRAM, *options, f"--user-data-dir={folder / 'profile'}", url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)
