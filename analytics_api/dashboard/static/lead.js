// One lead: contact, the path to the enquiry, forms, moves, and other leads of the person.

import { ApiError, get, getPage, patch } from "./api.js";
import { byId, h, icon } from "./dom.js";
import * as format from "./format.js";
import { canMove, explainStale, fail, leadLink, nameOf, stageMenu, time, toast } from "./crm.js";
import { texts } from "./texts.js";

const t = texts.leads;

/** Show a lead in an element; `reload` shows it again. */
export async function showLead(view, leadId, reload) {
  let answer, moves;
  try {
    [answer, moves] = await Promise.all([getPage(`/leads/${encodeURIComponent(leadId)}`), get(`/leads/${encodeURIComponent(leadId)}/history`)]);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    return view.replaceChildren(backLink(), h("p.empty.card", { role: "status" }, t.missing));
  }
  const { lead, sessions, submissions } = answer.body;
  const { etag } = answer;
  view.replaceChildren(
    backLink(),
    h("article.lead", {},
      h("header.lead-head", {}, h("h2", { dir: "auto" }, nameOf(lead)), h("span.stage", { "data-status": lead.status }, texts.stages[lead.status]), canMove && moveMenu(lead, etag, reload)),
      h("div.lead-parts", {},
        part(t.contact, contact(lead)),
        part(t.path, path(lead, sessions)),
        part(t.submissions, h("ol.timeline", {}, submissions.map(submission))),
        part(t.history, moves.length ? h("ol.timeline", {}, moves.map(move)) : h("p.muted", {}, t.noHistory)),
        lead.other_leads.length > 0 && part(t.others, h("ul.timeline", {}, lead.other_leads.map(other))))),
  );
  byId("main").focus({ preventScroll: true });
}

const backLink = () => h("p.back", {}, h("a", { href: "leads" }, icon("left"), t.back));
const part = (title, content) => h("section.card.part", { "aria-label": title }, h("h3", {}, title), content);

function moveMenu(lead, etag, reload) {
  const choose = async (status) => {
    try {
      await patch(`/leads/${lead.lead_id}`, { status }, etag);
      await reload();
      toast(t.moved(nameOf(lead), texts.stages[status]));
    } catch (error) {
      if (![404, 412].includes(error.status)) return fail(error, () => choose(status));
      await reload();
      toast(error.status === 404 ? t.gone(nameOf(lead)) : await explainStale(error.body.lead));
    }
  };
  return stageMenu(t.move(nameOf(lead)), [t.moveTo, icon("down")], choose, lead.status);
}

function contact(lead) {
  const link = (scheme, text) => text && h("a.link", { href: `${scheme}:${encodeURIComponent(text.trim()).replaceAll("%40", "@").replaceAll("%2B", "+")}`, dir: "auto" }, format.shorten(text));
  const plain = (text) => text && h("span", { dir: "auto" }, format.shorten(text));
  const entries = [
    [t.email, link("mailto", lead.contact_email)],
    [t.phone, link("tel", lead.contact_phone)],
    [t.columns.project, plain(lead.project_name)],
    [t.location, plain(lead.project_location)],
    [t.columns.place, plain([lead.contact_city, lead.contact_country_name].filter(Boolean).join(", "))],
    [t.columns.source, plain(lead.project_source)],
    [t.columns.score, lead.engagement_score !== null && plain(format.integer(lead.engagement_score))],
    [t.label, plain(lead.engagement_label)],
    [t.enquiry, lead.enquiry_datetime && time(format.leadInstant(lead.enquiry_datetime))],
  ];
  return h("dl.facts", {}, entries.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** Return the visits and the enquiry, the first one first. */
function path(lead, sessions) {
  const enquiry = format.leadInstant(lead.enquiry_datetime);
  const steps = sessions.map((session) => ({ at: session.started_at, element: visit(session, lead.first_session) }));
  if (enquiry !== null) steps.push({ at: enquiry, element: h("li.enquiry", {}, time(enquiry), h("b", {}, t.enquiry)) });
  steps.sort((a, b) => a.at - b.at);
  return sessions.length ? h("ol.timeline", {}, steps.map((step) => step.element)) : h("p.muted", {}, t.noVisits);
}

function visit(session, first) {
  const duration = session.duration === null ? null : format.duration(session.duration / 1000);
  const campaign = session.entry_page?.match(/[?&]utm_campaign=([^&#]*)/)?.[1];
  const facts = [session.country && format.country(session.country), duration, t.events(format.integer(session.event_count)), campaign].filter(Boolean);
  return h("li", {}, time(session.started_at), h("b", {}, first?.session_id === session.session_id ? t.first : t.visit),
    page(t.entry, session.entry_page), session.exit_page !== session.entry_page && page(t.exit, session.exit_page), h("span.muted", { dir: "auto" }, facts.map(format.shorten).join(" · ")));
}

/** Return a page, as a link if it is one of the web. */
function page(word, url) {
  if (!url) return null;
  const isLink = /^https?:\/\//i.test(url);
  const text = format.shorten(url.replace(/^https?:\/\//i, ""));
  return h("span.page", { dir: "auto" }, `${word} `, isLink ? h("a.link", { href: url, rel: "noreferrer noopener", target: "_blank" }, text) : text);
}

function submission(each) {
  const show = (value) => (value === null || value === "" ? t.nothing : format.shorten(typeof value === "string" ? value : JSON.stringify(value)));
  const changes = each.changes.map(({ field, from, to }) => h("li", { dir: "auto" }, h("b", {}, format.shorten(field)), " ", h("del", {}, show(from)), " → ", h("ins", {}, show(to))));
  return h("li", {}, time(format.leadInstant(each.submitted_at)), h("b", { dir: "auto" }, format.shorten(each.cta_name || each.source || t.enquiry)), changes.length > 0 && h("ul.changes", {}, changes));
}

const move = (each) => h("li", {}, time(each.changed_at), h("b", {}, t.fromTo(texts.stages[each.from] ?? each.from, texts.stages[each.to] ?? each.to)), h("span.muted", { dir: "auto" }, t.by(format.shorten(each.changed_by))));

const other = (each) => h("li", {}, time(format.leadInstant(each.enquiry_datetime)), leadLink({ ...each, contact_name: null }), h("span.stage", { "data-status": each.status }, texts.stages[each.status]));
