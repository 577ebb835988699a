// The parts that the pages for leads share: signing in, errors, filters in the address, and moves.

import { announce, byId, h, icon, keepFocus, menuButton } from "./dom.js";
import * as format from "./format.js";
import { ApiError, errorText, get, hasScope, leave, markDemo, patch, showAccount, showError, showProblem, startPage, watchShortcuts } from "./page.js";
import { isDay } from "./state.js";
import { texts } from "./texts.js";

export const STAGES = Object.keys(texts.stages);
const DAYS = ["from", "to"];
export const FILTERS = ["status", "project", "source", "country", "label", "has_visits", ...DAYS];
// The values of the filters and of the order that are not any text. Days have the form of a date.
const VALUES = {
  status: STAGES,
  has_visits: ["true", "false"],
  sort: ["newest", "oldest", "last_follow_up", "score_desc", "score_asc", "risk_desc", "risk_asc", "name_asc"],
};
const FIRST_DAY = "1900-01-01"; // the first day that can be chosen
const MOST = 500; // maximum number of leads in a request
const root = document.documentElement;
const t = texts.leads;

export let site = null; // the response of /site
export let canMove = false; // whether the key may move leads

let prepared = null; // a promise that resolves when the time zone and the scopes are known

/** Return the result of a promise once the time zone and the key's scopes are known, too, unless `signal` is aborted. */
export async function withKey(promise, signal) {
  root.classList.add("busy");
  try {
    const [result] = await Promise.all([promise, prepared]);
    signal.throwIfAborted();
    return result;
  } finally {
    if (!signal.aborted) root.classList.remove("busy");
  }
}

/**
 * Start a page. `load` fetches and shows it, before the key's scopes are known. `clear` empties it. `shortcuts` are the
 * entries of the list of shortcuts. `keys` has a function for each key.
 */
export function startLeads(title, load, clear, shortcuts = [], keys = {}) {
  const prepare = async () => {
    [site] = await Promise.all([get("/site"), showAccount()]);
    markDemo(site);
    canMove = await hasScope("leads:write");
    root.dataset.state = "ready";
    document.title = texts.title(title);
  };
  const search = () => document.querySelector(".search");
  const moveSelected = () => document.querySelector(".selection:not([hidden]) .menu-button")?.click();
  const { search: find, move } = texts.shortcutHelp;
  watchShortcuts({ "/": () => search()?.focus(), m: moveSelected, ...keys }, () => [...(search() ? [["/", find], ...(canMove ? [["M", move]] : [])] : []), ...shortcuts]);
  const run = () => {
    prepared = prepare();
    load();
  };
  startPage(run, () => {
    site = null;
    root.classList.remove("busy");
    document.querySelector(".toast")?.remove();
    clear();
  });
}

/** Show an error with a button that tries again. If the session has ended, show the sign-in form. `note` is a text before the error. */
export async function fail(error, retry, note = "") {
  if (error.name === "AbortError") return;
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 401) return leave(site ? note + texts.signIn.ended : "");
  if (error.status !== 403 || (await hasScope("leads:read"))) return showError(note + errorText(error), () => (clearProblem(), retry())); // a second click must not retry twice
  byId("view").replaceChildren();
  showProblem(h("p", {}, t.noScope));
}

export const clearProblem = () => byId("notices").replaceChildren();

/**
 * Return the filters and the order of the address, without invalid values and parameters that the page does not have.
 * The search text is in the fragment, so that no server logs it.
 */
export function readQuery() {
  const query = new URLSearchParams();
  for (const [name, text] of new URLSearchParams(location.search)) {
    const value = readValue(name, text);
    if (value && (canRepeat(name) || !query.has(name))) query.append(name, value);
  }
  return query;
}

/** Return the value of a parameter as the API spells it, or "" if it is not valid. */
function readValue(name, text) {
  if (!FILTERS.includes(name) && name !== "sort") return "";
  if (DAYS.includes(name)) return isDay(text) ? text : "";
  if (!VALUES[name]) return text;
  const value = text.toLowerCase();
  return VALUES[name].includes(value) ? value : "";
}

const canRepeat = (name) => name !== "sort" && name !== "has_visits" && !DAYS.includes(name);

export const readSearch = () => new URLSearchParams(location.hash.slice(1)).get("q") ?? "";

