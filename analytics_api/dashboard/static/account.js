// Who is signed in, signing in and out, and the colours.

import { ApiError, get, signIn, signOut } from "./api.js";
import { byId, h, icon, menuButton } from "./dom.js";
import { texts } from "./texts.js";

const THEME = "analytics-theme";
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("analytics") : null;

/** Show the form, and empty everything that was shown to the key. `message` says why. */
export function showSignIn(message = "") {
  document.documentElement.dataset.state = "signed-out";
  byId("account").replaceChildren(themeMenu());
  byId("menu").replaceChildren();
  byId("sign-in-error").textContent = message;
  document.querySelector("dialog")?.close();
  byId("key").focus();
}

/** Call `onSignedIn` after the form was accepted, and `onSignedOut` when another tab signs out. */
export function watchSignIn(onSignedIn, onSignedOut) {
  const form = byId("sign-in-form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    byId("sign-in-error").textContent = "";
    try {
      await signIn(byId("key").value);
      form.reset();
      history.replaceState(null, "", location.pathname + location.search); // without #invalid-key
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
  channel?.addEventListener("message", ({ data }) => (data === "signed-out" ? onSignedOut() : onSignedIn()));
}

function signInError({ status, message }) {
  const { signIn: known } = texts;
  const byStatus = { 0: known.unreachable, 401: known.wrong, 403: known.foreign, 404: known.off, 503: known.readOnly };
  return byStatus[status] ?? (status >= 500 ? known.failed : message);
}

/** Show the key's name with the menu; return its scopes. */
export async function showAccount(onSignedOut) {
  const principal = await get("/whoami");
  const leave = async () => {
    await signOut();
    channel?.postMessage("signed-out");
    onSignedOut();
  };
  const menu = menuButton(texts.account, icon("user"), () => [
    h("p.muted", {}, texts.signedInAs(principal.name)),
    h("button", { type: "button", onclick: leave, "data-close": "" }, texts.signOut),
  ], { class: "menu-button quiet", "data-key": "account" });
  byId("account").replaceChildren(themeMenu(), menu);
  showMenu(principal.scopes);
  return principal.scopes;
}

/** Show the pages, to a key that may read leads. A key for statistics alone has one page. */
function showMenu(scopes) {
  const pages = { statistics: "./", leads: "leads", board: "board" };
  if (!scopes.includes("stats")) delete pages.statistics;
  const here = document.querySelector("[data-page]").dataset.page;
  const links = Object.entries(pages).map(([name, href]) => h("a", { href, "aria-current": name === here && "page" }, texts.pageNames[name]));
  byId("menu").replaceChildren(...(scopes.includes("leads:read") ? links : []));
}

function themeMenu() {
  const root = document.documentElement;
  const choose = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      localStorage.setItem(THEME, theme);
    } catch {
      // the storage is blocked: the choice lasts as long as the page
    }
  };
  const current = () => root.dataset.theme ?? "system";
  return menuButton(texts.theme, icon("sun"), () =>
    ["system", "light", "dark"].map((theme) =>
      h("button", { type: "button", onclick: () => choose(theme), "data-close": "", "aria-current": theme === current() && "true" }, texts.themes[theme]),
    ),
  { class: "menu-button quiet", "data-key": "theme" });
}
