// The board: a column of cards for each stage, moved by pointer, touch, menu and keyboard.

import { canMove, clearProblem, explainStale, fail, filterBar, FILTERS, goneText, leadLink, moveLeads, nameOf, requestQuery, stageMenu, STAGES, startLeads, time, toast } from "./crm.js";
import { announce, byId, h, icon, isOccupied } from "./dom.js";
import * as format from "./format.js";
import { get } from "./page.js";
import { texts } from "./texts.js";

const t = texts.leads;
const [, ...OTHER_FILTERS] = FILTERS; // all but the stage
const PAGE = 25;
const CHUNK = 50; // cards that are made at once, so that no task is long
const LONG_PRESS = 350; // ms until a touch lifts a card; a shorter one scrolls
const SLOP = 6; // px that a pointer may move before a press becomes a drag
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
  watchKeys(columns);
  watchPointer(columns);
}

/** Draw all columns, and give the focus back to the card that had it. */
function drawAll() {
  const focused = document.activeElement?.closest(".lead-card")?.dataset.lead;
  const scrolls = new Map([...parts.columns.children].map((column) => [column.dataset.status, column.querySelector(".cards")?.scrollTop]));
  parts.columns.replaceChildren(...[...stages.values()].map(columnElement));
  for (const column of parts.columns.children) {
    const list = column.querySelector(".cards");
    if (list) list.scrollTop = scrolls.get(column.dataset.status) ?? 0;
  }
  const card = (focused && parts.columns.querySelector(`[data-lead="${focused}"]`)) || parts.columns.querySelector(".lead-card");
  if (card) card.tabIndex = 0;
  if (focused && card) card.focus({ preventScroll: true });
}

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
  const gone = before.filter((lead) => answer.not_found.includes(lead.lead_id));
  if (gone.length) return toast(goneText(gone));
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
    const gone = feed.changes.filter(({ status }) => status === null).map(({ lead_id }) => find(lead_id)?.lead).filter(Boolean);
    if (feed.changes.some(({ lead_id, status }) => find(lead_id)?.lead.status !== (status ?? undefined))) {
      if ((await refresh(signal)) && gone.length) toast(goneText(gone));
    } else cursor = feed.cursor;
    clearProblem();
  } catch (error) {
    if (error.status === 410) load();
    else if (error.status === 401 || error.status === 0) fail(error, load);
  }
}

/** Load the cards again; return whether they are shown. */
async function refresh(signal) {
  const most = Math.max(PAGE, ...[...stages.values()].map((stage) => stage.leads.length));
  const board = await get("/board", requestQuery(["status"], { limit: Math.min(100, most) }), signal);
  if (isLifted || isOccupied()) return false; // the next look comes in a few seconds
  show(board);
  drawAll();
  return true;
}

function columnElement(stage) {
  const { status } = stage;
  const name = texts.stages[status];
  const isCollapsed = collapsed.has(status);
  const collapse = () => {
    collapsed[isCollapsed ? "delete" : "add"](status);
    drawAll();
    parts.columns.querySelector(`[data-key="collapse-${status}"]`)?.focus();
  };
  const toggle = h("button.quiet", { type: "button", "aria-expanded": String(!isCollapsed), "aria-label": isCollapsed ? t.expand(name) : t.collapse(name), onclick: collapse, "data-key": `collapse-${status}` }, icon(isCollapsed ? "right" : "left"));
  const total = format.integer(stage.total);
  const head = h("header", {}, h("h2", {}, h("span.stage", { "data-status": status }, name)), h("span.muted.total", {}, total), toggle);
  const column = h(`section.column${isCollapsed ? ".collapsed" : ""}`, { "data-status": status, "aria-label": `${name}, ${total}` }, head);
  if (isCollapsed) return column;
  const end = h("li.end", { "aria-hidden": "true" });
  const list = h("ol.cards", { tabindex: -1 }, end);
  let drawn = 0;
  const add = () => {
    const leads = stage.leads.slice(drawn, drawn + CHUNK);
    drawn += leads.length;
    end.before(...leads.map(cardElement));
    return leads.length;
  };
  const more = async () => {
    if (drawn >= stage.leads.length) await loadMore(stage);
    if (add()) observer.unobserve(end), observer.observe(end); // it may still be in view
  };
  const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), { root: list, rootMargin: "800px" });
  if (!add()) column.append(h("p.empty", {}, t.empty));
  observer.observe(end);
  head.after(list);
  return column;
}

