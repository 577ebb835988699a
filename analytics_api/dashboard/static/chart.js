// The totals, and the series of one total: a chart with a dashed line for the compared range, or a table.

import { h, icon, set, svg, tipOf } from "./dom.js";
import * as format from "./format.js";
import { addDays, CHOICES, monthStart, nav, requestOf } from "./state.js";
import { texts } from "./texts.js";

// The field of each metric in an overview, and in a row of a series.
const OVERVIEW_FIELDS = {
  visitors: "unique_visitors",
  sessions: "total_sessions",
  page_views: "page_views",
  duration: "avg_session_duration_s",
  engagement: "avg_engagement_score",
};
const SERIES_FIELDS = {
  visitors: "unique_visitors",
  sessions: "total_sessions",
  page_views: "page_views",
  duration: "avg_duration",
  engagement: "avg_engagement",
};

const MEANS = ["duration", "engagement"]; // metrics that have no value without sessions

/**
 * Return the change from `previous` to `value`, in percent or as a number. `shown` is `previous` as a string. For losses,
 * `good` is -1, because fewer are better.
 */
export function changeBadge(value, previous, shown, { good = 1, asNumber = false } = {}) {
  const change = format.change(value, previous);
  const sign = asNumber ? Math.sign(value - previous) : change?.sign;
  const kind = { 1: ".up", "-1": ".down" }[sign * good] ?? "";
  const text = change?.text ?? "–";
  const tip = [shown && texts.before(shown), asNumber && text].filter(Boolean).join(", ");
  return h(`span.change${kind}`, tipOf(tip), asNumber ? format.difference(value - previous) : text);
}

export function showFigures(container, overview, leads, state) {
  const metric = (name) => {
    const link = { ...nav(state, { metric: name }, `metric-${name}`), "aria-current": name === state.metric && "true" };
    const show = (value) => (MEANS.includes(name) && !overview.total_sessions ? "–" : format.metricValue(value, name));
    return figure(texts.metrics[name], texts.explain[name], overview, OVERVIEW_FIELDS[name], show, link);
  };
  container.replaceChildren(...CHOICES.metric.map(metric), ...leadFigures(leads, state));
}

/** Show the numbers of leads. Do not replace the other figures: a click on an element that is replaced has no effect. */
export function showLeads(container, leads, state) {
  for (const element of leadFigures(leads, state)) container.querySelector(`[data-key="${element.dataset.key}"]`).replaceWith(element);
}

function leadFigures(leads, state) {
  const count = (name, label) => {
    const link = { href: `conversions${requestOf(state)}`, "data-key": `metric-${name}` };
    return figure(label, texts.conversions.explain[name], leads, name, format.integer, link);
  };
  return [count("leads", texts.conversions.fields.leads), count("won", texts.conversions.ofThese(texts.stages.won))];
}

function figure(label, explain, numbers, field, show, link) {
  const value = numbers?.[field];
  const previous = numbers?.previous?.[field];
  const isCompared = value !== undefined && previous !== undefined;
  return figureElement("a", label, value === undefined ? null : show(value), { ...link, ...tipOf(explain) }, isCompared && changeBadge(value, previous, show(previous)));
}

export function figureElement(tag, label, value, properties, badge) {
  const number = h("span.value", {}, value ?? "–");
  number.style.setProperty("--digits", number.textContent.length);
  return h(`${tag}.figure`, properties, h("span.label", {}, label), number, h("span.against", {}, badge || "\u00a0"));
}

export const emptyText = ({ filters }) => h("p.empty", {}, filters.length ? texts.emptyFilter : texts.emptyPanel);

const MARGIN = { top: 12, right: 12, bottom: 26, left: 46 };
const LABEL_WIDTH = 5.5; // rem for each label of the horizontal axis
const MAX_LINES = 5; // horizontal lines above the base line
const ROUND_SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const HOUR = 3_600_000; // ms

