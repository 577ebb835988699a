// The list of leads, and one lead.

import { canMove, clearProblem, explainStale, fail, filterBar, FILTERS, goneText, leadLink, moveLeads, nameOf, readQuery, readSearch, requestQuery, showSelection, site, stageMenu, startLeads, time, toast, withKey, writeAddress } from "./crm.js";
import { byId, h, icon, keepFocus, tipOf } from "./dom.js";
import * as format from "./format.js";
import { get, getPage, pathOf, stageBadge, watchLinks } from "./page.js";
import { texts } from "./texts.js";

const t = texts.leads;
const PAGE = 50;
const MOST_FIELDS = 100; // fields of a form that are shown
// The values of `sort` for each sortable column. Clicks choose them in turn.
const SORTS = { name: ["name_asc"], score: ["score_desc", "score_asc"], enquiry: ["newest", "oldest"], followUp: ["last_follow_up"] };

let loading = new AbortController();
let rows = []; // the leads in the list
let next = null; // query of the next page
let total = 0;
const selected = new Set(); // lead ids
let parts = null; // elements of the list

let list = null; // the query and the fragment of the list that was shown last; null before a list was shown
let place = null; // where a lead was opened: {list, y, href}, with the scroll position of the list and the address of the lead
let isFirst = true; // whether the page shows what it showed first

const leadId = () => new URLSearchParams(location.search).get("lead");

async function showLead(view, leadId, reload, signal) {
  let answer, visits, moves;
  try {
    const path = `/leads/${/^\d+$/.test(leadId) ? leadId : 0}`; // "facets", for example, is another path of the API; 0 is not a lead
    const requests = ["", "/visits", "/history"].map((part) => get(path + part, "", signal));
    [answer, visits, moves] = await withKey(Promise.all(requests), signal);
  } catch (error) {
    if (![400, 404].includes(error.status)) throw error;
    parts = null;
    return view.replaceChildren(backLink(), h("p.empty.card", { role: "status" }, t.missing));
  }
  const { lead, sessions, submissions } = answer;
  if (parts) scrollTo(0, 0); // not earlier, so that the list does not move under the pointer
  parts = null;
  view.replaceChildren(
    backLink(),
    h("article.lead", {},
      h("header.lead-head", {},
        h("div", {}, h("h2", {}, h("bdi", {}, nameOf(lead))), h("p.muted", {}, h("bdi", {}, [lead.project_name, placeOf(lead)].filter(Boolean).map(format.shorten).join(" · ")))),
        stageBadge(lead.status), canMove && moveMenu(lead, reload)),
      h("p.muted.printed", {}, t.asOf(format.moment(Date.now(), site.time_zone))),
      h("div.lead-parts", {},
        part(t.contact, contact(lead)),
        part(t.path, path(lead, sessions, visits)),
        h("div", {},
          submissions.length > 0 && part(t.submissions, h("ol.timeline", {}, submissions.map(submission))),
          part(t.history, moves.length ? h("ol.timeline", {}, moves.map(move)) : h("p.muted", {}, t.noHistory)),
          lead.other_leads.length > 0 && part(t.others, h("ul.timeline", {}, lead.other_leads.map(other)))))),
  );
  byId("main").focus({ preventScroll: true });
}

/** Return a link to the list that was shown last, or to the board if the lead was opened there. */
function backLink() {
  const [, board] = document.referrer.match(/\/(board(\?.*)?)$/) ?? [];
  const isBoard = board && list === null;
  // `history.back()` also restores the search, which is in the fragment of the address. The referrer has no fragment.
  const back = (event) => isBoard && isFirst && history.length > 1 && (event.preventDefault(), history.back());
  return h("p.back", {}, h("a", { href: isBoard ? board : `leads${list ?? ""}`, onclick: back }, icon("left"), isBoard ? t.board : t.back));
}

const part = (title, content) => h("section.card.part", { "aria-label": title }, h("h3", {}, title), content);

