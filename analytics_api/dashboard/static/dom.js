// Elements, icons, menus, dialogs and tooltips. Text is always set as text, never parsed as markup.

import { withoutControls } from "./format.js";
import { texts } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new element: `h("a.row", { href, onclick }, "text", child)`.
 * Properties and children that are undefined, null or false are left out.
 */
export function h(tag, properties = {}, ...children) {
  return build(document.createElement(tag.split(".")[0]), tag, properties, children);
}

export function svg(tag, properties = {}, ...children) {
  return build(document.createElementNS(SVG, tag.split(".")[0]), tag, properties, children);
}

/** Set attributes, and add an event listener for each name such as `onclick`. */
export function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

function build(element, tag, properties, children) {
  for (const name of tag.split(".").slice(1)) element.classList.add(name);
  set(element, properties);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Return a promise that resolves after the browser has painted and handled events, so that the page does not freeze. */
export const pause = () => globalThis.scheduler?.yield?.() ?? new Promise((resolve) => setTimeout(resolve));

export function announce(text) {
  byId("status").textContent = text;
}

/** Call a function that replaces controls. If the focused one is gone, focus the new one with the same `data-key`. */
export function keepFocus(replaceControls) {
  const focused = document.activeElement?.closest("[data-key]")?.dataset.key;
  replaceControls();
  if (!focused || document.activeElement !== document.body || document.querySelector("dialog[open]")) return;
  const again = document.querySelector(`[data-key="${CSS.escape(focused)}"]`) ?? byId("main");
  again.focus({ preventScroll: true });
}

const ICONS = {
  close: "M4 4l8 8M12 4l-8 8",
  left: "M10 3L5 8l5 5",
  right: "M6 3l5 5-5 5",
  down: "M3.5 6L8 10.5 12.5 6",
  more: "M3 8h.5M7.75 8h.5M12.5 8h.5",
  search: "M7 2.5a4.5 4.5 0 100 9 4.5 4.5 0 000-9zM10.5 10.5L14 14",
  reply: "M6.5 3.5L2.5 7.5l4 4M2.5 7.5h7a4 4 0 014 4V13",
  clock: "M8 1.5a6.5 6.5 0 100 13 6.5 6.5 0 000-13zM8 4.5V8l2.5 1.5",
  filter: "M2 4h12M4.5 8h7M7 12h2",
  out: "M9 3h4v4M13 3L7 9M7 4H3v9h9V9",
  info: "M8 1.5a6.5 6.5 0 100 13 6.5 6.5 0 000-13zM8 7.25V11.25M8 4.75v.01",
  table: "M2.5 3.5h11v9h-11zM2.5 7h11M6.5 3.5v9",
  line: "M2 12l4-5 3 3 5-6",
  sun: "M8 5a3 3 0 100 6 3 3 0 000-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  user: "M8 8a2.5 2.5 0 100-5 2.5 2.5 0 000 5zM3 13.5c.6-2.3 2.6-3.5 5-3.5s4.4 1.200 5 3.5",
  link: "M6.5 9.5l3-3M7 4.5l1.5-1.5a3 3 0 014.5 4.5L11.5 9M9 11.5L7.5 13A3 3 0 013 8.5L4.5 7",
};

export function icon(name) {
  const path = svg("path", { d: ICONS[name] });
  return svg("svg.icon", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }, path);
}

export const info = (title, text) =>
  h("button.info", { type: "button", "aria-label": title, "data-tip": text }, icon("info"));

const ITEMS = "a, button:enabled, input";

let closeMenu = null; // function that closes the open menu

document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".menu-box:has(.menu:not([hidden]))")) closeMenu?.();
});

/** Return whether a menu or a dialog is open. New figures must not replace it. */
export const isOccupied = () => document.querySelector(".menu:not([hidden]), dialog[open]") !== null;

