"""The board in a real browser: moves by mouse, touch, menu and keyboard, and moves of other people."""

import pytest
from helpers.browser import close_shortcuts, serve, start_session, wait_until_gone, wait_until_shown
from helpers.client import KEY, NOW
from helpers.sqlite import new_database_in

from analytics_api.maintenance.erase import erase


@pytest.fixture
def database(tmp_path):
    rows = [(number, f"2026-02-{number + 10} 10:00:00", f"Lead {number}") for number in range(1, 7)]
    with new_database_in(tmp_path) as database:
        database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
        yield database


@pytest.fixture
def url(server, database):
    server.app = serve(database)
    return server.url


def open_board(page, url):
    page.goto(f"{url}/board")
    wait_until_shown(page, '.lead-card[tabindex="0"]')  # set after all columns are drawn
    return page


@pytest.fixture
def open_another(new_page, url):
    """Return a function that opens the board in another browser profile."""

    def open_another(has_clock=False, **options):
        page = new_page(**options)
        if has_clock:
            page.clock.install()
        start_session(page, url)
        return open_board(page, url)

    return open_another


def cards(page, status):
    return page.eval_on_selector_all(
        f".column[data-status={status}] .lead-card", "all => all.map(card => Number(card.dataset.lead))"
    )


def statuses(database):
    return dict(database.tuples("select lead_id, status from leads where status <> 'new' order by lead_id"))


def wait_until_moved(page, lead_id, status):
    wait_until_shown(page, f'.column[data-status={status}] [data-lead="{lead_id}"]')


def move(page, lead_id, stage):
    page.click(f'[data-key="move-{lead_id}"]')
    page.click(f'[data-lead="{lead_id}"] .menu button:has-text("{stage}")')
    wait_until_shown(page, f'.toast:has-text("Lead {lead_id} moved to {stage}.")')


def run(database, sql):
    database.write(lambda at: at.execute(sql))


