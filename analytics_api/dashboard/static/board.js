// The board: a column of cards for each stage, moved by pointer, touch, menu and keyboard.

import { get } from "./api.js";
import { FILTERS, canMove, clearProblem, explainStale, fail, filterBar, leadLink, moveLeads, nameOf, requestQuery, stageMenu, startLeads, time, toast } from "./crm.js";
import { announce, byId, h, icon, isOccupied } from "./dom.js";
import * as format from "./format.js";
import { watchKeys, watchPointer } from "./lifting.js";
import { texts } from "./texts.js";

const t = texts.leads;
const [, ...OTHER_FILTERS] = FILTERS; // all but the stage
const PAGE = 25;
const CHUNK = 50; // cards that are made at once, so that no task is long
const POLL = 4000; // ms: so that others' moves appear within five seconds

let loading = new AbortController();
let stages = new Map(); // by status: {status, total, leads, next}
let cursor = null; // position in the feed of changes
let parts = null;
const collapsed = new Set();
const selected = new Set(); // lead ids
const undone = []; // the last moves: [{lead_id, etag, status}, …] to undo
let isLifted = false; // others' moves wait while a card is held
let pending = Promise.resolve(); // moves are sent one after another

async function load() {
  clearProblem();
  if (!parts) build();
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  try {
    const [board, facets] = await Promise.all([
      get("/board", requestQuery(["status"], { limit: PAGE }), signal),
      get("/leads/facets", requestQuery(["status", "sort"]), signal),
    ]);
    show(board);
    selected.clear();
    parts.bar.showFacets(facets, OTHER_FILTERS);
    drawAll();
  } catch (error) {
    fail(error, load);
  }
}

function show(board) {
  stages = new Map(board.stages.map((stage) => [stage.status, stage]));
  cursor = board.cursor;
}

function build() {
  const bar = filterBar(load);
  const help = h("p.hidden", { id: "board-keys" }, t.keys);
  const columns = h("div.board", { "aria-label": t.board, role: "group", "aria-describedby": "board-keys" });
  byId("view").replaceChildren(bar, help, columns);
  parts = { bar, columns };
  const board = { move, canMove: () => canMove, hold: (isHeld) => (isLifted = isHeld), chosen, undo };
  watchKeys(columns, board);
  watchPointer(columns, board);
}

/** Draw all columns, and give the focus back to the card that had it. */
function drawAll() {
  const focused = document.activeElement?.closest(".lead-card")?.dataset.lead;
  const scrolls = new Map([...parts.columns.children].map((column) => [column.dataset.status, column.querySelector(".cards")?.scrollTop]));
  parts.columns.replaceChildren(...[...stages.values()].map(element));
  for (const column of parts.columns.children) {
    const list = column.querySelector(".cards");
    if (list) list.scrollTop = scrolls.get(column.dataset.status) ?? 0;
  }
  const card = parts.columns.querySelector(focused ? `[data-lead="${focused}"]` : ".lead-card");
  if (card) card.tabIndex = 0;
  if (focused && card) card.focus({ preventScroll: true });
}

const element = (stage) =>
  columnElement(stage, {
    canMove,
    isCollapsed: collapsed.has(stage.status),
    selected,
    onCollapse: () => {
      collapsed[collapsed.has(stage.status) ? "delete" : "add"](stage.status);
      drawAll();
      parts.columns.querySelector(`[data-key="collapse-${stage.status}"]`)?.focus();
    },
    onSelect: (lead, isSelected) => selected[isSelected ? "add" : "delete"](lead.lead_id),
    onMove: (lead, status) => move(chosen(lead.lead_id), status),
    onEnd: () => loadMore(stage),
  });

/** Return the cards that a move of this one takes along. */
const chosen = (leadId) => (selected.has(leadId) ? [...selected] : [leadId]);

async function loadMore(stage) {
  if (!stage.next) return null;
  const query = requestQuery(["status"], { limit: PAGE, cursor: stage.next });
  stage.next = null;
  try {
    const page = await get(`/board/${stage.status}`, query, loading.signal);
    const known = new Set(stage.leads.map((lead) => lead.lead_id));
    const leads = page.leads.filter((lead) => !known.has(lead.lead_id));
    stage.leads.push(...leads);
    stage.next = page.next;
    return leads;
  } catch (error) {
    fail(error, load);
    return null;
  }
}

