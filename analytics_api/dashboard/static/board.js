// The board: a column of cards for each stage. Cards are moved by mouse, touch, menu and keyboard.

import { canMove, clearProblem, explainStale, fail, filterBar, FILTERS, goneText, leadLink, moveLeads, nameOf, requestQuery, showSelection, site, stageMenu, STAGES, startLeads, toast, withKey } from "./crm.js";
import { byId, h, icon, isOccupied, pause, set, tipOf } from "./dom.js";
import * as format from "./format.js";
import { watchKeys, watchPointer } from "./lifting.js";
import { errorText, get, loadAgain, openHelp, stageBadge } from "./page.js";
import { texts } from "./texts.js";

const t = texts.leads;
const [, ...OTHER_FILTERS] = FILTERS; // all but the stage
const PAGE = 25; // maximum number of cards of a stage to load and create at once, so that the page does not freeze
const MOST = 100; // cards of a stage in one response
const POLL = 4000; // ms between polls, so that the moves of other people appear within five seconds

let loading = new AbortController();
let stages = new Map(); // by status: {status, total, leads, next}
let cursor = null; // position after which /changes lists the changes of leads; null until the board is loaded
let parts = null;
let lost = null; // the notice of a poll that did not reach the server. The next poll that does removes it, but no other notice.
const cards = new Map(); // by lead id: {lead, isSelected, card}
const selected = new Set(); // lead ids
const undoSteps = []; // for each move of cards, the moves that undo it
const newEtags = new Map(); // by lead id and former ETag: the ETag after a move by this page
let isLifted = false; // whether a card is lifted; polls wait meanwhile
let pending = Promise.resolve(); // the last request of a move; the next one waits for it
let unsaved = 0; // requests of moves that have no response

async function load() {
  clearProblem();
  if (!parts) build();
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  cursor = null; // no polls until this succeeds
  try {
    const facets = get("/leads/facets", requestQuery(["status", "sort"]), signal);
    facets.then((values) => parts?.bar.showFacets(values)).catch((error) => fail(error, load));
    const board = await withKey(get("/board", requestQuery(["status"], { limit: PAGE }), signal), signal);
    stages = new Map(board.stages.map((stage) => [stage.status, stage]));
    cursor = board.cursor;
    selected.clear();
    cards.clear();
    for (const column of parts.columns) {
      column.restart();
      await pause();
      if (signal.aborted || !parts) return;
    }
    drawAll();
  } catch (error) {
    fail(error, load);
  }
}

function build() {
  const help = h("button.quiet.help", { type: "button", onclick: openHelp, "aria-label": texts.shortcuts, ...tipOf(texts.shortcuts) }, h("kbd", {}, "?"));
  const count = h("p.muted.count", { role: "status" });
  const actions = h("div.selection", { hidden: true });
  const bar = filterBar(OTHER_FILTERS, load, count, actions, help);
  const columns = STAGES.map(makeColumn);
  const board = h("div.board", { "aria-label": t.board, role: "group", "aria-describedby": "board-keys" }, columns.map(({ element }) => element));
  const none = h("p.empty.card", { hidden: true }, t.noneYet);
  byId("view").replaceChildren(bar, h("p.hidden", { id: "board-keys" }, t.keys), none, board);
  parts = { bar, board, columns, count, actions, none };
  const methods = { move, canMove: () => canMove, hold: (isHeld) => (isLifted = isHeld), withSelection, undo };
  watchKeys(board, methods);
  watchPointer(board, methods);
}

/** Update all columns, and return the focus to the card that had it. */
function drawAll() {
  const focused = document.activeElement?.closest(".lead-card")?.dataset.lead;
  for (const leadId of selected) if (!find(leadId)) selected.delete(leadId);
  for (const column of parts.columns) column.draw();
  const { board, count, none } = parts;
  const total = [...stages.values()].reduce((sum, stage) => sum + stage.total, 0);
  count.textContent = t.count(format.integer(total));
  none.hidden = total > 0 || String(requestQuery(["status"])) !== "";
  drawSelection();
  const card = (focused && board.querySelector(`[data-lead="${focused}"]`)) || board.querySelector(".lead-card");
  for (const each of board.querySelectorAll('.lead-card[tabindex="0"]')) each.tabIndex = -1;
  if (card) card.tabIndex = 0;
  if (focused && card && !card.contains(document.activeElement)) card.focus({ preventScroll: true });
}

function drawSelection() {
  const clear = () => {
    selected.clear();
    drawAll();
  };
  showSelection(parts.actions, selected, (status) => move([...selected], status), clear);
}

/** Return the ids of the leads that move together with a card: all selected ones, if its lead is selected. */
const withSelection = (leadId) => (selected.has(leadId) ? [...selected] : [leadId]);