function cardElement(lead) {
  const name = nameOf(lead);
  const isSelected = selected.has(lead.lead_id);
  const choose = (event) => {
    selected[event.target.checked ? "add" : "delete"](lead.lead_id);
    card.classList.toggle("selected", event.target.checked);
  };
  const moveIt = (status) => move(chosen(lead.lead_id), status);
  const card = h(`li.lead-card${isSelected ? ".selected" : ""}`, { tabindex: -1, "data-lead": lead.lead_id, "data-name": name, "aria-label": describe(lead) },
    h("div.card-top", {}, canMove && h("input", { type: "checkbox", checked: isSelected, "aria-label": t.select(name), onchange: choose }), leadLink(lead),
      canMove && stageMenu(t.move(name), icon("more"), moveIt, lead.status, { class: "menu-button quiet", "data-key": `move-${lead.lead_id}` })),
    lead.project_name && h("span", { dir: "auto" }, format.shorten(lead.project_name)),
    h("span.card-foot.muted", {},
      lead.engagement_score !== null && h("span", {}, t.score(format.integer(lead.engagement_score))),
      lead.last_follow_up_at && h("span", {}, `${t.columns.followUp}: `, time(format.leadInstant(lead.last_follow_up_at))),
      lead.stage_since !== null && h("span", {}, t.inStage(format.age(Date.now() - lead.stage_since)))));
  return card;
}

const describe = (lead) =>
  [nameOf(lead), lead.project_name && format.shorten(lead.project_name), lead.engagement_score !== null && t.score(lead.engagement_score), texts.stages[lead.status]].filter(Boolean).join(", ");

const cardOf = (target) => target.closest(".lead-card");
const statusOf = (card) => card.closest(".column").dataset.status;

/** Mark the column that a card would be dropped into. */
function mark(status) {
  for (const column of parts?.columns.children ?? []) column.classList.toggle("over", column.dataset.status === status);
}

/** Arrows go from card to card, space lifts one, arrows choose a stage, Enter or space drops, Escape cancels. */
function watchKeys(columns) {
  let lifted = null; // {card, status}
  const release = () => {
    lifted?.card.classList.remove("lifted");
    lifted = null;
    mark(null);
    isLifted = false;
  };
  columns.addEventListener("keydown", (event) => {
    const card = cardOf(event.target);
    if ((event.ctrlKey || event.metaKey) && event.key === "z") return undo();
    if (!card || event.target !== card || event.ctrlKey || event.metaKey || event.altKey) return;
    const isDrop = event.key === " " || event.key === "Enter";
    if (lifted) {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const direction = getComputedStyle(columns).direction === "rtl" ? -1 : 1;
      if (step) {
        lifted.status = STAGES[Math.min(Math.max(STAGES.indexOf(lifted.status) + step * direction, 0), STAGES.length - 1)];
        mark(lifted.status);
        columns.querySelector(".over")?.scrollIntoView({ inline: "nearest", block: "nearest" });
        announce(t.over(texts.stages[lifted.status]));
      } else if (isDrop) {
        const { status } = lifted;
        release();
        move(chosen(Number(card.dataset.lead)), status);
      } else if (event.key === "Escape") {
        release();
        announce(t.cancelled);
      } else if (event.key === "Tab") return release();
      return event.preventDefault();
    }
    if (event.key === " " && canMove) {
      lifted = { card, status: statusOf(card) };
      card.classList.add("lifted");
      isLifted = true;
      mark(lifted.status);
      announce(t.lifted(card.dataset.name, texts.stages[lifted.status]));
    } else if (event.key === "Enter") card.querySelector("a.name").click();
    else if (event.key === "x" && canMove) card.querySelector("input").click();
    else if (!go(columns, card, event.key)) return;
    event.preventDefault();
  });
  columns.addEventListener("focusout", (event) => lifted && !columns.contains(event.relatedTarget) && event.relatedTarget && release());
}

