// The controls above the figures: filters, the range, the comparison, and keyboard shortcuts.

import { byId, copyText, h, icon, menuButton, openDialog, tipOf } from "./dom.js";
import * as format from "./format.js";
import { filterValue } from "./lists.js";
import { watchShortcuts } from "./page.js";
import { addFilter, CHOICES, compares, daysOf, FILTERS, invertFilter, isDay, linkTo, nav, PERIODS, removeFilter, shiftRange } from "./state.js";
import { texts } from "./texts.js";

// The parameters that accept only some values, and these values.
const VALUES = {
  visitor: ["new", "returning"],
  lead: ["true", "false"],
  engagement: ["0-19", "20-39", "40-59", "60-79", "80-100"],
};

const SUGGESTIONS = 300;

const split = (name) => {
  const [parameter, suffix] = name.split(".");
  return [parameter, suffix ? `.${suffix}` : ""];
};

export function showFilters(container, state, onAdd) {
  const chips = state.filters.map(([name, value], index) => chip(state, name, value, index));
  const clear = h("a.quiet.clear", nav(state, { filters: [] }), texts.clearFilters);
  container.replaceChildren(
    h("button.button.add-filter", { type: "button", onclick: onAdd, "data-key": "add-filter" }, icon("filter"), h("span.label", {}, texts.filter)),
    chips.length ? h("ul.chips", { "aria-label": texts.activeFilters }, chips) : "",
    chips.length > 1 ? clear : "",
  );
}

function filterText([name, value]) {
  const [parameter, suffix] = split(name);
  return `${texts.dimensions[parameter]} ${texts.comparisons[suffix]} ${format.shorten(filterValue(parameter, value))}`;
}

/** Return the name of the range, and the filters, as a line. */
export const summaryOf = (state) => [rangeName(state), ...state.filters.map(filterText)].join(" · ");

function chip(state, name, value, index) {
  const [parameter, suffix] = split(name);
  const shown = format.shorten(filterValue(parameter, value));
  const text = filterText([name, value]);
  const isRepeated = state.filters[index - 1]?.[0] === name; // then the label is "or" or "nor" and the value
  const label = isRepeated
    ? [h("i", {}, suffix === ".not" ? texts.nor : texts.or), " ", h("bdi", {}, shown)]
    : [texts.dimensions[parameter], " ", h("i", {}, texts.comparisons[suffix]), " ", h("bdi", {}, shown)];
  const canInvert = suffix === "" || suffix === ".not";
  const invert = nav(invertFilter(state, index), {}, `invert-${index}`);
  const remove = { ...nav(removeFilter(state, index), {}, `remove-${index}`), "aria-label": texts.removeFilter(text) };
  return h(
    "li.chip",
    {},
    canInvert
      ? h("a.chip-text", { ...invert, ...tipOf(texts.invertFilter(text)) }, label)
      : h("span.chip-text", { tabindex: 0, ...tipOf(value) }, label),
    h("a.chip-close", remove, icon("close")),
  );
}

/**
 * Open the dialog that adds a filter. `suggest` takes a parameter and returns a promise of its values. `onAdd` takes
 * the new state.
 */
export function openFilterDialog(state, suggest, onAdd) {
  const option = (value, text) => h("option", { value }, text);
  const dimension = h("select", { id: "filter-by" }, Object.keys(FILTERS).map((name) => option(name, texts.dimensions[name])));
  const comparison = h("select", { id: "filter-how" });
  const holder = h("div.field");
  const known = {}; // the values of each parameter that have arrived
  const suggestKnown = (parameter) => suggest(parameter).then((values) => (known[parameter] = values));
  const update = () => {
    const suffixes = ["", ...FILTERS[dimension.value]];
    comparison.replaceChildren(...suffixes.map((suffix) => option(suffix, texts.comparisons[suffix])));
    holder.replaceChildren(h("label", { for: "filter-value" }, texts.value), ...valueField(dimension.value, suggestKnown));
  };
  dimension.addEventListener("change", update);
  const form = h(
    "form",
    { method: "dialog" },
    h("div.field", {}, h("label", { for: "filter-by" }, texts.filterBy), dimension),
    h("div.field", {}, h("label", { for: "filter-how" }, texts.comparison), comparison),
    holder,
    h("div.buttons", {}, h("button.primary", {}, texts.add)),
  );
  update();
  const close = openDialog(texts.addFilter, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const value = form.querySelector("#filter-value").value.trim();
    if (!value) return;
    // Wait for the suggestions only for the name of a country. They have its code, which replaces the name.
    const isName = dimension.value === "country" && value.length > 2;
    const shown = parsed(dimension.value, value, isName ? await suggest("country") : (known[dimension.value] ?? []));
    close();
    onAdd(addFilter(state, dimension.value + comparison.value, shown));
  });
}

/** Return the value for a typed name, such as the code of a country. */
function parsed(parameter, text, values) {
  const wanted = text.toLowerCase();
  const value = values.find((each) => filterValue(parameter, each).toLowerCase() === wanted);
  return value ?? (parameter === "country" && text.length === 2 ? text.toUpperCase() : text);
}