/** Load the next cards of a stage. Return whether there were any. */
async function loadMore(stage) {
  const { next } = stage;
  if (!next) return false;
  stage.next = null;
  try {
    const page = await get(`/board/${stage.status}`, requestQuery(["status"], { limit: PAGE, cursor: next }), loading.signal);
    const known = new Set(stage.leads.map((lead) => lead.lead_id));
    stage.leads.push(...page.leads.filter((lead) => !known.has(lead.lead_id)));
    stage.next = page.next;
    return true;
  } catch (error) {
    stage.next = next;
    fail(error, load);
    return false;
  }
}

function find(leadId) {
  for (const stage of stages.values()) {
    const lead = stage.leads.find((each) => each.lead_id === leadId);
    if (lead) return { stage, lead };
  }
  return null;
}

/** Move a card to an index in a stage, or remove it if `status` is null. Return its former index, if the board shows it. */
function place(lead, status, index = 0) {
  const found = find(lead.lead_id);
  if (!found) return;
  const former = found.stage.leads.indexOf(found.lead);
  found.stage.leads = found.stage.leads.filter((each) => each.lead_id !== lead.lead_id);
  found.stage.total--;
  const stage = stages.get(status);
  if (stage) {
    stage.leads.splice(index, 0, { ...lead, status });
    stage.total++;
  }
  return former;
}

function move(leadIds, status) {
  const leads = leadIds.map((leadId) => find(leadId)?.lead).filter((lead) => lead && lead.status !== status);
  moveAll(leads.map((lead) => ({ lead, status, etag: lead.etag })));
}

/**
 * Move cards on the screen, then send the moves. A card whose move the server rejects goes to its real stage. In a move
 * `{ lead, status, etag }`, `lead` is the lead before the move, `status` its new stage, and `etag` its expected ETag.
 */
function moveAll(moves, isUndo = false) {
  if (!moves.length) return;
  for (const each of moves) each.index = place({ ...each.lead, stage_since: Date.now() }, each.status);
  drawAll();
  const { board } = parts;
  const isShown = () => board === parts?.board; // false when the session has ended
  unsaved++;
  pending = pending.then(() => isShown() && send(moves, isUndo, isShown)).finally(() => unsaved--);
}

/** Return the ETag that a lead has after the moves of this page. It differs from the server's if somebody else moved the lead. */
function latest(leadId, etag) {
  for (let next; (next = newEtags.get(leadId + etag)); ) etag = next;
  return etag;
}

async function send(moves, isUndo, isShown) {
  const sent = moves.map(({ lead, status, etag }) => ({ lead_id: lead.lead_id, status, etag: latest(lead.lead_id, etag) }));
  let answer;
  try {
    answer = await moveLeads(sent);
  } catch (error) {
    if (!isShown()) return;
    for (const { lead, index } of moves.toReversed()) place(lead, lead.status, index);
    drawAll();
    if (error.status === 401) return fail(error, load, `${t.notMoved} `);
    toast(`${t.notMoved} ${errorText(error)}`, { text: texts.retry, run: () => moveAll(moves, isUndo) });
    return;
  }
  if (!isShown()) return;
  for (const { lead_id, etag } of answer.updated) newEtags.set(lead_id + sent.find((each) => each.lead_id === lead_id).etag, etag);
  for (const lead of answer.stale) place(lead, lead.status);
  for (const leadId of answer.not_found) place({ lead_id: leadId }, null);
  selected.clear();
  drawAll();
  tell(moves, answer, isUndo);
}

async function tell(moves, { updated, stale, not_found }, isUndo) {
  const moved = moves.filter(({ lead }) => updated.some(({ lead_id }) => lead_id === lead.lead_id));
  const gone = moves.map(({ lead }) => lead).filter((lead) => not_found.includes(lead.lead_id));
  const canUndo = moved.length > 0 && !isUndo;
  if (canUndo) undoSteps.push(moved.map(({ lead, status, etag }) => ({ lead: { ...lead, status }, status: lead.status, etag: latest(lead.lead_id, etag) })));
  const parts = [stale.length && (await explainStale(stale[0], isUndo ? t.notUndone : t.notMade)), gone.length && goneText(gone), moved.length && (!isUndo ? movedText(moved) : stale.length ? t.othersUndone : t.undone)];
  const text = parts.filter(Boolean).join(" ");
  if (text) toast(text, canUndo ? { text: t.undo, run: undo } : null);
}

function movedText([{ lead, status }, ...others]) {
  return others.length ? t.movedMany(format.integer(others.length + 1), texts.stages[status]) : t.moved(nameOf(lead), texts.stages[status]);
}