/** Return a button with a menu below it. `items` returns the menu's content when it opens. Escape closes the menu. */
export function menuButton(label, content, items, properties = {}) {
  const button = h("button.menu-button", { type: "button", "aria-expanded": "false", "aria-label": label, ...properties }, content);
  if (!button.textContent) set(button, tipOf(label));
  const list = h("div.menu", { hidden: true });
  const box = h("div.menu-box", {}, button, list);
  const isOpen = () => !list.hidden;
  const close = (isFocused) => {
    closeMenu = null;
    list.hidden = true;
    button.setAttribute("aria-expanded", "false");
    if (isFocused) button.focus();
  };
  button.addEventListener("click", () => {
    if (isOpen()) return close(false);
    closeMenu?.();
    closeMenu = () => close(false);
    list.replaceChildren(...items().filter(Boolean));
    list.hidden = false;
    button.setAttribute("aria-expanded", "true");
    list.scrollIntoView({ block: "nearest", inline: "nearest" });
    (list.querySelector("[aria-current]:enabled, a[aria-current]") ?? list.querySelector(ITEMS))?.focus();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isOpen()) {
      event.stopPropagation();
      close(true);
    } else if (isOpen() && (event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.tagName !== "INPUT") {
      event.preventDefault();
      const all = [...list.querySelectorAll(ITEMS)];
      const step = event.key === "ArrowDown" ? 1 : -1;
      all[(all.indexOf(document.activeElement) + step + all.length) % all.length]?.focus();
    }
  });
  box.addEventListener("focusout", (event) => {
    if (isOpen() && event.relatedTarget && !box.contains(event.relatedTarget)) close(false);
  });
  // Close the menu before the clicked item acts, so that the menu's button has the focus. If the item opens a dialog, the
  // focus then returns to the button when the dialog closes.
  list.addEventListener("click", (event) => event.target.closest("a, [data-close]") && close(true), true);
  return box;
}

/** Open a dialog with a title. `onClose` is called when it closes. Returns a function that closes it. */
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

const DELAY = 300; // ms from the pointer's arrival to the tooltip
const GRACE = 200; // ms to move the pointer into the tooltip, because long tooltips scroll
const GAP = 6; // px between the element and the tooltip
const EDGE = 8; // px to the edges of the window

const tip = h("div.tooltip", { id: "tooltip", role: "tooltip", popover: "manual" });
let target = null; // the element that the tooltip describes
let timer = 0;

export const tipOf = (text) => ({ "data-tip": text || undefined });

function show(element) {
  hide();
  target = element;
  tip.replaceChildren(h("bdi", {}, withoutControls(element.dataset.tip)));
  (element.closest("dialog, main") ?? document.querySelector("header.top")).append(tip); // content must be inside a landmark
  tip.showPopover?.();
  element.setAttribute("aria-describedby", tip.id);
  const box = element.getBoundingClientRect();
  const left = Math.min(Math.max(EDGE, box.left + (box.width - tip.offsetWidth) / 2), innerWidth - tip.offsetWidth - EDGE);
  const above = box.top - tip.offsetHeight - GAP;
  const below = Math.min(box.bottom + GAP, innerHeight - tip.offsetHeight - EDGE);
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${above >= EDGE ? above : Math.max(0, below)}px`;
}

function hide() {
  clearTimeout(timer);
  target?.removeAttribute("aria-describedby");
  target = null;
  tip.remove();
}

function later(action, delay) {
  clearTimeout(timer);
  timer = setTimeout(action, delay);
}

export function watchTips() {
  let isByKey = true; // whether a key was the last input: then the focus shows the tooltip
  document.addEventListener("pointerdown", () => (isByKey = false), true);
  document.addEventListener("keydown", () => (isByKey = true), true);
  document.documentElement.addEventListener("pointerleave", () => later(hide, GRACE));
  document.addEventListener("pointerover", (event) => {
    if (tip.contains(event.target)) return clearTimeout(timer);
    const element = event.target.closest("[data-tip]");
    if (element === target) clearTimeout(timer);
    else if (element) later(() => element.isConnected && show(element), DELAY);
    else later(hide, GRACE);
  });
  document.addEventListener("focusin", (event) => {
    const element = event.target.closest("[data-tip]");
    if (element && isByKey && event.target.matches(":focus-visible")) show(element);
    else if (target) hide();
  });
  document.addEventListener("focusout", () => target && hide());
  document.addEventListener("click", (event) => {
    const element = event.target.closest("button.info");
    if (element) show(element);
    else hide();
  });
  const escape = (event) => {
    if (event.key !== "Escape" || !target) return;
    hide();
    event.preventDefault(); // so that the key does nothing else, such as removing the filters
  };
  document.addEventListener("keydown", escape, true);
  document.addEventListener("scroll", (event) => target && event.target !== tip && hide(), true);
}

export async function copyText(text, button) {
  let outcome = texts.copied;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    outcome = legacyCopy(text) ? texts.copied : texts.notCopied;
  }
  announce(outcome);
  const label = button.querySelector(".label") ?? button;
  label.dataset.former ??= label.textContent; // a second click may come while the label shows the outcome
  button.style.minWidth = `${button.getBoundingClientRect().width}px`; // so that nothing beside it moves
  label.textContent = outcome;
  setTimeout(() => (label.textContent = label.dataset.former), 1500);
}

/** Copy over plain HTTP, where browsers have no `navigator.clipboard`. */
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