function valueField(parameter, suggest) {
  const choices = VALUES[parameter];
  if (choices) {
    return [h("select", { id: "filter-value" }, choices.map((value) => h("option", { value }, filterValue(parameter, value))))];
  }
  const list = h("datalist", { id: "filter-values" });
  suggest(parameter).then((values) => {
    const short = values.filter((value) => value.length < 200).slice(0, SUGGESTIONS);
    list.replaceChildren(...short.map((value) => h("option", { value: filterValue(parameter, value) })));
  });
  const field = { id: "filter-value", list: "filter-values", required: true, autocomplete: "off", spellcheck: "false" };
  return [h("input", field), list];
}

export const rangeName = (state) => (state.period ? texts.periods[state.period] : format.range(state.from, state.to));

/** Return the changes of the state that choose the range before (-1) or after (1), or null if there is no such range. */
export function neighbour(state, today, step) {
  const [from, to] = today ? daysOf(state, today) : [];
  if (!from) return null;
  const [first, last] = shiftRange(from, to, step);
  if (first > today) return null;
  return { period: null, from: first, to: last };
}

export function showRanges(container, state, today, go) {
  container.replaceChildren(
    h("div.group", {}, arrow(state, today, -1), periodMenu(state, today, go), arrow(state, today, 1)),
    compareMenu(state),
    h(
      "button.button.copy-link",
      { type: "button", ...tipOf(texts.copyLinkHelp), "aria-label": texts.copyLink, disabled: !today, onclick: (event) => copyText(fixedLink(state, today), event.currentTarget), "data-key": "copy-link" },
      icon("link"),
      h("span.label", {}, texts.copyLink),
    ),
  );
}

export function fixedLink(state, today) {
  const [from, to] = daysOf(state, today);
  const changes = from ? { period: null, from, to } : {};
  return new URL(linkTo(state, changes), location.href).href;
}

function arrow(state, today, step) {
  const label = step < 0 ? texts.rangeBefore : texts.rangeAfter;
  const changes = neighbour(state, today, step);
  const content = icon(step < 0 ? "left" : "right");
  if (!changes) return h("span.arrow.off", { "aria-hidden": "true" }, content);
  return h("a.arrow", { ...nav(state, changes, `arrow${step}`), "aria-label": label, ...tipOf(label) }, content);
}

function periodMenu(state, today, go) {
  const content = [h("span", {}, rangeName(state)), icon("down")];
  return menuButton(
    `${texts.rangeMenu}: ${rangeName(state)}`,
    content,
    () => [
      ...Object.keys(PERIODS).map((period) => menuLink(state, { period, from: null, to: null }, texts.periods[period], state.period === period, PERIODS[period].key)),
      customRange(state, today, go),
    ],
    { class: "menu-button period", "data-key": "period" },
  );
}

function menuLink(state, changes, text, isCurrent, key) {
  const link = { ...nav(state, changes), "aria-current": isCurrent && "true" };
  return h("a", link, text, key && h("kbd", { "aria-hidden": "true" }, key.toUpperCase()));
}

function customRange(state, today, go) {
  const [from, to] = today ? daysOf(state, today) : [];
  const first = h("input", { type: "date", id: "range-from", max: today, value: from ?? "", required: true });
  const last = h("input", { type: "date", id: "range-to", value: to ?? "", required: true });
  const submit = (event) => {
    event.preventDefault();
    const days = [first.value, last.value].sort();
    if (days.every(isDay)) go({ period: null, from: days[0], to: days[1] });
  };
  return h(
    "form.custom",
    { onsubmit: submit, "data-key": "period" }, // the button's key, so that the button has the focus afterwards
    h("p", {}, texts.customRange, h("kbd", { "aria-hidden": "true" }, "C")),
    h("label", {}, texts.from, first),
    h("label", {}, texts.to, last),
    h("button.primary", {}, texts.apply),
  );
}

export function openCustomRange() {
  document.querySelector('[data-key="period"]').click();
  byId("range-from").focus();
}

function compareMenu(state) {
  const isOn = compares(state);
  const name = texts.comparing[isOn ? state.compare : "off"];
  return menuButton(
    `${texts.compareMenu}: ${name}`,
    [h("span", {}, name), icon("down")],
    () => CHOICES.compare.map((each) => menuLink(state, { compare: each }, texts.compare[each], each === state.compare, each === "off" ? "x" : "")),
    { class: "menu-button", "data-key": "compare", disabled: state.period === "all" },
  );
}

/** Call a method of `actions` when its key is pressed: `period(name)`, `shift(step)`, `custom`, `compare`, `filter` or `clear`. */
export function watchRangeShortcuts(actions) {
  const { shortcutHelp: help } = texts;
  const keys = {
    arrowleft: () => actions.shift(-1),
    arrowright: () => actions.shift(1),
    c: actions.custom,
    x: actions.compare,
    f: actions.filter,
    escape: actions.clear,
  };
  for (const [name, { key }] of Object.entries(PERIODS)) keys[key] = () => actions.period(name);
  const periods = Object.entries(PERIODS).map(([name, { key }]) => [key.toUpperCase(), texts.periods[name]]);
  watchShortcuts(keys, () => [...periods, ["C", help.custom], ["← →", help.previous], ["X", help.compare], ["F", help.filter], ["Esc", help.clear]]);
}