function moveMenu(lead, reload) {
  const choose = async (status) => {
    try {
      const { updated, stale } = await moveLeads([{ lead_id: lead.lead_id, from: lead.status, status }]);
      await reload();
      toast(updated.length ? t.moved(nameOf(lead), texts.stages[status]) : stale.length ? await explainStale(stale[0], t.notMade) : t.gone(nameOf(lead)));
    } catch (error) {
      fail(error, () => choose(status), `${t.notMoved} `);
    }
  };
  return stageMenu(t.move(nameOf(lead)), [t.moveTo, icon("down")], choose, lead.status);
}

const placeOf = (lead) => [lead.contact_city, lead.contact_country_name && format.country(lead.contact_country_name)].filter(Boolean).join(", ");

function contact(lead) {
  const link = (scheme, text) => text && h("a.link", { href: `${scheme}:${encodeURIComponent(text.trim()).replaceAll("%40", "@").replaceAll("%2B", "+")}`, dir: "auto" }, format.shorten(text));
  const plain = (text) => text && h("span", { dir: "auto" }, format.shorten(text));
  const entries = [
    [t.email, link("mailto", lead.contact_email)],
    [t.phone, link("tel", lead.contact_phone)],
    [t.columns.project, plain([lead.project_name, lead.project_location].filter(Boolean).join(", "))],
    [t.columns.place, plain(placeOf(lead))],
    [t.columns.source, plain(lead.project_source)],
    [t.columns.score, plain([lead.engagement_score !== null && format.integer(lead.engagement_score), lead.engagement_label].filter(Boolean).join(" · "))],
    [t.enquiry, lead.enquiry_datetime && time(format.leadInstant(lead.enquiry_datetime))],
  ];
  return h("dl.facts", {}, entries.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function path(lead, sessions, visits) {
  const enquiry = format.leadInstant(lead.enquiry_datetime);
  const steps = sessions.map((session) => ({ at: session.started_at, element: visit(session, visits.find((each) => each.session_id === session.session_id), lead.first_session) }));
  if (enquiry !== null) steps.push({ at: enquiry, element: h("li.enquiry", {}, time(enquiry), h("b", {}, t.enquiry)) });
  steps.sort((a, b) => a.at - b.at);
  return sessions.length ? h("ol.timeline", {}, steps.map((step) => step.element)) : h("p.muted", {}, t.noVisits);
}

function visit(session, { referrer_domain: domain, pages } = { pages: [] }, first) {
  const duration = session.duration === null ? null : format.duration(session.duration / 1000);
  const campaign = session.entry_page?.match(/[?&]utm_campaign=([^&#]*)/)?.[1];
  const source = domain === "(direct)" ? texts.direct : domain;
  const facts = [source, session.country && format.country(session.country), duration, t.events(format.integer(session.event_count)), campaign].filter(Boolean);
  return h("li", {}, time(session.started_at), h("b", {}, first?.session_id === session.session_id ? t.first : t.visit),
    page(t.entry, session.entry_page), session.exit_page !== session.entry_page && page(t.exit, session.exit_page),
    pages.length > 1 && h("ul.viewed", { "aria-label": t.viewed }, pages.map(viewed)), h("span.muted", { dir: "auto" }, facts.map(format.shorten).join(" · ")));
}

const viewed = ({ page, views }) => h("li.page", { dir: "auto" }, pageLink(page, page.replace(/^https?:\/\/[^/]*(?=\/)/i, "")), views > 1 && ` × ${format.integer(views)}`);

const page = (word, url) => url && h("span.page", { dir: "auto" }, `${word} `, pageLink(url, url.replace(/^https?:\/\//i, "")));

function pageLink(url, name) {
  const text = format.shorten(name);
  return /^https?:\/\//i.test(url) ? h("a.link", { href: url, rel: "noreferrer noopener", target: "_blank" }, text) : text;
}

/** Return a field's name in plain words: "Phone" for `contact_phone`, "Budget range" for `payload.BUDGET_RANGE`. */
function fieldName(field) {
  const words = format.shorten(field.replace("payload.", "")).replaceAll("_", " ").toLowerCase();
  return t.fields[field] ?? words.charAt(0).toUpperCase() + words.slice(1);
}

// JSON.parse() changes numbers such as 1.0 and numbers of many digits. Where the browser has `source`, keep them as they were sent.
const keepNumber = (name, value, { source } = {}) => (typeof value === "number" ? (source ?? String(value)) : value);

/** Return the payload of a form as text by field: `payload.NAME`, or "" for a payload that is not a JSON object. */
function readPayload({ payload_json: text } = { payload_json: null }) {
  try {
    const value = JSON.parse(text || "null", keepNumber);
    if (value === null) return new Map();
    const isObject = typeof value === "object" && !Array.isArray(value);
    return new Map(isObject ? Object.entries(value).map(([name, each]) => [`payload.${name}`, plainText(each)]) : [["", plainText(value)]]);
  } catch {
    return new Map([["", text]]); // not JSON, or too deeply nested
  }
}

/** Return a value of JSON as text: `Pune, 411001` for an array, `city: Pune, zip: 411001` for an object. Nested ones are in parentheses. */
function plainText(value, isNested = false) {
  if (value === null || typeof value !== "object") return String(value ?? "");
  const parts = Object.entries(value).map(([name, each]) => (Array.isArray(value) ? "" : `${name}: `) + plainText(each, true));
  return isNested ? `(${parts.join(", ")})` : parts.join(", ");
}

/** Return an item for each field of a form, with its former value if it changed. Other changes come first. */
function formFields(each, former) {
  const [fields, before] = [readPayload(each), readPayload(former)];
  const show = (text, nothing) => (text ? format.message(text) : nothing);
  const item = (field, ...content) => h("li", { dir: "auto" }, field && [h("b", {}, fieldName(field)), " "], content);
  const changed = (field, from, to) => item(field, h("del", {}, show(from, t.nothing)), " → ", h("ins", {}, show(to, t.nothing)));
  // The payload repeats values of columns. A change of such a value is shown only for the field of the payload.
  const isRepeated = ({ field, from, to }) => each.changes.some((other) => other.field !== field && fields.has(other.field) && other.from === from && other.to === to);
  const others = each.changes.filter((change) => !fields.has(change.field) && !isRepeated(change));
  const isChanged = (field) => each.changes.some((change) => change.field === field);
  return [
    ...others.map(({ field, from, to }) => changed(field, before.get(field) ?? from, to)),
    ...[...fields].slice(0, MOST_FIELDS).map(([field, text]) => (isChanged(field) ? changed(field, before.get(field), text) : item(field, show(text, "–")))),
    fields.size > MOST_FIELDS && h("li", {}, "…"),
  ].filter(Boolean);
}

function submission(each, index, all) {
  const items = formFields(each, all[index + 1]);
  return h("li", {}, time(format.leadInstant(each.submitted_at)), h("b", { dir: "auto" }, format.shorten(each.cta_name || each.source || t.enquiry)), items.length > 0 && h("ul.fields", {}, items));
}

const move = (each) => h("li", { "data-status": each.to }, time(each.changed_at), h("b", {}, t.fromTo(texts.stages[each.from] ?? each.from, texts.stages[each.to] ?? each.to)), h("span.muted", { dir: "auto" }, t.by(format.shorten(each.changed_by))));

const other = (each) => h("li", {}, time(format.leadInstant(each.enquiry_datetime)), leadLink({ ...each, contact_name: null }), stageBadge(each.status));

async function load() {
  clearProblem();
  loading.abort();
  loading = new AbortController();
  next = null; // scrolling must not add leads of the former query
  const { signal } = loading;
  if (leadId()) {
    return showLead(byId("view"), leadId(), load, signal).catch((error) => fail(error, load));
  }
  list = location.search + location.hash;
  if (!parts) buildList();
  try {
    const facets = get("/leads/facets", requestQuery(["sort"]), signal);
    facets.then((values) => parts?.bar.showFacets(values)).catch((error) => fail(error, load));
    const page = await withKey(getPage("/leads", requestQuery([], { limit: PAGE }), signal), signal);
    rows = page.body.leads;
    total = page.body.total;
    next = page.next;
    selected.clear();
    draw();
    const former = place;
    place = null;
    if (former?.list === list) await returnTo(former, signal);
  } catch (error) {
    fail(error, load);
  }
}

/** Load the leads until the one that was opened, and return the scroll position and the focus to it. */
async function returnTo({ y, href }, signal) {
  while (document.body.scrollHeight < y + innerHeight && (await loadMore()));
  if (signal.aborted) return;
  scrollTo(0, y);
  if (document.activeElement.matches("body, main")) parts.body.querySelector(`[href="${href}"]`)?.focus({ preventScroll: true });
}

/** Load the next leads. Return whether there were any. */
async function loadMore() {
  if (!next) return false;
  const query = next;
  const { signal } = loading;
  next = null;
  try {
    const page = await getPage("/leads", query, signal);
    rows.push(...page.body.leads);
    next = page.next;
    parts.body.append(...page.body.leads.map(row));
    drawCount();
    parts.watchEnd();
    clearProblem();
    return true;
  } catch (error) {
    if (!signal.aborted) next = query;
    fail(error, loadMore);
    return false;
  }
}

function buildList() {
  const count = h("p.muted.count", { role: "status" });
  const download = h("a.button", { download: "leads.csv" }, texts.downloadCsv);
  const actions = h("div.selection", { hidden: true });
  const bar = filterBar(FILTERS, load, count, actions, download);
  const head = h("tr");
  const body = h("tbody");
  const end = h("div.end");
  const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && loadMore(), { rootMargin: "600px" });
  const watchEnd = () => {
    observer.unobserve(end); // observe it again, because it may still be in view
    observer.observe(end);
  };
  const table = h("table.leads", {}, h("caption.hidden", {}, t.title), h("thead", {}, head), body);
  byId("view").replaceChildren(bar, h("div.card.scroll", { tabindex: 0, role: "region", "aria-label": t.title }, table), end);
  parts = { bar, count, download, actions, head, body, watchEnd };
}

/** Show the number of leads. On paper, it also says how many of them are printed. */
function drawCount() {
  parts.count.textContent = t.count(format.integer(total));
  parts.count.dataset.shown = rows.length < total ? t.onPaper(format.integer(rows.length)) : "";
}

function draw() {
  drawCount();
  parts.download.href = pathOf("/leads/export", requestQuery([], { format: "csv" }));
  keepFocus(() => parts.head.replaceChildren(...[canMove && selectAll(), ...Object.keys(t.columns).map(headCell)].filter(Boolean)));
  const isFiltered = String(requestQuery()) !== "";
  const empty = () => h("tr", {}, h("td.empty", { colspan: 9 }, isFiltered ? t.none : t.noneYet));
  parts.body.replaceChildren(...(rows.length ? rows.map(row) : [empty()]));
  parts.watchEnd();
  drawSelection();
}

function headCell(column) {
  const sorts = SORTS[column];
  const tip = tipOf(t.explain[column]);
  if (!sorts) return h("th", { scope: "col", class: column }, h("span", { tabindex: tip["data-tip"] && 0, ...tip }, t.columns[column]));
  const current = readQuery().get("sort") ?? "newest";
  const index = sorts.indexOf(current);
  const direction = { newest: "descending", oldest: "ascending", score_asc: "ascending", name_asc: "ascending" }[current] ?? "descending";
  const choose = () => {
    const query = readQuery();
    query.set("sort", sorts[(index + 1) % sorts.length]);
    writeAddress(query, readSearch());
    load();
  };
  const button = h("button.sort", { type: "button", onclick: choose, "data-key": `sort-${column}`, ...tip }, t.columns[column], index >= 0 && h("span", { "aria-hidden": "true" }, direction === "ascending" ? " ↑" : " ↓"));
  return h("th", { scope: "col", class: column, "aria-sort": index >= 0 && direction }, button);
}

function selectAll() {
  const toggle = (event) => {
    for (const lead of rows) event.target.checked ? selected.add(lead.lead_id) : selected.delete(lead.lead_id);
    for (const box of parts.body.querySelectorAll("input")) box.checked = event.target.checked;
    drawSelection();
  };
  return h("th.box", { scope: "col" }, h("input", { type: "checkbox", "aria-label": t.selectAll, onchange: toggle }));
}

function row(lead) {
  const toggle = (event) => {
    event.target.checked ? selected.add(lead.lead_id) : selected.delete(lead.lead_id);
    drawSelection();
  };
  const place = format.shorten(placeOf(lead));
  const cell = (name, ...content) => h("td", { class: name, dir: "auto", "data-label": t.columns[name] }, content);
  return h("tr", {},
    canMove && h("td.box", {}, h("input", { type: "checkbox", "aria-label": t.select(nameOf(lead)), checked: selected.has(lead.lead_id), onchange: toggle })),
    h("th", { scope: "row", class: "name", dir: "auto" }, leadLink(lead, null)), // a link with `dir` would not count for that of the cell
    cell("project", format.shorten(lead.project_name ?? "")),
    cell("place", place && h("span", { title: place }, place)),
    cell("source", format.shorten(lead.project_source ?? "")),
    cell("score", lead.engagement_score === null ? "" : format.integer(lead.engagement_score)),
    cell("status", stageBadge(lead.status)),
    cell("enquiry", time(format.leadInstant(lead.enquiry_datetime))),
    cell("followUp", lead.last_follow_up_at ? time(format.leadInstant(lead.last_follow_up_at)) : ""));
}

function drawSelection() {
  showSelection(parts.actions, selected, moveSelected, () => {
    selected.clear();
    draw();
  });
}

async function moveSelected(status, leadIds = [...selected]) {
  const before = new Map(rows.map((lead) => [lead.lead_id, lead]));
  try {
    const { updated, stale, not_found } = await moveLeads(leadIds.map((lead_id) => ({ lead_id, from: before.get(lead_id).status, status })));
    const gone = rows.filter((lead) => not_found.includes(lead.lead_id));
    const undo = () => undoMoves().catch((error) => fail(error, undo, `${t.notUndone} `));
    const undoMoves = async () => {
      const { updated: moved, stale } = await moveLeads(updated.map(({ lead_id, etag }) => ({ lead_id, etag, status: before.get(lead_id).status })));
      await load();
      toast([stale.length && (await explainStale(stale[0], t.notUndone)), moved.length && (stale.length ? t.othersUndone : t.undone)].filter(Boolean).join(" "));
    };
    await load();
    const moved = updated.length > 0 && t.movedMany(format.integer(updated.length), texts.stages[status]);
    const told = [stale.length && (await explainStale(stale[0], t.notMade)), gone.length && goneText(gone), moved].filter(Boolean);
    if (told.length) toast(told.join(" "), moved && { text: t.undo, run: undo });
  } catch (error) {
    fail(error, () => moveSelected(status, leadIds), `${t.notMoved} `);
  }
}

addEventListener("popstate", () => {
  isFirst = false;
  parts?.bar.reset();
  load();
});
watchLinks('a[href^="leads"]', (link) => {
  if (!leadId()) place = { list, y: scrollY, href: link.getAttribute("href") };
  isFirst = false;
  history[link.href === location.href ? "replaceState" : "pushState"](null, "", link.href);
  if (!parts) scrollTo(0, 0);
  load();
});
startLeads(t.title, load, () => {
  loading.abort();
  parts = null;
  byId("view").replaceChildren();
});