function find(leadId) {
  for (const stage of stages.values()) {
    const lead = stage.leads.find((each) => each.lead_id === leadId);
    if (lead) return { stage, lead };
  }
  return null;
}

/** Take a card out of its column, and put it on top of another; without one it disappears. */
function place(lead, status) {
  const found = find(lead.lead_id);
  if (found) {
    found.stage.leads = found.stage.leads.filter((each) => each.lead_id !== lead.lead_id);
    found.stage.total--;
  }
  const stage = stages.get(status);
  if (!stage) return;
  stage.leads.unshift({ ...lead, status });
  stage.total++;
}

/** Move cards at once, then tell the server; what it refuses goes to where it truly is. */
function move(leadIds, status, { isUndo = false } = {}) {
  const before = leadIds.map(find).filter((found) => found && found.lead.status !== status).map(({ lead }) => lead);
  if (!before.length) return;
  for (const lead of before) place({ ...lead, stage_since: Date.now() }, status);
  drawAll();
  pending = pending.then(() => send(before, status, isUndo));
}

async function send(before, status, isUndo) {
  // An earlier move of the same card may have changed its entity tag meanwhile.
  const leads = before.map((lead) => find(lead.lead_id)?.lead ?? lead);
  let answer;
  try {
    answer = await moveLeads(leads, status);
  } catch (error) {
    for (const { lead_id, status, stage_since } of before) {
      const found = find(lead_id);
      if (found) place({ ...found.lead, stage_since }, status);
    }
    drawAll();
    if (error.status === 401) return fail(error, load);
    toast(`${t.notMoved} ${error.status === 0 ? (navigator.onLine ? texts.unreachable : texts.offline) : error.message}`, { text: texts.retry, run: () => move(before.map((lead) => lead.lead_id), status) });
    return;
  }
  for (const { lead_id, etag } of answer.updated) {
    const found = find(lead_id);
    if (found) found.lead.etag = etag;
  }
  for (const lead of answer.stale) place(lead, lead.status);
  for (const leadId of answer.not_found) place({ lead_id: leadId }, null);
  selected.clear();
  drawAll();
  tell(before, answer, status, isUndo);
}

async function tell(before, answer, status, isUndo) {
  if (answer.stale.length) return toast(await explainStale(answer.stale[0]));
  const gone = before.find((lead) => answer.not_found.includes(lead.lead_id));
  if (gone) return toast(t.gone(nameOf(gone)));
  const moved = before.filter((lead) => answer.updated.some((each) => each.lead_id === lead.lead_id));
  if (!moved.length) return;
  if (isUndo) return toast(t.undone);
  undone.push(moved);
  const text = moved.length === 1 ? t.moved(nameOf(moved[0]), texts.stages[status]) : t.movedMany(format.integer(moved.length), texts.stages[status]);
  toast(text, { text: t.undo, run: undo });
}

function undo() {
  const leads = undone.pop();
  if (!leads) return;
  for (const stage of new Set(leads.map((lead) => lead.status))) {
    move(leads.filter((lead) => lead.status === stage).map((lead) => lead.lead_id), stage, { isUndo: true });
  }
}

/** Show the moves of others. While a card is held or a menu is open, they wait. */
async function poll() {
  if (!parts || !cursor || document.hidden || isLifted || isOccupied()) return;
  try {
    await pending;
    const { signal } = loading;
    const feed = await get("/changes", new URLSearchParams({ since: cursor }), signal);
    if (feed.changes.some(({ lead_id, status }) => find(lead_id)?.lead.status !== (status ?? undefined))) await refresh(signal);
    else cursor = feed.cursor;
    clearProblem();
  } catch (error) {
    if (error.status === 410) load();
    else if (error.status === 401 || error.status === 0) fail(error, load);
  }
}

