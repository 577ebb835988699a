// Lift cards and drop them on another column, by keyboard, mouse and touch.

import { STAGES } from "./crm.js";
import { announce, h } from "./dom.js";
import { texts } from "./texts.js";

const t = texts.leads;
const LONG_PRESS = 350; // ms until a touch lifts a card; a shorter touch scrolls
const EDGE = 48; // px from the edges of the board within which a dragged card scrolls it
const STEP = 10; // px to scroll in each frame
const SLOP = 6; // px of movement that begin a drag

const cardOf = (target) => target.closest(".lead-card");
const statusOf = (card) => card.closest(".column").dataset.status;

function mark(columns, status) {
  for (const column of columns.children) column.classList.toggle("over", column.dataset.status === status);
}

/** Handle keys. Arrows move between cards, or choose a stage for a lifted card. Space lifts, Enter or space drops, Escape cancels. */
export function watchKeys(columns, board) {
  let lifted = null; // {card, status}
  const release = () => {
    lifted?.card.classList.remove("lifted");
    lifted = null;
    mark(columns, null);
    board.hold(false);
  };
  columns.addEventListener("keydown", (event) => {
    const card = cardOf(event.target);
    if ((event.ctrlKey || event.metaKey) && event.key === "z") return board.undo();
    if (!card || event.ctrlKey || event.metaKey || event.altKey || event.target.closest(".menu-box")) return;
    if (event.target !== card && (event.key === "Enter" || (event.key === " " && event.target.matches("input")))) return; // keys of its link and its box
    const isDrop = event.key === " " || event.key === "Enter";
    if (lifted) {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const direction = getComputedStyle(columns).direction === "rtl" ? -1 : 1;
      if (step) {
        lifted.status = STAGES[Math.min(Math.max(STAGES.indexOf(lifted.status) + step * direction, 0), STAGES.length - 1)];
        mark(columns, lifted.status);
        columns.querySelector(".over")?.scrollIntoView({ inline: "nearest", block: "nearest" });
        announce(t.over(texts.stages[lifted.status]));
      } else if (isDrop) {
        const { status } = lifted;
        release();
        board.move(board.withSelection(Number(card.dataset.lead)), status);
      } else if (event.key === "Escape") {
        release();
        announce(t.cancelled);
      } else if (event.key === "Tab") return release();
      return event.preventDefault();
    }
    if (event.key === " " && board.canMove()) {
      card.focus();
      lifted = { card, status: statusOf(card) };
      card.classList.add("lifted");
      board.hold(true);
      mark(columns, lifted.status);
      announce(t.lifted(card.dataset.name, texts.stages[lifted.status]));
    } else if (event.key === "Enter") card.querySelector("a.name").click();
    else if (event.key === "x" && board.canMove()) card.querySelector("input").click();
    else if (!go(columns, card, event.key)) return;
    event.preventDefault();
  });
  columns.addEventListener("focusout", (event) => lifted && !columns.contains(event.relatedTarget) && event.relatedTarget && release());
}

/** Move the focus from a card to its neighbour. Return whether the key is an arrow. */
function go(columns, card, key) {
  const cards = [...card.closest(".cards").querySelectorAll(".lead-card")];
  const index = cards.indexOf(card);
  let next = { ArrowUp: cards[index - 1], ArrowDown: cards[index + 1]}[key];
  if (key === "ArrowLeft" || key === "ArrowRight") {
    const all = [...columns.children];
    const forward = (key === "ArrowRight") === (getComputedStyle(columns).direction !== "rtl");
    const from = all.indexOf(card.closest(".column"));
    const others = forward ? all.slice(from + 1) : all.slice(0, from).reverse();
    const column = others.find((each) => each.querySelector(".lead-card"));
    const there = column ? [...column.querySelectorAll(".lead-card")] : [];
    next = there[Math.min(index, there.length - 1)];
  } else if (key !== "ArrowUp" && key !== "ArrowDown") return false;
  if (next) {
    card.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
  return true;
}

/** Let a mouse drag cards at once, and a finger after a long press. */
export function watchPointer(columns, board) {
  let press = null; // {card, id, x, y, at, ghost, timer}
  const over = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest(".column");
  const start = (event) => {
    const { card } = press;
    const count = board.withSelection(Number(card.dataset.lead)).length;
    press.ghost = h("div.ghost", { "aria-hidden": "true" }, count > 1 ? t.selected(count) : card.dataset.name);
    document.body.append(press.ghost);
    card.classList.add("lifted");
    document.documentElement.classList.add("dragging");
    board.hold(true);
    follow(event);
    scroll();
  };
  const scroll = () => {
    if (!press?.ghost) return;
    const { left, right } = columns.getBoundingClientRect();
    const step = press.at.clientX > right - EDGE ? STEP : press.at.clientX < left + EDGE ? -STEP : 0;
    columns.scrollLeft += step;
    if (step) mark(columns, over(press.at)?.dataset.status);
    requestAnimationFrame(scroll);
  };
  const follow = (event) => {
    press.at = event;
    press.ghost.style.translate = `${event.clientX + 8}px ${event.clientY + 8}px`;
    mark(columns, over(event)?.dataset.status);
  };
  const end = (event, isDropped) => {
    if (!press) return;
    const { card, ghost, timer } = press;
    clearTimeout(timer);
    press = null;
    if (!ghost) return;
    ghost.remove();
    card.classList.remove("lifted");
    document.documentElement.classList.remove("dragging");
    mark(columns, null);
    board.hold(false);
    const target = isDropped && over(event);
    if (target) board.move(board.withSelection(Number(card.dataset.lead)), target.dataset.status);
    // The browser sends a click after the drop, which must not open the lead.
    const stop = (click) => (click.preventDefault(), click.stopPropagation());
    addEventListener("click", stop, { capture: true, once: true });
    setTimeout(() => removeEventListener("click", stop, { capture: true }), 50);
  };
  columns.addEventListener("pointerdown", (event) => {
    const card = cardOf(event.target);
    if (!card || event.button || !board.canMove() || event.target.closest("input, button, .menu")) return;
    press = { card, id: event.pointerId, x: event.clientX, y: event.clientY, ghost: null, timer: null };
    if (event.pointerType === "touch") press.timer = setTimeout(() => press && !press.ghost && start(event), LONG_PRESS);
  });
  addEventListener("pointermove", (event) => {
    if (!press || event.pointerId !== press.id) return;
    if (press.ghost) return follow(event);
    if (Math.hypot(event.clientX - press.x, event.clientY - press.y) < SLOP) return;
    if (event.pointerType === "touch") end(event, false);
    else start(event);
  });
  addEventListener("pointerup", (event) => event.pointerId === press?.id && end(event, true));
  addEventListener("pointercancel", (event) => event.pointerId === press?.id && end(event, false));
  addEventListener("keydown", (event) => event.key === "Escape" && press?.ghost && end(event, false));
  columns.addEventListener("touchmove", (event) => press?.ghost && event.preventDefault(), { passive: false });
  columns.addEventListener("contextmenu", (event) => press?.ghost && event.preventDefault());
  columns.addEventListener("dragstart", (event) => event.preventDefault());
}
