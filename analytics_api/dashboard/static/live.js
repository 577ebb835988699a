// The current visitors, every few seconds while the tab is visible. It also notices that the session has ended.

import { get } from "./api.js";
import { byId, h } from "./dom.js";
import { integer } from "./format.js";
import { texts } from "./texts.js";

const INTERVAL = 4500; // ms: so that a tab notices within five seconds that another signed out

let latest = null; // the last answer

/** Return the last answer. */
export const currentVisitors = () => latest;

/** Show how many visitors there are now. */
export function showLive(current) {
  const element = byId("live");
  latest = current;
  element.hidden = !current;
  if (!current) return;
  element.dataset.tip = texts.explain.current;
  const count = current.visitors === 1 ? 1 : integer(current.visitors);
  const [long, short] = [texts.live(count), texts.liveShort(count)];
  if (element.textContent === long + short) return;
  element.replaceChildren(h("span.pulse"), h("span.long", {}, long), h("span.short", { "aria-hidden": "true" }, short));
}

/** Ask again and again; `isActive` says whether to, `onError` takes what went wrong, `onAnswer` is called otherwise. */
export function watchLive(isActive, onError, onAnswer) {
  let timer;
  const tick = async () => {
    clearTimeout(timer);
    if (isActive() && !document.hidden) {
      try {
        showLive(await get("/current"));
        await onAnswer();
      } catch (error) {
        onError(error);
      }
    }
    timer = setTimeout(tick, INTERVAL);
  };
  document.addEventListener("visibilitychange", () => document.hidden || tick());
  timer = setTimeout(tick, INTERVAL);
}
