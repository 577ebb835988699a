// The statistics page: the address says what is shown; one request fetches it.

import { showAccount, showSignIn, watchSignIn } from "./account.js";
import { actionsMenu } from "./actions.js";
import { ApiError, get } from "./api.js";
import { lastDay, showChart } from "./chart.js";
import { openCurrent, openDetail, valuesOf } from "./details.js";
import { announce, byId, h, isOccupied, pause } from "./dom.js";
import { showFigures } from "./figures.js";
import { openFilterDialog, showFilters } from "./filters.js";
import * as format from "./format.js";
import { currentVisitors, showLive, watchLive } from "./live.js";
import { showError, showNotices } from "./notices.js";
import { PANEL_ROWS, panelParts } from "./panels.js";
import { neighbour, openCustomRange, rangeName, showRanges } from "./ranges.js";
import { watchShortcuts } from "./shortcuts.js";
import { CLOSED, INTERVALS, compares, linkTo, needsToday, rangeQuery, readState, writeState } from "./state.js";
import { texts } from "./texts.js";
import { tipOf, watchTips } from "./tips.js";

const TURN = 12_000; // ms for each part on a wall
const REFRESH = 60_000; // ms between reloads of the figures while the tab is visible

const root = document.documentElement;
let state = readState(location.search);
let data = null; // the snapshot that is shown
let shown = ""; // the request that it answers
let site = null; // of the last snapshot: its today and time zone
let loading = new AbortController();
let drawing = 0; // the number of the last drawing, so that an earlier one stops
let failure = null; // the error in place of the figures, or above former ones

const isSignedIn = () => root.dataset.state !== "signed-out";
const today = () => site?.today ?? null;

/** Go to the state with these changes, as a link would. */
function go(changes, { replace = false } = {}) {
  const address = linkTo(state, changes);
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  follow();
}

/** Show what the address says. Only other numbers need a request. */
function follow() {
  state = readState(location.search);
  if (!data || shown !== requestOf(state)) return load();
  loading.abort();
  return render();
}

const requestOf = (each) => writeState({ ...each, metric: "visitors", pages: "pages", ...CLOSED, wall: false });

async function load({ isQuiet = false } = {}) {
  loading.abort();
  loading = new AbortController();
  drawing++;
  const { signal } = loading;
  root.dataset.state ??= "loading";
  if (!isQuiet) {
    root.classList.add("busy");
    keepFocus(renderControls);
  }
  try {
    if (needsToday(state) && !site) site = await get("/site", "", signal);
    const request = requestOf(state);
    data = await get("/dashboard", snapshotQuery(), signal);
    shown = request;
    site = data.site;
    root.dataset.state = "ready";
    failure = null;
    await render();
    if (!isQuiet) announce(texts.updated(rangeName(state)));
  } catch (error) {
    if (error.name === "AbortError") return;
    handle(error);
  }
}

function snapshotQuery() {
  const query = rangeQuery(state, today());
  if (compares(state)) query.set("compare", state.compare);
  if (state.interval) query.set("interval", state.interval);
  query.set("fill", "true");
  query.set("limit", PANEL_ROWS);
  return query;
}

function handle(error) {
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 401) return leave(data ? texts.signIn.ended : "");
  failure = error;
  if (!isTemporary(error) || shown !== requestOf(state)) data = null; // its figures are those of another address
  root.dataset.state = data ? "ready" : "failed";
  render();
  showError(error, state, () => load(), data !== null);
}

/** Return whether the same request may succeed later. */
const isTemporary = ({ status }) => status === 0 || status >= 500;

/** Forget what was shown, and show the form. */
function leave(message) {
  loading.abort();
  drawing++;
  root.classList.remove("busy");
  data = site = failure = null;
  showLive(null);
  document.title = texts.title(texts.signIn.title);
  for (const id of ["figures", "chart", "notices", "filters", "ranges"]) byId(id).replaceChildren();
  for (const panel of document.querySelectorAll(".panel")) panel.replaceChildren();
  showSignIn(message);
}

/** Call a function that replaces controls, and move the focus to what has taken the place of the focused one. */
function keepFocus(replaceControls) {
  const focused = document.activeElement?.closest("[data-key]")?.dataset.key;
  replaceControls();
  if (!focused || document.activeElement !== document.body || document.querySelector("dialog[open]")) return;
  const again = document.querySelector(`[data-key="${CSS.escape(focused)}"]`) ?? byId("main");
  again.focus({ preventScroll: true });
}

/** Draw what the address says, part by part. */
async function render() {
  const number = ++drawing;
  root.classList.add("busy");
  for (const part of [drawTotals, drawChart, ...panelParts(state, data, today())]) {
    keepFocus(part);
    await pause();
    if (number !== drawing) return;
  }
  root.classList.remove("busy");
  if (state.detail && data && !document.querySelector("dialog[open]")) {
    openDetail(state.detail, state, data.overview, today(), { onChange: rememberList, onClose: closeDetail });
  } else if (!state.detail) document.querySelector("dialog.wide")?.close();
}

