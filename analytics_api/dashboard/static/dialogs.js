// Modal dialogs: one at a time, closed by Escape, the button, or a click beside it.

import { h, icon } from "./dom.js";
import { texts } from "./texts.js";

/** Open a dialog with a title; `onClose` is called when it closes. Returns a function that closes it. */
export function openDialog(title, content, { onClose = () => {}, isWide = false } = {}) {
  document.querySelector("dialog")?.close();
  const opener = document.activeElement;
  const close = () => dialog.close();
  const dialog = h(
    `dialog${isWide ? ".wide" : ""}`,
    { "aria-label": title },
    h(
      "header",
      {},
      h("h2", {}, title),
      h("button.quiet", { type: "button", "aria-label": texts.close, onclick: close }, icon("close")),
    ),
    content,
  );
  dialog.addEventListener("click", (event) => event.target === dialog && close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (opener?.isConnected) opener.focus();
    onClose();
  });
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector("form :is(select, input)")?.focus();
  return close;
}