let isTable = false; // whether the table is shown; navigation does not change it

/**
 * Show a series. `onZoom` is called with the date of the point that was clicked.
 * `range` is the range of the response, with its interval. `today` is the current day of the site.
 */
export function showChart(container, options) {
  const { series, state, range, today, rangeText, tools, onZoom } = options;
  const { interval } = range;
  const { metric } = state;
  const field = SERIES_FIELDS[metric];
  const points = series.map((row) => ({
    date: row.date,
    value: row[field] ?? 0,
    previous: row.previous?.[field],
    previousDate: row.previous?.date,
    partial: partialText(row, range, today),
    isFuture: isFuture(row, interval, today),
  }));
  const model = { points, metric, interval, rangeText, onZoom };
  const change = () => {
    isTable = !isTable;
    showChart(container, options);
    container.querySelector('[data-key="chart-toggle"]').focus();
  };
  const name = isTable ? texts.showChart : texts.showTable;
  const toggle = h("button.quiet", { type: "button", ...tipOf(name), "aria-label": name, "data-key": "chart-toggle", onclick: change }, icon(isTable ? "line" : "table"));
  const plot = h("div.plot");
  const isEmpty = !points.some(({ value, previous }) => value || previous);
  const isCounted = !series.length || series.some((row) => row[field] !== null && row[field] !== undefined);
  container.replaceChildren(h("div.chart-tools", {}, tools, toggle), plot);
  if (!isCounted) plot.append(h("p.empty", {}, texts.notCounted(texts.metrics[metric], texts.intervals[interval])));
  else if (isEmpty) plot.append(emptyText(state));
  else if (isTable) plot.append(table(model));
  else draw(plot, model);
}

/** Return a string that says why a row counts only a part of its interval, or "" if it counts the whole. */
function partialText(row, { from, to, interval }, today) {
  if (isFuture(row, interval, today)) return "";
  if (interval === "hour") return Date.parse(row.date) > Date.now() - HOUR ? texts.partial : "";
  const day = row.date.slice(0, 10);
  const last = lastDay(day, interval);
  if (last >= today) return texts.partial;
  return (from && day < from) || last > to ? texts.cut : "";
}

export function lastDay(day, interval) {
  if (interval === "month") return addDays(monthStart(day, 1), -1);
  return interval === "week" ? addDays(day, 6) : day;
}

/** Return whether a row's interval has not begun. The dates of hours include the UTC offset, so that they are instants. */
const isFuture = (row, interval, today) =>
  interval === "hour" ? Date.parse(row.date) > Date.now() : row.date.slice(0, 10) > today;

function draw(plot, model) {
  const render = () => plot.replaceChildren(...picture(plot.clientWidth || 800, plot.clientHeight || 260, model));
  render();
  let width = plot.clientWidth;
  new ResizeObserver(() => {
    if (plot.clientWidth !== width && plot.isConnected) {
      width = plot.clientWidth;
      render();
    }
  }).observe(plot);
}

/** Return the distance between the axis lines. Their numbers are round, and there are at most MAX_LINES. */
function axisStep(highest, metric) {
  const least = Math.max(1, highest / MAX_LINES);
  if (metric === "duration") return ROUND_SECONDS.find((step) => step >= least) ?? Math.ceil(least / 3600) * 3600;
  const magnitude = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * magnitude).find((step) => step >= least && step % 1 === 0);
}

