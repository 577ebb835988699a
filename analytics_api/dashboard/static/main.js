// The statistics page: totals, a chart and lists from one request, current visitors, and notices.

import { lastDay, showChart, showFigures, showLeads } from "./chart.js";
import { summaryOf } from "./controls.js";
import { announce, byId, copyText, h, keepFocus, tipOf } from "./dom.js";
import * as format from "./format.js";
import { actionsMenu, openCurrent, openDetail, PANEL_ROWS, panelParts } from "./lists.js";
import { get, isSignedIn } from "./page.js";
import { CHOICES, CLOSED, compares, requestOf } from "./state.js";
import { texts } from "./texts.js";
import { adjust, data, emptyNotice, failure, go, handle, invalidNotice, load, notice, retry, startView, state, today, viewQuery } from "./view.js";

const INTERVAL = 4500; // ms between requests, so that a tab notices within five seconds that another one signed out
const EXAMPLE = `insert into sessions (session_id, visitor_id, started_at)
values ('s1', 'v1', ${Date.now()});`;
const SCRIPT = document.querySelector('meta[name="script"]').content; // empty if the host application does not pass it
const MOUNT = `analytics = create_app(…, collect_hosts=["example.com"])
collector = create_collector(…, hosts=["example.com"])
dashboard = create_dashboard(…, script="/visits/a.js")`;
const COMMAND = 'ANALYTICS_COLLECT_HOSTS="example.com" analytics-api serve';

let counted = null; // the last totals of conversions, with their request
let current = null; // the last response of /current
let isWaiting = false; // whether the database had no visits when the page was opened

function fetchSnapshot(query, signal) {
  if (state.interval) query.set("interval", state.interval);
  query.set("fill", "true");
  query.set("limit", PANEL_ROWS);
  return get("/dashboard", query, signal);
}

/** Fetch the number of leads after the figures are drawn, so that the figures do not wait for it. */
async function countLeads() {
  const shown = data;
  if (!data || data.leads !== undefined) return;
  data.leads = null;
  const query = viewQuery();
  query.set("by", "total");
  const [total] = await get("/conversions", query).catch(() => []);
  if (shown !== data || !total) return;
  data.leads = total;
  counted = { request: requestOf(state), total };
  keepFocus(() => showLeads(byId("figures"), total, state));
}

function showDetail() {
  if (state.detail && data && !document.querySelector("dialog[open]")) {
    const { from, to } = data.range;
    const about = `${state.period ? `${format.range(from, to)} · ` : ""}${summaryOf(state)}`;
    openDetail(state.detail, state, data.overview, today(), { about, onChange: rememberList, onClose: closeDetail });
  } else if (!state.detail) document.querySelector("dialog.wide")?.close();
}

const rememberList = (changes) => state.detail && adjust(changes);
const closeDetail = () => state.detail && isSignedIn() && go(CLOSED);

function drawTotals() {
  const leads = data?.leads ?? (counted?.request === requestOf(state) ? counted.total : null);
  showFigures(byId("figures"), data?.overview, leads, state);
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
  const options = CHOICES.interval.slice(1).map((each) => h("option", { value: each, selected: each === range.interval }, texts.intervals[each]));
  const select = h("select.quiet", { "aria-label": texts.intervalMenu, onchange: choose, "data-key": "interval" }, options);
  const query = new URLSearchParams({ ...(range.from && { from: range.from }), to: range.to, interval: range.interval, fill: "true" });
  for (const [name, value] of state.filters) query.append(name, value);
  if (compares(state)) query.set("compare", state.compare);
  const days = format.range(range.from, range.to);
  const about = { type: "button", "aria-label": texts.about(days), ...tipOf(texts.explain.day(site.time_zone)) };
  const note = h("button.info.days", about, h("b", {}, days), h("span.zone", {}, ` · ${site.time_zone}`), comparedNote());
  const menu = actionsMenu(texts.metrics[state.metric], "series", () => series, "/sessions/daily", query);
  showChart(container, {
    series,
    state,
    range,
    today: today(),
    rangeText: days,
    tools: [note, select, menu],
    onZoom: (date) => zoom(date, range),
  });
}

function comparedNote() {
  const previous = data.overview?.previous;
  if (!previous) return null;
  const compared = texts.compared(format.range(previous.from, previous.to));
  const until = previous.until !== null && texts.comparedUntil(format.moment(previous.until, data.site.time_zone));
  return h("span.compared", tipOf(until && `${compared} ${until}`), compared);
}

