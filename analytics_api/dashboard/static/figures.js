// The headline figures: each is a button that chooses what the chart shows.

import { h } from "./dom.js";
import * as format from "./format.js";
import { METRICS, linkTo } from "./state.js";
import { texts } from "./texts.js";
import { tipOf } from "./tips.js";

// Where each metric stands in an overview, and in a row of a series.
export const OVERVIEW_FIELDS = {
  visitors: "unique_visitors",
  sessions: "total_sessions",
  page_views: "page_views",
  duration: "avg_session_duration_s",
  engagement: "avg_engagement_score",
};
export const SERIES_FIELDS = {
  visitors: "unique_visitors",
  sessions: "total_sessions",
  page_views: "page_views",
  duration: "avg_duration",
  engagement: "avg_engagement",
};

/** Return the change of a value against an earlier one as an element; null where both are 0. */
export function changeBadge(value, previous, shown) {
  const change = format.change(value, previous);
  if (!change) return h("span.change", tipOf(texts.before(shown)), "–");
  const kind = change.sign > 0 ? "up" : change.sign < 0 ? "down" : "same";
  return h(`span.change.${kind}`, tipOf(texts.before(shown)), change.text);
}

/** Show the figures of an overview; without one, or without a field, a dash. */
export function showFigures(container, overview, state) {
  container.replaceChildren(...METRICS.map((metric) => figure(metric, overview, state)));
}

function figure(metric, overview, state) {
  const field = OVERVIEW_FIELDS[metric];
  const value = overview?.[field];
  const previous = overview?.previous?.[field];
  const link = { href: linkTo(state, { metric }), "data-nav": "", "data-key": `metric-${metric}` };
  return h(
    "a.figure",
    { ...link, "aria-current": metric === state.metric && "true", ...tipOf(texts.explain[metric]) },
    h("span.label", {}, texts.metrics[metric]),
    h("span.value", {}, value === undefined ? "–" : format.metricValue(value, metric)),
    h(
      "span.against",
      {},
      value !== undefined && previous !== undefined
        ? changeBadge(value, previous, format.metricValue(previous, metric))
        : "\u00a0",
    ),
  );
}
