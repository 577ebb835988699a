// The parts that all pages share: requests to the API, signing in and out, the menu of pages, colours, and errors.

import { byId, h, icon, menuButton, openDialog, set, tipOf, watchTips } from "./dom.js";
import { nav } from "./state.js";
import { texts } from "./texts.js";

const base = new URL(document.querySelector('meta[name="api"]').content, document.baseURI).pathname;

/** A response that is not 2xx. If there is no response, `status` is 0. */
export class ApiError extends Error {
  constructor(status, message, body = {}) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

export function pathOf(endpoint, query) {
  const text = String(query ?? "");
  return base + endpoint + (text && `?${text}`);
}

export async function get(endpoint, query, signal) {
  return readJSON(await request(pathOf(endpoint, query), { signal }));
}

/** Return a response's JSON as `body`, and `next`: the query of the next page, or null on the last one. */
export async function getPage(endpoint, query, signal) {
  const response = await request(pathOf(endpoint, query), { signal });
  const link = response.headers.get("Link")?.match(/\?([^>]*)>/);
  return { body: await readJSON(response), next: link ? link[1] : null };
}

/** Send a PATCH request. Return the JSON of the response. */
export async function patch(endpoint, body) {
  const headers = { "Content-Type": "application/json" };
  return readJSON(await request(pathOf(endpoint), { method: "PATCH", headers, body: JSON.stringify(body) }));
}

export async function signIn(key) {
  const headers = { "Content-Type": "application/json" };
  return readJSON(await request(pathOf("/session"), { method: "POST", headers, body: JSON.stringify({ key }) }));
}

export async function signOut() {
  await request(pathOf("/session"), { method: "DELETE" });
}

/** Throw an ApiError with the status 0, unless the page aborted the request. */
function failRequest(error) {
  throw error.name === "AbortError" ? error : new ApiError(0, error.message);
}

/** Return a response's JSON. It fails if the connection breaks, or if a login page of the network replaces the response. */
const readJSON = (response) => response.json().catch(failRequest);

async function request(path, options) {
  const response = await fetch(path, { ...options, cache: "no-cache" }).catch(failRequest);
  if (response.ok) return response;
  let body = {};
  try {
    body = await response.json();
  } catch {
    // not JSON: the page of a proxy
  }
  throw new ApiError(response.status, body.error ?? `${texts.status} ${response.status} ${response.statusText}`.trim(), body);
}

export function curl(endpoint, query) {
  const url = new URL(pathOf(endpoint, query), location.href).href.replaceAll("'", "%27");
  return `curl -H "Authorization: Bearer $ANALYTICS_API_KEY" '${url}'`;
}

const THEME = "analytics-theme";
const RANGE = "analytics-range";
const PROBE_TIMEOUT = 3000; // ms to wait for an answer before the sign-in form is shown
const root = document.documentElement;
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("analytics") : null;

let clearPage = null;
let runPage = null; // loads the page
let account = null; // a promise of the key's name and scopes

export const isSignedIn = () => root.dataset.state !== "signed-out";

export const hasScope = async (name) => (await account).scopes.includes(name);

/**
 * Start a page. `load` shows it, and is called again after signing in and when the page comes back from the
 * back/forward cache. `clear` empties the page when the user is signed out.
 */
export function startPage(load, clear) {
  clearPage = clear;
  const run = () => {
    root.dataset.state = "loading";
    load();
  };
  runPage = run;
  watchSignIn(run);
  watchTips();
  addEventListener("pageshow", (event) => event.persisted && run());
  addEventListener("pagehide", () => byId("account").replaceChildren());
  run();
}

/** Clear the page and show the sign-in form. `message` says why. */
export function leave(message = texts.signIn.ended) {
  clearPage();
  keepRange("");
  root.dataset.state = "signed-out";
  document.title = texts.title(texts.signIn.title);
  for (const id of ["notices", "menu", "status"]) byId(id).replaceChildren();
  byId("account").replaceChildren(themeMenu());
  byId("sign-in-error").textContent = message;
  document.querySelector("dialog")?.close();
  showSignIn();
}

/** Show the form, or ask for the login of the host application if the API has no sign-in of its own. */
async function showSignIn() {
  const form = byId("sign-in-form");
  const login = byId("site-login");
  form.hidden = login.hidden = true;
  form.hidden = !(await hasSignIn());
  login.hidden = !form.hidden;
  if (form.hidden) {
    const button = h("button.button", { type: "button", onclick: runPage }, texts.retry);
    login.replaceChildren(h("h1", {}, texts.signIn.title), h("p", {}, texts.signIn.site), button);
  }
  if (!isSignedIn()) (form.hidden ? login.querySelector("button") : byId("key")).focus();
}

/** Return whether browsers can sign in with a key. Without `browser_sessions`, the API has no path `/session`. */
async function hasSignIn() {
  try {
    await request(pathOf("/session"), { method: "OPTIONS", signal: AbortSignal.timeout(PROBE_TIMEOUT) });
  } catch ({ status }) {
    return status !== 401 && status !== 404;
  }
  return true;
}

function watchSignIn(onSignedIn) {
  const form = byId("sign-in-form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    byId("sign-in-error").textContent = "";
    try {
      await signIn(byId("key").value);
      if (!(await hasCookie())) return (byId("sign-in-error").textContent = byId("signed-in").textContent);
      form.reset();
      removeFragment();
      channel?.postMessage("signed-in");
      onSignedIn();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      byId("sign-in-error").textContent = signInError(error);
      byId("key").select();
    } finally {
      button.disabled = false;
    }
  });
  channel?.addEventListener("message", ({ data }) => (data === "signed-out" ? leave() : onSignedIn()));
}

