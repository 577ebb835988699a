// The controls of the range: before and after, the periods, two days, the comparison, the link to exactly this.

import { copyText } from "./actions.js";
import { PERIODS, isDay, shiftRange } from "./days.js";
import { byId, h, icon, menuButton } from "./dom.js";
import * as format from "./format.js";
import { compares, daysOf, linkTo } from "./state.js";
import { texts } from "./texts.js";
import { tipOf } from "./tips.js";

/** Return the name of the range: its period, or its days. */
export const rangeName = (state) => (state.period ? texts.periods[state.period] : format.range(state.from, state.to));

/** Return the state changes for the range before (-1) or after (1); null where there is none. */
export function neighbour(state, today, step) {
  const [from, to] = today ? daysOf(state, today) : [];
  if (!from) return null;
  const [first, last] = shiftRange(from, to, step);
  if (first > today) return null;
  return { period: null, from: first, to: last };
}

/** Show the controls. `today` is null until the site has said it. */
export function showRanges(container, state, today, go) {
  container.replaceChildren(
    h("div.group", {}, arrow(state, today, -1), periodMenu(state, today, go), arrow(state, today, 1)),
    compareMenu(state),
    h(
      "button.quiet.copy-link",
      { type: "button", ...tipOf(texts.copyLinkHelp), "aria-label": texts.copyLink, disabled: !today, onclick: (event) => copyText(fixedLink(state, today), event.currentTarget), "data-key": "copy-link" },
      icon("link"),
      h("span.label", {}, texts.copyLink),
    ),
  );
}

/** Return the address of exactly these days. */
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
  return h("a.arrow", { href: linkTo(state, changes), "data-nav": "", "aria-label": label, ...tipOf(label), "data-key": `arrow${step}` }, content);
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
  const link = { href: linkTo(state, changes), "data-nav": "", "aria-current": isCurrent && "true" };
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
    { onsubmit: submit },
    h("p", {}, texts.customRange, h("kbd", { "aria-hidden": "true" }, "C")),
    h("label", {}, texts.from, first),
    h("label", {}, texts.to, last),
    h("button.primary", {}, texts.apply),
  );
}

/** Open the menu of the range at its two days. */
export function openCustomRange() {
  document.querySelector('[data-key="period"]').click();
  byId("range-from").focus();
}

function compareMenu(state) {
  const isOn = compares(state);
  const name = texts.compare[isOn ? state.compare : "off"];
  return menuButton(
    `${texts.compareMenu}: ${name}`,
    [h("span", {}, name), icon("down")],
    () => ["previous", "year", "off"].map((each) => menuLink(state, { compare: each }, texts.compare[each], each === state.compare, each === "off" ? "x" : "")),
    { class: "menu-button", "data-key": "compare", disabled: state.period === "all" },
  );
}
