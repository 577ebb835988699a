"""The statistics page: its figures, address, filters and ranges."""

import csv
from urllib.parse import parse_qs, urlsplit

import pytest
from helpers.browser import (
    close_shortcuts,
    figure,
    follow,
    forget,
    open_page,
    rows,
    sign_in,
    start_session,
    wait_until_gone,
    wait_until_loaded,
    wait_until_shown,
)
from helpers.client import KEY, NOW
from helpers.rows import insert, session


def query(page):
    return parse_qs(urlsplit(page.url).query)


def open_period(page, text):
    page.click('[data-key="period"]')
    follow(page, f'.menu a:has-text("{text}")')


def test_figures_equal_the_api(page):
    figures = [figure(page, metric) for metric in ("visitors", "sessions", "page_views", "duration", "engagement")]

    assert figures == ["3", "4", "8", "1m 00s", "60.0"]
    assert rows(page, "sources") == [("google.com", "2"), ("Direct / none", "1"), ("bing.com", "1")]
    assert rows(page, "countries") == [("India", "1"), ("Germany", "1"), ("United States", "1")]
    assert rows(page, "pages") == [("/", "4"), ("/prices", "4")]


def test_back_and_forward_follow_the_address(page):
    open_period(page, "Today")
    follow(page, '[data-key="metric-sessions"]')
    today = figure(page, "sessions")
    page.go_back()
    page.go_back()
    page.wait_for_function("() => document.querySelector('[data-key=metric-sessions] .value').textContent === '4'")
    page.go_forward()
    page.wait_for_function("() => document.querySelector('[data-key=metric-sessions] .value').textContent === '2'")

    assert today == "2"
    assert query(page) == {"period": ["today"]}


def test_reload_shows_the_same(page):
    follow(page, '[data-key="tab-exit_pages"]')
    before = page.url, rows(page, "pages")
    page.reload()
    wait_until_loaded(page)

    assert (page.url, rows(page, "pages")) == before
    assert before[1] == [("/thanks", "3"), ("/prices", "1")]


def test_link_opens_the_same_in_a_fresh_browser(page, url):
    open_period(page, "Last 7 days")
    link = page.evaluate(
        """async () => {
          const folder = document.querySelector('script[type=module]').src.replace('main.js', '');
          const { fixedLink } = await import(folder + 'controls.js');
          const { readState } = await import(folder + 'state.js');
          return fixedLink(readState(location.search), '2026-02-24');
        }"""
    )
    shown = figure(page, "sessions")
    forget(page)
    page.goto(link)
    sign_in(page, KEY)

    assert link == f"{url}/?from=2026-02-18&to=2026-02-24"
    assert figure(page, "sessions") == shown == "4"


def test_ranges_use_the_time_zone_of_the_site(page):
    shown = {}
    for period in ("Today", "Yesterday", "This month", "Last month", "All time"):
        open_period(page, period)
        shown[period] = figure(page, "sessions")

    assert shown == {"Today": "2", "Yesterday": "1", "This month": "4", "Last month": "1", "All time": "5"}


def test_arrows_show_the_range_before_and_after(page):
    open_period(page, "Today")
    page.keyboard.press("ArrowLeft")
    wait_until_loaded(page)
    before = query(page), figure(page, "sessions")
    page.keyboard.press("ArrowRight")
    wait_until_loaded(page)

    assert before == ({"from": ["2026-02-23"], "to": ["2026-02-23"]}, "1")
    assert query(page) == {"from": ["2026-02-24"], "to": ["2026-02-24"]}
    assert page.locator("a.arrow").count() == 1  # there is no range after today


def test_custom_range_is_two_days(page):
    page.click('[data-key="period"]')
    page.fill("#range-from", "2026-02-24")
    page.fill("#range-to", "2026-02-20")
    page.click(".custom .primary")
    page.wait_for_url("**/?from=2026-02-20&to=2026-02-24")
    wait_until_loaded(page)

    assert figure(page, "sessions") == "4"