const undo = () => moveAll(undoSteps.pop() ?? [], true);

/** Show the moves of other people, unless a card is lifted or a menu is open. */
async function poll() {
  if (!parts || document.hidden || isLifted || isOccupied()) return;
  try {
    await pending;
    if (!cursor) return;
    const last = pending;
    const { signal } = loading;
    const feed = await get("/changes", new URLSearchParams({ since: cursor }), signal);
    if (last !== pending) return; // the response is older than a move
    const gone = feed.changes.filter(({ status }) => status === null).map(({ lead_id }) => find(lead_id)?.lead).filter(Boolean);
    if (!feed.changes.some(({ lead_id, status }) => find(lead_id)?.lead.status !== (status ?? undefined))) cursor = feed.cursor;
    else if (feed.changes.length > MOST) return load();
    else if ((await refresh(feed.changes, signal)) && gone.length) toast(goneText(gone));
    lost?.remove();
  } catch (error) {
    if (error.status === 410) load();
    else if (error.status === 401) fail(error, load);
    else if (error.status === 0 && !byId("notices").firstChild) {
      fail(error, load); // announce it once
      lost = byId("notices").firstChild;
    }
  }
}

/** Load the first cards again, and keep later ones that did not change. Return whether the board was updated. */
async function refresh(changes, signal) {
  const last = pending;
  const board = await get("/board", requestQuery(["status"], { limit: MOST }), signal);
  if (isLifted || isOccupied() || last !== pending) return false; // the next poll tries again
  const known = new Set([...changes, ...board.stages.flatMap(({ leads }) => leads)].map((lead) => lead.lead_id));
  for (const { status, total, leads, next } of board.stages) {
    const stage = stages.get(status);
    const further = next ? stage.leads.slice(leads.length).filter((lead) => !known.has(lead.lead_id)) : [];
    Object.assign(stage, { total, leads: [...leads, ...further], ...(!further.length && { next }) });
  }
  cursor = board.cursor;
  drawAll();
  return true;
}

function makeColumn(status) {
  const name = texts.stages[status];
  let count = PAGE; // the number of cards to show
  let isCollapsed = false;
  const total = h("span.muted.total");
  const toggle = h("button.quiet", { type: "button", onclick: () => collapse(!isCollapsed) });
  const head = h("header", {}, h("h2", {}, stageBadge(status)), total, toggle);
  const end = h("div.end", { "aria-hidden": "true" });
  const list = h("div.cards", { role: "list", tabindex: -1 }, end);
  const empty = h("p.empty", { hidden: true }, t.empty);
  const element = h("section.column", { "data-status": status }, head, list, empty);
  const collapse = (isSmall) => {
    isCollapsed = isSmall;
    const label = isSmall ? t.expand(name) : t.collapse(name);
    set(toggle, { "aria-expanded": String(!isSmall), "aria-label": label, ...tipOf(label) });
    toggle.replaceChildren(icon(isSmall ? "right" : "left"));
    element.classList.toggle("collapsed", isSmall);
    head.after(...(isSmall ? [] : [list]));
    if (isSmall) list.remove();
  };
  const draw = () => {
    const stage = stages.get(status);
    const shown = stage.leads.slice(0, count);
    total.textContent = format.integer(stage.total);
    total.dataset.shown = shown.length < stage.total ? t.onPaper(format.integer(shown.length)) : "";
    element.setAttribute("aria-label", `${name}, ${total.textContent}`);
    empty.hidden = isCollapsed || stage.leads.length > 0;
    fillBlocks(list, end, shown.map(cardOf));
  };
  const more = async () => {
    const stage = stages.get(status);
    if (!stage || (count >= stage.leads.length && !(await loadMore(stage)))) return;
    count += PAGE;
    draw();
    watchEnd();
  };
  const restart = () => {
    count = PAGE;
    list.scrollTop = 0;
    draw();
    watchEnd();
  };
  const watchEnd = () => {
    observer.unobserve(end); // observe it again, because it may still be in view
    observer.observe(end);
  };
  const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), { root: list, rootMargin: "800px" });
  collapse(false);
  return { element, draw, restart };
}

/** Put cards into blocks of PAGE before `end`. The browser renders only the blocks near the view. */
function fillBlocks(list, end, all) {
  let block = list.firstChild;
  for (let start = 0; start < all.length; start += PAGE) {
    if (block === end) list.insertBefore((block = h("div.block", { role: "none" })), end);
    let at = block.firstChild;
    for (const card of all.slice(start, start + PAGE)) {
      if (card === at) at = at.nextSibling;
      else block.insertBefore(card, at);
    }
    removeUntil(at, null);
    block = block.nextSibling;
  }
  removeUntil(block, end);
}

