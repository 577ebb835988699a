import pytest
from helpers.app_server import serving_app
from helpers.browser import SHELL, forget, require_chromium, serve, start_session, wait_until_loaded
from helpers.client import NOW, instant
from helpers.rows import insert, session
from helpers.sqlite import new_database_in

from analytics_api.maintenance import demo
from analytics_api.maintenance.demo_marker import DemoMark, set_mark


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "browser":
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def playwright():
    """Yield the Playwright that all tests of the process share, because it cannot start twice in a thread."""
    require_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


# Chromium's own sandbox does not run as root. With RenderDocument, Chromium builds a new widget and compositor for
# each document. Loading a page takes a fifth less CPU time without it.
ARGUMENTS = ("--no-sandbox", "--disable-features=RenderDocument")

# Compute styles, layout and paint, but draw no pixels, because no test looks at them. A test takes a ninth less CPU
# time. Without pixels, Chromium does not handle touches and the mouse wheel, so tests of these use `drawing_browser`.
WITHOUT_PIXELS = "--blink-settings=acceleratedCompositingEnabled=false"


@pytest.fixture(scope="session")
def browser(playwright):
    browser = playwright.chromium.launch(executable_path=SHELL, args=[*ARGUMENTS, WITHOUT_PIXELS])
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def drawing_browser(playwright):
    browser = playwright.chromium.launch(executable_path=SHELL, args=ARGUMENTS)
    yield browser
    browser.close()


SIZE = {"width": 1280, "height": 900}


def open_context(browser, **options):
    context = browser.new_context(**{"locale": "en-US", "viewport": SIZE, **options})
    context.set_default_timeout(15_000)
    return context


@pytest.fixture(scope="session")
def problems():
    """Return the list of the errors of the pages that are watched."""
    return []


@pytest.fixture
def watch(problems):
    """Return a function that watches a page. The test fails if the page has an error or opens a dialog."""
    problems.clear()
    yield lambda page: watch_page(page, problems)
    assert problems == []


def watch_page(page, problems):
    def on_dialog(dialog):
        problems.append(dialog.message)
        dialog.dismiss()

    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: "Content Security" in message.text and problems.append(message.text))
    page.on("dialog", on_dialog)
    return page


@pytest.fixture
def new_page(browser, watch):
    """Return a function that opens a page in a new browser profile."""
    contexts = []

    def new_page(in_browser=browser, **options):
        contexts.append(open_context(in_browser, **options))
        return watch(contexts[-1].new_page())

    yield new_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def shared_tab(browser, problems):
    """Return the tab that all tests share. Opening a new profile takes twice as long as loading a page in this tab."""
    return watch_page(open_context(browser).new_page(), problems)


# Sessions on three of the last 30 days and, for the comparison, on one of the 30 days before those.
SESSIONS = (
    session(1, "2026-02-24"),
    session(2, "2026-02-24", country="US", referrer_domain=None),
    session(3, "2026-02-23", visitor="v1", exit_page="https://shop.example/prices"),
    session(4, "2026-02-20", country="DE", referrer_domain="bing.com", engagement_score=90),
    session(5, "2026-01-10"),
)
VIEWS = tuple(
    {
        "event_id": number * 10 + view,
        "session_id": f"s{number}",
        "event_type": "page_view",
        "page_url": page,
        "occurred_at": instant(f"{day} 12:00:00") + view,
    }
    for number, day in ((1, "2026-02-24"), (2, "2026-02-24"), (3, "2026-02-23"), (4, "2026-02-20"), (5, "2026-01-10"))
    for view, page in enumerate(("https://shop.example/", "https://shop.example/prices"))
)


@pytest.fixture
def shop(tmp_path):
    """Yield a database with SESSIONS and their events."""
    require_chromium()
    with new_database_in(tmp_path) as database:
        insert(database, "sessions", *SESSIONS)
        insert(database, "events", *VIEWS)
        yield database


class Server:
    """A server that several tests share, so that its URL stays the same. Each test sets its own application."""

    app = None

    def __call__(self, environ, start_response):
        return self.app(environ, start_response)


@pytest.fixture(scope="session")
def server():
    server = Server()
    with serving_app(server) as server.url:
        yield server


@pytest.fixture
def url(server, shop):
    """Return the URL of a standalone server with the database `shop`."""
    server.app = serve(shop)
    return server.url


@pytest.fixture(scope="session")
def clock_tab(browser, problems):
    """Return a second shared tab, whose pages have a clock that tests can move forward."""
    tab = watch_page(open_context(browser).new_page(), problems)
    tab.clock.install()
    return tab


@pytest.fixture
def signed_out_tab(request, watch):
    """Yield a shared tab, with nothing in it from the test before."""
    has_clock = request.node.get_closest_marker("clock")
    shared_tab = request.getfixturevalue("clock_tab" if has_clock else "shared_tab")
    context = shared_tab.context
    yield shared_tab
    shared_tab.unroute_all()
    forget(shared_tab)
    shared_tab.goto("about:blank")
    shared_tab.mouse.move(0, 0)  # where no tooltip appears
    context.set_offline(False)
    context.clear_permissions()
    shared_tab.emulate_media(media="null", color_scheme="light", reduced_motion="null")
    if shared_tab.viewport_size != SIZE:
        shared_tab.set_viewport_size(SIZE)
    for each in context.pages[1:]:
        each.close()


@pytest.fixture
def tab(url, signed_out_tab):
    """Return the shared tab, signed in at `url`."""
    start_session(signed_out_tab, url)
    return signed_out_tab


@pytest.fixture
def page(tab, url):
    """Return a browser page that is signed in and shows the statistics page."""
    tab.goto(f"{url}/")
    wait_until_loaded(tab)
    return tab


@pytest.fixture(scope="session")
def demo_app(tmp_path_factory):
    """Yield a server's application with many rows, for tests of the look of pages. These tests must not write rows."""
    require_chromium()
    with new_database_in(tmp_path_factory.mktemp("demo")) as database:
        for table, batch in demo.batches(demo.Plan(NOW, sessions=1000)):
            database.bulk(lambda at, table=table, batch=batch: at.insert(table, demo.COLUMNS[table], batch))
        database.write(lambda at: set_mark(at, DemoMark(NOW, 0)))
        yield serve(database)
