// The lists of statistics. Panels show their first rows with bars. A dialog shows the whole list.

import { changeBadge, emptyText } from "./chart.js";
import { byId, copyText, h, icon, info, menuButton, openDialog, pause, tipOf } from "./dom.js";
import * as format from "./format.js";
import { curl, get } from "./page.js";
import { addFilter, CHOICES, CLOSED, compares, nav, rangeQuery } from "./state.js";
import { texts } from "./texts.js";

// `section` is the list's name in the response of /dashboard. `endpoint` returns the whole list, with at most `limit`
// rows. `field` and `value` are the fields of a row with its name and its count. `filter` is the parameter that filters by
// the name. `total` is the field of the overview of which the count is a share.
const LISTS = {
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

export function nameOf(list, row) {
  const value = row[list.field];
  if (list.field === "country") return format.country(value);
  if (list.field === "bucket") return value.replace("-", "–");
  if (list.field === "referrer_domain" && value === "(direct)") return texts.direct;
  return value;
}

export function filterValue(parameter, value) {
  if (parameter === "country") return format.country(value);
  if (parameter === "source" && value === "(direct)") return texts.direct;
  if (parameter === "visitor" || parameter === "lead") return texts.filterValues[value] ?? value;
  return value;
}

function linkOf(page) {
  if (!/^https?:\/\//i.test(page)) return null;
  try {
    return new URL(page).href;
  } catch {
    return null;
  }
}

/** Return the names of pages, without the host if all have the same. */
export function pageNames(pages) {
  const hosts = new Set(pages.map((page) => /^https?:\/\/([^/?#]+)/i.exec(page)?.[1]).filter(Boolean));
  if (hosts.size !== 1) return pages.map((page) => page.replace(/^https?:\/\//i, ""));
  return pages.map((page) => page.replace(/^https?:\/\/[^/?#]+/i, "") || "/");
}

// The start of each part of a string that a spreadsheet could evaluate as a formula. See values/formulas.py.
const FORMULA = /((?:^|(?<![\s";,|])(?=[\s";,|]))[\s";,|]*)(?='*[=+\-@\uff1d\uff0b\uff0d\uff20])/g;

const escapeFormula = (text) => text.replace(FORMULA, (run, _, at) => (at === 0 || /[\t\r\n;,|]/.test(run) ? `${run}'` : run));

/** Return rows as CSV. Texts are quoted, and formulas get an apostrophe in front. */
function toCsv(rows) {
  const flat = rows.map(({ previous, ...row }) => {
    const earlier = Object.entries(previous ?? {}).map(([name, value]) => [`previous_${name}`, value]);
    return { ...row, ...Object.fromEntries(earlier) };
  });
  const columns = [...new Set(flat.flatMap((row) => Object.keys(row)))];
  const cell = (value) => (typeof value === "string" ? `"${escapeFormula(value).replaceAll('"', '""')}"` : (value ?? ""));
  return [columns, ...flat.map((row) => columns.map((name) => row[name]))].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

export const PANEL_ROWS = 9;

export const panelParts = (state, data, today) => [
  () => showPanel(byId("panel-sources"), LISTS.sources, state, data, today),
  () => showPanel(byId("panel-pages"), LISTS[state.pages], state, data, today, pageTabs(state)),
  () => showPanel(byId("panel-countries"), LISTS.countries, state, data, today),
  () => showPanel(byId("panel-engagement"), LISTS.engagement, state, data, today),
];

function listQuery(list, state, today) {
  const query = rangeQuery(state, today);
  if (compares(state)) query.set("compare", state.compare);
  if (list.limit) query.set("limit", list.limit);
  return query;
}

const pageTabs = (state) =>
  h("nav.tabs", { "aria-label": texts.pageLists }, CHOICES.pages.map((pages) =>
    tab(texts.pageTabs[pages], state, { pages }, pages === state.pages, { "aria-label": LISTS[pages].title, ...tipOf(LISTS[pages].explain) })));

export const tab = (text, state, changes, isCurrent, properties = {}) =>
  h("a", { ...nav(state, changes, `tab-${Object.values(changes)[0]}`), "aria-current": isCurrent && "true", ...properties }, text);

/** Show a panel with its title, tools and content. Without content, show that it is loading. */
export function drawPanel(panel, title, tools, content) {
  const id = `${panel.id}-title`;
  panel.setAttribute("aria-labelledby", id);
  panel.replaceChildren(h("header", {}, h("h2", { id }, title), tools), ...(content?.filter(Boolean) ?? [h("div.rows.loading")]));
}

/** Return the rows with the largest value first. The API sorts countries by sessions, and buckets by their scores. */
const sortRows = (list, rows) => (list.field === "bucket" ? rows : rows.toSorted((a, b) => b[list.value] - a[list.value]));

function showPanel(panel, list, state, data, today, tabs) {
  const { section, title } = list;
  const explanation = !tabs && list.explain && info(texts.about(title), list.explain);
  const query = today || !data ? () => listQuery(list, state, today) : null;
  const rows = data?.[section];
  const menu = rows && actionsMenu(title, section.replace("_", "-"), () => get(list.endpoint, query()), list.endpoint, query());
  const content = () => {
    if (!Array.isArray(rows)) return [h("p.empty", {}, texts.sectionMissing)];
    const visible = sortRows(list, rows).slice(0, PANEL_ROWS);
    const isEmpty = !visible.some((row) => row[list.value]);
    const byChange = { ...nav(state, { detail: section, sort: "change" }, `change-${section}`), "aria-label": texts.byChange(title), ...tipOf(texts.byChange(title)) };
    const more = { ...nav(state, { detail: section }, `detail-${section}`), "aria-label": texts.allOf(title) };
    return [
      h("div.columns", {},
        h("span", {}, list.column), h("span.value", {}, list.unit), compares(state) ? h("a.side", byChange, texts.change) : h("span.side", {}, "%")),
      isEmpty ? emptyText(state) : listElement(list, visible, state, data.overview),
      h("footer", {}, section !== "engagement" && !isEmpty && h("a.more", more, texts.all, icon("right"))),
    ];
  };
  drawPanel(panel, tabs ? texts.pagesPanel : title, [explanation, tabs, menu], data && content());
}

function listElement(list, rows, state, overview) {
  const { element, add } = growingList(list, rows, { ...state, ...CLOSED }, overview);
  add(rows.length);
  return element;
}

/** Return an empty list, and a function that adds the next `count` rows to it. With `state.sort`, the rows show differences. */
function growingList(list, rows, state, overview) {
  const greatest = Math.max(1, ...rows.map((row) => row[list.value]));
  const sum = rows.reduce((total, row) => total + row[list.value], 0);
  const total = list.total ? overview?.[list.total] : sum;
  const names = list.field === "page" ? pageNames(rows.map((row) => row.page ?? "")) : rows.map((row) => nameOf(list, row));
  const element = h("ol.rows");
  const add = (count) => {
    const from = element.childElementCount;
    element.append(
      ...rows.slice(from, from + count).map((row, index) => rowElement(list, row, names[from + index], state, greatest, total)),
    );
  };
  return { element, add };
}

function rowElement(list, row, name, state, greatest, total) {
  const value = row[list.value];
  const key = String(row[list.field] ?? "");
  const bar = h("span.bar");
  bar.style.setProperty("--share", value / greatest); // set by script, because the page's policy forbids style attributes
  const address = list.field === "page" ? linkOf(key) : null;
  const previous = row.previous?.[list.value];
  const side =
    compares(state) && previous !== undefined
      ? changeBadge(value, previous, format.integer(previous), { asNumber: state.sort })
      : h("span.share", {}, format.share(value, total));
  const link = {
    ...nav(addFilter(state, list.filter, key), {}, `row-${list.section}-${key}`),
    ...tipOf(key.length > 40 || name !== key ? key : ""),
  };
  return h(
    "li",
    {},
    bar,
    h("a.name", link, h("bdi", {}, format.shorten(name))),
    address &&
      h(
        "a.out",
        { href: address, target: "_blank", rel: "noopener noreferrer", "aria-label": texts.openPage(format.shorten(key)) },
        icon("out"),
      ),
    h("span.value", tipOf(format.share(value, total)), format.integer(value)),
    h("span.side", {}, side),
  );
}

const CHUNK = 50; // rows that one task adds
const TYPING = 120; // ms from the last character to the search

/** Return a parameter's values in the range, the most frequent first. If no list has them, return those that are known without a request. */
export async function valuesOf(parameter, state, today) {
  const list = Object.values(LISTS).find(({ endpoint, filter }) => endpoint && filter === parameter);
  if (!list) return parameter === "event_type" ? ["page_view"] : [];
  const rows = await get(list.endpoint, listQuery(list, state, today)).catch(() => []);
  return rows.map((row) => row[list.field]);
}

/** Open the whole list of a section. `about` is the line below its title. `onChange` is called with changes of `search` and `sort`. `onClose` is called when the dialog is closed, or at once if there is no whole list. */
export function openDetail(section, state, overview, today, { about, onChange, onClose }) {
  const list = LISTS[section];
  if (!list?.endpoint) return onClose();
  const body = h("div.detail", {}, h("div.rows.loading"));
  openDialog(list.title, [h("p.summary.muted", { dir: "auto" }, about), body], { onClose, isWide: true });
  const query = listQuery(list, state, today);
  get(list.endpoint, query).then(
    (rows) => {
      body.replaceChildren(...detailContent(list, rows, state, overview, query, onChange));
      body.querySelector("input").focus();
    },
    (error) => body.replaceChildren(h("p.error", {}, texts.sectionMissing, " ", error.message)),
  );
}

export function openCurrent({ visitors, pages }, state) {
  const count = texts.live(visitors === 1 ? 1 : format.integer(visitors));
  const scroll = { tabindex: 0, role: "region", "aria-label": texts.currentPages };
  const columns = [h("span", {}, LISTS.current.column), h("span.value", {}, LISTS.current.unit), h("span.side", {}, "%")];
  const content = pages.length
    ? [h("div.columns", {}, columns), h("div.scroll", scroll, listElement(LISTS.current, pages, state, null))]
    : h("p.empty", {}, texts.noCurrentPages);
  openDialog(count, h("div.detail", {}, content));
}

const growth = (list, row) => row[list.value] - (row.previous?.[list.value] ?? 0);

// The values of `sort` for each column of a whole list. Each click on the column's heading chooses the next value.
const SORTS = { value: [""], side: ["change", "decline"] };

/** Return a function that returns the rows to search for a string: `rows` if the list is complete, else those that contain it. */
function finder(list, rows, query) {
  const isCut = rows.length === list.limit;
  const name = `${list.filter}.contains`;
  return async (text) => {
    if (!isCut || !text || query.has(name)) return rows;
    const narrowed = new URLSearchParams(query);
    narrowed.append(name, text);
    return get(list.endpoint, narrowed);
  };
}

function detailContent(list, rows, state, overview, query, onChange) {
  const search = h("input", { type: "search", placeholder: texts.search, "aria-label": texts.search, autocomplete: "off", spellcheck: "false" });
  search.value = state.search;
  const count = h("span.muted", { role: "status" });
  const holder = h("div.scroll", { tabindex: 0, role: "region", "aria-label": list.title });
  const find = finder(list, rows, query);
  let { sort } = state;
  const order = (kind, text) => {
    const sorts = SORTS[kind];
    const index = sorts.indexOf(sort);
    const choose = () => {
      sort = sorts[(index + 1) % sorts.length];
      onChange({ sort });
      drawColumns();
      columns.querySelector(`.${kind}`).focus();
      show();
    };
    const tip = tipOf(kind === "side" && texts.orders[sort === "change" ? "decline" : "change"](list.unit.toLowerCase()));
    const arrow = index >= 0 && h("span", { "aria-hidden": "true" }, sort === "decline" ? " ↑" : " ↓");
    return h(`button.${kind}`, { type: "button", "aria-pressed": String(index >= 0), onclick: choose, ...tip }, text, arrow);
  };
  const columns = h("div.columns");
  const drawColumns = () =>
    columns.replaceChildren(h("span", {}, list.column), order("value", list.unit), compares(state) ? order("side", texts.change) : h("span.side", {}, "%"));
  drawColumns();
  const show = async () => {
    const text = search.value.trim();
    const found = await find(text).catch(() => null);
    if (text !== search.value.trim()) return;
    if (!found) return holder.replaceChildren(h("p.error", {}, texts.sectionMissing));
    const wanted = text.toLowerCase();
    const matching = sortRows(list, found).filter((row) => `${nameOf(list, row)} ${row[list.field]}`.toLowerCase().includes(wanted));
    if (sort) matching.sort((a, b) => (growth(list, b) - growth(list, a)) * (sort === "change" ? 1 : -1));
    const showing = rows.length === list.limit ? texts.showingFirst : texts.showing;
    count.textContent = showing(format.integer(matching.length), format.integer(rows.length));
    if (!matching.length) return holder.replaceChildren(h("p.empty", {}, texts.nothingMatches));
    const { element, add } = growingList(list, matching, { ...state, ...CLOSED, sort }, overview);
    add(CHUNK);
    holder.replaceChildren(element);
    while (element.childElementCount < matching.length) {
      await pause();
      if (!element.isConnected) return;
      add(CHUNK);
    }
  };
  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      onChange({ search: search.value.trim() });
      show();
    }, TYPING);
  });
  show();
  const menu = actionsMenu(list.title, `${list.section.replace("_", "-")}-all`, () => rows, list.endpoint, query);
  return [h("div.detail-tools", {}, search, count, menu), columns, holder];
}

function downloadCsv(name, rows) {
  const url = URL.createObjectURL(new Blob(["\ufeff", toCsv(rows)], { type: "text/csv" }));
  h("a", { href: url, download: `${name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Return the menu of a panel. `rows` returns the rows to download, or a promise of them. `endpoint` and `query` are for curl. */
export function actionsMenu(title, name, rows, endpoint, query) {
  const download = async (event) => {
    const button = event.currentTarget;
    try {
      downloadCsv(name, await rows());
    } catch {
      button.textContent = texts.sectionMissing;
    }
  };
  return menuButton(texts.more(title), icon("more"), () => [
    h("button", { type: "button", onclick: download }, texts.downloadCsv),
    h("button", { type: "button", onclick: (event) => copyText(curl(endpoint, query), event.currentTarget) }, texts.copyCurl),
  ], { class: "menu-button quiet", "data-key": `actions-${name}` });
}