async function refresh(signal) {
  const most = Math.max(PAGE, ...[...stages.values()].map((stage) => stage.leads.length));
  const board = await get("/board", requestQuery(["status"], { limit: Math.min(100, most) }), signal);
  if (isLifted || isOccupied()) return; // the next look comes in a few seconds
  const shownNow = new Map([...stages.values()].flatMap((stage) => stage.leads.map((lead) => [lead.lead_id, lead])));
  show(board);
  const there = new Set([...stages.values()].flatMap((stage) => stage.leads.map((lead) => lead.lead_id)));
  const focused = Number(document.activeElement?.closest(".lead-card")?.dataset.lead);
  drawAll();
  if (focused && !there.has(focused)) announce(t.gone(nameOf(shownNow.get(focused) ?? { lead_id: focused })));
}

/** Return the column of a stage. `onEnd` is called near the end of its cards; it returns a promise of further leads. */
function columnElement(stage, options) {
  const { isCollapsed, onCollapse, onEnd } = options;
  const name = texts.stages[stage.status];
  const toggle = h("button.quiet", { type: "button", "aria-expanded": String(!isCollapsed), "aria-label": isCollapsed ? t.expand(name) : t.collapse(name), onclick: onCollapse, "data-key": `collapse-${stage.status}` }, icon(isCollapsed ? "right" : "left"));
  const head = h("header", {}, h("h2", {}, h("span.stage", { "data-status": stage.status }, name)), h("span.muted.total", {}, format.integer(stage.total)), toggle);
  const column = h(`section.column${isCollapsed ? ".collapsed" : ""}`, { "data-status": stage.status, "aria-label": `${name}, ${format.integer(stage.total)}` }, head);
  if (isCollapsed) return column;
  const list = h("ol.cards", { tabindex: -1 });
  const end = h("li.end", { "aria-hidden": "true" });
  let drawn = 0;
  const more = async () => {
    if (drawn >= stage.leads.length) await onEnd();
    const leads = stage.leads.slice(drawn, drawn + CHUNK);
    drawn += leads.length;
    end.before(...leads.map((lead) => cardElement(lead, options)));
    if (leads.length) observer.unobserve(end), observer.observe(end); // it may still be in view
  };
  const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), { root: list, rootMargin: "800px" });
  list.append(end);
  const first = stage.leads.slice(0, CHUNK);
  drawn = first.length;
  end.before(...first.map((lead) => cardElement(lead, options)));
  observer.observe(end);
  column.append(list, stage.leads.length === 0 && h("p.empty", {}, t.empty) || "");
  return column;
}

function cardElement(lead, { canMove, selected, onSelect, onMove }) {
  const name = nameOf(lead);
  const isSelected = selected.has(lead.lead_id);
  const choose = (event) => {
    onSelect(lead, event.target.checked);
    card.classList.toggle("selected", event.target.checked);
  };
  const card = h(`li.lead-card${isSelected ? ".selected" : ""}`, { tabindex: -1, "data-lead": lead.lead_id, "data-name": name, "aria-label": describe(lead) },
    h("div.card-top", {}, canMove && h("input", { type: "checkbox", checked: isSelected, "aria-label": t.select(name), onchange: choose }), leadLink(lead),
      canMove && stageMenu(t.move(name), icon("more"), (status) => onMove(lead, status), lead.status, { class: "menu-button quiet", "data-key": `move-${lead.lead_id}` })),
    lead.project_name && h("span", { dir: "auto" }, format.shorten(lead.project_name)),
    h("span.card-foot.muted", {},
      lead.engagement_score !== null && h("span", {}, t.score(format.integer(lead.engagement_score))),
      lead.last_follow_up_at && h("span", {}, `${t.columns.followUp}: `, time(format.leadInstant(lead.last_follow_up_at))),
      lead.stage_since !== null && h("span", {}, t.inStage(format.age(Date.now() - lead.stage_since)))));
  return card;
}

const describe = (lead) =>
  [nameOf(lead), lead.project_name && format.shorten(lead.project_name), lead.engagement_score !== null && t.score(lead.engagement_score), texts.stages[lead.status]].filter(Boolean).join(", ");

addEventListener("popstate", () => {
  parts?.bar.reset();
  load();
});
setInterval(poll, POLL);
document.addEventListener("visibilitychange", () => document.hidden || poll());
addEventListener("online", () => parts && load());
startLeads(t.board, load, () => {
  parts = cursor = null;
  stages = new Map();
  byId("view").replaceChildren();
});