/** Write the search and the order of the open list into the address, without a step for "back". */
function rememberList(changes) {
  if (!state.detail) return;
  state = { ...state, ...changes };
  history.replaceState(null, "", linkTo(state, {}));
}

const closeDetail = () => state.detail && go(CLOSED);

function drawTotals() {
  const name = rangeName(state);
  document.title = texts.title(name);
  renderControls();
  showFigures(byId("figures"), data?.overview, state);
  if (!data) return;
  if (!failure) showNotices(state, data);
  showLive(data.current);
}

function renderControls() {
  showFilters(byId("filters"), state, addFilterByDialog);
  showRanges(byId("ranges"), state, today(), go);
}

function drawChart() {
  if (!data) return;
  const { range, series } = data;
  const container = byId("chart");
  if (!Array.isArray(series)) return container.replaceChildren(h("p.empty", {}, texts.sectionMissing));
  const choose = (event) => go({ interval: event.target.value });
  const options = INTERVALS.map((each) => h("option", { value: each, selected: each === range.interval }, texts.intervals[each]));
  const select = h("select.quiet", { "aria-label": texts.intervalMenu, onchange: choose, "data-key": "interval" }, options);
  const query = new URLSearchParams({ ...(range.from && { from: range.from }), to: range.to, interval: range.interval, fill: "true" });
  for (const [name, value] of state.filters) query.append(name, value);
  if (compares(state)) query.set("compare", state.compare);
  const days = format.range(range.from, range.to);
  const about = { type: "button", "aria-label": texts.about(days), "data-tip": texts.explain.day(site.time_zone) };
  const note = h("button.info.days", about, h("b", {}, days), h("span", {}, ` · ${site.time_zone}`), comparedNote());
  const menu = actionsMenu(texts.metrics[state.metric], "series", () => series, "/sessions/daily", query);
  showChart(container, {
    series,
    metric: state.metric,
    range,
    today: today(),
    rangeText: days,
    tools: [note, select, menu],
    onZoom: (date) => zoom(date, range),
  });
}

/** Return which days are compared, and until when; null without a comparison. */
function comparedNote() {
  const previous = data.overview?.previous;
  if (!previous) return null;
  const until = previous.until === null ? "" : ` ${texts.comparedUntil(format.instant(previous.until, site.time_zone))}`;
  return h("span.compared", tipOf(until && texts.compared(format.range(previous.from, previous.to)) + until), ` · ${texts.compared(format.range(previous.from, previous.to))}`);
}

/** Show the days of one point of the chart. */
function zoom(date, range) {
  const day = date.slice(0, 10);
  const end = lastDay(day, range.interval);
  const from = range.from && day < range.from ? range.from : day;
  const last = end > range.to ? range.to : end;
  if (from !== state.from || last !== state.to) go({ period: null, from, to: last, interval: "" });
}

function addFilterByDialog() {
  const values = {}; // a promise by parameter
  const suggest = (parameter) => (values[parameter] ??= valuesOf(parameter, state, today()));
  openFilterDialog(state, suggest, (next) => go({ filters: next.filters }));
}

/** Load the figures as soon as a database without visits has one. */
async function lookForFirstVisit() {
  if ((await get("/site")).first_day) load({ isQuiet: true });
}

async function start() {
  const account = showAccount(() => leave(texts.signIn.ended)).catch((error) => error.status === 401 || handle(error));
  await Promise.all([load(), account]);
}

/** On a screen on the wall (`?wall`), show the totals and the panels in turn, large. */
function startWall() {
  const parts = [...document.querySelectorAll("#overview, .panel")];
  document.documentElement.classList.add("wall");
  let at = 0;
  const show = () => {
    parts.forEach((part, index) => part.classList.toggle("shown", index === at));
    at = (at + 1) % parts.length;
  };
  show();
  setInterval(show, TURN);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-nav]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (link.closest("dialog")) state = { ...state, ...CLOSED };
  document.querySelector("dialog")?.close();
  history.pushState(null, "", link.href);
  follow();
});
addEventListener("popstate", follow);
addEventListener("pageshow", (event) => event.persisted && start()); // from the browser's cache of pages
addEventListener("pagehide", () => byId("account").replaceChildren());
addEventListener("online", () => isSignedIn() && load());
addEventListener("offline", () => isSignedIn() && showError(new ApiError(0, ""), state, () => load(), data !== null));

watchSignIn(
  () => {
    root.dataset.state = "loading";
    start();
  },
  () => leave(texts.signIn.ended),
);
watchTips();
byId("live").addEventListener("click", () => openCurrent(currentVisitors(), state));
watchShortcuts(isSignedIn, {
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
watchLive(
  isSignedIn,
  (error) => (error.status === 401 || (error.status === 0 && !failure)) && handle(error),
  () => (failure ? isTemporary(failure) && load() : site && !site.first_day && lookForFirstVisit()),
);
setInterval(() => data && !failure && !document.hidden && !isOccupied() && load({ isQuiet: true }), REFRESH);

root.dataset.state = "loading";
if (state.wall) startWall();
start();
showFigures(byId("figures"), null, state);
for (const draw of panelParts(state, null, null)) draw();
