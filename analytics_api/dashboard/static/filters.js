// The filters as chips, and the dialog that adds one.

import { openDialog } from "./dialogs.js";
import { h, icon } from "./dom.js";
import * as format from "./format.js";
import { filterValue } from "./lists.js";
import { FILTERS, addFilter, invertFilter, linkTo, removeFilter } from "./state.js";
import { texts } from "./texts.js";
import { tipOf } from "./tips.js";

// What can be chosen where not any text is possible.
const CHOICES = {
  visitor: ["new", "returning"],
  lead: ["true", "false"],
  engagement: ["0-19", "20-39", "40-59", "60-79", "80-100"],
};

const SUGGESTIONS = 300;

const split = (name) => {
  const [parameter, suffix] = name.split(".");
  return [parameter, suffix ? `.${suffix}` : ""];
};

/** Show the chips, and the button that opens the dialog. */
export function showFilters(container, state, onAdd) {
  const chips = state.filters.map(([name, value], index) => chip(state, name, value, index));
  const clear = h("a.quiet.clear", { href: linkTo(state, { filters: [] }), "data-nav": "" }, texts.clearFilters);
  container.replaceChildren(
    h("button.quiet", { type: "button", onclick: onAdd, "data-key": "add-filter" }, icon("filter"), texts.filter),
    chips.length ? h("ul.chips", { "aria-label": texts.activeFilters }, chips) : "",
    chips.length > 1 ? clear : "",
  );
}

function chip(state, name, value, index) {
  const [parameter, suffix] = split(name);
  const shown = format.shorten(filterValue(parameter, value));
  const text = `${texts.dimensions[parameter]} ${texts.comparisons[suffix]} ${shown}`;
  const isRepeated = state.filters[index - 1]?.[0] === name; // any of the values, or none of them
  const label = isRepeated
    ? [h("i", {}, suffix === ".not" ? texts.nor : texts.or), " ", h("bdi", {}, shown)]
    : [texts.dimensions[parameter], " ", h("i", {}, texts.comparisons[suffix]), " ", h("bdi", {}, shown)];
  const canInvert = suffix === "" || suffix === ".not";
  const invert = { href: linkTo(invertFilter(state, index), {}), "data-nav": "", "data-key": `invert-${index}` };
  const remove = { href: linkTo(removeFilter(state, index), {}), "data-nav": "", "aria-label": texts.removeFilter(text) };
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
 * Open the dialog that adds a filter. `suggest` takes a parameter and returns a promise of values that it has;
 * `onAdd` takes the new state.
 */
export function openFilterDialog(state, suggest, onAdd) {
  const option = (value, text) => h("option", { value }, text);
  const dimension = h("select", { id: "filter-by" }, Object.keys(FILTERS).map((name) => option(name, texts.dimensions[name])));
  const comparison = h("select", { id: "filter-how" });
  const holder = h("div.field");
  const update = () => {
    const suffixes = ["", ...FILTERS[dimension.value]];
    comparison.replaceChildren(...suffixes.map((suffix) => option(suffix, texts.comparisons[suffix])));
    holder.replaceChildren(h("label", { for: "filter-value" }, texts.value), ...valueField(dimension.value, suggest));
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
    const shown = parsed(dimension.value, value, await suggest(dimension.value));
    close();
    onAdd(addFilter(state, dimension.value + comparison.value, shown));
  });
}

/** Return the value whose name was typed: the code of a country, `(direct)`. */
function parsed(parameter, text, values) {
  const wanted = text.toLocaleLowerCase();
  const value = values.find((each) => filterValue(parameter, each).toLocaleLowerCase() === wanted);
  return value ?? (parameter === "country" && text.length === 2 ? text.toUpperCase() : text);
}

function valueField(parameter, suggest) {
  const choices = CHOICES[parameter];
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