function zoom(date, range) {
  const day = date.slice(0, 10);
  const end = lastDay(day, range.interval);
  const from = range.from && day < range.from ? range.from : day;
  const last = end > range.to ? range.to : end;
  if (from !== state.from || last !== state.to) go({ period: null, from, to: last, interval: "" });
}

/** Load the figures if the first visit has arrived in the empty database. */
async function lookForFirstVisit() {
  const site = await get("/site");
  if (site.first_day) load({ isQuiet: true });
  else showMachines(site.machines_today);
}

function showLive(answer) {
  const element = byId("live");
  current = answer;
  element.hidden = !current;
  element.classList.toggle("none", !current?.visitors);
  if (!current) return;
  element.dataset.tip = texts.explain.current;
  const count = current.visitors === 1 ? 1 : format.integer(current.visitors);
  const [long, short] = [texts.live(count), texts.liveShort(count)];
  if (element.textContent === long + short) return;
  element.replaceChildren(h("span.pulse"), h("span.long", {}, long), h("span.short", { "aria-hidden": "true" }, short));
}

/** Fetch the current visitors every INTERVAL while `isActive()`. Call `onError(error)` or `onAnswer()` after each request. */
function watchLive(isActive, onError, onAnswer) {
  let timer;
  const tick = async () => {
    clearTimeout(timer);
    if (isActive() && !document.hidden) {
      try {
        showLive(await get("/current"));
        await onAnswer();
      } catch (error) {
        onError(error);
      }
    }
    timer = setTimeout(tick, INTERVAL);
  };
  document.addEventListener("visibilitychange", () => document.hidden || tick());
  timer = setTimeout(tick, INTERVAL);
}

function showNotices(state, data) {
  const isEmpty = data.overview && !data.overview.total_sessions && !data.overview.total_events;
  if (!data.site.first_day) {
    showFirstVisit(data.site.collect_hosts);
    showMachines(data.site.machines_today);
  } else byId("notices").replaceChildren(invalidNotice(), isWaiting ? arrivedNotice() : "", isEmpty ? emptyNotice() : "");
}

/** Show how to send visits to an empty database. The notice is not replaced, so that its text can be selected. */
function showFirstVisit(hosts) {
  isWaiting = true;
  if (document.querySelector(".notice.first")) return;
  const element = SCRIPT && hosts.length ? scriptNotice(hosts) : collectNotice();
  element.classList.add("first");
  byId("notices").replaceChildren(element);
}

function collectNotice() {
  const [help, example] = SCRIPT ? [texts.collectHelp, COMMAND] : [texts.mountHelp, MOUNT];
  return notice(texts.emptyTable, help, code(example), h("p", {}, texts.insertHelp), code(EXAMPLE));
}

function scriptNotice(hosts) {
  const local = hosts.some((host) => /^(localhost|127\.)/.test(host)) ? " data-local" : "";
  const line = `<script defer src="${new URL(SCRIPT, document.baseURI)}"${local}></script>`;
  const copy = h("button.button", { type: "button", onclick: () => copyText(line, copy) }, texts.copyLine);
  return notice(texts.firstVisit, texts.firstVisitHelp(hosts.join(", ")), code(line), copy, h("p.muted", {}, texts.firstVisitWaits), h("p.machines", { role: "status" }));
}

/** Say that events of programs have arrived, because they are not the visit that the notice waits for. */
function showMachines(count) {
  const element = document.querySelector(".notice.first .machines");
  const text = count ? texts.machines(format.integer(count)) : "";
  if (element && element.textContent !== text) element.textContent = text;
}

const code = (text) => h("pre", { tabindex: 0 }, text);

function arrivedNotice() {
  const isNew = !document.querySelector(".notice.arrived");
  if (isNew) announce(texts.firstArrived);
  const hide = () => {
    isWaiting = false;
    element.remove();
    byId("main").focus({ preventScroll: true });
  };
  const element = notice(texts.firstArrived, texts.firstArrivedHelp, h("button.button", { type: "button", onclick: hide, "data-key": "hide-arrived" }, texts.hide));
  element.classList.add("arrived");
  return element;
}

byId("live").addEventListener("click", () => openCurrent(current, state));
watchLive(
  isSignedIn,
  (error) => (error.status === 401 || (error.status === 0 && !failure)) && handle(error),
  () => (failure ? retry() : data && !data.site.first_day && lookForFirstVisit()),
);
startView({
  fetch: fetchSnapshot,
  parts: () => [drawTotals, drawChart, ...panelParts(state, data, today())],
  onDrawn: () => {
    showDetail();
    countLeads();
  },
  onLeave: () => {
    showLive(null);
    counted = null;
    for (const part of document.querySelectorAll("#figures, #chart, .panel")) part.replaceChildren();
  },
});

