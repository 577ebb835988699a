// What can be done with the numbers of a panel: download them, copy the request for them.

import { curl } from "./api.js";
import { announce, h, icon, menuButton } from "./dom.js";
import { toCsv } from "./lists.js";
import { texts } from "./texts.js";

/** Let the browser save the rows as a CSV file. */
export function downloadCsv(name, rows) {
  const url = URL.createObjectURL(new Blob(["\ufeff", toCsv(rows)], { type: "text/csv" }));
  h("a", { href: url, download: `${name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Copy a text, and say on the button whether that was possible. */
export async function copyText(text, button) {
  let outcome = texts.copied;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    outcome = legacyCopy(text) ? texts.copied : texts.notCopied;
  }
  announce(outcome);
  const label = button.querySelector(".label") ?? button;
  const former = label.textContent;
  label.textContent = outcome;
  setTimeout(() => (label.textContent = former), 1500);
}

/** Copy where there is no clipboard to write to: over plain HTTP. */
function legacyCopy(text) {
  const area = h("textarea.hidden", { readonly: true, "aria-hidden": "true" });
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  const focused = document.activeElement;
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return isCopied;
}

/** Return the menu of a panel. `rows` returns what is downloaded, or a promise of it; `endpoint` and `query` are for curl. */
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
