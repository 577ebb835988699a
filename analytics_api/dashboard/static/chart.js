// The chart: a line of one metric by interval, the compared range dashed behind it, and the same numbers as a table.

import { addDays, monthStart } from "./days.js";
import { h, icon, svg } from "./dom.js";
import { OVERVIEW_FIELDS, SERIES_FIELDS } from "./figures.js";
import * as format from "./format.js";
import { texts } from "./texts.js";
import { tipOf } from "./tips.js";

const MARGIN = { top: 12, right: 12, bottom: 26, left: 46 };
const LABEL_WIDTH = 5.5; // rem for each label of the horizontal axis
const MAX_LINES = 5; // above the base
const ROUND_SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const HOUR = 3_600_000; // ms

let isTable = false; // stays over navigation, like an open window

/**
 * Show a series. `onZoom` is called with the date of a point that was chosen.
 * `range` is that of the snapshot, with its interval; `today` is the site's.
 */
export function showChart(container, { series, metric, range, today, rangeText, tools, onZoom }) {
  const { interval } = range;
  const field = SERIES_FIELDS[metric];
  const points = series.map((row) => ({
    date: row.date,
    value: row[field] ?? 0,
    previous: row.previous?.[field],
    previousDate: row.previous?.date,
    partial: partialText(row, range, today),
    isFuture: isFuture(row, interval, today),
  }));
  const model = { points, metric, interval, rangeText, onZoom, field: OVERVIEW_FIELDS[metric] };
  const toggle = h(
    "button.quiet",
    {
      type: "button",
      ...tipOf(isTable ? texts.showChart : texts.showTable),
      "aria-label": isTable ? texts.showChart : texts.showTable,
      "data-key": "chart-toggle",
      onclick: () => {
        isTable = !isTable;
        showChart(container, { series, metric, range, today, rangeText, tools, onZoom });
        container.querySelector('[data-key="chart-toggle"]').focus();
      },
    },
    icon(isTable ? "line" : "table"),
  );
  const plot = h("div.plot");
  const isCounted = !series.length || series.some((row) => row[field] !== null && row[field] !== undefined);
  container.replaceChildren(h("div.chart-tools", {}, tools, toggle), plot);
  if (!isCounted) plot.append(h("p.empty", {}, texts.notCounted(texts.metrics[metric], texts.intervals[interval])));
  else if (isTable) plot.append(table(model));
  else draw(plot, model);
}

/** Return why a row does not count its whole interval, which is then drawn as partial; empty where it does. */
function partialText(row, { from, to, interval }, today) {
  if (isFuture(row, interval, today)) return "";
  if (interval === "hour") return Date.parse(row.date) > Date.now() - HOUR ? texts.partial : "";
  const day = row.date.slice(0, 10);
  const last = lastDay(day, interval);
  if (last >= today) return texts.partial;
  return (from && day < from) || last > to ? texts.cut : "";
}

/** Return the last day of the interval that begins on a day. */
export function lastDay(day, interval) {
  if (interval === "month") return addDays(monthStart(day, 1), -1);
  return interval === "week" ? addDays(day, 6) : day;
}

/** Return whether a row's interval has not begun. Hours name their offset, so that this is an instant in any zone. */
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

/** Return the distance of the lines of the axis, of which there are at most MAX_LINES, so that their numbers are round. */
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
    const last = future >= 0 ? future : points.length; // the earlier range is cut where this one has not begun
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
  const picture = svg("svg", { width, height, "aria-hidden": "true" }, parts, cursor);
  return interact(picture, { x, y, cursor, width, height, model });
}

