"""The page of conversions and the pipeline in a real browser."""

import csv

import pytest
from helpers.browser import open_page, require_chromium, start_session, wait_until_shown
from helpers.client import NOW, instant
from helpers.rows import insert, session
from helpers.sqlite import new_database_in

from analytics_api.keys import KeyStore

# In January there are three leads. One is open, and its session is from google.com. Two are won, and their last
# sessions are from bing.com. The first session of the second won lead is from google.com.
SESSIONS = (
    session(1, "2026-01-10"),
    session(2, "2026-01-11", referrer_domain="bing.com", entry_page="https://shop.example/b?utm_campaign=Spring"),
    session(3, "2026-01-12"),
    session(4, "2026-01-14", visitor="v3", referrer_domain="bing.com", country="US"),
    session(5, "2026-02-20"),
)
LEADS = tuple(
    {"lead_id": number, "enquiry_datetime": f"{day} 13:00:00", "contact_name": name, "project_name": project}
    | {"visitor_id": f"v{visitor}"}
    for number, day, name, project, visitor in (
        (1, "2026-01-10", "Ann", "Sky", 1),
        (2, "2026-01-11", "Bob", "Sky", 2),
        (3, "2026-01-14", "Cyd", "Sea", 3),
        (4, "2026-02-20", "Dan", "Sea", 5),
    )
)
JANUARY = "from=2026-01-01&to=2026-01-31"


def move(database, lead_id, status, moment):
    database.write(lambda at: at.execute(f"update leads set status = '{status}' where lead_id = {lead_id}"))
    database.write(
        lambda at: at.execute(
            "update lead_status_changes set changed_at = :moment where lead_id = :key and new_status = :status",
            moment=instant(moment), key=lead_id, status=status,
        )
    )  # fmt: skip


@pytest.fixture
def shop(tmp_path):
    require_chromium()
    with new_database_in(tmp_path) as database:
        insert(database, "sessions", *SESSIONS)
        insert(database, "leads", *LEADS)
        for lead_id in (2, 3):
            move(database, lead_id, "won", f"2026-01-{14 + lead_id} 13:00:00")
        yield database


def cells(page, panel="conversions"):
    """Return the texts of the rows of a table, without the changes against the earlier range."""
    return page.eval_on_selector_all(
        f"#panel-{panel} tbody tr",
        """rows => rows.map(row => [...row.children].map(cell => {
             const copy = cell.cloneNode(true);
             copy.querySelectorAll('.change').forEach(change => change.remove());
             return copy.textContent.trim();
           }))""",
    )


def wait_for_first(page, name):
    wait_until_shown(page, f"#panel-conversions tbody tr:first-child th:has-text('{name}')")


def test_source_of_most_won_of_last_month_takes_three_clicks(tab, url):
    page = open_page(tab, url)
    page.click("#menu a:has-text('Conversions')")
    wait_until_shown(page, "#panel-conversions tbody tr")
    page.click('[data-key="period"]')
    page.click('.menu a:has-text("Last month")')
    wait_until_shown(page, "html:not(.busy) .group:has-text('Last month')")
    page.click('[data-key="order-won"]')
    wait_for_first(page, "bing.com")

    assert page.url == f"{url}/conversions?period=last-month&order=won"
    assert [row[:5] for row in cells(page)] == [
        ["bing.com", "2", "2", "1", "1"],
        ["google.com", "1", "0", "2", "1"],
    ]


def test_figures_are_those_of_all_leads(tab, url):
    page = open_page(tab, f"{url}/conversions?{JANUARY}")

    labels = page.eval_on_selector_all("#figures .label", "all => all.map(each => each.textContent)")
    figures = page.eval_on_selector_all("#figures .value", "all => all.map(each => each.textContent)")

    assert page.inner_text(".caption").startswith("Leads that came in during these days")
    assert labels[:3] == ["Leads", "Won of these", "Lost of these"]
    assert figures == ["3", "2", "0", "75.0%", "100.0%", "0.0d", "4.0d"]


