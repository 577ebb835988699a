// Tooltips: what an element with `data-tip` means, by pointer, by focus and by touch. There is one, above everything.

import { h } from "./dom.js";
import { withoutControls } from "./format.js";

const DELAY = 300; // ms that the pointer rests before the tooltip is there
const GRACE = 200; // ms for the way from the element into the tooltip, whose long texts scroll
const GAP = 6; // px
const EDGE = 8; // px to the edges of the window

const tip = h("div.tooltip", { id: "tooltip", role: "tooltip", popover: "manual" });
let target = null; // what the tooltip describes, or will
let timer = 0;

/** Return an attribute for `h` that gives an element a tooltip; none for an empty text. */
export const tipOf = (text) => ({ "data-tip": text || undefined });

function show(element) {
  hide();
  target = element;
  tip.replaceChildren(h("bdi", {}, withoutControls(element.dataset.tip)));
  (element.closest("dialog, main") ?? document.querySelector("header.top")).append(tip); // inside a landmark
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

/** Watch the pointer and the focus of the whole page. */
export function watchTips() {
  document.addEventListener("pointerover", (event) => {
    if (tip.contains(event.target)) return clearTimeout(timer);
    const element = event.target.closest("[data-tip]");
    if (element === target) clearTimeout(timer);
    else if (element) later(() => element.isConnected && show(element), DELAY);
    else later(hide, GRACE);
  });
  document.addEventListener("focusin", (event) => {
    const element = event.target.closest("[data-tip]");
    if (element && event.target.matches(":focus-visible")) show(element);
    else if (target) hide();
  });
  document.addEventListener("focusout", () => target && hide());
  document.addEventListener("click", (event) => {
    const element = event.target.closest("button.info");
    if (element) show(element);
    else hide();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("scroll", (event) => target && event.target !== tip && hide(), true);
}