/** Move the focus from a card to its neighbour. Return whether the key is one that does so. */
function go(columns, card, key) {
  const cards = [...card.parentElement.querySelectorAll(".lead-card")];
  const place = cards.indexOf(card);
  let next = { ArrowUp: cards[place - 1], ArrowDown: cards[place + 1]}[key];
  if (key === "ArrowLeft" || key === "ArrowRight") {
    const all = [...columns.children];
    const forward = (key === "ArrowRight") === (getComputedStyle(columns).direction !== "rtl");
    const from = all.indexOf(card.closest(".column"));
    const others = forward ? all.slice(from + 1) : all.slice(0, from).reverse();
    const column = others.find((each) => each.querySelector(".lead-card"));
    const there = column ? [...column.querySelectorAll(".lead-card")] : [];
    next = there[Math.min(place, there.length - 1)];
  } else if (key !== "ArrowUp" && key !== "ArrowDown") return false;
  if (next) {
    card.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
  return true;
}

/** A mouse drags a card at once, a finger after a long press. */
function watchPointer(columns) {
  let press = null; // {card, id, x, y, ghost, timer}
  const over = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest(".column");
  const start = (event) => {
    const { card } = press;
    const count = chosen(Number(card.dataset.lead)).length;
    press.ghost = h("div.ghost", { "aria-hidden": "true" }, count > 1 ? t.selected(count) : card.dataset.name);
    document.body.append(press.ghost);
    card.classList.add("lifted");
    document.documentElement.classList.add("dragging");
    isLifted = true;
    follow(event);
  };
  const follow = (event) => {
    press.ghost.style.translate = `${event.clientX + 8}px ${event.clientY + 8}px`;
    mark(over(event)?.dataset.status);
  };
  const end = (event, isDropped) => {
    if (!press) return;
    const { card, ghost, timer } = press;
    clearTimeout(timer);
    press = null;
    if (!ghost) return;
    ghost.remove();
    card.classList.remove("lifted");
    document.documentElement.classList.remove("dragging");
    mark(null);
    isLifted = false;
    const target = isDropped && over(event);
    if (target) move(chosen(Number(card.dataset.lead)), target.dataset.status);
    // The click that follows must not open the lead.
    const stop = (click) => (click.preventDefault(), click.stopPropagation());
    addEventListener("click", stop, { capture: true, once: true });
    setTimeout(() => removeEventListener("click", stop, { capture: true }), 50);
  };
  columns.addEventListener("pointerdown", (event) => {
    const card = cardOf(event.target);
    if (!card || event.button || !canMove || event.target.closest("input, button, .menu")) return;
    press = { card, id: event.pointerId, x: event.clientX, y: event.clientY, ghost: null, timer: null };
    if (event.pointerType === "touch") press.timer = setTimeout(() => press && !press.ghost && start(event), LONG_PRESS);
  });
  addEventListener("pointermove", (event) => {
    if (!press || event.pointerId !== press.id) return;
    if (press.ghost) return follow(event);
    if (Math.hypot(event.clientX - press.x, event.clientY - press.y) < SLOP) return;
    if (event.pointerType === "touch") end(event, false);
    else start(event);
  });
  addEventListener("pointerup", (event) => event.pointerId === press?.id && end(event, true));
  addEventListener("pointercancel", (event) => event.pointerId === press?.id && end(event, false));
  addEventListener("keydown", (event) => event.key === "Escape" && press?.ghost && end(event, false));
  columns.addEventListener("touchmove", (event) => press?.ghost && event.preventDefault(), { passive: false });
  columns.addEventListener("contextmenu", (event) => press?.ghost && event.preventDefault());
  columns.addEventListener("dragstart", (event) => event.preventDefault());
}

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