/** Return the picture inside a control that moves over its points by pointer and arrow keys, and the tooltip. */
function interact(picture, { x, y, cursor, width, height, model }) {
  const { metric, interval, rangeText, onZoom } = model;
  const points = model.points.filter((point) => !point.isFuture);
  const tip = h("div.tip", { hidden: true });
  const control = h(
    "div.control",
    {
      tabindex: 0,
      role: "slider",
      "aria-label": texts.chartOf(texts.metrics[metric], rangeText),
      "aria-valuemin": 0,
      "aria-valuemax": Math.max(points.length - 1, 0),
      "aria-valuenow": 0,
      "aria-valuetext": points.length ? describe(points[0], metric, interval) : "",
      "data-key": "chart",
    },
    picture,
  );
  let at = -1;

  function show(index) {
    if (index < 0 || !points.length) return;
    at = Math.min(index, points.length - 1);
    const point = points[at];
    const [left, top] = [x(at), y(point.value)];
    const [line, dot] = cursor.children;
    for (const name of ["x1", "x2"]) line.setAttribute(name, left);
    line.setAttribute("y1", MARGIN.top);
    line.setAttribute("y2", height - MARGIN.bottom);
    dot.setAttribute("cx", left);
    dot.setAttribute("cy", top);
    cursor.setAttribute("visibility", "visible");
    control.setAttribute("aria-valuenow", at);
    control.setAttribute("aria-valuetext", describe(point, metric, interval));
    tip.replaceChildren(...tipContent(point, metric, interval));
    tip.hidden = false;
    const space = tip.offsetWidth + 14;
    const isBeside = left + space < width;
    tip.style.left = `${Math.max(0, isBeside ? left + 14 : left - space)}px`;
    tip.style.top = `${Math.max(0, Math.min(top - 20, height - tip.offsetHeight - 4))}px`;
  }
  function hide() {
    tip.hidden = true;
    cursor.setAttribute("visibility", "hidden");
  }
  function nearest(event) {
    const left = event.clientX - control.getBoundingClientRect().left;
    let best = 0;
    for (let index = 1; index < points.length; index++) {
      if (Math.abs(x(index) - left) < Math.abs(x(best) - left)) best = index;
    }
    return best;
  }

  control.addEventListener("pointermove", (event) => show(nearest(event)));
  control.addEventListener("pointerleave", () => control !== document.activeElement && hide());
  control.addEventListener("focus", () => control.matches(":focus-visible") && show(at < 0 ? points.length - 1 : at));
  control.addEventListener("blur", hide);
  control.addEventListener("click", (event) => points.length && onZoom(points[nearest(event)].date));
  control.addEventListener("keydown", (event) => {
    const isForward = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
    const isBackward = document.documentElement.dir === "rtl" ? "ArrowRight" : "ArrowLeft";
    const to = { [isForward]: at + 1, [isBackward]: at - 1, ArrowUp: at + 1, ArrowDown: at - 1, Home: 0, End: points.length - 1 };
    if (event.key in to) show(Math.max(0, to[event.key]));
    else if (event.key === "Enter" && at >= 0) onZoom(points[at].date);
    else if (event.key === "Escape") hide();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return [control, tip];
}

function describe(point, metric, interval) {
  const parts = [format.interval(point.date, interval, true), `${format.metricValue(point.value, metric)} ${texts.metrics[metric]}`];
  if (point.partial) parts.push(point.partial);
  if (point.previous !== undefined) parts.push(texts.before(format.metricValue(point.previous, metric)));
  return parts.join(", ");
}

function tipContent(point, metric, interval) {
  const line = (kind, date, value) =>
    h("p", {}, h(`span.mark.${kind}`), h("span", {}, date), h("b", {}, format.metricValue(value, metric)));
  const change = point.previous === undefined ? null : format.change(point.value, point.previous);
  const kind = change && (change.sign > 0 ? "up" : change.sign < 0 ? "down" : "same");
  return [
    h("p.tip-title", {}, texts.metrics[metric], change && h(`span.change.${kind}`, {}, change.text)),
    line("now", format.interval(point.date, interval, true), point.value),
    point.previous !== undefined &&
      line("then", point.previousDate ? format.interval(point.previousDate, interval, true) : "–", point.previous),
    point.partial && h("p.muted", {}, point.partial),
  ].filter(Boolean);
}

function table({ points, metric, interval, rangeText }) {
  const hasPrevious = points.some((point) => point.previous !== undefined);
  const begun = points.filter((point) => !point.isFuture);
  const rows = begun.map((point) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, format.interval(point.date, interval, true), point.partial && ` (${point.partial})`),
      h("td", {}, format.metricValue(point.value, metric)),
      hasPrevious && h("td", {}, point.previous === undefined ? "–" : format.metricValue(point.previous, metric)),
    ),
  );
  return h(
    "div.table",
    { tabindex: 0, role: "region", "aria-label": texts.chartOf(texts.metrics[metric], rangeText).split(".")[0] },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, texts.interval),
          h("th", { scope: "col" }, texts.metrics[metric]),
          hasPrevious && h("th", { scope: "col" }, texts.previous),
        ),
      ),
      h("tbody", {}, rows),
    ),
  );
}
