// What stands above the figures, or in their place: current visitors, banners, empty states.

import { get } from "./api.js";
import { announce, byId, copyText, h } from "./dom.js";
import { integer } from "./format.js";
import { linkTo } from "./state.js";
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

const EXAMPLE = `insert into sessions (session_id, visitor_id, started_at)
values ('s1', 'v1', ${Date.now()});`;
const COMMAND = 'ANALYTICS_COLLECT_HOSTS="example.com" analytics-api serve';

let isWaiting = false; // whether the database had no visits when the page was opened

/** Show the notices of a snapshot: the mark of a demo, and one of three texts where nothing is counted. */
export function showNotices(state, data) {
  const isEmpty = data.overview && !data.overview.total_sessions && !data.overview.total_events;
  if (!data.site.first_day) showFirstVisit(data.site.collect_hosts);
  else byId("notices").replaceChildren(isWaiting ? arrivedNotice() : "", isEmpty ? emptyNotice(state) : "");
  const demo = byId("demo"); // in the header, where it moves nothing when it appears
  demo.hidden = !data.site.demo;
  demo.dataset.tip = texts.demoHelp;
  demo.textContent = texts.demo;
}

/** Show how visits come into an empty database. The notice stays as it is, so that its text can be selected. */
function showFirstVisit(hosts) {
  isWaiting = true;
  if (document.querySelector(".notice.first")) return;
  const element = hosts.length ? scriptNotice(hosts) : notice(texts.emptyTable, texts.collectHelp, code(COMMAND), h("p", {}, texts.insertHelp), code(EXAMPLE));
  element.classList.add("first");
  byId("notices").replaceChildren(element);
}

function scriptNotice(hosts) {
  const local = hosts.some((host) => /^(localhost|127\.)/.test(host)) ? " data-local" : "";
  const line = `<script defer src="${new URL("a.js", document.baseURI)}"${local}></script>`;
  const copy = h("button.button", { type: "button", onclick: () => copyText(line, copy) }, texts.copyLine);
  return notice(texts.firstVisit, texts.firstVisitHelp(hosts.join(", ")), code(line), copy, h("p.muted", {}, texts.firstVisitWaits));
}

const code = (text) => h("pre", { tabindex: 0 }, text);

function arrivedNotice() {
  const isNew = !document.querySelector(".notice.arrived");
  if (isNew) announce(texts.firstArrived);
  const hide = () => {
    isWaiting = false;
    element.remove();
    byId("main").focus({ preventScroll: true });
  };
  const element = notice(texts.firstArrived, texts.firstArrivedHelp, h("button.button", { type: "button", onclick: hide, "data-key": "hide-arrived" }, texts.hide));
  element.classList.add("arrived");
  return element;
}

function emptyNotice(state) {
  if (!state.filters.length) return notice(texts.emptyRange, texts.emptyRangeHelp);
  return notice(
    texts.emptyFilter,
    texts.emptyFilterHelp,
    way(texts.clearFilters, state, { filters: [] }),
  );
}

/** Return a link to another state, as a button. */
export const way = (text, state, changes) => h("a.button", { href: linkTo(state, changes), "data-nav": "" }, text);

const notice = (title, text, ...more) => h("div.notice", {}, h("h2", {}, title), h("p", {}, text), more);