def test_conversions_are_grouped_by_the_chosen_property(tab, url):
    page = open_page(tab, f"{url}/conversions?{JANUARY}")

    page.click('[data-key="tab-campaign"]')
    wait_for_first(page, "None")
    campaigns = [row[:2] for row in cells(page)]
    page.click('[data-key="tab-project"]')
    wait_for_first(page, "Sky")
    projects = [row[:6] for row in cells(page)]
    page.go_back()
    wait_for_first(page, "None")
    page.go_forward()
    wait_for_first(page, "Sky")

    assert campaigns == [["None", "2"], ["Spring", "1"]]
    assert projects == [["Sky", "2", "1", "2", "1", "–"], ["Sea", "1", "1", "1", "1", "–"]]
    assert page.url == f"{url}/conversions?{JANUARY}&by=project"


def test_click_on_a_row_filters_all_but_the_pipeline(tab, url):
    page = open_page(tab, f"{url}/conversions?{JANUARY}")

    page.click('#panel-conversions a.name:has-text("bing.com")')
    wait_until_shown(page, ".chip:has-text('bing.com')")
    wait_until_shown(page, "#panel-pipeline header + p:has-text('Not filtered')")

    assert [row[:2] for row in cells(page)] == [["bing.com", "2"]]
    assert page.inner_text('[data-key="figure-leads"] .value') == "2"


def test_number_of_a_project_links_to_its_leads(tab, url):
    page = open_page(tab, f"{url}/conversions?{JANUARY}&by=project")
    wait_for_first(page, "Sky")

    page.click("#panel-conversions tbody tr:first-child td:nth-child(3) a")
    wait_until_shown(page, ".leads a.name")

    assert page.url == f"{url}/leads?status=won&project=Sky&{JANUARY}"
    assert page.inner_text(".leads tbody a.name") == "Bob"


def test_columns_and_unlinked_numbers_have_tooltips(tab, url):
    page = open_page(tab, f"{url}/conversions?{JANUARY}")
    wait_for_first(page, "bing.com")
    tips = page.eval_on_selector_all("#panel-conversions thead [data-tip]", "all => all.map(each => each.dataset.tip)")

    link = page.locator("#panel-conversions tbody tr:first-child td:nth-child(2) a")

    assert len(tips) == len(set(tips)) == 9
    assert "cannot filter them by their visits" in link.get_attribute("data-tip")
    assert link.get_attribute("href") == f"leads?{JANUARY}"


def test_pipeline_has_stays_and_leads_of_each_stage(tab, url):
    page = open_page(tab, f"{url}/conversions?{JANUARY}")
    rows = {row[0]: row[1:4] for row in cells(page, "pipeline")}
    bars = page.eval_on_selector_all("#panel-pipeline .part-of", "all => all.map(bar => bar.parentNode.dataset.status)")

    page.click("#panel-pipeline tbody tr:nth-child(5) td:nth-child(3) a")
    wait_until_shown(page, ".leads a.name")

    assert rows["New"] == ["3100.0%", "1", "4 days"]
    assert rows["Won"] == ["266.7%", "2", "–"]
    assert bars == ["new", "won"]  # nobody entered another stage
    assert page.url == f"{url}/leads?status=won&{JANUARY}"


def test_key_for_statistics_sees_numbers_without_links(tab, shop, url):
    key = KeyStore(shop).add("wall", ["stats"], now=NOW)
    start_session(tab, url, key)
    page = open_page(tab, f"{url}/conversions?{JANUARY}")
    wait_for_first(page, "bing.com")
    wait_until_shown(page, "#menu a")

    assert page.inner_text("#menu").split() == ["Statistics", "Conversions"]
    assert page.query_selector_all('main a[href^="leads"]') == []


