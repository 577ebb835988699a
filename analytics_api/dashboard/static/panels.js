// The panels: lists with bars behind their rows. A row filters everything by what it is of.

import { actionsMenu } from "./actions.js";
import { get } from "./api.js";
import { byId, h, icon, info } from "./dom.js";
import { changeBadge } from "./figures.js";
import * as format from "./format.js";
import { LISTS, linkOf, nameOf, pageNames } from "./lists.js";
import { addFilter, compares, linkTo, rangeQuery } from "./state.js";
import { texts } from "./texts.js";
import { tipOf } from "./tips.js";

export const PANEL_ROWS = 9;

/** Return a function for each panel that shows it. `data` is the snapshot, null while it is loading. */
export const panelParts = (state, data, today) => [
  () => showPanel(byId("panel-sources"), LISTS.sources, state, data, today),
  () => showPanel(byId("panel-pages"), LISTS[state.pages], state, data, today, pageTabs(state)),
  () => showPanel(byId("panel-countries"), LISTS.countries, state, data, today),
  () => showPanel(byId("panel-engagement"), LISTS.engagement, state, data, today),
];

/** Return the query of the whole list. */
export function listQuery(list, state, today) {
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
    compares(state)
      ? h("a.side", { href: linkTo(state, { detail: list.section, sort: "change" }), "data-nav": "", "data-key": `change-${list.section}`, "aria-label": texts.byChange(list.title), ...tipOf(texts.byChange(list.title)) }, texts.change)
      : h("span.side", {}, "%"),
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
export function listElement(list, rows, state, overview) {
  const { element, add } = growingList(list, rows, state, overview);
  add(rows.length);
  return element;
}

/** Return the rows as a list that is empty, and a function that adds so many of them. */
export function growingList(list, rows, state, overview) {
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
