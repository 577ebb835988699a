"""Empty, failing and hostile data on the statistics page."""

import pytest
from helpers.browser import figure, rows, serve, serving_app, sign_in, wait_until_loaded
from helpers.client import KEY, NOW
from helpers.rows import insert, session

from analytics_api import open_database


@pytest.fixture
def empty(tmp_path):
    with open_database(tmp_path / "empty.db").closing() as database:
        yield database


def test_empty_table_shows_how_to_send_a_visit(new_page, empty):
    with serving_app(serve(empty)) as url:
        page = new_page()
        page.goto(url)
        sign_in(page, KEY)

        assert page.inner_text(".notice h2") == "No visits yet"
        assert page.inner_text(".notice pre >> nth=0") == 'ANALYTICS_COLLECT_HOSTS="example.com" analytics-api serve'
        assert "insert into sessions" in page.inner_text(".notice pre >> nth=1")


def test_example_of_the_empty_table_is_counted(new_page, empty):
    with serving_app(serve(empty)) as url:
        page = new_page()
        page.goto(url)
        sign_in(page, KEY)
        statement = page.inner_text(".notice pre >> nth=1")

        empty.write(lambda at: at.execute(statement))

        page.wait_for_selector(".notice.arrived h2:has-text('Your first visit has arrived')")
        assert empty.tuples("select count(*) from sessions") == [(1,)]


def test_empty_range_has_another_text(tab, url):
    tab.goto(f"{url}/?from=2025-01-01&to=2025-01-02")
    wait_until_loaded(tab)

    assert tab.inner_text(".notice h2") == "No visits in these days"


def test_failure_is_told_and_tried_again(page, shop):
    page.context.set_offline(True)
    page.keyboard.press("d")
    page.wait_for_selector(".problem:has-text('The figures below are those of: Last 30 days.')")
    before = figure(page, "sessions")
    page.context.set_offline(False)
    page.wait_for_selector(".problem", state="detached")
    wait_until_loaded(page)

    assert (before, figure(page, "sessions")) == ("4", "2")


def test_figures_stay_while_the_browser_is_offline(page):
    page.context.set_offline(True)
    page.wait_for_selector(".problem:has-text('were loaded before')")
    is_visible = page.is_visible("#overview")
    page.context.set_offline(False)
    page.wait_for_selector(".problem", state="detached")

    assert is_visible


def test_database_that_is_away_is_told(page, shop):
    shop.write(lambda at: at.execute("alter table site rename to away"))
    page.keyboard.press("d")

    page.wait_for_selector(".problem:has-text('database does not answer')")
    shop.write(lambda at: at.execute("alter table away rename to site"))
    page.click(".problem button")
    page.wait_for_selector(".problem", state="detached")


def test_database_of_a_demo_is_marked(new_page, empty):
    from analytics_api.maintenance.demo_marker import DemoMark, set_mark

    empty.write(lambda at: set_mark(at, DemoMark(NOW, 0)))
    with serving_app(serve(empty)) as url:
        page = new_page()
        page.goto(url)
        sign_in(page, KEY)
        for path in ("", "conversions", "leads", "board"):
            page.goto(f"{url}/{path}")

            page.wait_for_selector("#demo:has-text('Demo data')")


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "https://evil.example/\u202egpj.exe",
    "https://long.example/" + "x" * 10_000,
    "https://nothing.example/\0",
    "https://emoji.example/👩🏽‍💻",
    'https://quotes.example/"><script>alert(1)</script>',
)


def test_hostile_texts_are_shown_as_text(new_page, empty):
    insert(
        empty,
        "sessions",
        *(
            session(n, "2026-02-24", entry_page=page, referrer_domain=None, country="<b>")
            for n, page in enumerate(HOSTILE)
        ),
    )
    with serving_app(serve(empty)) as url:
        page = new_page()
        page.on("dialog", lambda dialog: pytest.fail("a script ran"))
        page.goto(f"{url}/?pages=entry_pages")
        sign_in(page, KEY)

        names = [name for name, _ in rows(page, "pages")]
        links = page.eval_on_selector_all("#panel-pages .out", "all => all.map(each => each.href)")
        width = page.evaluate("() => document.documentElement.scrollWidth")

    assert len(names) == len(HOSTILE)
    assert "<img src=x onerror=alert(1)>" in names
    assert not any("\u202e" in name for name in names)
    assert max(map(len, names)) <= 301
    assert len(links) == 5
    assert all(link.startswith("https://") for link in links)
    assert width <= 1280