function removeUntil(element, end) {
  while (element !== end) {
    const surplus = element;
    element = element.nextSibling;
    surplus.remove();
  }
}

/** Return the card of a lead. The existing card is returned unless it would look different. */
function cardOf(lead) {
  const { lead_id } = lead;
  const isSelected = selected.has(lead_id);
  const former = cards.get(lead_id);
  const look = (each) => JSON.stringify({ ...each, etag: null });
  if (former?.isSelected === isSelected && (former.lead === lead || look(former.lead) === look(lead))) return former.card;
  const card = cardElement(lead);
  cards.set(lead_id, { lead, isSelected, card });
  return card;
}

function cardElement(lead) {
  const name = nameOf(lead);
  const isSelected = selected.has(lead.lead_id);
  const choose = (event) => {
    selected[event.target.checked ? "add" : "delete"](lead.lead_id);
    card.classList.toggle("selected", event.target.checked);
    drawSelection();
  };
  const moveIt = (status) => move(withSelection(lead.lead_id), status);
  const title = () => (withSelection(lead.lead_id).length > 1 ? t.moveSelected(format.integer(selected.size)) : t.move(name));
  const card = h(`div.lead-card${isSelected ? ".selected" : ""}`, { role: "listitem", tabindex: -1, "data-lead": lead.lead_id, "data-name": name, "aria-label": describe(lead) },
    h("div.card-top", {}, canMove && h("input", { type: "checkbox", checked: isSelected, "aria-label": t.select(name), onchange: choose }), leadLink(lead),
      canMove && stageMenu(t.move(name), icon("more"), moveIt, lead.status, { class: "menu-button quiet", "data-key": `move-${lead.lead_id}` }, title)),
    lead.project_name && h("span.project", { dir: "auto", title: lead.project_name }, format.shorten(lead.project_name)),
    h("span.card-foot", {}, facts(lead)));
  return card;
}

const fact = (name, short, full) => h(`span.fact.${name}`, { role: "img", "aria-label": full, ...tipOf(full) }, name !== "score" && icon(name), short);
const timeInStage = (lead, width) => format.age(Date.now() - lead.stage_since, width);
const clock = (lead) => fact("clock", timeInStage(lead, "narrow"), t.inStage(timeInStage(lead)));

async function updateClocks() {
  let count = 0;
  for (const { lead, card } of cards.values()) {
    if (++count % 100 === 0) await pause();
    const element = card.querySelector(".clock");
    if (element && element.dataset.tip !== t.inStage(timeInStage(lead))) element.replaceWith(clock(lead));
  }
}

/** Return the score, the last follow-up and the time in the stage as short texts. Tooltips and screen readers have longer texts. */
function facts(lead) {
  const followUp = format.leadInstant(lead.last_follow_up_at);
  const score = lead.engagement_score !== null && format.integer(lead.engagement_score);
  return [
    score && fact("score", score, t.score(score)),
    followUp && fact("reply", format.dayOf(followUp, site.time_zone), `${t.columns.followUp}: ${format.moment(followUp, site.time_zone)}`),
    lead.stage_since !== null && clock(lead),
  ];
}

const describe = (lead) =>
  [nameOf(lead), lead.project_name && format.shorten(lead.project_name), lead.engagement_score !== null && t.score(lead.engagement_score), texts.stages[lead.status]].filter(Boolean).join(", ");

addEventListener("popstate", () => {
  parts?.bar.reset();
  load();
});
setInterval(poll, POLL);
setInterval(updateClocks, 60_000);
document.addEventListener("visibilitychange", () => document.hidden || poll());
addEventListener("online", () => {
  const problem = byId("notices").firstChild;
  if (parts) !problem || problem === lost ? poll() : loadAgain(load);
});
addEventListener("beforeunload", (event) => unsaved > 0 && event.preventDefault()); // the browser asks whether to leave
const { shortcutHelp: keys } = texts;
const clear = () => {
  loading.abort();
  parts = cursor = null;
  stages = new Map();
  undoSteps.length = 0; // the next user must not undo these moves
  pending = Promise.resolve();
  isLifted = false;
  byId("view").replaceChildren();
};
const enter = () => document.querySelector('.lead-card[tabindex="0"]')?.focus();
const arrows = { arrowleft: enter, arrowup: enter, arrowdown: enter, arrowright: enter };
startLeads(t.board, load, clear, [["← ↑ ↓ →", keys.cards], ["Enter", keys.open], ["X", keys.select], ["Space", keys.lift], ["← →", keys.stage], ["Enter", keys.drop], ["Esc", keys.cancel], ["Ctrl Z", keys.undo]], arrows);