def test_tall_column_is_filled_after_each_search(tab, database, url):
    rows = [(number, "", f"Cat {number}") for number in range(100, 140)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
    tab.set_viewport_size({"width": 1280, "height": 6000})
    page = open_board(tab, url)
    wait_until_shown(page, '[data-lead="100"]')

    page.fill(".search", "cat")
    wait_until_gone(page, '[data-lead="1"]')
    wait_until_shown(page, '[data-lead="100"]')


def test_card_is_dragged_by_mouse(tab, database, url):
    page = open_board(tab, url)
    assert cards(page, "new") == [6, 5, 4, 3, 2, 1]

    page.drag_and_drop('[data-lead="5"] .card-top', ".column[data-status=qualified]")

    wait_until_shown(page, '.toast:has-text("Lead 5 moved to Qualified.")')
    assert cards(page, "qualified") == [5]
    assert page.inner_text(".column[data-status=new] .total") == "5"
    assert statuses(database) == {5: "qualified"}
    page.click(".toast button")
    wait_until_shown(page, '.toast:has-text("undone")')
    assert statuses(database) == {}


def test_card_is_moved_by_its_menu(tab, database, url):
    page = open_board(tab, url)

    page.click('[data-key="move-2"]')
    page.click('[data-lead="2"] .menu button:has-text("Won")')

    wait_until_shown(page, '.toast:has-text("Lead 2 moved to Won.")')
    assert statuses(database) == {2: "won"}


def test_menu_of_a_card_has_a_title_and_arrow_keys(tab, database, url):
    page = open_board(tab, url)
    page.focus('[data-key="move-2"]')

    page.keyboard.press("Enter")
    assert page.inner_text('[data-lead="2"] .menu p') == "Move Lead 2 to…"
    assert page.evaluate("() => document.activeElement.textContent") == "Contacted"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    wait_until_shown(page, '.toast:has-text("Lead 2 moved to Qualified.")')


@pytest.mark.parametrize("width", [360, 1280])
def test_menu_of_the_last_card_is_within_the_screen(tab, database, url, width):
    rows = [(number, "2026-01-01 10:00:00") for number in range(100, 110)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime"], rows))
    tab.set_viewport_size({"width": width, "height": 600})
    page = open_board(tab, url)

    page.click('[data-key="move-100"]')

    menu = page.locator('[data-lead="100"] .menu').bounding_box()
    assert menu["y"] + menu["height"] <= 601
    column = page.locator('.column[data-status="new"]').bounding_box()
    assert menu["y"] + menu["height"] <= column["y"] + column["height"]


def test_card_is_moved_by_keyboard_alone(tab, database, url):
    page = open_board(tab, url)
    page.focus(".lead-card[tabindex='0']")

    for key in ("ArrowDown", " ", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert page.inner_text("#status") == "Over Qualified."
    page.keyboard.press("Enter")

    wait_until_shown(page, '.toast:has-text("Lead 5 moved to Qualified.")')
    assert statuses(database) == {5: "qualified"}
    assert page.evaluate("() => document.activeElement.dataset.lead") == "5"


def test_arrows_enter_the_board_and_leave_the_controls_of_a_card(tab, database, url):
    page = open_board(tab, url)

    for key in ("ArrowDown", "ArrowDown", "x", "Tab", "ArrowDown", "Tab", "Tab"):
        page.keyboard.press(key)
    assert page.evaluate("() => document.activeElement.textContent") == "Lead 4"
    for key in (" ", "ArrowRight", "Enter"):
        page.keyboard.press(key)

    wait_until_moved(page, 4, "contacted")
    wait_until_shown(page, '.toast:has-text("Lead 4 moved to Contacted.")')
    assert statuses(database) == {4: "contacted"}


def test_lead_opened_from_the_board_links_back_to_it(tab, url):
    page = open_board(tab, url)
    page.fill(".search", "Lead 3")
    page.wait_for_function("() => document.querySelectorAll('.lead-card').length === 1")
    page.click(".lead-card a.name")

    page.click('.back a:has-text("Board")')

    page.wait_for_function("() => document.querySelectorAll('.lead-card').length === 1")
    assert page.url == f"{url}/board#q=Lead+3"


def test_escape_puts_a_lifted_card_back(tab, database, url):
    page = open_board(tab, url)
    page.focus(".lead-card[tabindex='0']")

    for key in (" ", "ArrowRight", "Escape"):
        page.keyboard.press(key)

    assert page.inner_text("#status") == "The move was cancelled."
    assert cards(page, "new") == [6, 5, 4, 3, 2, 1]
    assert statuses(database) == {}


def test_long_press_drags_by_touch(open_another, drawing_browser, database):
    page = open_another(in_browser=drawing_browser, has_touch=True)
    touch = page.context.new_cdp_session(page)
    start = page.locator('[data-lead="6"] .card-top').bounding_box()
    end = page.locator(".column[data-status=contacted] header").bounding_box()

    def send(kind, box):
        points = [] if box is None else [{"x": box["x"] + 80, "y": box["y"] + 8}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", start)
    wait_until_shown(page, ".ghost")
    send("touchMove", end)
    send("touchEnd", None)

    wait_until_shown(page, '.toast:has-text("Lead 6 moved to Contacted.")')
    assert statuses(database) == {6: "contacted"}


def test_board_scrolls_while_a_card_is_dragged_to_its_edge(open_another, drawing_browser, database):
    page = open_another(in_browser=drawing_browser, has_touch=True, viewport={"width": 360, "height": 640})
    touch = page.context.new_cdp_session(page)
    start = page.locator('[data-lead="6"] .card-top').bounding_box()

    def send(kind, *points):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", {"x": start["x"] + 80, "y": start["y"] + 8})
    wait_until_shown(page, ".ghost")
    send("touchMove", {"x": 340, "y": start["y"]})
    page.wait_for_function("() => document.querySelector('[data-status=won]').getBoundingClientRect().right < 340")
    send("touchMove", {"x": 180, "y": start["y"]})
    wait_until_shown(page, ".column.over:is([data-status=won], [data-status=lost])")
    stage = page.get_attribute(".column.over", "data-status")
    send("touchEnd")

    wait_until_shown(page, '.toast:has-text("Lead 6 moved to")')
    assert stage in ("won", "lost")
    assert statuses(database) == {6: stage}


def test_several_cards_are_moved_at_once(tab, database, url):
    page = open_board(tab, url)
    page.check('[aria-label="Select Lead 1"]')
    page.check('[aria-label="Select Lead 3"]')
    assert page.inner_text(".selection span") == "2 selected"

    page.click('[data-key="move-3"]')
    assert page.inner_text('[data-lead="3"] .menu p') == "Move 2 leads to…"
    page.click('[data-lead="3"] .menu button:has-text("Lost")')

    wait_until_shown(page, '.toast:has-text("2 leads moved to Lost.")')
    assert statuses(database) == {1: "lost", 3: "lost"}


def test_selected_cards_are_moved_by_the_bar(tab, database, url):
    page = open_board(tab, url)
    page.check('[aria-label="Select Lead 1"]')
    page.click('.selection button:has-text("Clear selection")')
    assert page.is_hidden(".selection")
    page.check('[aria-label="Select Lead 2"]')
    page.check('[aria-label="Select Lead 3"]')

    page.click(".selection .menu-button")
    page.click('.selection .menu button:has-text("Won")')

    wait_until_shown(page, '.toast:has-text("2 leads moved to Won.")')
    assert page.is_hidden(".selection")
    assert statuses(database) == {2: "won", 3: "won"}


def test_card_moved_by_others_appears_in_its_new_stage(tab, database, url):
    page = open_board(tab, url)
    run(database, "update leads set status = 'lost' where lead_id = 4")

    page.click('[data-key="move-4"]')
    page.click('[data-lead="4"] .menu button:has-text("Won")')

    wait_until_shown(page, ".toast >> text=/^Lead 4 was moved to Lost by sql, .* Your move was not made\\.$/")
    assert (cards(page, "lost"), cards(page, "won")) == ([4], [])
    assert statuses(database) == {4: "lost"}


def test_moves_of_others_appear_within_five_seconds(new_page, database, url):
    page = new_page()
    page.clock.install(time=NOW / 1000)
    start_session(page, url)
    open_board(page, url)
    page.clock.pause_at(NOW / 1000 + 60)
    run(database, "update leads set status = 'proposal' where lead_id = 1")
    run(database, "delete from leads where lead_id = 2")

    page.clock.run_for(5000)
    wait_until_shown(page, '.column[data-status=proposal] [data-lead="1"]')

    assert cards(page, "new") == [6, 5, 4, 3]


def test_failed_move_puts_the_card_back(tab, database, url):
    page = open_board(tab, url)
    page.context.set_offline(True)

    page.click('[data-key="move-4"]')
    page.click('[data-lead="4"] .menu button:has-text("Won")')

    wait_until_shown(page, '.toast:has-text("The move was not saved")')
    assert cards(page, "new") == [6, 5, 4, 3, 2, 1]
    page.context.set_offline(False)
    page.click(".toast button")
    wait_until_moved(page, 4, "won")
    wait_until_shown(page, '.toast:has-text("Lead 4 moved to Won.")')
    assert statuses(database) == {4: "won"}


def test_move_that_the_database_does_not_save_is_reported(tab, url):
    page = open_board(tab, url)
    page.route("**/analytics/leads", lambda route: route.fulfill(status=503, body=""))
    page.click('[data-key="move-4"]')
    page.click('[data-lead="4"] .menu button:has-text("Won")')
    wait_until_shown(page, ".toast")

    message = "The move was not saved: The database does not answer at the moment."
    assert page.inner_text(".toast span") == message


@pytest.mark.clock
def test_offline_board_shows_a_notice(tab, url):
    page = open_board(tab, url)
    place = page.locator(".board").bounding_box()
    page.context.set_offline(True)
    page.clock.fast_forward(5000)

    wait_until_shown(page, ".problem:has-text('This page could not be updated')")
    assert page.locator(".board").bounding_box() == place
    assert "You are offline." in page.inner_text(".problem")
    assert cards(page, "new") == [6, 5, 4, 3, 2, 1]
    page.context.set_offline(False)
    wait_until_gone(page, ".problem")


@pytest.mark.clock
def test_selection_survives_a_lost_connection(tab, database, url):
    page = open_board(tab, url)
    page.hover('[data-lead="4"]')
    page.check('[data-lead="4"] input')
    page.context.set_offline(True)
    page.clock.fast_forward(5000)
    wait_until_shown(page, ".problem")
    run(database, "update leads set status = 'won' where lead_id = 5")
    page.context.set_offline(False)
    wait_until_moved(page, 5, "won")

    assert page.is_checked('[data-lead="4"] input')
    assert page.inner_text(".selection span") == "1 selected"


@pytest.mark.clock
def test_error_of_a_filter_stays_until_the_board_is_loaded(tab, database, url):
    run(database, "update leads set project_name = 'Sky' where lead_id = 4")
    page = open_board(tab, url)
    page.route("**/analytics/board?project=*", lambda route: route.fulfill(status=500, body=""))
    page.select_option('[data-key="filter-project"]', "Sky")
    wait_until_shown(page, ".problem")
    page.clock.fast_forward(5000)
    page.wait_for_timeout(200)  # time for the poll that must not hide the error

    assert page.is_visible(".problem")
    page.unroute_all()
    page.click(".problem button")
    wait_until_gone(page, '[data-lead="5"]')
    assert cards(page, "new") == [4]


@pytest.mark.clock
def test_error_of_further_cards_stays_until_they_are_loaded(tab, database, url):
    rows = [(number, "2026-02-01 10:00:00", f"Lead {number}") for number in range(100, 200)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
    tab.route("**/analytics/board/new?*", lambda route: route.fulfill(status=500, body=""))
    page = open_board(tab, url)
    page.eval_on_selector(".cards", "list => list.scrollTo(0, list.scrollHeight)")
    wait_until_shown(page, ".problem")
    run(database, "update leads set status = 'won' where lead_id = 4")
    page.clock.fast_forward(5000)
    wait_until_moved(page, 4, "won")

    assert page.is_visible(".problem")
    page.unroute_all()
    page.click(".problem button")
    wait_until_shown(page, "html:not(.busy) .block")
    assert not page.is_visible(".problem")


def test_browser_asks_before_it_leaves_an_unsaved_move(tab, url):
    page = open_board(tab.context.new_page(), url)
    page.route("**/analytics/leads", lambda route: None)
    page.click('[data-key="move-4"]')
    page.click('[data-lead="4"] .menu button:has-text("Won")')
    with page.expect_event("dialog") as dialog:
        page.close(run_before_unload=True)

    assert dialog.value.type == "beforeunload"
    dialog.value.accept()


def test_printed_column_says_that_it_has_not_all_leads(tab, database, url):
    rows = [(number, "2026-02-01 10:00:00", f"Lead {number}") for number in range(100, 200)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
    page = open_board(tab, url)
    page.emulate_media(media="print")
    column = page.eval_on_selector(
        ".column",
        "column => [column.querySelectorAll('.lead-card').length,"
        " getComputedStyle(column.querySelector('.total'), '::after').content]",
    )

    assert column[0] < 106
    assert column[1] == f'" (the first {column[0]})"'


def test_move_after_the_session_ended_is_reported(tab, url):
    page = open_board(tab, url)
    page.context.clear_cookies()
    page.click('[data-key="move-4"]')
    page.click('[data-lead="4"] .menu button:has-text("Won")')
    wait_until_shown(page, "#sign-in:visible")

    assert page.inner_text("#sign-in-error") == "The move was not saved: You are signed out."


@pytest.mark.clock
def test_two_boards_that_move_the_same_cards_agree(tab, open_another, database, url):
    pages = open_board(tab, url), open_another(has_clock=True)
    answers = []

    for lead_id in range(1, 7):
        for page, stage in zip(pages, ("Won", "Lost")):
            page.click(f'[data-key="move-{lead_id}"]')
            page.click(f'[data-lead="{lead_id}"] .menu button:has-text("{stage}")')
            wait_until_shown(page, f".toast >> text=/Lead {lead_id} .*moved to/")
            answers.append(page.inner_text(".toast span"))

    acknowledged = [answer for answer in answers if " was moved " not in answer]
    assert database.tuples("select count(*) from lead_status_changes") == [(len(acknowledged),)]
    for page in pages:
        page.clock.fast_forward(5000)
        for lead_id, status in statuses(database).items():
            wait_until_moved(page, lead_id, status)


@pytest.mark.clock
def test_undo_does_not_overwrite_moves_of_others(tab, open_another, database, url):
    first, second = open_board(tab, url), open_another(has_clock=True)
    move(first, 4, "Contacted")
    second.clock.fast_forward(5000)
    wait_until_moved(second, 4, "contacted")
    move(second, 4, "Won")
    first.clock.fast_forward(5000)
    wait_until_moved(first, 4, "won")

    first.focus('[data-lead="4"]')
    first.keyboard.press("Control+z")

    wait_until_shown(first, ".toast >> text=/^Lead 4 was moved to Won by .* Your move was not undone\\.$/")
    assert (cards(first, "won"), statuses(database)) == ([4], {4: "won"})


def test_several_moves_of_one_card_are_undone(tab, database, url):
    page = open_board(tab, url)
    move(page, 4, "Contacted")
    move(page, 4, "Won")

    page.focus('[data-lead="4"]')
    for status in ("contacted", "new"):
        with page.expect_response("**/analytics/leads"):
            page.keyboard.press("Control+z")
        wait_until_moved(page, 4, status)

    assert statuses(database) == {}
    assert database.tuples("select count(*) from lead_status_changes") == [(4,)]


def test_queued_move_does_not_overwrite_another_move(tab, database, url):
    page = open_board(tab, url)
    routes = []
    page.route("**/analytics/leads", lambda route: routes.append(route), times=1)
    page.click('[data-key="move-5"]')
    with page.expect_request("**/analytics/leads"):
        page.click('[data-lead="5"] .menu button:has-text("Won")')
    page.click('[data-key="move-4"]')
    page.click('[data-lead="4"] .menu button:has-text("Won")')
    run(database, "update leads set status = 'lost' where lead_id = 4")

    routes[0].continue_()

    wait_until_shown(page, ".toast >> text=/^Lead 4 was moved to Lost by sql, .* Your move was not made\\.$/")
    assert statuses(database) == {4: "lost", 5: "won"}


def sign_out(page):
    page.click('[data-key="account"]')
    page.click("text=Sign out")
    wait_until_shown(page, "#key")


def sign_in_to_board(page):
    page.fill("#key", KEY)
    page.click("#sign-in-form button")
    wait_until_shown(page, '.lead-card[tabindex="0"]')


def test_move_is_not_undone_after_signing_out(tab, database, url):
    page = open_board(tab, url)
    move(page, 5, "Won")
    sign_out(page)
    assert page.query_selector(".toast") is None
    assert "Lead 5" not in page.inner_text("body")

    sign_in_to_board(page)
    page.focus('[data-lead="6"]')
    page.keyboard.press("Control+z")

    assert cards(page, "won") == [5]
    assert statuses(database) == {5: "won"}


def test_board_is_updated_after_signing_out_with_a_lifted_card(tab, database, url):
    page = open_board(tab, url)
    page.focus('[data-lead="6"]')
    page.keyboard.press(" ")
    page.evaluate("new BroadcastChannel('analytics').postMessage('signed-out')")  # as another tab does
    wait_until_shown(page, "#key")

    sign_in_to_board(page)
    run(database, "update leads set status = 'won' where lead_id = 3")

    wait_until_moved(page, 3, "won")


def test_board_works_after_signing_out_during_a_move(tab, database, url):
    page = open_board(tab, url)
    requests = []
    page.route("**/analytics/leads", lambda route: requests.append(route))
    page.click('[data-key="move-5"]')
    page.click('[data-lead="5"] .menu button:has-text("Won")')
    sign_out(page)
    with page.expect_response("**/analytics/leads"):
        requests[0].continue_()
    page.unroute("**/analytics/leads")

    sign_in_to_board(page)
    move(page, 4, "Lost")

    assert statuses(database) == {4: "lost"}


def test_time_in_a_stage_keeps_counting(new_page, url):
    page = new_page()
    page.clock.install(time=NOW / 1000)
    start_session(page, url)
    open_board(page, url)
    move(page, 1, "Won")

    page.clock.fast_forward("03:00")

    wait_until_shown(page, '[data-lead="1"] .clock[data-tip="3 minutes in this stage"]')


def test_shortcuts_of_the_board_are_listed(tab, url):
    page = open_board(tab, url)

    page.keyboard.press("?")
    assert "Lift the card" in page.inner_text("dialog .shortcuts")
    close_shortcuts(page)
    page.click('[data-key="account"]')
    page.click('.account button:has-text("Keyboard shortcuts")')
    close_shortcuts(page)
    assert page.evaluate("() => document.activeElement.dataset.key") == "account"
    page.keyboard.press("/")
    assert page.evaluate("() => document.activeElement.type") == "search"


def test_column_is_collapsed(tab, url):
    page = open_board(tab, url)

    page.click('[aria-label="Collapse New"]')

    assert page.query_selector_all(".lead-card") == []
    page.click('[aria-label="Expand New"]')
    assert len(page.query_selector_all(".lead-card")) == 6


def test_column_loads_more_cards_on_scrolling(tab, database, url):
    rows = [(number, "2026-01-01 10:00:00") for number in range(100, 160)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime"], rows))
    page = open_board(tab, url)

    for count in (50, 66):
        page.evaluate("() => document.querySelector('.cards').scrollTo(0, 1e6)")
        page.wait_for_function(f"() => document.querySelectorAll('[data-status=new] .lead-card').length >= {count}")

    assert cards(page, "new") == [6, 5, 4, 3, 2, 1, *range(159, 99, -1)]


def test_back_and_forward_restore_filters(tab, database, url):
    run(database, "update leads set project_name = 'Sky' where lead_id in (2, 5)")
    page = open_board(tab, url)

    page.select_option('[data-key="filter-project"]', "Sky")
    wait_until_gone(page, '[data-lead="6"]')
    filtered = (page.url, cards(page, "new"))
    page.go_back()
    wait_until_shown(page, '[data-lead="6"]')
    all_cards = (page.url, cards(page, "new"))
    page.go_forward()
    wait_until_gone(page, '[data-lead="6"]')

    assert filtered == (f"{url}/board?project=Sky", [5, 2])
    assert all_cards == (f"{url}/board", [6, 5, 4, 3, 2, 1])
    assert (page.url, cards(page, "new")) == filtered


@pytest.mark.clock
def test_erased_lead_disappears_with_a_notice(tab, database, url):
    page = open_board(tab, url)
    page.focus('[data-lead="2"]')

    erase(database, lead=2)
    page.clock.fast_forward(5000)

    wait_until_shown(page, '.toast:has-text("Lead 2 does not exist any more.")')
    assert cards(page, "new") == [6, 5, 4, 3, 1]
    assert page.evaluate("() => document.activeElement.closest('.lead-card') !== null")


def test_move_of_an_erased_lead_shows_a_notice(tab, database, url):
    page = open_board(tab, url)
    page.click('[data-key="move-2"]')
    erase(database, lead=2)

    page.click('[data-lead="2"] .menu button:has-text("Won")')

    wait_until_shown(page, '.toast:has-text("Lead 2 does not exist any more.")')
    assert (cards(page, "new"), cards(page, "won")) == ([6, 5, 4, 3, 1], [])


@pytest.mark.clock
def test_moves_of_others_do_not_scroll_the_board(tab, database, url):
    rows = [(number, "2026-01-01 10:00:00", f"Lead {number}") for number in range(101, 221)]
    database.write(lambda at: at.insert("leads", ["lead_id", "enquiry_datetime", "contact_name"], rows))
    page = open_board(tab, url)
    list_ = ".column[data-status=new] .cards"
    while len(cards(page, "new")) < 126:
        page.eval_on_selector(list_, "list => { list.scrollTop = list.scrollHeight; }")
        page.wait_for_timeout(50)
    page.wait_for_function(f"() => document.querySelector('{list_}').scrollTop > 4000")
    page.eval_on_selector('[data-lead="101"]', "card => { card.isTheSame = true; }")
    place = page.eval_on_selector(list_, "list => list.scrollTop")

    run(database, "update leads set status = 'won' where lead_id = 210")
    page.clock.fast_forward(5000)
    wait_until_shown(page, '.column[data-status=won] [data-lead="210"]')

    assert len(cards(page, "new")) == 125
    assert page.eval_on_selector('[data-lead="101"]', "card => card.isTheSame")
    assert abs(page.eval_on_selector(list_, "list => list.scrollTop") - place) < 200


def test_stage_in_the_address_is_ignored(tab, url):
    tab.goto(f"{url}/board?status=won")
    wait_until_shown(tab, '.lead-card[tabindex="0"]')

    assert tab.inner_text(".count") == f"{tab.locator('.lead-card').count()} leads"
    assert len(cards(tab, "new")) > 0
    assert not tab.is_visible('[data-key="clear"]')


def test_focus_stays_on_a_control_after_a_choice(tab, url):
    page = open_board(tab, url)
    page.focus('[data-key="filter-has_visits"]')

    page.select_option('[data-key="filter-has_visits"]', "false")
    wait_until_shown(page, '[data-key="clear"]')

    assert page.evaluate("() => document.activeElement.dataset.key") == "filter-has_visits"
