// The conversions page: which visits became leads and customers, and how long leads stay in each stage.

import { changeBadge, emptyText, figureElement } from "./chart.js";
import { byId, h, icon, info, pause, tipOf } from "./dom.js";
import * as format from "./format.js";
import { actionsMenu, drawPanel, filterValue, pageNames, tab } from "./lists.js";
import { get, hasScope, stageBadge } from "./page.js";
import { addFilter, CHOICES, comparedDays, daysOf, FILTERS, nav } from "./state.js";
import { texts } from "./texts.js";
import { data, emptyNotice, failure, invalidNotice, startView, state, today } from "./view.js";

const t = texts.conversions;
const MAX_ROWS = 1000;
const ROWS = 10; // rows that are shown at first
const CHUNK = 50; // rows that one task adds
// The first column has the names of the rows. For each other column: the attribution and the field that it shows.
const COLUMNS = [
  ["last", "leads"], ["last", "won"], ["first", "leads"], ["first", "won"], ["last", "sessions"], ["last", "lead_rate"], ["last", "win_rate"],
  ["last", "median_days_to_lead"], ["last", "median_days_to_won"],
];
const FIELDS = { ...t.fields, sessions: texts.metrics.sessions, won: texts.stages.won, lost: texts.stages.lost };
const FIGURES = ["leads", "won", "lost", "lead_rate", "win_rate", "median_days_to_lead", "median_days_to_won"];

async function fetchAll(query, signal) {
  const request = (parameters) => get("/conversions", new URLSearchParams([...query, ...Object.entries(parameters)]), signal);
  const days = new URLSearchParams([...query].filter(([name]) => ["from", "to", "days"].includes(name)));
  const rows = (attribution) => request({ by: state.by, attribution, limit: MAX_ROWS });
  const [site, [total], last, first, pipeline, canRead] = await Promise.all([
    get("/site", "", signal), request({ by: "total" }), rows("last"), rows("first"), get("/pipeline", days, signal), hasScope("leads:read"),
  ]);
  return { site, total, rows: joinRows(last, first), pipeline, canRead, query, days };
}

function joinRows(last, first) {
  const { by } = state;
  const rows = new Map(first.map((row) => [row[by], { key: row[by], last: { [by]: row[by], sessions: row.sessions, leads: 0, won: 0 }, first: row }]));
  for (const row of last) rows.set(row[by], { key: row[by], last: row, first: rows.get(row[by])?.first ?? { leads: 0, won: 0 } });
  return [...rows.values()];
}

function show(field, value) {
  if (value === null || value === undefined) return "–";
  if (field.endsWith("_rate")) return format.share(value, 1);
  return field.startsWith("median") ? format.days(value) : format.integer(value);
}

function leadsPath(parameters) {
  const [from, to] = daysOf(state, today());
  return `leads?${new URLSearchParams({ ...parameters, ...(from && { from }), to })}`;
}

/** Return a number as a link to the leads that it counts. Return plain text for 0, or if the key may not read leads. */
function leadsLink(count, text, parameters, isExact = true) {
  if (!data.canRead || !count) return text;
  return h("a.count", { href: leadsPath(parameters), ...tipOf(!isExact && t.inexact) }, text);
}

function drawFigures() {
  const parameters = { leads: {}, won: { status: "won" }, lost: { status: "lost" } };
  const figure = (field) => {
    const { [field]: value, previous } = data?.total ?? {};
    const isCounted = data && field in parameters;
    const isLink = isCounted && data.canRead;
    const tip = isLink && state.filters.length ? `${t.explain[field]} ${t.inexact}` : t.explain[field];
    const properties = { ...(isLink ? { href: leadsPath(parameters[field]) } : { tabindex: 0 }), "data-key": `figure-${field}`, ...tipOf(tip) };
    const badge = isCounted && previous && changeBadge(value, previous[field], show(field, previous[field]), { good: field === "lost" ? -1 : 1 });
    const label = texts.stages[field] ? t.ofThese(FIELDS[field]) : FIELDS[field];
    return figureElement(isLink ? "a" : "div", label, show(field, value), properties, badge);
  };
  byId("figures").replaceChildren(...FIGURES.map(figure));
  if (!data) return;
  if (!failure) byId("notices").replaceChildren(invalidNotice(), data.total?.sessions || data.total?.leads ? "" : emptyNotice());
  const days = daysOf(state, today());
  const compared = data.total?.previous && texts.compared(format.range(...comparedDays(days, state.compare)));
  byId("days").replaceChildren(h("b", {}, format.range(...days)), compared ? h("span.compared", {}, compared) : "");
}

function drawConversions() {
  const tabs = h("nav.tabs", { "aria-label": t.byMenu }, CHOICES.by.map((by) => tab(texts.dimensions[by], state, { by, detail: "" }, by === state.by)));
  const menu = data && actionsMenu(t.title, "conversions", () => data.rows.map(downloadRow), "/conversions", new URLSearchParams([...data.query, ["by", state.by]]));
  const content = () => {
    if (!data.rows.length) return [emptyText(state)];
    const rows = [...data.rows].sort((a, b) => (b.last[state.order] ?? -1) - (a.last[state.order] ?? -1));
    const shown = state.detail ? rows : rows.slice(0, ROWS);
    const more = h("a.more", nav(state, { detail: "all" }, "more"), t.all(format.integer(rows.length)), icon("down"));
    const keys = shown.map(({ key }) => (isPlaceholder(key) ? t.placeholders[key] : filterValue(state.by, key)));
    const names = state.by === "entry_page" ? pageNames(keys) : keys;
    return [tableElement(t.title, headCells(), shown.map((row, index) => ({ ...row, name: names[index] })), rowCells), h("footer", {}, rows.length > shown.length && more)];
  };
  drawPanel(byId("panel-conversions"), t.title, [info(texts.about(t.title), t.about), tabs, menu], data && content());
}

