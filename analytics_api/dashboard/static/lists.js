// The lists of the statistics: what each shows, and where the API has it in full.

import * as format from "./format.js";
import { texts } from "./texts.js";

// `section` is its name in the snapshot, `endpoint` that of the whole list with its greatest `limit`; `field` is what
// a row is of, `value` its count, `filter` the parameter that chooses such a row, `total` the field of the overview
// that the count is a share of.
export const LISTS = {
  sources: {
    section: "sources", endpoint: "/sources", limit: 1000, field: "referrer_domain", value: "sessions",
    filter: "source", total: "total_sessions", title: texts.sources, column: texts.columns.source,
    unit: texts.columns.sessions, explain: texts.explain.source,
  },
  pages: {
    section: "pages", endpoint: "/pages/top", limit: 100, field: "page", value: "views", filter: "page",
    total: "page_views", title: texts.pages, column: texts.columns.page, unit: texts.columns.views,
    explain: texts.explain.page_views,
  },
  entry_pages: {
    section: "entry_pages", endpoint: "/pages/entry", limit: 100, field: "page", value: "sessions",
    filter: "entry_page", total: "total_sessions", title: texts.entry_pages, column: texts.columns.page,
    unit: texts.columns.sessions, explain: texts.explain.entries,
  },
  exit_pages: {
    section: "exit_pages", endpoint: "/pages/exit", limit: 100, field: "page", value: "sessions",
    filter: "exit_page", total: "total_sessions", title: texts.exit_pages, column: texts.columns.page,
    unit: texts.columns.sessions, explain: texts.explain.exits,
  },
  countries: {
    section: "countries", endpoint: "/geo", field: "country", value: "unique_visitors", filter: "country",
    total: "unique_visitors", title: texts.countries, column: texts.columns.country, unit: texts.columns.visitors,
    explain: texts.explain.country,
  },
  current: {
    section: "current", field: "page", value: "visitors", filter: "page", column: texts.currentPages,
    unit: texts.columns.visitors,
  },
  engagement: {
    section: "engagement", endpoint: "/engagement", field: "bucket", value: "count", filter: "engagement",
    title: texts.engagementPanel, column: texts.columns.score, unit: texts.columns.sessions,
    explain: texts.explain.bucket,
  },
};

/** Return what a row is called on screen. */
export function nameOf(list, row) {
  const value = row[list.field];
  if (list.field === "country") return format.country(value);
  if (list.field === "bucket") return value.replace("-", "–");
  if (list.field === "referrer_domain" && value === "(direct)") return texts.direct;
  return value;
}

/** Return what a value of a filter is called on screen. */
export function filterValue(parameter, value) {
  if (parameter === "country") return format.country(value);
  if (parameter === "source" && value === "(direct)") return texts.direct;
  if (parameter === "visitor" || parameter === "lead") return texts.filterValues[value] ?? value;
  return value;
}

/** Return the address of a page if it is one that a browser may open: http or https. */
export function linkOf(page) {
  if (!/^https?:\/\//i.test(page)) return null;
  try {
    return new URL(page).href;
  } catch {
    return null;
  }
}

/** Return the names of pages: without their host where all have the same. */
export function pageNames(pages) {
  const hosts = new Set(pages.map((page) => /^https?:\/\/([^/?#]+)/i.exec(page)?.[1] ?? ""));
  if (hosts.size !== 1 || hosts.has("")) return pages.map((page) => page.replace(/^https?:\/\//i, ""));
  return pages.map((page) => page.replace(/^https?:\/\/[^/?#]+/i, "") || "/");
}

/** Return the rows as CSV. A cell that a spreadsheet would run as a formula begins with an apostrophe. */
export function toCsv(rows) {
  const flat = rows.map(({ previous, ...row }) => {
    const earlier = Object.entries(previous ?? {}).map(([name, value]) => [`previous_${name}`, value]);
    return { ...row, ...Object.fromEntries(earlier) };
  });
  const columns = [...new Set(flat.flatMap((row) => Object.keys(row)))];
  const cell = (value) => {
    let text = value === null || value === undefined ? "" : String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...flat.map((row) => columns.map((name) => row[name]))].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}