/** Return the filters and the search as a query, without the names in `without` and with the parameters in `others`. */
export function requestQuery(without = [], others = {}) {
  const query = readQuery();
  const search = readSearch();
  for (const name of without) query.delete(name);
  for (const [name, value] of Object.entries({ ...(search && { q: search }), ...others })) query.set(name, value);
  return query;
}

export function writeAddress(query, search, { replace = false } = {}) {
  const address = location.pathname + (String(query) && `?${query}`) + (search && `#${new URLSearchParams({ q: search })}`);
  history[replace ? "replaceState" : "pushState"](null, "", address || ".");
}

// All forms share a listener, because a listener for each form would keep removed forms in memory.
const isWide = matchMedia("(min-width: 40.01rem)");
isWide.addEventListener("change", () => document.querySelector(".choices")?.toggleAttribute("open", isWide.matches));

/** Return a form with the search, the elements of `tools`, and the filters `names`. `showFacets` sets the values of the filters. */
export function filterBar(names, onChange, ...tools) {
  let timer;
  const search = h("input.search", { type: "search", "aria-label": t.search, placeholder: t.search, value: readSearch(), "data-key": "search" });
  const stop = () => {
    clearTimeout(timer);
    removeEventListener("click", find, true);
  };
  const find = () => {
    stop();
    writeAddress(readQuery(), search.value.trim(), { replace: true });
    onChange();
  };
  search.addEventListener("input", () => {
    stop();
    timer = setTimeout(find, 150);
    addEventListener("click", find, true); // a link must not be followed before the address has the search
  });
  const clearFilters = () => {
    const sort = readQuery().get("sort");
    writeAddress(new URLSearchParams(sort ? { sort } : {}), readSearch());
    byId("main").focus({ preventScroll: true });
    onChange();
  };
  const clear = h("button.quiet", { type: "button", onclick: clearFilters, "data-key": "clear" }, t.clear);
  const days = DAYS.map((name) => dayControl(name, onChange)); // not replaced, because somebody may be typing a day
  const choices = h("div", {}, days);
  const box = h("details.choices", { open: isWide.matches }, h("summary", {}, t.filter), choices);
  const bar = h("form.narrowing", { role: "search", onsubmit: (event) => event.preventDefault() }, h("div.finder", {}, icon("search"), search), h("div.list-head", {}, clear, tools), box);
  bar.reset = () => {
    stop();
    search.value = readSearch();
  };
  bar.showFacets = (facets) => {
    clear.hidden = !names.some((name) => readQuery().has(name));
    days.forEach(showDay);
    keepFocus(() => {
      for (const select of choices.querySelectorAll("label:not(.day)")) select.remove();
      choices.prepend(...choiceControls(facets, names, onChange));
    });
  };
  bar.showFacets({}); // reserve the places of the filters until their values are loaded
  return bar;
}

/** Set a filter in the address, or remove it if `value` is empty. */
function choose(name, value, onChange) {
  const query = readQuery();
  query.delete(name);
  if (value) query.append(name, value);
  writeAddress(query, readSearch());
  onChange();
}

/** Return a field for a day. Days before FIRST_DAY are ignored, because while somebody types 2026, the year is 2, 20 and 202 at first. */
function dayControl(name, onChange) {
  const change = ({ target }) => target.validity.valid && choose(name, target.value, onChange);
  const field = h("input", { type: "date", name, min: FIRST_DAY, onchange: change, "data-key": `filter-${name}` });
  return h("label.day", { title: t.columns.enquiry }, h("span", {}, t.filters[name]), field);
}

/** Show the day of the address in the field, unless somebody is typing a day. */
function showDay(control) {
  const field = control.querySelector("input");
  const value = readQuery().get(field.name) ?? "";
  field.classList.toggle("on", value !== "");
  if (field.value !== value && (field.validity.valid || field !== document.activeElement)) field.value = value;
}