@pytest.mark.parametrize("width", [320, 900, 1280])
def test_long_numbers_fit_into_their_place(tab, shop, url, width):
    insert(shop, "sessions", session(9, "2026-02-24", duration=10**12))
    tab.set_viewport_size({"width": width, "height": 800})
    open_page(tab, f"{url}/?compare=off")

    assert figure(tab, "duration") == "55,555h 34m"
    assert tab.eval_on_selector_all(".figure", "all => all.filter(each => each.scrollWidth > each.clientWidth)") == []


def test_point_of_the_chart_opens_its_day(page):
    page.focus('[data-key="chart"]')
    page.keyboard.press("End")
    text = page.get_attribute('[data-key="chart"]', "aria-valuetext")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?from=2026-02-24&to=2026-02-24*")

    assert text.startswith("Tue, Feb 24, 2026, 2 Visitors, not over yet")


def test_chart_has_a_table_of_its_numbers(page):
    page.click('[data-key="chart-toggle"]')

    last = page.inner_text(".plot tbody tr:last-child")

    assert page.locator(".plot tbody tr").count() == 30
    assert last.split("\t")[:2] == ["Tue, Feb 24, 2026 (not over yet)", "2"]


def test_full_list_is_searched(page):
    page.click('[data-key="detail-sources"]')
    wait_until_shown(page, "dialog .rows:not(.loading) li")
    page.fill("dialog input", "bing")
    page.wait_for_url("**/?detail=sources&search=bing")

    names = page.eval_on_selector_all("dialog .name", "all => all.map(each => each.innerText)")

    assert names == ["bing.com"]
    assert query(page)["detail"] == ["sources"]


def test_list_is_downloaded_as_csv(page, tmp_path):
    page.click('[data-key="actions-sources"]')
    with page.expect_download() as download:
        page.click("text=Download CSV")
    download.value.save_as(tmp_path / "sources.csv")

    with open(tmp_path / "sources.csv", newline="", encoding="utf-8-sig") as file:
        table = list(csv.reader(file))

    assert download.value.suggested_filename == "sources.csv"
    assert table == [
        ["referrer_domain", "sessions", "previous_sessions"],
        ["google.com", "2", "1"],
        ["(direct)", "1", "0"],
        ["bing.com", "1", "0"],
    ]


def test_formulas_in_the_csv_are_escaped(tab, url, shop, tmp_path):
    insert(shop, "sessions", session(90, "2026-02-23", referrer_domain="\uff1d1;=2"))
    page = open_page(tab, url)
    page.click('[data-key="actions-sources"]')
    with page.expect_download() as download:
        page.click("text=Download CSV")
    download.value.save_as(tmp_path / "sources.csv")

    assert "\"'\uff1d1;'=2\",1,0\r\n" in (tmp_path / "sources.csv").read_bytes().decode("utf-8-sig")


def test_shortcuts_are_listed_by_a_key_and_the_account_menu(page):
    page.click('[data-key="account"]')
    page.click('[data-key="help"]')
    close_shortcuts(page)
    assert page.evaluate("() => document.activeElement.dataset.key") == "account"

    page.keyboard.press("?")
    close_shortcuts(page)
    page.keyboard.press("d")
    page.wait_for_url("**/?period=today")


@pytest.mark.clock
def test_current_visitors_are_shown_with_their_pages(page, shop):
    event = {"event_id": 99, "session_id": "s1", "event_type": "page_view", "page_url": "https://shop.example/prices"}
    insert(shop, "events", event | {"occurred_at": NOW - 60_000})
    page.clock.fast_forward(5000)
    wait_until_shown(page, "#live:has-text('1 current visitor')")
    page.click("#live")

    assert page.inner_text("dialog .name") == "/prices"
    assert page.inner_text("dialog .value >> nth=1") == "1"


