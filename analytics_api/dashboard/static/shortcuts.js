// Keyboard shortcuts. None works while a text is typed, a dialog is open, or with a modifier.

import { openDialog } from "./dialogs.js";
import { PERIODS } from "./days.js";
import { h } from "./dom.js";
import { texts } from "./texts.js";

/** Call `actions.period(name)`, `shift(step)`, `custom()`, `compare()`, `filter()` or `clear()` when their keys are pressed. */
export function watchShortcuts(isActive, actions) {
  const keys = {
    arrowleft: () => actions.shift(-1),
    arrowright: () => actions.shift(1),
    c: actions.custom,
    x: actions.compare,
    "?": openHelp,
    f: actions.filter,
    escape: actions.clear,
  };
  for (const [name, { key }] of Object.entries(PERIODS)) keys[key] = () => actions.period(name);
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !isActive()) return;
    const isGone = event.target.closest("dialog:not([open])"); // its fields keep the focus until it is removed
    if (!isGone && event.target.closest("input, select, textarea, dialog, .menu")) return;
    const action = keys[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** Show the list of shortcuts. */
function openHelp() {
  const { shortcutHelp: help } = texts;
  const row = (keys, text) => h("div", {}, h("dt", {}, keys.map((key) => h("kbd", {}, key))), h("dd", {}, text));
  const periods = Object.entries(PERIODS).map(([name, { key }]) => row([key.toUpperCase()], texts.periods[name]));
  const others = [
    row(["C"], help.custom),
    row(["←", "→"], help.previous),
    row(["X"], help.compare),
    row(["F"], help.filter),
    row(["Esc"], help.clear),
    row(["?"], help.help),
  ];
  openDialog(texts.shortcuts, h("dl.shortcuts", {}, periods, others));
}