/** Remove the fragment of a redirect, such as `#invalid-key`, which shows an error. The error must not appear again after signing out. */
function removeFragment() {
  if (!location.hash) return;
  location.replace("#");
  history.replaceState(null, "", location.pathname + location.search);
}

/** Return false if the browser did not keep the cookie, for example because the proxy has another path or scheme. */
const hasCookie = () => get("/whoami").then(() => true, ({ status }) => status !== 401);

function signInError({ status, message }) {
  const { signIn: known } = texts;
  const hint = { 401: "invalid-key", 503: "read-only" }[status];
  if (hint) return byId(hint).textContent;
  return { 0: known.unreachable, 403: known.foreign, 404: known.off }[status] ?? (status >= 500 ? known.failed : message);
}

let listShortcuts = () => []; // returns keys, separated by spaces, and what they do

/** Call `keys[key]` when a key is pressed, and show the shortcuts from `list()` when the key is "?". */
export function watchShortcuts(keys, list) {
  listShortcuts = list;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !isSignedIn()) return;
    const isGone = event.target.closest("dialog:not([open])"); // a closed dialog has the focus until it is removed
    if (!isGone && event.target.closest("input:not([type=checkbox]), select, textarea, dialog, .menu")) return;
    if (/^Arrow/.test(event.key) && scrolls(event.target.closest("[role=region]"))) return;
    const action = event.key === "?" ? openHelp : keys[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

const scrolls = (region) => region && region.scrollWidth > region.clientWidth;

export function openHelp() {
  const row = ([keys, text]) => h("div", {}, h("dt", {}, keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, text));
  openDialog(texts.shortcuts, h("dl.shortcuts", {}, [...listShortcuts(), ["?", texts.shortcutHelp.help]].map(row)));
}

export async function showAccount() {
  account = get("/whoami");
  const { name, scopes } = await account;
  if (["#signed-in", "#invalid-key", "#read-only"].includes(location.hash)) removeFragment();
  if (byId("panels") && !scopes.includes("stats") && scopes.includes("leads:read")) return location.replace("leads");
  const end = async ({ target }) => {
    try {
      await signOut();
    } catch (error) {
      if (error.status === 404) return target.replaceWith(h("p", { role: "alert" }, texts.signIn.siteSignOut));
      target.parentElement.querySelector("[role=alert]")?.remove();
      return target.after(h("p", { role: "alert" }, `${texts.notSignedOut} ${errorText(error)}`));
    }
    channel?.postMessage("signed-out");
    leave();
  };
  const menu = menuButton(texts.account, icon("user"), () => [
    h("p.muted", {}, texts.signedInAs(name)),
    h("button", { type: "button", onclick: openHelp, "data-close": "", "data-key": "help" }, texts.shortcuts, h("kbd", { "aria-hidden": "true" }, "?")),
    h("button", { type: "button", onclick: end }, texts.signOut),
  ], { class: "menu-button quiet", "data-key": "account" });
  byId("account").replaceChildren(themeMenu(), menu);
  showMenu(scopes);
}

/** Show a mark if this is the database of a demo. The mark is in the header, so that nothing else moves. */
export function markDemo(site) {
  set(byId("demo"), tipOf(texts.demoHelp));
  byId("demo").hidden = !site.demo;
  byId("demo").textContent = texts.demo;
}

/** Add the range and the filters in `query` to the menu's links to figures. Without `query`, add those of the last call in this tab. */
export function keepRange(query = null) {
  try {
    if (query === null) query = sessionStorage.getItem(RANGE);
    else sessionStorage.setItem(RANGE, query);
  } catch {
    // the browser blocks sessionStorage: the pages for leads do not know the range
  }
  for (const link of document.querySelectorAll("#menu [data-ranged]")) link.search = query ?? "";
}

function showMenu(scopes) {
  const here = document.body.dataset.page;
  const link = (name, href, properties) => h("a", { href, "aria-current": name === here && "page", ...properties }, texts.pageNames[name]);
  const figures = [link("statistics", "./", { "data-ranged": "" }), link("conversions", "conversions", { "data-ranged": "" })];
  const leads = [link("leads", "leads"), link("board", "board")];
  byId("menu").replaceChildren(...(scopes.includes("stats") ? figures : []), ...(scopes.includes("leads:read") ? leads : []));
  keepRange();
}

function themeMenu() {
  const choose = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      localStorage.setItem(THEME, theme);
    } catch {
      // the browser blocks localStorage: the choice lasts until the page is closed
    }
  };
  const current = () => root.dataset.theme ?? "system";
  return menuButton(texts.theme, icon("sun"), () =>
    ["system", "light", "dark"].map((theme) =>
      h("button", { type: "button", onclick: () => choose(theme), "data-close": "", "aria-current": theme === current() && "true" }, texts.themes[theme]),
    ),
  { class: "menu-button quiet", "data-key": "theme" });
}