def test_escape_hides_the_tooltip_of_a_figure_and_keeps_filters(tab, url):
    tab.goto(f"{url}/?country=IN")
    wait_until_loaded(tab)
    tab.focus('[data-key="metric-sessions"]')
    tab.keyboard.press("Shift+Tab")
    wait_until_shown(tab, "#tooltip")

    assert tab.inner_text("#tooltip").startswith("Browsers with at least one session")
    assert tab.get_attribute('[data-key="metric-visitors"]', "aria-describedby") == "tooltip"

    tab.keyboard.press("Escape")
    wait_until_gone(tab, "#tooltip")
    assert query(tab) == {"country": ["IN"]}


def test_search_of_a_list_is_stored_in_the_address(tab, url):
    tab.goto(f"{url}/?detail=sources&search=bing")
    wait_until_shown(tab, "dialog .rows:not(.loading) li")
    names = tab.eval_on_selector_all("dialog .name", "all => all.map(each => each.innerText)")
    tab.fill("dialog input", "goo")
    tab.wait_for_url("**/?detail=sources&search=goo")

    assert names == ["bing.com"]


def test_weeks_that_are_cut_are_drawn_as_partial(tab, url):
    tab.goto(f"{url}/?from=2026-02-05&to=2026-02-24&interval=week")
    wait_until_loaded(tab)
    tab.click('[data-key="chart-toggle"]')

    rows = tab.eval_on_selector_all(".plot tbody th", "all => all.map(each => each.innerText)")

    assert rows == [
        "Week of Feb 2, 2026 (partly outside these days)",
        "Week of Feb 9, 2026",
        "Week of Feb 16, 2026",
        "Week of Feb 23, 2026 (not over yet)",
    ]


def test_custom_range_has_a_shortcut(page):
    page.keyboard.press("c")

    assert page.evaluate("() => document.activeElement.id") == "range-from"


def test_focus_is_on_the_menu_after_choosing_two_days(page):
    page.keyboard.press("c")
    page.fill("#range-from", "2026-02-20")
    page.keyboard.press("Enter")
    page.wait_for_url("**from=2026-02-20*")
    wait_until_loaded(page)

    assert page.evaluate("() => document.activeElement.dataset.key") == "period"


def test_countries_are_sorted_by_their_visitors(tab, shop, url):
    sessions = (session(number, "2026-02-24", visitor="v9", country="FR") for number in range(10, 14))
    insert(shop, "sessions", *sessions, session(14, "2026-02-24", visitor="v8", country="US"))
    page = open_page(tab, f"{url}/")
    wait_until_loaded(page)
    shown = rows(page, "countries")
    page.click('[data-key="detail-countries"]')
    wait_until_shown(page, "dialog .rows:not(.loading) li")

    assert shown == [("United States", "2"), ("France", "1"), ("India", "1"), ("Germany", "1")]
    assert page.locator("dialog .rows .value").all_inner_texts() == ["2", "1", "1", "1"]


def test_print_names_days_comparison_and_filter(tab, url):
    page = open_page(tab, f"{url}/?country=IN")
    page.emulate_media(media="print")
    page.wait_for_function(
        "() => document.querySelector('.plot').clientWidth === document.querySelector('.plot svg').clientWidth"
    )

    assert page.inner_text(".days").startswith("Jan 26 – Feb 24, 2026")
    assert page.is_visible(".compared")
    assert page.is_visible(".chip")
    assert not page.is_visible("#ranges")


def test_full_list_names_the_range_and_the_filters(tab, url):
    tab.goto(f"{url}/?country=IN&detail=sources")

    assert tab.inner_text("dialog .summary") == "Jan 26 – Feb 24, 2026 · Last 30 days · Country is India"


def test_range_and_filters_stay_visible(new_page, drawing_browser, url):
    page = new_page(in_browser=drawing_browser)
    start_session(page, url)
    open_page(page, f"{url}/")

    page.mouse.wheel(0, 700)
    page.wait_for_function("() => scrollY > 100")

    assert page.evaluate("() => document.querySelector('.toolbar').getBoundingClientRect().top") == 0
