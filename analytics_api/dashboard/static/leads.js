// The list of leads, and one lead.

import { downloadPath, get, getPage } from "./api.js";
import { byId, h, icon } from "./dom.js";
import * as format from "./format.js";
import { canMove, clearProblem, explainStale, fail, filterBar, leadLink, moveLeads, nameOf, readQuery, readSearch, requestQuery, stageMenu, startPage, time, toast, writeAddress } from "./crm.js";
import { showLead } from "./lead.js";
import { texts } from "./texts.js";

const t = texts.leads;
const FILTERS = ["status", "project", "source", "country", "label", "has_visits", "from", "to"];
const PAGE = 50;
// The orders of each column that can be sorted: the first click takes the first one.
const SORTS = { name: ["name_asc"], score: ["score_desc", "score_asc"], enquiry: ["newest", "oldest"], followUp: ["last_follow_up"] };

let loading = new AbortController();
let rows = []; // leads that are shown
let next = null; // query of the next page
let total = 0;
const selected = new Set(); // lead ids
let parts = null; // elements of the list

const leadId = () => new URLSearchParams(location.search).get("lead");

async function load() {
  clearProblem();
  if (leadId()) {
    parts = null;
    return showLead(byId("view"), leadId(), load).catch((error) => fail(error, load));
  }
  if (!parts) buildList();
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const query = requestQuery();
  query.set("limit", PAGE);
  try {
    const facetQuery = requestQuery();
    facetQuery.delete("sort");
    const [page, facets] = await Promise.all([getPage("/leads", query, signal), get("/leads/facets", facetQuery, signal)]);
    rows = page.body.leads;
    total = page.body.total;
    next = page.next;
    selected.clear();
    parts.bar.showFacets(facets, FILTERS);
    draw();
  } catch (error) {
    fail(error, load);
  }
}

async function loadMore() {
  if (!next) return;
  const query = next;
  next = null;
  try {
    const page = await getPage("/leads", query, loading.signal);
    rows.push(...page.body.leads);
    next = page.next;
    parts.body.append(...page.body.leads.map(row));
  } catch (error) {
    next = query;
    fail(error, loadMore);
  }
}

function buildList() {
  const bar = filterBar(load);
  const count = h("p.muted.count", { role: "status" });
  const download = h("a.button", { download: "leads.csv" }, texts.downloadCsv);
  const actions = h("div.selection", { hidden: true });
  const head = h("tr");
  const body = h("tbody");
  const end = h("div.end");
  new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && loadMore(), { rootMargin: "600px" }).observe(end);
  const table = h("table.leads", {}, h("caption.hidden", {}, t.title), h("thead", {}, head), body);
  byId("view").replaceChildren(bar, h("div.list-head", {}, count, actions, download), h("div.card.scroll", { tabindex: 0, role: "region", "aria-label": t.title }, table), end);
  parts = { bar, count, download, actions, head, body };
}

function draw() {
  parts.count.textContent = t.count(format.integer(total));
  const query = requestQuery();
  query.set("format", "csv");
  parts.download.href = downloadPath("/leads/export", query);
  parts.head.replaceChildren(...[canMove && selectAll(), ...Object.keys(t.columns).map(headCell)].filter(Boolean));
  const isFiltered = String(requestQuery()) !== "";
  const empty = () => h("tr", {}, h("td.empty", { colspan: 9 }, isFiltered ? t.none : t.noneYet));
  parts.body.replaceChildren(...(rows.length ? rows.map(row) : [empty()]));
  drawSelection();
}

function headCell(column) {
  const sorts = SORTS[column];
  if (!sorts) return h("th", { scope: "col", class: column }, t.columns[column]);
  const current = readQuery().get("sort") ?? "newest";
  const place = sorts.indexOf(current);
  const direction = { newest: "descending", oldest: "ascending", score_asc: "ascending", name_asc: "ascending" }[current] ?? "descending";
  const choose = () => {
    const query = readQuery();
    query.set("sort", sorts[(place + 1) % sorts.length]);
    writeAddress(query, readSearch());
    load();
  };
  const button = h("button.sort", { type: "button", onclick: choose, "data-key": `sort-${column}` }, t.columns[column], place >= 0 && h("span", { "aria-hidden": "true" }, direction === "ascending" ? " ↑" : " ↓"));
  return h("th", { scope: "col", class: column, "aria-sort": place >= 0 && direction }, button);
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
  const place = [lead.contact_city, lead.contact_country_name].filter(Boolean).map(format.shorten).join(", ");
  const cell = (name, ...content) => h("td", { class: name, dir: "auto", "data-label": t.columns[name] }, content);
  return h("tr", {},
    canMove && h("td.box", {}, h("input", { type: "checkbox", "aria-label": t.select(nameOf(lead)), checked: selected.has(lead.lead_id), onchange: toggle })),
    h("th", { scope: "row", class: "name" }, leadLink(lead)),
    cell("project", format.shorten(lead.project_name ?? "")),
    cell("place", place),
    cell("source", format.shorten(lead.project_source ?? "")),
    cell("score", lead.engagement_score === null ? "" : format.integer(lead.engagement_score)),
    cell("status", h("span.stage", { "data-status": lead.status }, texts.stages[lead.status])),
    cell("enquiry", time(format.leadInstant(lead.enquiry_datetime))),
    cell("followUp", lead.last_follow_up_at ? time(format.leadInstant(lead.last_follow_up_at)) : ""));
}

function drawSelection() {
  parts.actions.hidden = !selected.size;
  if (!selected.size) return;
  parts.actions.replaceChildren(h("span", {}, t.selected(format.integer(selected.size))), stageMenu(t.moveTo, [t.moveTo, icon("down")], moveSelected));
}

async function moveSelected(status) {
  const leads = [...selected].map((lead_id) => ({ lead_id }));
  const before = new Map(rows.map((lead) => [lead.lead_id, lead.status]));
  try {
    let moved = [];
    for (let begin = 0; begin < leads.length; begin += 500) {
      const answer = await moveLeads(leads.slice(begin, begin + 500), status);
      moved = moved.concat(answer.updated);
    }
    const undo = async () => {
      for (const stage of new Set(before.values())) {
        const back = moved.filter((lead) => before.get(lead.lead_id) === stage);
        const answer = back.length ? await moveLeads(back, stage) : { stale: [] };
        if (answer.stale.length) toast(await explainStale(answer.stale[0]));
      }
      load();
    };
    await load();
    toast(t.movedMany(format.integer(moved.length), texts.stages[status]), { text: t.undo, run: () => undo().catch((error) => fail(error, load)) });
  } catch (error) {
    fail(error, () => moveSelected(status));
  }
}

addEventListener("popstate", () => {
  parts?.bar.reset();
  load();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="leads"]');
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  load();
  scrollTo(0, 0);
});
startPage(t.title, load, () => {
  parts = null;
  byId("view").replaceChildren();
});