function choiceControls(facets, names, onChange) {
  const query = readQuery();
  const select = (name, options) =>
    h("label", {}, h("span.hidden", {}, t.filters[name]),
      h("select", { onchange: (event) => choose(name, event.target.value, onChange), "data-key": `filter-${name}`, class: query.get(name) && "on" },
        h("option", { value: "" }, t.filters[name]),
        options.map(([value, text]) => h("option", { value, selected: query.get(name) === value }, text))));
  const counted = (name) => {
    const current = query.get(name);
    const values = facets[name] ?? [];
    const isKnown = !current || values.some(({ value }) => value === current);
    const show = (value) => format.shorten(name === "country" ? format.country(value) : value);
    return [...(isKnown ? [] : [[current, show(current)]]), ...values.map(({ value, count }) => [value, `${show(value)} (${format.integer(count)})`])];
  };
  const controls = {
    status: () => select("status", STAGES.map((stage) => [stage, texts.stages[stage]])),
    has_visits: () => select("has_visits", [["true", t.withVisits], ["false", t.withoutVisits]]),
  };
  return names.filter((name) => !DAYS.includes(name)).map((name) => (controls[name] ?? (() => select(name, counted(name))))());
}

export const nameOf = (lead) => (lead.contact_name?.trim() ? format.shorten(lead.contact_name) : t.unnamed(lead.lead_id));

export const leadLink = (lead, dir = "auto") => h("a.name", { href: `leads?lead=${lead.lead_id}`, dir }, nameOf(lead));

export const goneText = (leads) => (leads.length === 1 ? t.gone(nameOf(leads[0])) : t.goneMany(format.integer(leads.length)));

export function time(instant) {
  if (instant === null || Number.isNaN(instant)) return h("span", {}, "–");
  return h("time", { datetime: new Date(instant).toISOString(), title: t.local(format.moment(instant)) }, format.shortMoment(instant, site.time_zone));
}

/** Return a button with a menu of the stages. `title` returns the title of the menu. */
export function stageMenu(label, content, choose, current, properties = {}, title = () => null) {
  const items = () => [
    title() && h("p.muted", { dir: "auto" }, title()),
    ...STAGES.map((stage) =>
      h("button", { type: "button", "data-close": "", disabled: stage === current, "aria-current": stage === current && "true", onclick: () => choose(stage) }, texts.stages[stage])),
  ];
  return menuButton(label, content, items, properties);
}

/** Show how many leads are selected, with a menu that moves them and a button that clears the selection. */
export function showSelection(element, selected, choose, clear) {
  if (Number(element.dataset.count ?? 0) === selected.size) return;
  element.dataset.count = selected.size;
  const count = t.selected(format.integer(selected.size));
  announce(count);
  if (!selected.size && element.contains(document.activeElement)) byId("main").focus({ preventScroll: true });
  element.hidden = !selected.size;
  element.replaceChildren(h("span", {}, count), stageMenu(t.moveTo, [t.moveTo, h("kbd", { "aria-hidden": "true" }, "M")], choose), h("button.quiet", { type: "button", onclick: clear }, t.unselect));
}

/** Move each lead to `status`, if its ETag is still `etag` or its stage is still `from`. Return the lists of all responses. */
export async function moveLeads(moves) {
  const answer = { updated: [], stale: [], not_found: [] };
  for (const status of new Set(moves.map((each) => each.status))) {
    const leads = moves.filter((each) => each.status === status).map(({ status, ...lead }) => lead);
    while (leads.length) {
      const part = await patch("/leads", { leads: leads.splice(0, MOST), status });
      for (const [name, list] of Object.entries(answer)) list.push(...part[name]);
    }
  }
  return answer;
}

/** Return who moved a lead and when. `note` says what was not done because of that. */
export async function explainStale(lead, note) {
  let text = t.moved(nameOf(lead), texts.stages[lead.status]);
  try {
    const [move] = await get(`/leads/${lead.lead_id}/history`);
    if (move) text = t.movedBy(nameOf(lead), move.changed_by, texts.stages[move.to] ?? move.to, format.moment(move.changed_at, site.time_zone));
  } catch {
    // the history could not be loaded: name only the stage
  }
  return `${text} ${note}`;
}

/** Show a message at the bottom of the page for 12 seconds. `action` is its button: `{ text, run }`. */
export function toast(text, action = null) {
  announce(text);
  document.querySelector(".toast")?.remove();
  const button = action && h("button.button", { type: "button", "data-key": "undo", onclick: () => (element.remove(), action.run()) }, action.text);
  const element = h("div.toast", {}, h("span", { dir: "auto" }, text), button);
  byId("main").append(element);
  setTimeout(() => element.remove(), 12_000);
}
