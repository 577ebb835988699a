"""Filters on the statistics page: by click and by typing, and the chips that change them."""

from urllib.parse import parse_qsl, urlsplit

from helpers.browser import (
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
from helpers.client import KEY
from helpers.rows import insert, session


def query(page):
    return parse_qsl(urlsplit(page.url).query)


def chips(page):
    return page.eval_on_selector_all(".chip", "all => all.map(each => each.innerText)")


def test_click_on_a_row_filters_every_panel(page):
    follow(page, '#panel-sources a.name:has-text("google.com")')

    assert query(page) == [("source", "google.com")]
    assert chips(page) == ["Source is google.com"]
    assert [figure(page, metric) for metric in ("visitors", "sessions", "page_views")] == ["1", "2", "4"]
    assert rows(page, "sources") == [("google.com", "2")]
    assert rows(page, "countries") == [("India", "1")]
    assert rows(page, "pages") == [("/", "2"), ("/prices", "2")]


def test_click_on_an_engagement_bar_filters(page):
    follow(page, '#panel-engagement a.name:has-text("80")')

    assert query(page) == [("engagement", "80-100")]
    assert rows(page, "countries") == [("Germany", "1")]


def test_filters_of_two_properties_are_combined_with_and(page):
    follow(page, '#panel-countries a.name:has-text("India")')
    follow(page, '[data-key="tab-exit_pages"]')
    follow(page, '#panel-pages a.name:has-text("/prices")')

    assert chips(page) == ["Country is India", "Exit page is https://shop.example/prices"]
    assert figure(page, "sessions") == "1"


def test_chip_is_reversed_and_removed(page):
    follow(page, '#panel-countries a.name:has-text("India")')
    follow(page, ".chip-text")
    reverse = query(page), chips(page), figure(page, "sessions")
    follow(page, ".chip-close")

    assert reverse == ([("country.not", "IN")], ["Country is not India"], "2")
    assert (query(page), chips(page), figure(page, "sessions")) == ([], [], "4")


def test_focus_stays_in_the_page_after_removing_a_filter(tab, url):
    page = open_page(tab, f"{url}/?country=IN")
    page.focus(".chip-close")
    page.keyboard.press("Enter")
    wait_until_gone(page, ".chip")
    wait_until_loaded(page)

    assert page.evaluate("() => document.activeElement.id") == "main"


def test_part_of_a_value_is_typed(page):
    page.keyboard.press("f")
    page.select_option("#filter-by", "source")
    page.select_option("#filter-how", ".contains")
    page.fill("#filter-value", "GOO")
    follow(page, "dialog .primary")

    assert query(page) == [("source.contains", "GOO")]
    assert chips(page) == ["Source contains GOO"]
    assert figure(page, "sessions") == "2"


def test_filter_is_added_before_its_suggestions_arrive(page):
    page.route("**/analytics/sources?*", lambda route: None)
    page.keyboard.press("f")
    page.select_option("#filter-by", "source")
    page.fill("#filter-value", "google.com")
    follow(page, "dialog .primary")

    assert chips(page) == ["Source is google.com"]


def test_country_is_typed_by_its_name(page):
    page.click('[data-key="add-filter"]')
    page.select_option("#filter-by", "country")
    page.fill("#filter-value", "germany")
    follow(page, "dialog .primary")

    assert query(page) == [("country", "DE")]
    assert figure(page, "sessions") == "1"


def test_names_are_found_in_a_turkish_browser(new_page, url):
    page = new_page(locale="tr-TR")  # where the small letter of I is not i
    start_session(page, url)
    open_page(page, f"{url}/?detail=countries")
    wait_until_shown(page, "dialog .rows li:nth-child(2)")
    page.fill("dialog input", "India")
    wait_until_gone(page, "dialog .rows li:nth-child(2)")

    assert page.inner_text("dialog .rows .name") == "India"


def test_values_of_one_filter_are_alternatives(tab, url):
    tab.goto(f"{url}/?country=DE&visitor=new&country=US")
    wait_until_loaded(tab)

    assert figure(tab, "sessions") == "2"

    tab.goto(f"{url}/?country=DE&country=US")
    wait_until_loaded(tab)

    assert chips(tab) == ["Country is Germany", "or United States"]


def test_escape_removes_all_filters(tab, url):
    tab.goto(f"{url}/?country=DE&visitor=new")
    wait_until_loaded(tab)
    tab.keyboard.press("Escape")
    tab.wait_for_url("**/")
    wait_until_loaded(tab)

    assert figure(tab, "sessions") == "4"


def test_back_and_forward_change_filters(page):
    follow(page, '#panel-countries a.name:has-text("Germany")')
    page.go_back()
    wait_until_gone(page, ".chip")
    wait_until_loaded(page)
    before = figure(page, "sessions")
    page.go_forward()
    wait_until_shown(page, ".chip")
    wait_until_loaded(page)

    assert (before, figure(page, "sessions")) == ("4", "1")


def test_filtered_week_opens_in_a_fresh_browser(tab, url):
    link = f"{url}/?from=2026-02-16&to=2026-02-22&country=DE&source.not=google.com"
    tab.goto(link)
    wait_until_loaded(tab)
    shown = chips(tab), figure(tab, "sessions")
    forget(tab)
    tab.goto(link)
    sign_in(tab, KEY)

    assert tab.url == link
    assert shown == (["Country is Germany", "Source is not google.com"], "1")
    assert (chips(tab), figure(tab, "sessions")) == shown


def test_filter_without_sessions_shows_a_notice(tab, url):
    tab.goto(f"{url}/?country=FR")
    wait_until_loaded(tab)
    text = tab.inner_text(".notice h2")
    follow(tab, ".notice a")

    assert text == "Nothing matches these filters"
    assert figure(tab, "sessions") == "4"


def test_impossible_filter_shows_an_error_and_can_be_removed(tab, url):
    tab.goto(f"{url}/?engagement=7")
    wait_until_shown(tab, 'html[data-state="failed"]')
    text = tab.inner_text(".problem p")
    follow(tab, '.problem a:has-text("Without filters")')

    assert "engagement" in text
    assert figure(tab, "sessions") == "4"


def test_hostile_filter_is_shown_as_text(tab, url, shop):
    tab.goto(f"{url}/?source=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%E2%80%AE&page.contains={'x' * 10_000}")
    wait_until_shown(tab, ".chip")

    assert chips(tab)[0] == "Source is <img src=x onerror=alert(1)>"
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= 1280


def test_long_list_is_searched_by_the_api(tab, shop, url):
    insert(shop, "sessions", *(session(n, "2026-02-24", referrer_domain=f"site-{n}.example") for n in range(100, 1200)))
    tab.goto(f"{url}/?detail=sources")
    tab.wait_for_function("() => document.querySelectorAll('dialog .name').length === 1000")
    first = tab.inner_text("dialog [role=status]")
    tab.fill("dialog input", "site-998")
    tab.wait_for_function("() => document.querySelectorAll('dialog .name').length === 1")

    assert first == "1,000 of the first 1,000"
    assert tab.inner_text("dialog .name") == "site-998.example"


def test_curl_command_names_the_request_and_the_filters(page, url):
    follow(page, '#panel-countries a.name:has-text("Germany")')
    command = page.evaluate(
        """async () => {
          const folder = document.querySelector('script[type=module]').src.replace('main.js', '');
          const { curl } = await import(folder + 'page.js');
          const { rangeQuery, readState } = await import(folder + 'state.js');
          return curl('/sources', rangeQuery(readState(location.search), '2026-02-24'));
        }"""
    )

    endpoint = f"{url}/analytics/sources?days=30&country=DE"
    assert command == f"curl -H \"Authorization: Bearer $ANALYTICS_API_KEY\" '{endpoint}'"
