"""The list of leads, and one lead, in a real browser."""

import re

import pytest
from helpers.browser import (
    WAIT_FOR_FRAME,
    find_violations,
    open_page,
    resize,
    serve,
    start_session,
    wait_until_gone,
    wait_until_shown,
)
from helpers.client import NOW
from helpers.rows import insert
from helpers.sqlite import new_database_in

from analytics_api.keys import KeyStore
from analytics_api.maintenance.erase import erase

LEADS = (
    {"lead_id": 1, "enquiry_datetime": "2026-02-24 10:00:00", "contact_name": "Ann", "project_name": "Sky"},
    {"lead_id": 2, "enquiry_datetime": "2026-02-23 10:00:00", "contact_name": "<b>Bob</b>", "project_name": "Sea"},
    {"lead_id": 3, "enquiry_datetime": "2026-02-22 10:00:00", "contact_name": "José", "project_name": "Sky"},
)
SUBMISSIONS = (
    {"submission_id": 1, "lead_id": 1, "submitted_at": "2026-02-24 10:00:00", "contact_phone": "1"},
    {"submission_id": 2, "lead_id": 1, "submitted_at": "2026-02-24 11:00:00", "contact_phone": "2"},
)
# The storage, the address without its fragment, the title and the cookies of a page. Other people and servers may see
# these, so they must contain no search term and no name.
TRACES = """() => JSON.stringify(
  [{...localStorage}, {...sessionStorage}, location.pathname, location.search, document.title, document.cookie])"""
VISIT = {
    "session_id": "s1",
    "visitor_id": "v1",
    "started_at": 1_771_900_000_000,
    "entry_page": "https://shop.example/?utm_campaign=spring",
    "exit_page": "javascript:alert(1)",
}


@pytest.fixture
def database(tmp_path):
    with new_database_in(tmp_path) as database:
        insert(database, "sessions", VISIT)
        insert(database, "leads", *LEADS)
        insert(database, "lead_submissions", *SUBMISSIONS)
        database.write(lambda at: at.execute("update leads set visitor_id = 'v1' where lead_id = 1"))
        yield database


@pytest.fixture
def url(server, database):
    server.app = serve(database)
    return server.url


def names(page):
    return page.eval_on_selector_all(".leads tbody a.name", "links => links.map(link => link.textContent)")


def wait_for_names(page, expected):
    page.wait_for_function(
        """expected => JSON.stringify([...document.querySelectorAll('.leads tbody a.name')].map(a => a.textContent))
             === JSON.stringify(expected)""",
        arg=expected,
    )


def test_list_is_searched_while_typing(tab, url):
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])

    page.fill(".search", "jose")
    wait_for_names(page, ["José"])

    assert page.url == f"{url}/leads#q=jose"
    page.reload()
    wait_for_names(page, ["José"])
    assert page.input_value(".search") == "jose"


TYPE_AND_CLICK = """() => {
  const search = document.querySelector(".search");
  search.value = "jose";
  search.dispatchEvent(new InputEvent("input", {bubbles: true}));
  document.querySelector('a.name[href="leads?lead=3"]').click();
}"""


@pytest.mark.parametrize("path", ["leads", "board"])
def test_lead_is_opened_by_a_click_right_after_typing(tab, url, path):
    page = open_page(tab, f"{url}/{path}")
    wait_until_shown(page, 'a.name:has-text("José")')

    page.evaluate(TYPE_AND_CLICK)
    wait_until_shown(page, '.lead h2:has-text("José")')
    page.wait_for_timeout(200)  # time for a change of the address, which must not happen
    assert page.url == f"{url}/leads?lead=3"

    page.go_back()
    wait_until_gone(page, 'a.name:has-text("Ann")')
    assert page.url == f"{url}/{path}#q=jose"
    assert page.input_value(".search") == "jose"