def test_key_for_leads_alone_opens_the_list(signed_out_tab, shop, url):
    key = KeyStore(shop).add("sales", ["leads:read"], now=NOW)
    page = signed_out_tab
    page.goto(f"{url}/conversions")
    wait_until_shown(page, 'html[data-state="signed-out"]')
    page.fill("#key", key)

    page.click("#sign-in-form button")
    page.wait_for_url(f"{url}/leads")
    wait_until_shown(page, ".leads tbody tr")

    assert page.inner_text("#menu").split() == ["Leads", "Board"]


def test_click_while_the_leads_arrive_is_not_lost(tab, url):
    routes = []
    tab.route("**/analytics/conversions?*", lambda route: routes.append(route))
    with tab.expect_request("**/analytics/conversions?*"):
        page = open_page(tab, f"{url}/?{JANUARY}")
    page.hover('[data-key="metric-sessions"]')
    page.mouse.down()
    routes[0].continue_()
    wait_until_shown(page, '[data-key="metric-won"] .value:has-text("2")')

    page.mouse.up()

    page.wait_for_url("**/?*&metric=sessions")


def test_statistics_show_leads_and_won(tab, url):
    page = open_page(tab, f"{url}/?{JANUARY}")
    wait_until_shown(page, '[data-key="metric-won"] .value:has-text("2")')

    assert page.inner_text('[data-key="metric-leads"] .value') == "3"
    page.click('[data-key="metric-leads"]')
    wait_until_shown(page, "#panel-conversions tbody tr")
    assert page.url == f"{url}/conversions?{JANUARY}"


def test_menu_keeps_the_range_and_the_filters(tab, url):
    page = open_page(tab, f"{url}/conversions?{JANUARY}&country=IN&by=country")

    page.click("#menu a:has-text('Statistics')")
    wait_until_shown(page, "#chart .plot")

    assert page.url.startswith(f"{url}/?{JANUARY}&by=country&country=IN")
    page.click("#menu a:has-text('Leads')")
    wait_until_shown(page, ".leads a.name")
    page.click("#menu a:has-text('Conversions')")
    wait_until_shown(page, "#panel-conversions tbody tr")
    assert page.url.startswith(f"{url}/conversions?{JANUARY}&by=country&country=IN")
    assert page.is_visible(".chip:has-text('India')")


def test_range_without_leads_shows_a_notice(tab, url):
    page = open_page(tab, f"{url}/conversions?from=2025-01-01&to=2025-01-02")

    assert page.inner_text("#panel-conversions .empty") == "Nothing in these days"


def test_hostile_names_are_text(tab, shop, url):
    names = ("<img src=x onerror=alert(1)>", "x" * 10_000, "\u202egpj.exe", "constructor")
    insert(
        shop, "sessions", *(session(20 + place, "2026-01-20", referrer_domain=name) for place, name in enumerate(names))
    )
    page = open_page(tab, f"{url}/conversions?{JANUARY}")
    wait_for_first(page, "bing.com")

    shown = [row[0] for row in cells(page)]

    assert "<img src=x onerror=alert(1)>" in shown
    assert not any("\u202e" in name for name in shown)
    assert max(map(len, shown)) <= 301
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280


def test_order_and_period_are_chosen_by_keyboard(tab, url):
    page = open_page(tab, f"{url}/conversions?{JANUARY}")
    wait_for_first(page, "bing.com")
    page.focus('[data-key="order-won"]')

    page.keyboard.press("Enter")
    page.wait_for_function("() => location.search.includes('order=won')")
    focused = page.evaluate("() => document.activeElement.dataset.key")
    page.keyboard.press("p")
    page.wait_for_function("() => location.search.includes('period=last-month')")

    assert focused == "order-won"


def test_more_lost_leads_are_not_shown_as_good(tab, shop, url):
    move(shop, 1, "lost", "2026-01-20 13:00:00")
    page = open_page(tab, f"{url}/conversions?{JANUARY}")

    assert page.inner_text('[data-key="figure-lost"] .change.down') == "new"
    assert page.inner_text('[data-key="figure-won"] .change.up') == "new"