function picture(width, height, model) {
  const { points, metric, interval } = model;
  const isRightToLeft = document.documentElement.dir === "rtl";
  const inner = { width: Math.max(width - MARGIN.left - MARGIN.right, 10), height: height - MARGIN.top - MARGIN.bottom };
  const highest = Math.max(0, ...points.flatMap((point) => [point.value, point.previous ?? 0]));
  const gap = axisStep(highest, metric);
  const top = Math.max(gap, Math.ceil(highest / gap) * gap);
  const step = points.length > 1 ? inner.width / (points.length - 1) : 0;
  const place = (index) => (points.length > 1 ? index * step : inner.width / 2);
  const x = (index) => MARGIN.left + (isRightToLeft ? inner.width - place(index) : place(index));
  const y = (value) => MARGIN.top + inner.height * (1 - value / top);

  const parts = [];
  for (let value = 0; value <= top; value += gap) {
    const line = { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) };
    parts.push(svg(value ? "line.grid" : "line.base", line));
    parts.push(svg("text.tick", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, format.axis(value, metric)));
  }
  const labelWidth = LABEL_WIDTH * parseFloat(getComputedStyle(document.documentElement).fontSize);
  const every = Math.max(1, Math.ceil(points.length / Math.max(2, Math.floor(inner.width / labelWidth))));
  points.forEach((point, index) => {
    if (index % every) return;
    const isFirst = x(index) < MARGIN.left + 20;
    const isLast = x(index) > width - MARGIN.right - 20;
    const anchor = isFirst ? "start" : isLast ? "end" : "middle";
    parts.push(svg("text.tick", { x: x(index), y: height - 6, "text-anchor": anchor }, format.interval(point.date, interval)));
  });

  const path = (from, to, read) =>
    points
      .slice(from, to)
      .map((point, index) => `${index ? "L" : "M"}${x(from + index).toFixed(1)} ${y(read(point)).toFixed(1)}`)
      .join("");
  const begin = points.length > 1 && points[0].partial ? 1 : 0;
  const end = points.findIndex((point, index) => index >= begin && point.partial);
  const future = points.findIndex((point) => point.isFuture);
  const solid = end >= 0 ? end : future >= 0 ? future : points.length;
  const value = (point) => point.value;
  if (points.some((point) => point.previous !== undefined)) {
    const last = future >= 0 ? future : points.length; // the compared line ends before the first future interval
    parts.push(svg("path.earlier", { d: path(0, last, (point) => point.previous ?? 0) }));
  }
  const line = (from, to, kind) => {
    if (to - from < 2) return;
    const area = `${path(from, to, value)}L${x(to - 1).toFixed(1)} ${y(0)}L${x(from).toFixed(1)} ${y(0)}Z`;
    parts.push(svg(`path.area${kind}`, { d: area }), svg(`path.line${kind}`, { d: path(from, to, value) }));
  };
  if (begin) line(0, 2, ".partial");
  line(begin, solid, "");
  if (end > begin) line(end - 1, end + 1, ".partial");
  if (points.length === 1 || solid === 1) parts.push(svg("circle.dot", { cx: x(0), cy: y(points[0].value), r: 4 }));
  for (const at of [begin - 1, end]) {
    if (at >= 0) parts.push(svg("circle.dot.open", { cx: x(at), cy: y(points[at].value), r: 3.5 }));
  }

  const cursor = svg("g.cursor", { visibility: "hidden" }, svg("line"), svg("circle.dot", { r: 4.5 }));
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, parts, cursor);
  return interact(picture, { x, y, cursor, width, height, model });
}