def count_nodes(page):
    """Return the number of nodes in memory, including those that the page has removed but not released."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return metrics["Nodes"]


def test_list_is_released_when_a_lead_is_opened(tab, url):
    page = open_page(tab, f"{url}/leads")
    counts = []
    for _ in range(10):
        wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])
        counts.append(count_nodes(page))
        page.click("text=Ann")
        wait_until_shown(page, ".lead")
        page.click(".back a")

    assert min(counts[5:]) < 2 * counts[0]  # a list may be released later


def test_going_back_cancels_the_request_of_a_lead(tab, url):
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])
    page.route("**/analytics/leads/1", lambda route: None)
    with page.expect_request("**/analytics/leads/1"):
        page.click("text=Ann")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/analytics/leads/1")):
        page.go_back()

    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])


def test_list_is_filtered_and_sorted(tab, url):
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])

    page.select_option('[data-key="filter-project"]', "Sky")
    wait_for_names(page, ["Ann", "José"])
    page.click('[data-key="sort-enquiry"]')
    wait_for_names(page, ["José", "Ann"])
    assert page.url == f"{url}/leads?project=Sky&sort=oldest"
    assert page.get_attribute(".list-head a", "href") == "/analytics/leads/export?project=Sky&sort=oldest&format=csv"

    page.go_back()
    wait_for_names(page, ["Ann", "José"])
    page.click('[data-key="clear"]')
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])


def test_list_is_sorted_in_a_narrow_window(tab, url):
    tab.set_viewport_size({"width": 320, "height": 800})
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])

    page.click('[data-key="sort-enquiry"]', timeout=3000)
    wait_for_names(page, ["José", "<b>Bob</b>", "Ann"])


def test_day_of_a_filter_is_typed_digit_by_digit(tab, url):
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])

    page.focus('[data-key="filter-from"]')
    page.keyboard.type("02242")
    page.wait_for_timeout(200)  # time for a request that must not be sent
    page.keyboard.type("026")
    wait_for_names(page, ["Ann"])
    assert page.url == f"{url}/leads?from=2026-02-24"

    page.go_back()
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])
    page.wait_for_function("() => document.querySelector('[data-key=filter-from]').value === ''")


def test_list_loads_more_leads_on_scrolling(tab, database, url):
    insert(database, "leads", *({"lead_id": number, "enquiry_datetime": ""} for number in range(10, 130)))
    page = open_page(tab, f"{url}/leads")
    wait_until_shown(page, ".leads tbody tr:nth-child(50)")

    for place in (100, 123):
        page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
        wait_until_shown(page, f".leads tbody tr:nth-child({place})")

    assert len(names(page)) == 123


def test_scrolling_while_a_search_loads_adds_no_other_leads(tab, database, url):
    insert(database, "leads", *({"lead_id": number, "enquiry_datetime": ""} for number in range(10, 130)))
    page = open_page(tab, f"{url}/leads")
    wait_until_shown(page, ".leads tbody tr:nth-child(50)")
    routes = []
    page.route("**/analytics/leads?*", lambda route: routes.append(route))
    with page.expect_request("**/analytics/leads?*q=ann*"):
        page.fill(".search", "ann")

    page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(200)  # time for a request that must not be sent
    for route in routes:
        route.continue_()
        page.wait_for_timeout(200)

    assert names(page) == ["Ann"]


def test_tall_window_is_filled_with_leads(tab, database, url):
    tab.set_viewport_size({"width": 1280, "height": 6000})
    insert(database, "leads", *({"lead_id": number, "enquiry_datetime": ""} for number in range(10, 130)))
    page = open_page(tab, f"{url}/leads")

    wait_until_shown(page, ".leads tbody tr:nth-child(123)")


@pytest.mark.parametrize("width", [320, 1024, 1280])
def test_filters_do_not_move_the_table(tab, url, width):
    tab.set_viewport_size({"width": width, "height": 800})
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])
    if width == 320:
        page.click(".choices summary")
    before = page.locator("table.leads").bounding_box()["y"]

    page.select_option('[data-key="filter-project"]', "Sky")
    wait_for_names(page, ["Ann", "José"])
    wait_until_shown(page, '[data-key="clear"]')

    assert page.locator("table.leads").bounding_box()["y"] == before


def test_error_of_further_leads_is_in_view(new_page, drawing_browser, database, url):
    rows = [(number, "2026-02-20 10:00:00", f"Lead {number}") for number in range(100, 200)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
    page = new_page(in_browser=drawing_browser)
    start_session(page, url)
    page.route("**/analytics/leads?*cursor=*", lambda route: route.abort())
    open_page(page, f"{url}/leads")
    page.mouse.wheel(0, 3000)
    wait_until_shown(page, ".problem")
    page.wait_for_function("() => scrollY > 500")

    assert page.locator(".problem").bounding_box()["y"] >= 0
    page.click(".problem button")
    assert page.evaluate("() => document.activeElement.id") == "main"


def test_error_of_further_leads_disappears_when_they_are_loaded(tab, database, url):
    rows = [(number, "2026-02-20 10:00:00", f"Lead {number}") for number in range(100, 150)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
    tab.route("**/analytics/leads?*cursor=*", lambda route: route.abort())
    page = open_page(tab, f"{url}/leads")
    page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    wait_until_shown(page, ".problem")
    page.unroute_all()
    page.evaluate("() => scrollTo(0, 0)")
    page.evaluate(WAIT_FOR_FRAME)
    page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    wait_until_shown(page, ".leads tbody tr:nth-child(53)")

    assert not page.is_visible(".problem")


def move_first_to_won(page):
    """Move the first lead of the list, by the keyboard and the menu."""
    page.check(".leads tbody tr:nth-child(1) input")
    page.keyboard.press("m")
    page.click('.menu button:has-text("Won")')


def test_message_after_a_move_is_accessible(tab, url):
    page = open_page(tab, f"{url}/leads")
    move_first_to_won(page)
    wait_until_shown(page, ".toast")

    assert find_violations(page, widths=[320]) == []


def test_headings_of_the_list_have_tooltips(tab, url):
    page = open_page(tab, f"{url}/leads")

    page.hover('[data-key="sort-followUp"]')
    wait_until_shown(page, '.tooltip:has-text("When this person last sent another form.")')
    page.hover("th.source span")
    wait_until_shown(page, '.tooltip:has-text("The source of the lead, as its form or its import names it.")')


def set_payloads(database, *payloads):
    """Set `payload_json` of the submissions 1, 2 and so on."""
    for number, payload in enumerate(payloads, 1):
        database.write(
            lambda at, payload=payload, number=number: at.execute(
                "update lead_submissions set payload_json = :payload where submission_id = :number",
                payload=payload,
                number=number,
            )
        )


def read_forms(page, url):
    """Return the lines of each form of lead 1, newest first."""
    open_page(page, f"{url}/leads?lead=1")
    return [text.splitlines() for text in page.locator(".fields").all_inner_texts()]


def test_forms_have_their_fields_and_changes(tab, database, url):
    set_payloads(
        database,
        '{"NAME": "<b>Ann</b>", "PHONE": "1", "BUDGET_RANGE": "10", "NOTE": ""}',
        '{"NAME": "<b>Ann</b>", "PHONE": "2", "BUDGET_RANGE": "20"}',
    )

    assert read_forms(tab, url) == [
        ["Name <b>Ann</b>", "Phone 1 → 2", "Budget range 10 → 20"],
        ["Name <b>Ann</b>", "Phone 1", "Budget range 10", "Note –"],
    ]
    assert tab.locator(".fields").first.locator("ins").all_inner_texts() == ["2", "20"]


def test_changes_outside_the_fields_of_a_form_are_shown(tab, database, url):
    set_payloads(database, '{"NOTE": "a"}', '{"NAME": "Ann"}')

    assert read_forms(tab, url)[0] == ["Phone 1 → 2", "Note a → nothing", "Name nothing → Ann"]


@pytest.mark.parametrize(
    ("payload", "lines"),
    [
        ("name=Ann&<i>", ["name=Ann&<i>"]),
        ("[1.0, null, [true]]", ["1.0, , (true)"]),
        ('"a"', ["a"]),
        ('{"HOME": {"city": "Pune", "tags": ["a", "b"]}}', ["Home city: Pune, tags: (a, b)"]),
        ('{"ID": 12345678901234567890}', ["Id 12345678901234567890"]),
        (r'{"NOTE": "one\r\ntwo"}', ["Note one", "two"]),
        ('{"NOTE": "' + "x" * 3000 + '"}', [f"Note {'x' * 2000}…"]),
        ("[" * 9000 + "]" * 9000, ["[" * 2000 + "…"]),
    ],
    ids=["invalid", "array", "text", "nested", "number", "lines", "long", "deep"],
)
def test_form_is_readable(tab, database, url, payload, lines):
    set_payloads(database, payload)

    assert read_forms(tab, url)[-1] == lines


@pytest.mark.parametrize("payload", [None, "", "null", "{}"], ids=["none", "empty", "null", "object"])
def test_form_without_fields_has_no_list(tab, database, url, payload):
    set_payloads(database, payload)

    assert read_forms(tab, url) == [["Phone 1 → 2"]]


# Whether the first character of the first name is within its cell.
SHOWS_START = """() => {
  const link = document.querySelector(".leads tbody a.name");
  const range = document.createRange();
  range.setStart(link.firstChild, 0);
  range.setEnd(link.firstChild, 1);
  const [start, cell] = [range, link.closest("th")].map(each => each.getBoundingClientRect());
  return start.left >= cell.left && start.right <= cell.right;
}"""


@pytest.mark.parametrize("name", ["\u05d0\u05d1\u05d2 " * 30, "abc " * 30], ids=["right-to-left", "left-to-right"])
def test_long_name_is_cut_at_its_end(tab, database, url, name):
    database.write(lambda at: at.execute("update leads set contact_name = :name where lead_id = 1", name=name))
    page = open_page(tab, f"{url}/leads")
    wait_until_shown(page, ".leads tbody a.name")

    assert page.evaluate(
        "() => { const th = document.querySelector('.leads tbody th'); return th.scrollWidth > th.clientWidth; }"
    )
    assert page.evaluate(SHOWS_START)


def test_selected_leads_are_moved_and_moved_back(tab, database, url):
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])

    page.check('[aria-label="Select Ann"]')
    page.check('[aria-label="Select José"]')
    page.click(".selection .menu-button")
    page.click('.selection .menu button:has-text("Won")')
    wait_until_shown(page, '.toast:has-text("2 leads moved to Won.")')
    assert database.tuples("select lead_id from leads where status = 'won' order by 1") == [(1,), (3,)]

    page.click(".toast button")
    page.wait_for_function("() => !document.querySelector('.leads [data-status=won]')")
    assert database.tuples("select lead_id from leads where status = 'won'") == []


def test_hottest_leads_are_moved_by_keyboard_alone(tab, database, url):
    insert(database, "leads", *({**LEADS[0], "lead_id": 10 + each, "engagement_score": each} for each in range(40)))
    page = open_page(tab, f"{url}/leads")
    wait_until_shown(page, '.leads a[href="leads?lead=49"]')

    def press(*keys):
        for key in keys:
            page.keyboard.press(key)

    def tab_to(selector):
        for _ in range(30):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            press("Tab")
        pytest.fail(f"Tab does not reach {selector}")

    tab_to('[data-key="sort-score"]')
    press("Enter")
    wait_until_shown(page, '.score[aria-sort="descending"]')
    tab_to('[data-key="sort-score"]')
    tab_to("tbody input")
    press("Space", "Tab", "Tab", "Space", "Tab", "Tab", "Space")
    page.evaluate("scrollTo(0, 600)")
    assert page.is_visible(".selection")
    assert page.locator(".selection").bounding_box()["y"] < 900
    press("m", "ArrowDown", "Enter")

    wait_until_shown(page, '.toast:has-text("3 leads moved to Contacted.")')
    moved = database.tuples("select lead_id from leads where status = 'contacted' order by 1")
    assert moved == [(47,), (48,), (49,)]


def test_cells_are_links_as_a_whole(tab, url):
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])

    box = page.locator("thead th.name").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + 3)
    wait_for_names(page, ["<b>Bob</b>", "Ann", "José"])
    box = page.locator("tbody th.name").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + 3)

    wait_until_shown(page, ".lead-head h2:has-text('Bob')")


CUT = "selects => selects.filter(each => each.scrollWidth > each.clientWidth).map(each => each.dataset.key)"


def test_filters_are_whole_words(tab, url):
    page = open_page(tab, f"{url}/leads")
    page.locator('[data-key="filter-project"] option[value="Sky"]').wait_for(state="attached")
    cut = []
    for width in (768, 1280):
        resize(page, width)
        cut += page.eval_on_selector_all(".choices select", CUT)

    assert cut == []


def test_selected_lead_that_somebody_else_moved_stays(tab, database, url):
    page = open_page(tab, f"{url}/leads")
    page.check('[aria-label="Select Ann"]')
    page.check('[aria-label="Select José"]')
    database.write(lambda at: at.execute("update leads set status = 'lost' where lead_id = 1"))

    page.click(".selection .menu-button")
    page.click('.selection .menu button:has-text("Won")')

    wait_until_shown(page, ".toast >> text=/^Ann was moved to Lost by sql, .* not made\\. 1 lead moved to Won\\.$/")
    moved = database.tuples("select lead_id, status from leads where status <> 'new' order by lead_id")
    assert moved == [(1, "lost"), (3, "won")]


def test_undo_leaves_leads_that_somebody_else_moved(tab, database, url):
    page = open_page(tab, f"{url}/leads")
    page.check('[aria-label="Select Ann"]')
    page.check('[aria-label="Select José"]')
    page.click(".selection .menu-button")
    page.click('.selection .menu button:has-text("Won")')
    wait_until_shown(page, '.toast:has-text("2 leads moved to Won.")')
    database.write(lambda at: at.execute("update leads set status = 'lost' where lead_id = 1"))

    page.click(".toast button")

    wait_until_shown(page, ".toast >> text=/^Ann was moved to Lost .* not undone\\. The other moves were undone\\.$/")
    assert database.tuples("select lead_id, status from leads where status <> 'new'") == [(1, "lost")]


def test_lead_has_its_path_forms_and_moves(tab, database, url):
    database.write(lambda at: at.execute("update leads set status = 'won' where lead_id = 1"))
    for path in ("/", "/plans", "/plans"):
        view = {"session_id": "s1", "event_type": "page_view", "page_url": f"https://shop.example{path}"}
        insert(database, "events", {**view, "occurred_at": VISIT["started_at"]})
    page = open_page(tab, f"{url}/leads?lead=1")
    wait_until_shown(page, ".lead-parts")

    text = page.inner_text(".lead-parts")
    assert page.locator(".viewed li").all_inner_texts() == ["/plans × 2", "/"]
    assert "Direct / none" in text
    assert "First visit" in text
    assert "spring" in text
    assert "Phone 1 → 2" in text
    assert "New → Won" in text
    assert page.title() == "Analytics · Leads"
    assert page.eval_on_selector_all(".page a", "links => links.map(link => link.href)") == [
        "https://shop.example/?utm_campaign=spring",
        "https://shop.example/plans",
        "https://shop.example/",
    ]


def move_to_won(page):
    page.click(".lead-head .menu-button")
    page.click('.lead-head .menu button:has-text("Won")')


def test_lead_is_moved_unless_others_moved_it(tab, database, url):
    page = open_page(tab, f"{url}/leads?lead=3")
    wait_until_shown(page, ".lead-parts")
    database.write(lambda at: at.execute("update leads set status = 'lost' where lead_id = 3"))

    move_to_won(page)

    wait_until_shown(page, ".toast >> text=/^José was moved to Lost by sql, .* Your move was not made\\.$/")
    assert page.inner_text(".lead-head .stage") == "Lost"


def test_visitor_who_is_still_on_the_site_does_not_reject_a_move(tab, database, url):
    page = open_page(tab, f"{url}/leads?lead=1")
    wait_until_shown(page, ".lead-parts")
    database.write(lambda at: at.execute("update sessions set event_count = event_count + 1"))

    move_to_won(page)

    wait_until_shown(page, '.toast:has-text("Ann moved to Won.")')


def test_back_and_forward_alternate_list_and_lead(tab, url):
    page = open_page(tab, f"{url}/leads")
    page.select_option('[data-key="filter-project"]', "Sky")
    wait_for_names(page, ["Ann", "José"])
    page.click(".leads a.name >> text=José")
    wait_until_shown(page, ".lead-head h2:has-text('José')")

    page.go_back()
    wait_for_names(page, ["Ann", "José"])
    page.go_back()
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])
    page.go_forward()
    wait_for_names(page, ["Ann", "José"])
    page.go_forward()
    wait_until_shown(page, ".lead-head h2:has-text('José')")

    assert page.url == f"{url}/leads?lead=3"


@pytest.mark.parametrize("control", ["back", "link"])
def test_list_is_at_the_same_place_after_a_lead(tab, database, url, control):
    rows = [(number, "2026-02-20 10:00:00", f"Lead {number}") for number in range(100, 260)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
    page = open_page(tab, f"{url}/leads")
    while page.locator(".leads tbody tr").count() < 120:
        page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(20)
    page.evaluate("() => scrollTo(0, 4000)")
    top = page.locator("text=Lead 150").bounding_box()["y"]
    page.click("text=Lead 150")
    wait_until_shown(page, ".lead")
    if control == "back":
        page.go_back()
    else:
        page.click(".back a")
    page.wait_for_function("() => scrollY === 4000")

    assert page.locator("text=Lead 150").bounding_box()["y"] == top


def test_double_click_opens_a_lead_once(tab, database, url):
    rows = [(number, "2026-02-20 10:00:00", f"Lead {number}") for number in range(100, 140)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
    page = open_page(tab, f"{url}/leads")
    page.evaluate("() => scrollTo(0, 500)")
    page.route("**/analytics/leads/120", lambda route: None)
    page.dblclick("text=Lead 120")
    page.unroute_all()
    address = page.url
    page.go_back()

    assert (address, page.url) == (f"{url}/leads?lead=120", f"{url}/leads")


@pytest.mark.parametrize("control", ["back", "link"])
def test_focus_is_on_the_lead_after_looking_at_it(tab, url, control):
    page = open_page(tab, f"{url}/leads")
    page.focus("text=José")
    page.keyboard.press("Enter")
    wait_until_shown(page, ".lead")
    if control == "back":
        page.go_back()
    else:
        page.focus(".back a")
        page.keyboard.press("Enter")
    wait_until_shown(page, "html:not(.busy) .leads a.name")

    assert page.evaluate("() => document.activeElement.textContent") == "José"


def test_list_that_is_chosen_again_is_at_its_top(tab, database, url):
    rows = [(number, "2026-02-20 10:00:00", f"Lead {number}") for number in range(100, 140)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
    page = open_page(tab, f"{url}/leads?status=new")
    page.evaluate("() => scrollTo(0, 500)")
    page.click("text=Lead 120")
    wait_until_shown(page, ".lead")
    page.click("#menu a:text-is('Leads')")
    wait_until_shown(page, "html:not(.busy) .leads tbody tr:nth-child(43)")
    page.select_option('[data-key="filter-status"]', "new")
    wait_until_shown(page, "html:not(.busy) .leads")

    assert page.evaluate("() => scrollY") == 0


def test_link_all_leads_opens_the_same_list(tab, url):
    page = open_page(tab, f"{url}/leads?project=Sky&sort=oldest")
    page.click(".leads a.name >> text=José")
    page.click(".back a")

    wait_for_names(page, ["José", "Ann"])
    assert page.url == f"{url}/leads?project=Sky&sort=oldest"


def test_move_of_erased_leads_shows_a_notice(tab, database, url):
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])
    page.check('[aria-label="Select Ann"]')
    page.check('[aria-label="Select José"]')
    erase(database, lead=1)

    page.click(".selection .menu-button")
    page.click('.selection .menu button:has-text("Won")')

    wait_until_shown(page, '.toast:has-text("Ann does not exist any more. 1 lead moved to Won.")')
    wait_for_names(page, ["<b>Bob</b>", "José"])


def test_erased_lead_shows_a_notice(tab, database, url):
    page = open_page(tab, f"{url}/leads?lead=1")
    wait_until_shown(page, ".lead-parts")
    erase(database, lead=1)

    move_to_won(page)

    wait_until_shown(page, '.toast:has-text("Ann does not exist any more.")')
    assert page.inner_text("#view .empty") == "This lead does not exist any more."


def test_lead_is_printed_on_one_clean_page(tab, url):
    page = open_page(tab, f"{url}/leads?lead=1")
    wait_until_shown(page, ".lead-parts")

    page.emulate_media(media="print")
    pdf = page.pdf(format="A4")

    controls = page.eval_on_selector_all(
        "button, input, select, nav, .back",
        "all => all.filter(each => each.checkVisibility()).map(each => each.outerHTML)",
    )
    assert controls == []
    assert page.is_visible(".lead-head h2")
    assert page.inner_text(".printed").startswith("As of ")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1


CONTENT_AFTER = "element => getComputedStyle(element, '::after').content"


def test_printed_list_names_its_filters_and_its_part(tab, database, url):
    rows = [(number, "2026-02-20 10:00:00", f"Lead {number}") for number in range(100, 160)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
    resize(tab, 718)
    page = open_page(tab, f"{url}/leads?status=new&from=2026-02-01#q=lead")
    wait_until_shown(page, ".count:has-text('60 leads')")
    page.emulate_media(media="print")

    shown = {name: page.is_visible(f'[data-key="filter-{name}"]') for name in ("status", "from", "project", "to")}
    assert shown == {"status": True, "from": True, "project": False, "to": False}
    assert page.is_visible(".search")
    assert not page.is_visible("text=Download CSV")
    assert page.eval_on_selector(".count", CONTENT_AFTER) == '" (the first 50)"'
    assert page.eval_on_selector('label:has([data-key="filter-status"])', CONTENT_AFTER) == "none"  # no arrow of a menu


def test_headings_of_a_printed_list_are_no_buttons(tab, url):
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])
    page.emulate_media(media="print")

    # Chromium does not repeat the box of a button in the headings of the next sheets.
    assert page.eval_on_selector(".sort", "button => getComputedStyle(button).display") == "contents"


def test_menu_of_the_selection_fits_into_a_low_window(tab, url):
    resize(tab, 320, 225)  # a window of 1280 × 900 px at 400 %
    page = open_page(tab, f"{url}/leads")
    page.check(".leads tbody input >> nth=0")
    page.keyboard.press("m")

    assert page.locator(".selection .menu").bounding_box()["y"] >= 0


@pytest.mark.parametrize("path", ["leads", "board"])
def test_bar_of_the_selection_does_not_cover_the_focus(tab, database, url, path):
    rows = [(number, "2026-02-20 10:00:00", f"Lead {number}") for number in range(100, 120)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
    resize(tab, 390, 700)
    page = open_page(tab, f"{url}/{path}")
    page.check(":is(.leads tbody, .lead-card) input >> nth=0")
    page.focus(":is(.leads tbody a.name, .lead-card) >> nth=0")
    bottoms = []
    for _ in range(40):
        page.keyboard.press("Tab" if path == "leads" else "ArrowDown")
        bottoms.append(page.evaluate("() => document.activeElement.getBoundingClientRect().bottom"))

    assert max(bottoms) <= page.locator(".selection").bounding_box()["y"]


def test_lead_without_forms_has_no_empty_section(tab, url):
    page = open_page(tab, f"{url}/leads?lead=2")

    assert page.locator(".part h3").all_inner_texts() == ["Contact", "Path to the enquiry", "Moves"]


def test_nothing_personal_is_stored_or_in_addresses(tab, url):
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])
    traces = []
    page.fill(".search", "ann")
    wait_for_names(page, ["Ann"])
    traces.append(page.evaluate(TRACES))
    page.click(".leads a.name")
    wait_until_shown(page, ".lead-parts")
    traces.append(page.evaluate(TRACES))
    page.goto(f"{url}/board#q=ann")
    wait_until_shown(page, ".lead-card")
    traces.append(page.evaluate(TRACES))
    page.click(".lead-card a.name")
    wait_until_shown(page, ".lead-parts")
    traces.append(page.evaluate(TRACES))

    assert len(set(traces)) == 3
    assert not any("ann" in each.lower() for each in traces)


def test_lead_opens_while_the_list_is_loading(tab, url):
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])
    routes = []
    page.route("**/analytics/leads?*q=ann*", lambda route: routes.append(route))
    with page.expect_request("**/analytics/leads?*q=ann*"):
        page.fill(".search", "ann")

    page.click(".leads a.name >> text=Ann")
    wait_until_shown(page, ".lead-parts")
    routes[0].continue_()
    page.wait_for_timeout(200)

    assert page.is_visible(".lead-parts")


def refuse_moves(route):
    if route.request.method == "PATCH":
        route.abort()
    else:
        route.fallback()


@pytest.mark.parametrize("path", ["leads", "leads?lead=1"], ids=["list", "lead"])
def test_move_that_fails_is_reported_and_retried(tab, database, url, path):
    page = open_page(tab, f"{url}/{path}")
    page.route("**/analytics/leads", refuse_moves)
    if path == "leads":
        move_first_to_won(page)
    else:
        page.click(".lead-head .menu-button")
        page.click('.menu button:has-text("Won")')
    wait_until_shown(page, ".problem:has-text('The move was not saved: The server does not answer.')")
    page.unroute_all()
    page.click(".problem button")
    wait_until_shown(page, ".toast")

    assert database.tuples("select status from leads where lead_id = 1") == [("won",)]


def test_move_is_retried_once_for_the_same_leads(tab, url):
    page = open_page(tab, f"{url}/leads")
    page.route("**/analytics/leads", refuse_moves)
    move_first_to_won(page)
    wait_until_shown(page, ".problem")
    page.unroute_all()
    page.check(".leads tbody tr:nth-child(2) input")
    moves = []
    page.on("request", lambda request: request.method == "PATCH" and moves.append(request.post_data_json["leads"]))
    page.dblclick(".problem button")
    wait_until_shown(page, ".toast")

    assert [[lead["lead_id"] for lead in move] for move in moves] == [[1]]


def test_undo_that_fails_is_retried(tab, database, url):
    page = open_page(tab, f"{url}/leads")
    move_first_to_won(page)
    wait_until_shown(page, ".toast button")
    page.route("**/analytics/leads", refuse_moves)
    page.click(".toast button")
    wait_until_shown(page, ".problem:has-text('Your move was not undone. The server does not answer.')")
    page.unroute_all()
    page.click(".problem button")
    wait_until_shown(page, ".toast:has-text('The move was undone.')")

    assert database.tuples("select status from leads where lead_id = 1") == [("new",)]


def test_list_can_be_used_while_a_lead_is_loading(tab, url):
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])
    page.route("**/analytics/leads/1", lambda route: None)
    page.click(".leads a.name >> text=Ann")
    page.check(".leads tbody tr:nth-child(2) input")

    assert page.inner_text(".selection span") == "1 selected"
    assert page.evaluate("() => document.documentElement.className") == "busy"


def test_missing_lead_shows_a_notice(tab, url):
    page = open_page(tab, f"{url}/leads?lead=99")

    assert page.inner_text("#view .empty") == "This lead does not exist any more."


@pytest.mark.parametrize("lead", ["abc", "-5", "99999999999999999999", "facets", ".."])
def test_invalid_lead_shows_a_notice(tab, url, lead):
    page = open_page(tab, f"{url}/leads?lead={lead}")
    wait_until_shown(page, '.empty:has-text("This lead does not exist")')

    assert page.locator(".problem").count() == 0
    page.click('.back a:has-text("All leads")')
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])


def test_invalid_lead_shows_the_sign_in_form(signed_out_tab, url):
    signed_out_tab.goto(f"{url}/leads?lead=abc")

    wait_until_shown(signed_out_tab, "#sign-in-form")
    assert signed_out_tab.locator("#view > *").count() == 0


@pytest.mark.parametrize("path", ["leads", "board"])
@pytest.mark.parametrize(
    "query", ["sort=foo", "status=foo", "has_visits=foo&from=2026-13-01&to=x", "sort=newest&sort=oldest&city=Pune"]
)
def test_invalid_value_in_the_address_is_ignored(tab, url, path, query):
    page = open_page(tab, f"{url}/{path}?{query}")
    wait_until_shown(page, 'a.name:has-text("José")')

    assert page.locator("a.name").count() == 3
    assert page.locator(".problem").count() == 0
    assert not page.is_visible('[data-key="clear"]')


def test_values_in_the_address_may_be_in_capitals(tab, url):
    page = open_page(tab, f"{url}/leads?status=NEW&sort=Oldest&has_visits=FALSE")
    wait_for_names(page, ["José", "<b>Bob</b>"])

    assert page.input_value('[data-key="filter-status"]') == "new"
    assert page.input_value('[data-key="filter-has_visits"]') == "false"
    assert page.get_attribute("th.enquiry", "aria-sort") == "ascending"


def test_key_for_statistics_sees_no_menu_for_leads(tab, database, url):
    key = KeyStore(database).add("wall", ["stats"], now=NOW)
    start_session(tab, url, key)
    page = open_page(tab, f"{url}/leads")

    assert page.inner_text(".notice.problem") == "Your account or key may not read leads."
    assert page.inner_text("#menu").split() == ["Statistics", "Conversions"]


def test_key_for_leads_opens_the_list(tab, database, url):
    key = KeyStore(database).add("sales", ["leads:read"], now=NOW)
    start_session(tab, url, key)
    page = open_page(tab, f"{url}/leads")

    page.goto(f"{url}/", wait_until="commit")

    page.wait_for_url(f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])


def test_key_that_only_reads_has_no_controls_that_move(tab, database, url):
    key = KeyStore(database).add("reader", ["stats", "leads:read"], now=NOW)
    start_session(tab, url, key)
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])

    assert page.query_selector_all(".leads input") == []
    assert page.inner_text("#menu").split() == ["Statistics", "Conversions", "Leads", "Board"]
    page.goto(f"{url}/board")
    wait_until_shown(page, ".lead-card")
    assert page.query_selector_all(".lead-card :is(input, button)") == []


def test_revoked_key_shows_the_sign_in_form(tab, database, url):
    key = KeyStore(database).add("sales", ["stats", "leads:read"], now=NOW)
    start_session(tab, url, key)
    page = open_page(tab, f"{url}/leads")
    wait_for_names(page, ["Ann", "<b>Bob</b>", "José"])
    KeyStore(database).revoke("sales", now=NOW)

    page.fill(".search", "ann")

    wait_until_shown(page, 'html[data-state="signed-out"]')
    assert page.inner_text("#view") == ""


@pytest.mark.parametrize(
    ("path", "ready"),
    [("leads", ".leads a.name"), ("leads?lead=1", ".lead-parts"), ("board", ".lead-card")],
    ids=["list", "lead", "board"],
)
def test_page_for_leads_is_accessible(tab, url, path, ready):
    page = open_page(tab, f"{url}/{path}")
    wait_until_shown(page, ready)

    assert find_violations(page) == []