@pytest.mark.parametrize(
    ("compare", "days"),
    [("previous", "Dec 1 – 31, 2025"), ("year", "Jan 1 – 31, 2025")],
)
def test_compared_days_are_named(tab, url, compare, days):
    page = open_page(tab, f"{url}/conversions?{JANUARY}&compare={compare}")

    assert page.inner_text("#days") == f"Jan 1 – 31, 2026compared with {days}"


def test_tooltip_of_a_heading_disappears_with_the_pointer(tab, url):
    page = open_page(tab, f"{url}/conversions?{JANUARY}")
    page.hover('[data-key="order-won"]')
    wait_until_shown(page, "#tooltip")
    page.click('[data-key="order-won"]')
    page.mouse.move(640, 700)
    page.wait_for_function("() => location.search.includes('order=won')")
    page.wait_for_timeout(600)

    assert page.locator("#tooltip").count() == 0


def test_arrow_keys_scroll_a_table_that_is_too_wide(tab, url):
    tab.set_viewport_size({"width": 480, "height": 800})
    page = open_page(tab, f"{url}/conversions?period=today")
    address = page.url
    page.focus("#panel-pipeline .scroll")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('#panel-pipeline .scroll').scrollLeft > 0")
    page.keyboard.press("ArrowLeft")

    assert page.url == address


def test_table_with_long_names_fits_on_paper(tab, shop, url):
    run = f"update sessions set entry_page = 'https://shop.example/{'x' * 200}'"
    shop.write(lambda at: at.execute(run))
    tab.set_viewport_size({"width": 718, "height": 1000})  # the width of A4 without its margins
    page = open_page(tab, f"{url}/conversions?{JANUARY}&by=entry_page")
    wait_until_shown(page, "#panel-conversions tbody tr")
    page.emulate_media(media="print")

    assert page.eval_on_selector("#panel-conversions .scroll", "each => each.scrollWidth - each.clientWidth") == 0


def test_csv_of_conversions_has_both_attributions(tab, shop, url, tmp_path):
    pages = (session(number, "2026-01-20", entry_page=f"https://shop.example/{number}") for number in range(100, 1100))
    insert(shop, "sessions", *pages)
    run = "update sessions set entry_page = 'https://shop.example/z' where session_id = 's3'"
    shop.write(lambda at: at.execute(run))
    insert(shop, "sessions", session(2000, "2026-01-13", visitor="v3"))
    page = open_page(tab, f"{url}/conversions?{JANUARY}&by=entry_page&compare=off")
    wait_until_shown(page, "#panel-conversions tbody tr")
    page.click('[data-key="actions-conversions"]')
    with page.expect_download() as download:
        page.click("text=Download CSV")
    download.value.save_as(tmp_path / "conversions.csv")
    with open(tmp_path / "conversions.csv", newline="", encoding="utf-8-sig") as file:
        table = {row["entry_page"]: (row["leads"], row["first_leads"]) for row in csv.DictReader(file)}

    assert table["https://shop.example/z"] == ("0", "1")


SELECT_ROW = """row => {
  getSelection().selectAllChildren(row);
  return getSelection().toString().split("\t");
}"""


def test_copied_row_has_numbers_without_changes(tab, url):
    page = open_page(tab, f"{url}/conversions?{JANUARY}")
    wait_for_first(page, "bing.com")

    row = page.eval_on_selector("#panel-conversions tbody tr", SELECT_ROW)
    assert row == ["bing.com", "2", "2", "1", "1", "2", "100.0%", "100.0%", "1.0d", "4.0d"]


def test_filter_without_matches_is_cleared_from_the_notice(tab, url):
    page = open_page(tab, f"{url}/conversions?{JANUARY}&source=nothing.example")
    wait_until_shown(page, ".notice:has-text('Nothing matches these filters')")
    empty = page.inner_text("#panel-conversions .empty")
    page.click(".notice a")
    wait_for_first(page, "bing.com")

    assert empty == "Nothing matches these filters"
    assert page.url == f"{url}/conversions?{JANUARY}"
    assert page.locator(".notice").count() == 0
