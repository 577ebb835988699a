"""Hostile texts in leads, on the list, on the page of one lead and on the board."""

import pytest
from helpers.browser import require_chromium, serve, wait_until_shown
from helpers.rows import insert
from helpers.sqlite import new_database_in

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "\u202egpj.exe",
    "x" * 10_000,
    "nothing\0here",
    "👩🏽\u200d💻",
    '"><script>alert(1)</script>',
    "${alert(1)}",
)
TEXTS = ("contact_name", "project_name", "project_location", "project_source", "contact_email", "contact_phone")


@pytest.fixture
def url(server, tmp_path):
    require_chromium()
    with new_database_in(tmp_path) as database:
        insert(
            database,
            "leads",
            *(
                {"lead_id": number, "enquiry_datetime": f"2026-02-{number + 10} 10:00:00", **dict.fromkeys(TEXTS, text)}
                for number, text in enumerate(HOSTILE, 1)
            ),
        )
        insert(
            database,
            "lead_submissions",
            *(
                {
                    "submission_id": number,
                    "lead_id": number,
                    "cta_name": text,
                    "contact_email": text,
                    "payload_json": text,
                }
                | {"submitted_at": f"2026-02-{number + 10} 10:00:00"}
                for number, text in enumerate(HOSTILE, 1)
            ),
        )
        server.app = serve(database)
        yield server.url


@pytest.fixture
def hostile_page(tab):
    tab.set_viewport_size({"width": 768, "height": 800})
    return tab


def names(page, selector):
    wait_until_shown(page, selector)
    return page.eval_on_selector_all(selector, "all => all.map(each => each.textContent)")


def is_harmless(page):
    """Return whether the page has no element from a hostile text, no bidi control, and no horizontal overflow."""
    return page.evaluate(
        """() => !document.querySelector('main :is(img, script)') && !/[\u202a-\u202e]/.test(document.body.textContent)
             && document.documentElement.scrollWidth <= innerWidth"""
    )


@pytest.mark.parametrize(("path", "selector"), [("leads", ".leads a.name"), ("board", ".lead-card a.name")])
def test_hostile_names_are_text(hostile_page, url, path, selector):
    hostile_page.goto(f"{url}/{path}")

    shown = names(hostile_page, selector)

    assert len(shown) == len(HOSTILE)
    assert {HOSTILE[0], HOSTILE[1], HOSTILE[6], "gpj.exe", "nothing␀here"} <= set(shown)
    assert max(map(len, shown)) == 301
    assert is_harmless(hostile_page)


def test_hostile_leads_are_text(hostile_page, url):
    hostile_page.goto(f"{url}/leads")
    for number in range(1, len(HOSTILE) + 1):
        hostile_page.press(f'.leads a[href="leads?lead={number}"]', "Enter")
        wait_until_shown(hostile_page, ".lead-parts")

        links = hostile_page.eval_on_selector_all(".lead-parts a", "all => all.map(each => each.protocol)")

        assert set(links) <= {"mailto:", "tel:"}
        assert is_harmless(hostile_page)
        assert hostile_page.title() == "Analytics · Leads"
        hostile_page.click(".back a")


def test_hostile_facet_values_can_be_chosen(hostile_page, url):
    hostile_page.goto(f"{url}/leads")
    hostile_page.select_option('[data-key="filter-project"]', HOSTILE[0])
    hostile_page.wait_for_function("() => document.querySelectorAll('.leads a.name').length === 1")

    assert names(hostile_page, ".leads a.name") == [HOSTILE[0]]
    assert is_harmless(hostile_page)


OVERFLOW = "all => Math.max(...all.map(each => each.scrollWidth - each.clientWidth))"


@pytest.mark.parametrize("width", [320, 640])
def test_long_texts_do_not_widen_the_narrow_list(tab, url, width):
    tab.set_viewport_size({"width": width, "height": 800})
    tab.goto(f"{url}/leads")
    names(tab, ".leads a.name")

    assert tab.eval_on_selector_all(".scroll", OVERFLOW) == 0


@pytest.mark.parametrize("width", [320, 1280])
def test_long_texts_do_not_widen_a_column_of_the_board(tab, url, width):
    tab.set_viewport_size({"width": width, "height": 800})
    tab.goto(f"{url}/board")
    names(tab, ".lead-card a.name")
    widths = tab.eval_on_selector_all(".column", "all => all.map(each => each.offsetWidth)")

    assert len(set(widths)) == 1
    assert widths[0] < width
    assert tab.eval_on_selector_all(".cards", OVERFLOW) == 0


def test_list_is_printed_with_all_columns(tab, url):
    tab.set_viewport_size({"width": 718, "height": 1000})  # the width of A4 without its margins
    tab.goto(f"{url}/leads")
    names(tab, ".leads a.name")
    tab.emulate_media(media="print")

    assert tab.eval_on_selector_all("table.leads", OVERFLOW) == 0
    assert tab.evaluate("() => document.querySelector('table.leads').offsetWidth") <= 718