const downloadRow = ({ last, first }) => ({ ...last, first_leads: first.leads, first_won: first.won });

/** Return a table. `cells(row)` returns the cells of a row. Rows are added CHUNK by CHUNK, so that the page does not freeze. */
function tableElement(name, head, rows, cells) {
  const body = h("tbody");
  const add = (from) => {
    body.append(...rows.slice(from, from + CHUNK).map((row) => h("tr", {}, cells(row))));
    if (from + CHUNK < rows.length) pause().then(() => body.isConnected && add(from + CHUNK));
  };
  add(0);
  return h("div.scroll", { tabindex: 0, role: "region", "aria-label": texts.tableOf(name) },
    h("table.numbers", {}, h("caption.hidden", {}, name), h("thead", {}, h("tr", {}, head)), body));
}

const headCell = (text, properties) => h("th", { scope: "col", ...properties }, text);

function headCells() {
  const cell = ([attribution, field]) => {
    const name = t.columns[`${attribution}_${field}`] ?? FIELDS[field];
    const explain = tipOf(t.explain[`${attribution}_${field}`] ?? t.explain[field] ?? texts.explain[field]);
    if (attribution === "first") return headCell(h("span", { tabindex: 0, ...explain }, name));
    const isCurrent = field === state.order;
    const link = { ...nav(state, { order: field }, `order-${field}`), ...explain };
    return headCell(h("a", link, name, isCurrent && h("span", { "aria-hidden": "true" }, "\u00a0↓")), { "aria-sort": isCurrent && "descending" });
  };
  return [headCell(texts.dimensions[state.by]), ...COLUMNS.map(cell)];
}

function rowCells({ key, name, ...row }) {
  const cell = ([attribution, field]) => {
    const { [field]: value, previous } = row[attribution];
    const text = show(field, value);
    const isCounted = value > 0 && (field === "leads" || field === "won");
    const parameters = { ...(field === "won" && { status: "won" }), ...(isProject(key) && { project: key }) };
    const badge = isCounted && attribution === "last" && previous && changeBadge(value, previous[field], show(field, previous[field]));
    return h("td", { class: !value && "muted" }, badge, isCounted ? leadsLink(value, text, parameters, isProject(key) && !state.filters.length) : text);
  };
  return [h("th", { scope: "row" }, nameElement(key, name)), ...COLUMNS.map(cell)];
}

const isProject = (key) => state.by === "project" && !isPlaceholder(key);
const isPlaceholder = (key) => Object.hasOwn(t.placeholders, key);

/** Return the name of a row. If the page has a filter for such names, the name is a link that adds the filter. */
function nameElement(key, name) {
  const canFilter = state.by in FILTERS && !isPlaceholder(key);
  const link = canFilter && nav(addFilter(state, state.by, key), {}, `row-${key}`);
  return h(canFilter ? "a.name" : "span.name", { ...link, ...tipOf(name === key && key.length < 30 ? "" : key) }, h("bdi", {}, format.shorten(name)));
}

function drawPipeline() {
  const menu = data && actionsMenu(t.pipeline, "pipeline", () => data.pipeline.stages, "/pipeline", data.days);
  const content = () => {
    const most = Math.max(1, ...data.pipeline.stages.map((stage) => stage.entered));
    const head = t.pipelineColumns.map(([name, explain]) => headCell(h("span", { tabindex: 0, ...tipOf(explain) }, name)));
    return [
      state.filters.length > 0 && h("p.muted", {}, t.unfiltered),
      tableElement(t.pipeline, head, data.pipeline.stages, (stage) => stageCells(stage, most)),
    ];
  };
  drawPanel(byId("panel-pipeline"), t.pipeline, [info(texts.about(t.pipeline), t.aboutPipeline), menu], data && content());
}

function stageCells({ status, leads, entered, median_hours, oldest, advanced, lost }, most) {
  const bar = h("span.part-of");
  bar.style.setProperty("--share", entered / most); // set by script, because the page's policy forbids style attributes
  const isOver = status === "won" || status === "lost";
  const age = oldest === null || isOver ? "–" : leadsLink(leads, format.age(Date.now() - oldest), { status, sort: "oldest" });
  return [
    h("th", { scope: "row" }, stageBadge(status)),
    h("td", {}, h("div.funnel", { "data-status": status }, entered > 0 && bar, h("b", {}, format.integer(entered)), h("span.muted", {}, format.share(entered, most)))),
    h("td", {}, leadsLink(leads, format.integer(leads), { status })),
    h("td", {}, median_hours === null ? "–" : format.age(median_hours * 3_600_000)),
    h("td", tipOf(age !== "–" && t.since(format.moment(oldest, data.site.time_zone))), age),
    h("td", {}, isOver ? "–" : format.integer(advanced)),
    h("td", {}, isOver ? "–" : format.integer(lost)),
  ];
}

startView({
  fetch: fetchAll,
  parts: () => [drawFigures, drawConversions, drawPipeline],
  onLeave: () => {
    for (const part of document.querySelectorAll("#days, #figures, .panel")) part.replaceChildren();
  },
});
