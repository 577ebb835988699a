// The panels: lists with bars behind their rows. A row filters everything by what it is of.

import { actionsMenu } from "./actions.js";
import { get } from "./api.js";
import { openDialog } from "./dialogs.js";
import { byId, h, icon, info } from "./dom.js";
import { changeBadge } from "./figures.js";
import * as format from "./format.js";
import { LISTS, linkOf, nameOf, pageNames } from "./lists.js";
import { API, addFilter, compares, linkTo, rangeQuery } from "./state.js";
import { texts } from "./texts.js";
import { tipOf } from "./tips.js";

export const PANEL_ROWS = 9;
const TYPING = 120; // ms after the last letter, when the search begins

/** Return a function for each panel that shows it. `data` is the snapshot, null while it is loading. */
export const panelParts = (state, data, today) => [
  () => showPanel(byId("panel-sources"), LISTS.sources, state, data, today),
  () => showPanel(byId("panel-pages"), LISTS[state.pages], state, data, today, pageTabs(state)),
  () => showPanel(byId("panel-countries"), LISTS.countries, state, data, today),
  () => showPanel(byId("panel-engagement"), LISTS.engagement, state, data, today),
];

/** Return the query of the whole list. */
function listQuery(list, state, today) {
  const query = rangeQuery(state, today);
  if (compares(state)) query.set("compare", state.compare);
  if (list.limit) query.set("limit", list.limit);
  return query;
}

function pageTabs(state) {
  const tab = (name) =>
    h(
      "a",
      {
        href: linkTo(state, { pages: name }),
        "data-nav": "",
        "data-key": `tab-${name}`,
        "aria-label": LISTS[name].title,
        "aria-current": name === state.pages && "true",
        ...tipOf(LISTS[name].explain),
      },
      texts.pageTabs[name],
    );
  return h("nav.tabs", { "aria-label": texts.pageLists }, ["pages", "entry_pages", "exit_pages"].map(tab));
}

function showPanel(panel, list, state, data, today, tabs) {
  const id = `${panel.id}-title`;
  panel.setAttribute("aria-labelledby", id);
  const title = h("h2", { id }, tabs ? texts.pagesPanel : list.title);
  const explanation = !tabs && list.explain && info(texts.about(list.title), list.explain);
  const query = today || !data ? () => listQuery(list, state, today) : null;
  const rows = data?.[list.section];
  const menu =
    rows && actionsMenu(list.title, list.section.replace("_", "-"), () => get(list.endpoint, query()), list.endpoint, query());
  const header = h("header", {}, title, explanation, tabs, menu);
  if (!data) return panel.replaceChildren(header, h("div.rows.loading"));
  if (!Array.isArray(rows)) return panel.replaceChildren(header, h("p.empty", {}, texts.sectionMissing));
  const visible = rows.slice(0, PANEL_ROWS);
  const isEmpty = !visible.some((row) => row[list.value]);
  const columns = h(
    "div.columns",
    {},
    h("span", {}, list.column),
    h("span.value", {}, list.unit),
    h("span.side", {}, compares(state) ? texts.change : "%"),
  );
  const more = h(
    "a.more",
    { href: linkTo(state, { detail: list.section }), "data-nav": "", "data-key": `detail-${list.section}`, "aria-label": texts.allOf(list.title) },
    texts.all,
    icon("right"),
  );
  panel.replaceChildren(
    header,
    columns,
    isEmpty ? h("p.empty", {}, texts.emptyPanel) : listElement(list, visible, state, data.overview),
    h("footer", {}, list.section !== "engagement" && !isEmpty && more),
  );
}

/** Return the rows as a list. The longest bar is the greatest value. */
function listElement(list, rows, state, overview) {
  const greatest = Math.max(1, ...rows.map((row) => row[list.value]));
  const sum = rows.reduce((total, row) => total + row[list.value], 0);
  const total = list.total ? overview?.[list.total] : sum;
  const names = list.field === "page" ? pageNames(rows.map((row) => row.page ?? "")) : rows.map((row) => nameOf(list, row));
  return h("ol.rows", {}, rows.map((row, index) => rowElement(list, row, names[index], state, greatest, total)));
}

function rowElement(list, row, name, state, greatest, total) {
  const value = row[list.value];
  const key = String(row[list.field] ?? "");
  const bar = h("span.bar");
  bar.style.setProperty("--share", value / greatest); // by script: the policy of the page allows no style attributes
  const address = list.field === "page" ? linkOf(key) : null;
  const previous = row.previous?.[list.value];
  const side =
    compares(state) && previous !== undefined
      ? changeBadge(value, previous, format.integer(previous))
      : h("span.share", {}, format.share(value, total));
  const link = {
    href: linkTo(addFilter(state, list.filter, key), {}),
    "data-nav": "",
    "data-key": `row-${list.section}-${key}`,
    ...tipOf(key.length > 40 || name !== key ? key : ""),
  };
  return h(
    "li",
    {},
    bar,
    h(API.filters ? "a.name" : "span.name", API.filters ? link : tipOf(link["data-tip"]), h("bdi", {}, format.shorten(name))),
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

/** Open the whole list of a section. `onSearch` is called with what is typed, and `onClose` when it is closed. */
export function openDetail(section, state, overview, today, { onSearch, onClose }) {
  const list = LISTS[section];
  if (!list) return onClose();
  const body = h("div.detail", {}, h("div.rows.loading"));
  openDialog(list.title, body, { onClose, isWide: true });
  const query = listQuery(list, state, today);
  get(list.endpoint, query).then(
    (rows) => {
      body.replaceChildren(...detailContent(list, rows, state, overview, query, onSearch));
      body.querySelector("input").focus();
    },
    (error) => body.replaceChildren(h("p.error", {}, texts.sectionMissing, " ", error.message)),
  );
}

/** Return a function that takes a text and returns the rows with it; the API searches a list that it cuts. */
function finder(list, rows, query) {
  const isCut = API.filters && rows.length === list.limit;
  const name = `${list.filter}.contains`;
  return async (text) => {
    if (!isCut || !text || query.has(name)) return rows;
    const narrowed = new URLSearchParams(query);
    narrowed.append(name, text);
    return get(list.endpoint, narrowed);
  };
}

function detailContent(list, rows, state, overview, query, onSearch) {
  const search = h("input", { type: "search", placeholder: texts.search, "aria-label": texts.search, autocomplete: "off", spellcheck: "false" });
  search.value = state.search;
  const count = h("span.muted", { role: "status" });
  const holder = h("div.scroll", { tabindex: 0, role: "region", "aria-label": list.title });
  const find = finder(list, rows, query);
  const show = async () => {
    const text = search.value.trim();
    const found = await find(text);
    if (text !== search.value.trim()) return;
    const wanted = text.toLocaleLowerCase();
    const matching = found.filter((row) => `${nameOf(list, row)} ${row[list.field]}`.toLocaleLowerCase().includes(wanted));
    const showing = rows.length === list.limit ? texts.showingFirst : texts.showing;
    count.textContent = showing(format.integer(matching.length), format.integer(rows.length));
    holder.replaceChildren(
      matching.length ? listElement(list, matching, { ...state, detail: "", search: "" }, overview) : h("p.empty", {}, texts.nothingMatches),
    );
  };
  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      onSearch(search.value.trim());
      show();
    }, TYPING);
  });
  show();
  const menu = actionsMenu(list.title, `${list.section.replace("_", "-")}-all`, () => rows, list.endpoint, query);
  return [h("div.detail-tools", {}, search, count, menu), holder];
}