export function errorText({ status, message }) {
  const known = { 0: navigator.onLine ? texts.unreachable : texts.offline, 500: texts.databaseAway, 502: texts.unreachable, 504: texts.unreachable, 503: texts.databaseAway };
  const scope = status === 403 && message.match(/scope (\S+)/)?.[1];
  if (scope) return texts.noScope(scope);
  return known[status] ?? `${message}.`.replace(/\.\.$/, ".");
}

/** Call `load`. If the page was never shown completely, for example without its menu, start it again instead. */
export const loadAgain = (load) => (root.dataset.state === "ready" && byId("menu").firstChild ? load() : runPage());

/** Show an error text with a button that tries again, and links in `ways`. */
export function showError(text, retry, ...ways) {
  const again = () => {
    byId("main").focus({ preventScroll: true }); // the button disappears
    loadAgain(retry);
  };
  const button = h("button.button", { type: "button", onclick: again }, texts.retry);
  showProblem(h("h2", {}, root.dataset.state === "ready" ? texts.notUpdated : texts.failed), h("p", {}, text), h("p.ways", {}, button, ways));
}

export const showProblem = (...content) => byId("notices").replaceChildren(h("div.notice.problem", { role: "alert" }, content));

export const stageBadge = (status) => h("span.stage", { "data-status": status }, texts.stages[status]);

export const way = (text, state, changes) => h("a.button", nav(state, changes), text);

/** When a link that matches `selector` is clicked, call `follow(link)` instead of loading the page again. */
export function watchLinks(selector, follow) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest(selector);
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    follow(link);
  });
}
