// What stands above the figures, or in their place: banners, empty states, errors.

import { copyText } from "./actions.js";
import { announce, byId, h } from "./dom.js";
import { compares, linkTo } from "./state.js";
import { texts } from "./texts.js";

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

const way = (text, state, changes) => h("a.button", { href: linkTo(state, changes), "data-nav": "" }, text);

const notice = (title, text, ...more) => h("div.notice", {}, h("h2", {}, title), h("p", {}, text), more);

/**
 * Show an error above the figures, with a button that tries again, and links to what the API may accept instead.
 * `isShown` is whether there are figures below.
 */
export function showError(error, state, retry, isShown) {
  const text = { 0: navigator.onLine ? texts.unreachable : isShown ? texts.offlineBefore : texts.offline, 500: texts.databaseAway, 503: texts.databaseAway };
  const known = text[error.status] ?? `${error.message}.`.replace(/\.\.$/, ".");
  byId("notices").replaceChildren(
    h(
      "div.notice.problem",
      { role: "alert" },
      h("h2", {}, texts.failed),
      h("p", {}, known),
      h(
        "p.ways",
        {},
        h("button.button", { type: "button", onclick: retry }, texts.retry),
        error.status === 400 && compares(state) && way(texts.withoutComparison, state, { compare: "off" }),
        error.status === 400 && state.filters.length > 0 && way(texts.withoutFilters, state, { filters: [] }),
      ),
    ),
  );
}
