// The statistics page: totals, a chart, lists and current visitors, in one request.

import { get } from "./api.js";
import { lastDay, showChart, showFigures } from "./chart.js";
import { byId, h, tipOf } from "./dom.js";
import * as format from "./format.js";
import { actionsMenu, openCurrent, openDetail, PANEL_ROWS, panelParts } from "./lists.js";
import { currentVisitors, showLive, showNotices, watchLive } from "./notices.js";
import { isSignedIn } from "./page.js";
import { CLOSED, INTERVALS, compares } from "./state.js";
import { texts } from "./texts.js";
import { adjust, data, failure, go, handle, load, retry, startView, state, today } from "./view.js";

const TURN = 12_000; // ms for each part on a wall

function fetchSnapshot(query, signal) {
  if (state.interval) query.set("interval", state.interval);
  query.set("fill", "true");
  query.set("limit", PANEL_ROWS);
  return get("/dashboard", query, signal);
}

/** Open or close the list that the address names. */
function showDetail() {
  if (state.detail && data && !document.querySelector("dialog[open]")) {
    openDetail(state.detail, state, data.overview, today(), { onChange: rememberList, onClose: closeDetail });
  } else if (!state.detail) document.querySelector("dialog.wide")?.close();
}

const rememberList = (changes) => state.detail && adjust(changes);
const closeDetail = () => state.detail && go(CLOSED);

function drawTotals() {
  showFigures(byId("figures"), data?.overview, state);
  if (!data) return;
  if (!failure) showNotices(state, data);
  showLive(data.current);
}

function drawChart() {
  if (!data) return;
  const { range, series, site } = data;
  const container = byId("chart");
  if (!Array.isArray(series)) return container.replaceChildren(h("p.empty", {}, texts.sectionMissing));
  const choose = (event) => go({ interval: event.target.value });
  const options = INTERVALS.map((each) => h("option", { value: each, selected: each === range.interval }, texts.intervals[each]));
  const select = h("select.quiet", { "aria-label": texts.intervalMenu, onchange: choose, "data-key": "interval" }, options);
  const query = new URLSearchParams({ ...(range.from && { from: range.from }), to: range.to, interval: range.interval, fill: "true" });
  for (const [name, value] of state.filters) query.append(name, value);
  if (compares(state)) query.set("compare", state.compare);
  const days = format.range(range.from, range.to);
  const about = { type: "button", "aria-label": texts.about(days), ...tipOf(texts.explain.day(site.time_zone)) };
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
  const compared = texts.compared(format.range(previous.from, previous.to));
  const until = previous.until !== null && texts.comparedUntil(format.instant(previous.until, data.site.time_zone));
  return h("span.compared", tipOf(until && `${compared} ${until}`), ` · ${compared}`);
}

/** Show the days of one point of the chart. */
function zoom(date, range) {
  const day = date.slice(0, 10);
  const end = lastDay(day, range.interval);
  const from = range.from && day < range.from ? range.from : day;
  const last = end > range.to ? range.to : end;
  if (from !== state.from || last !== state.to) go({ period: null, from, to: last, interval: "" });
}

/** Load the figures as soon as a database without visits has one. */
async function lookForFirstVisit() {
  if ((await get("/site")).first_day) load({ isQuiet: true });
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

byId("live").addEventListener("click", () => openCurrent(currentVisitors(), state));
watchLive(
  isSignedIn,
  (error) => (error.status === 401 || (error.status === 0 && !failure)) && handle(error),
  () => (failure ? retry() : data && !data.site.first_day && lookForFirstVisit()),
);
if (state.wall) startWall();
startView({
  fetch: fetchSnapshot,
  parts: () => [drawTotals, drawChart, ...panelParts(state, data, today())],
  onDrawn: showDetail,
  onLeave: () => {
    showLive(null);
    for (const part of document.querySelectorAll("#figures, #chart, .panel")) part.replaceChildren();
  },
});
