// A page of figures. The address has the range of days and the filters, and requests fetch the figures.

import { neighbour, openCustomRange, openFilterDialog, rangeName, showFilters, showRanges, summaryOf, watchRangeShortcuts } from "./controls.js";
import { announce, byId, h, isOccupied, keepFocus, pause } from "./dom.js";
import { valuesOf } from "./lists.js";
import { ApiError, errorText, get, isSignedIn, keepRange, leave, loadAgain, markDemo, showAccount, showError, startPage, watchLinks, way } from "./page.js";
import { CLOSED, compares, linkTo, needsToday, rangeQuery, readState, requestOf } from "./state.js";
import { texts } from "./texts.js";

const REFRESH = 60_000; // ms between reloads of the figures while the tab is visible
const TURN = 12_000; // ms for which `?wall` shows each part

const root = document.documentElement;

export let state = readState(location.search);
export let data = null; // the figures that are shown
export let failure = null; // the error that is shown instead of figures, or above older figures
let page = null; // the argument of `startView`
let shown = ""; // the result of `requestOf` for the state of `data`
let site = null; // the site of the last data, with its today and time zone
let loading = new AbortController();
let drawing = 0; // the number of the last call of `render`, so that an earlier one stops

export const today = () => site?.today ?? null;

/** Show the totals and the panels one after another, large, for a screen on a wall (`?wall`). */
function startWall() {
  const parts = [...document.querySelectorAll("#overview, .panel")];
  root.classList.add("wall");
  let at = 0;
  const show = () => {
    parts.forEach((part, index) => part.classList.toggle("shown", index === at));
    at = (at + 1) % parts.length;
  };
  show();
  setInterval(show, TURN);
}

/**
 * Start a page of figures. `parts.fetch(query, signal)` returns a promise of the data, which include `site`. `parts.parts()`
 * returns functions that each draw a part. `parts.onDrawn` is called after them, and `parts.onLeave` when the session ends.
 */
export function startView(parts) {
  page = parts;
  if (state.wall) startWall();
  startPage(start, forget);
  for (const draw of page.parts()) draw();
}

async function start() {
  const account = showAccount(); // before the figures, which may depend on its scopes
  const loaded = load();
  const onError = (error) => loaded.then(() => error.status === 401 || handle(error)); // figures that arrive later would hide it
  await account.then(() => keepRange(requestOf(state))).catch(onError);
}

export function viewQuery() {
  const query = rangeQuery(state, today());
  if (compares(state)) query.set("compare", state.compare);
  return query;
}

export function go(changes) {
  history.pushState(null, "", linkTo(state, changes));
  follow();
}

/** Change the state and the address without a new entry in the history. */
export function adjust(changes) {
  state = { ...state, ...changes };
  history.replaceState(null, "", linkTo(state, {}));
}

/** Read the state from the address, and show it. Send a request only if the figures differ, or if an error is shown. */
function follow() {
  state = readState(location.search);
  if (!data || failure || shown !== requestOf(state)) return load();
  loading.abort();
  return render();
}

export async function load({ isQuiet = false } = {}) {
  loading.abort();
  loading = new AbortController();
  drawing++;
  const { signal } = loading;
  if (!isQuiet) {
    root.classList.add("busy");
    keepFocus(drawControls);
  }
  try {
    if (needsToday(state) && !site) site = await get("/site", "", signal);
    const request = requestOf(state);
    let answer = await page.fetch(viewQuery(), signal);
    if (needsToday(state) && answer.site.today !== today()) {
      site = answer.site; // a day has begun since the last request
      answer = await page.fetch(viewQuery(), signal);
    }
    if (isQuiet && shown === request && isOccupied()) return root.classList.remove("busy"); // somebody opened a menu meanwhile
    data = answer;
    shown = request;
    site = data.site;
    markDemo(site);
    root.dataset.state = "ready";
    failure = null;
    root.classList.remove("stale");
    await render();
    if (!isQuiet) announce(texts.updated(rangeName(state)));
  } catch (error) {
    if (error.name !== "AbortError") handle(error);
  }
}

export function handle(error) {
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 401) return leave(data ? undefined : "");
  failure = error;
  if (!isTemporary(error)) data = null;
  root.dataset.state = data ? "ready" : "failed";
  render();
  showFailure(error);
}

function showFailure(error) {
  const isOther = data && shown !== requestOf(state); // the figures are those of another address
  const before = isOther ? texts.figuresOf(summaryOf(readState(shown))) : texts.figuresBefore;
  const text = data ? `${errorText(error)} ${before}` : errorText(error);
  root.classList.toggle("stale", isOther);
  const isRefused = error.status === 400; // then add links to requests that the API may accept
  showError(text, () => load(),
    isRefused && /^interval /.test(error.message) && way(texts.longerInterval, state, { interval: "" }),
    isRefused && compares(state) && way(texts.withoutComparison, state, { compare: "off" }),
    isRefused && state.filters.length > 0 && way(texts.withoutFilters, state, { filters: [] }));
}

export const notice = (title, text, ...more) => h("div.notice", {}, h("h2", {}, title), h("p", {}, text), more);

/** Return a notice if the address has an invalid range or comparison, otherwise "". */
export const invalidNotice = () => (state.isInvalid ? notice(texts.invalidDays, texts.figuresOf(summaryOf(state))) : "");

export const emptyNotice = () =>
  state.filters.length
    ? notice(texts.emptyFilter, texts.emptyFilterHelp, way(texts.clearFilters, state, { filters: [] }))
    : notice(texts.emptyRange, texts.emptyRangeHelp);

const isTemporary = ({ status }) => status === 0 || status >= 500;

function forget() {
  loading.abort();
  drawing++;
  root.classList.remove("busy");
  data = site = failure = null;
  for (const id of ["filters", "ranges"]) byId(id).replaceChildren();
  page.onLeave();
}

async function render() {
  const number = ++drawing;
  root.classList.add("busy");
  for (const part of [drawControls, ...page.parts()]) {
    keepFocus(part);
    await pause();
    if (number !== drawing) return;
  }
  root.classList.remove("busy");
  page.onDrawn?.();
}

function drawControls() {
  document.title = texts.title(rangeName(state));
  showFilters(byId("filters"), state, addFilterByDialog);
  showRanges(byId("ranges"), state, today(), go);
  keepRange(requestOf(state));
}

function addFilterByDialog() {
  const values = {}; // a promise for each parameter
  const suggest = (parameter) => (values[parameter] ??= valuesOf(parameter, state, today()));
  openFilterDialog(state, suggest, (next) => go({ filters: next.filters }));
}

/** Load again after a temporary error. */
export const retry = () => failure && isTemporary(failure) && loadAgain(load);

watchLinks("a[data-nav]", (link) => {
  if (link.closest("dialog")) state = { ...state, ...CLOSED };
  document.querySelector("dialog")?.close();
  history.pushState(null, "", link.href);
  follow();
});
addEventListener("popstate", follow);
addEventListener("online", () => isSignedIn() && loadAgain(load));
addEventListener("offline", () => isSignedIn() && showFailure(new ApiError(0, "")));
watchRangeShortcuts({
  period: (period) => go({ period, from: null, to: null }),
  shift: (step) => {
    const changes = neighbour(state, today(), step);
    if (changes) go(changes);
  },
  custom: openCustomRange,
  compare: () => go({ compare: compares(state) ? "off" : "previous" }),
  filter: addFilterByDialog,
  clear: () => state.filters.length && go({ filters: [] }),
});
setInterval(() => {
  if (document.hidden || isOccupied()) return;
  if (failure) retry();
  else if (data) load({ isQuiet: true });
}, REFRESH);
