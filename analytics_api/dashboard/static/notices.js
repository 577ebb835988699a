// What stands above the figures, or in their place: banners, empty states, errors.

import { byId, h } from "./dom.js";
import { compares, linkTo } from "./state.js";
import { texts } from "./texts.js";

const EXAMPLE = `insert into sessions (session_id, visitor_id, started_at)
values ('s1', 'v1', ${Date.now()});`;

/** Show the notices of a snapshot: the mark of a demo, and one of three texts where nothing is counted. */
export function showNotices(state, data) {
  const isEmpty = data.overview && !data.overview.total_sessions && !data.overview.total_events;
  byId("notices").replaceChildren(isEmpty ? emptyNotice(state, data) : "");
  const demo = byId("demo"); // in the header, where it moves nothing when it appears
  demo.hidden = !data.site.demo;
  demo.dataset.tip = texts.demoHelp;
  demo.textContent = texts.demo;
}

function emptyNotice(state, data) {
  if (!data.site.first_day) return notice(texts.emptyTable, texts.emptyTableHelp, h("pre", { tabindex: 0 }, EXAMPLE));
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