/** Return a slider with the picture, and its tooltip. The pointer and the arrow keys choose a point. */
function interact(picture, { x, y, cursor, width, height, model }) {
  const { metric, interval, rangeText, onZoom } = model;
  const points = model.points.filter((point) => !point.isFuture);
  const last = points.length - 1;
  const tip = h("div.tip", { hidden: true });
  let at = -1;

  function show(index) {
    if (index < 0 || last < 0) return;
    at = Math.min(index, last);
    const point = points[at];
    const [left, top] = [x(at), y(point.value)];
    const [line, dot] = cursor.children;
    set(line, { x1: left, x2: left, y1: MARGIN.top, y2: height - MARGIN.bottom });
    set(dot, { cx: left, cy: top });
    set(cursor, { visibility: "visible" });
    set(control, { "aria-valuenow": at, "aria-valuetext": describe(point, metric, interval) });
    tip.replaceChildren(...tipContent(point, metric, interval));
    tip.hidden = false;
    const space = tip.offsetWidth + 14;
    tip.style.left = `${Math.max(0, left + space < width ? left + 14 : left - space)}px`;
    tip.style.top = `${Math.max(0, Math.min(top - 20, height - tip.offsetHeight - 4))}px`;
  }
  function hide() {
    tip.hidden = true;
    set(cursor, { visibility: "hidden" });
  }
  function nearest(event) {
    const left = event.clientX - control.getBoundingClientRect().left;
    const distance = (index) => Math.abs(x(index) - left);
    return points.reduce((best, _, index) => (distance(index) < distance(best) ? index : best), 0);
  }
  function move(event) {
    const step = document.documentElement.dir === "rtl" ? -1 : 1;
    const to = { ArrowRight: at + step, ArrowLeft: at - step, ArrowUp: at + 1, ArrowDown: at - 1, Home: 0, End: last };
    if (event.key in to) show(Math.max(0, to[event.key]));
    else if (event.key === "Enter" && at >= 0) onZoom(points[at].date);
    else if (event.key === "Escape") hide();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  const control = h(
    "div.control",
    {
      tabindex: 0,
      role: "slider",
      "aria-label": texts.chartOf(texts.metrics[metric], rangeText),
      "aria-valuemin": 0,
      "aria-valuemax": Math.max(last, 0),
      "aria-valuenow": 0,
      "aria-valuetext": points.length ? describe(points[0], metric, interval) : "",
      "data-key": "chart",
      onpointermove: (event) => show(nearest(event)),
      onpointerleave: () => control !== document.activeElement && hide(),
      onfocus: () => control.matches(":focus-visible") && show(at < 0 ? last : at),
      onblur: hide,
      onclick: (event) => points.length && onZoom(points[nearest(event)].date),
      onkeydown: move,
    },
    picture,
  );
  return [control, tip];
}

function describe(point, metric, interval) {
  const parts = [format.interval(point.date, interval, true), `${format.metricValue(point.value, metric)} ${texts.metrics[metric]}`];
  if (point.partial) parts.push(point.partial);
  if (point.previous !== undefined) parts.push(texts.before(format.metricValue(point.previous, metric)));
  return parts.join(", ");
}

function tipContent({ date, value, previous, previousDate, partial }, metric, interval) {
  const name = (day) => (day ? format.interval(day, interval, true) : "–");
  const line = (kind, day, number) => h("p", {}, h(`span.mark.${kind}`), h("span", {}, name(day)), h("b", {}, format.metricValue(number, metric)));
  const isCompared = previous !== undefined;
  return [
    h("p.tip-title", {}, texts.metrics[metric], isCompared && changeBadge(value, previous)),
    line("now", date, value),
    isCompared && line("then", previousDate, previous),
    partial && h("p.muted", {}, partial),
  ].filter(Boolean);
}

function table({ points, metric, interval, rangeText }) {
  const head = (text) => h("th", { scope: "col" }, text);
  const hasPrevious = points.some((point) => point.previous !== undefined);
  const row = ({ date, value, previous, partial }) =>
    h("tr", {},
      h("th", { scope: "row" }, format.interval(date, interval, true), partial && ` (${partial})`),
      h("td", {}, format.metricValue(value, metric)),
      hasPrevious && h("td", {}, previous === undefined ? "–" : format.metricValue(previous, metric)));
  return h("div.table", { tabindex: 0, role: "region", "aria-label": `${texts.metrics[metric]}, ${rangeText}` },
    h("table", {},
      h("thead", {}, h("tr", {}, head(texts.interval), head(texts.metrics[metric]), hasPrevious && head(texts.previous))),
      h("tbody", {}, points.filter((point) => !point.isFuture).map(row))));
}
