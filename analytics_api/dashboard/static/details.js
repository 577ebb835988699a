// The whole list of a panel in a dialog: searched, and ordered by its values or by what grew most.

import { actionsMenu } from "./actions.js";
import { get } from "./api.js";
import { openDialog } from "./dialogs.js";
import { h, pause } from "./dom.js";
import * as format from "./format.js";
import { LISTS, nameOf } from "./lists.js";
import { growingList, listElement, listQuery } from "./panels.js";
import { CLOSED, compares } from "./state.js";
import { texts } from "./texts.js";

const CHUNK = 50; // rows that one task adds
const TYPING = 120; // ms after the last letter, when the search begins

/** Return the values that a filter can have in the range, the most frequent first; none where no list has them. */
export async function valuesOf(parameter, state, today) {
  const list = Object.values(LISTS).find(({ endpoint, filter }) => endpoint && filter === parameter);
  if (!list) return parameter === "event_type" ? ["page_view"] : [];
  const rows = await get(list.endpoint, listQuery(list, state, today)).catch(() => []);
  return rows.map((row) => row[list.field]);
}

/** Open the whole list of a section. `onChange` is called with changes of its search and order, and `onClose` when it is closed. */
export function openDetail(section, state, overview, today, { onChange, onClose }) {
  const list = LISTS[section];
  if (!list?.endpoint) return onClose();
  const body = h("div.detail", {}, h("div.rows.loading"));
  openDialog(list.title, body, { onClose, isWide: true });
  const query = listQuery(list, state, today);
  get(list.endpoint, query).then(
    (rows) => {
      body.replaceChildren(...detailContent(list, rows, state, overview, query, onChange));
      body.querySelector("input").focus();
    },
    (error) => body.replaceChildren(h("p.error", {}, texts.sectionMissing, " ", error.message)),
  );
}

/** Open the pages of the current visitors. */
export function openCurrent({ visitors, pages }, state) {
  const count = texts.live(visitors === 1 ? 1 : format.integer(visitors));
  const scroll = { tabindex: 0, role: "region", "aria-label": texts.currentPages };
  const columns = [h("span", {}, LISTS.current.column), h("span.value", {}, LISTS.current.unit), h("span.side", {}, "%")];
  const content = pages.length
    ? [h("div.columns", {}, columns), h("div.scroll", scroll, listElement(LISTS.current, pages, { ...state, ...CLOSED }, null))]
    : h("p.empty", {}, texts.noCurrentPages);
  openDialog(count, h("div.detail", {}, content));
}

/** Return by how much a row is more than in the compared range. */
const growth = (list, row) => row[list.value] - (row.previous?.[list.value] ?? 0);

/** Return a function that takes a text and returns the rows with it; the API searches a list that it cuts. */
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
  const order = (name, text, kind) => {
    const choose = () => {
      sort = name;
      onChange({ sort });
      for (const each of columns.querySelectorAll("button")) each.setAttribute("aria-pressed", each === button);
      show();
    };
    const button = h(`button.${kind}`, { type: "button", "aria-pressed": String(sort === name), onclick: choose }, text);
    return button;
  };
  const columns = h(
    "div.columns",
    {},
    h("span", {}, list.column),
    order("", list.unit, "value"),
    compares(state) ? order("change", texts.change, "side") : h("span.side", {}, "%"),
  );
  const show = async () => {
    const text = search.value.trim();
    const found = await find(text).catch(() => null);
    if (text !== search.value.trim()) return;
    if (!found) return holder.replaceChildren(h("p.error", {}, texts.sectionMissing));
    const wanted = text.toLocaleLowerCase();
    const matching = found.filter((row) => `${nameOf(list, row)} ${row[list.field]}`.toLocaleLowerCase().includes(wanted));
    if (sort === "change") matching.sort((a, b) => growth(list, b) - growth(list, a));
    const showing = rows.length === list.limit ? texts.showingFirst : texts.showing;
    count.textContent = showing(format.integer(matching.length), format.integer(rows.length));
    if (!matching.length) return holder.replaceChildren(h("p.empty", {}, texts.nothingMatches));
    const { element, add } = growingList(list, matching, { ...state, ...CLOSED }, overview);
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
