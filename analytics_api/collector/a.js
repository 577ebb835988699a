((w, d, n, l, tag) => { try {
  const o = tag.dataset;
  const api = new URL(o.api || "collect", tag.src).href;
  const once = Symbol.for(api);
  const stub = w.analytics;
  // Do nothing in a second tag of the same server, or on the developer's own machine without `data-local`.
  if (w[once] || !/^http/.test(l.protocol) ||
    !("local" in o) && /^(localhost|127\.[\d.]+|\[::1\])$/.test(l.hostname)) return;
  w[once] = 1;

  const quiet = n.globalPrivacyControl || n.doNotTrack == 1 && !("ignoreDnt" in o);
  // `view` is the id of the current view, `depth` its greatest scroll depth in percent, `shown` the time since which it is
  // visible, and `visible` the ms for which it was visible before.
  let view, visible, depth, shown, page, busy, timer, tries = 0, referrer = d.referrer, queue = [];

  const safe = (f) => (...a) => {
    try {
      return f(...a);
    } catch {}
  };
  const on = (target, types, f) => types.split(" ").map((type) => target.addEventListener(type, safe(f), true));
  const cut = (text) => text.slice(0, 2000);
  const random = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
  const visitor = safe(() => localStorage.analyticsVisitor ||= random());
  const here = () => "hash" in o ? l.href : l.href.split("#")[0];

  const make = (type, more) => ({
    type: type,
    id: random(),
    url: cut(page || here()),
    at: Date.now(),
    visitor: o.identity == "storage" ? visitor() : void 0,
    webdriver: n.webdriver || void 0,
    ...more
  });

  // Return as many of the first events as the server accepts in one request: 20, and 8 KiB.
  const take = (events) => {
    const part = events.slice(0, 20);
    while (part[1] && JSON.stringify(part).length > 8e3) part.pop();
    return part;
  };

  const flush = async () => {
    if (busy || !queue[0]) return;
    clearTimeout(timer);
    const part = take(queue);
    busy = timer = 1;
    try {
      const reply = await fetch(api, {
        method: "POST", body: JSON.stringify(part), credentials: "omit", keepalive: true
      });
      timer = reply.status > 499 || reply.status == 429 ? reply.headers.get("Retry-After") | 0 || 1 : 0;
    } catch {}
    busy = 0;
    if (timer) timer = setTimeout(flush, 1e3 * Math.max(timer, Math.min(2 ** tries++, 300)));
    else {
      tries = 0;
      queue.splice(0, part.length);
      flush();
    }
  };

  const add = (event) => {
    if (queue.length < 200) queue.push(event);
    flush();
  };

  const matches = (globs) => globs.split(",").some((glob) => RegExp(
    "^" + glob.trim().replace(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*+/g, (s) => s[1] ? ".*" : "[^/]*") + "$"
  ).test(l.pathname));

  const counts = () => !quiet && matches(o.include || "**") && !matches(o.exclude || "");

  const scroll = () => {
    depth = Math.max(depth, Math.min(100, 100 * (w.scrollY + w.innerHeight) / d.documentElement.scrollHeight || 0));
  };

  // Return a list with the `page_end` event of the current view. It is empty if the view is hidden.
  const end = () => {
    if (!shown) return [];
    scroll();
    visible += performance.now() - shown;
    shown = 0;
    return [make("page_end", { view: view, visible: visible, scroll: depth })];
  };

  // Send unconfirmed events again with the last one. The server counts an event that arrives twice once.
  const hide = () => {
    const last = end();
    const rest = queue.concat(last);
    while (last[0] && rest[0]) n.sendBeacon(api, JSON.stringify(rest.splice(0, take(rest).length)));
  };

  // Begin a view. A hidden or prerendered page begins it when it is shown.
  const start = () => {
    page = here();
    view = shown = visible = depth = 0;
    if (d.hidden || d.prerendering || !counts()) return;
    const event = make("page_view", { referrer: cut(referrer) });
    referrer = "";
    view = event.id;
    shown = performance.now();
    add(event);
  };

  const show = () => {
    if (view) shown ||= performance.now();
    else start();
    flush();
  };

  const move = (isReplaced) => {
    const path = (url) => url.split(/[?#]/)[0];
    if (here() == page) return;
    if (isReplaced === 1 && path(here()) == path(page)) page = here();
    else {
      queue.push(...end());
      start();
      flush();
    }
  };

  const track = (type, name, data) => {
    if (type == "event" && counts()) add(make(type, { name: "" + name, data: data }));
    if (type == "lead") add(make(type, { form: data || "", fields: name, ...quiet && { anonymous: true, visitor: void 0 } }));
  };

  const sendForm = (event) => {
    const fields = {};
    for (const field of event.target.elements)
      if (field.name && !/^(password|file|submit|button|image)$/.test(field.type) && !/cc-/.test(field.autocomplete) &&
        (field.checked || !/^(radio|checkbox)$/.test(field.type))) fields[field.name] = field.value;
    track("lead", fields, event.target.dataset.analyticsLead);
  };

  const click = (event) => {
    const link = event.target.closest("a[href]");
    const types = (o.downloads || "pdf|zip|gz|dmg|exe|docx?|xlsx?|pptx?|csv|mp[34]").replace(/[ ,]+/g, "|");
    if (!/^http/.test(link.protocol)) return;
    const isFile = RegExp(`\\.(${types})$`, "i").test(link.pathname);
    const name = "downloads" in o && isFile ? "download" : "outbound" in o && link.host != l.host && "outbound";
    if (name) track("event", name, { url: cut(link.href) });
  };

  ["pushState", "replaceState"].map((name, i) => {
    const original = history[name];
    history[name] = function (...a) {
      original.apply(this, a);
      safe(move)(i);
    };
  });
  on(w, "popstate hashchange", move);
  on(w, "pagehide", hide);
  on(w, "pageshow", (event) => event.persisted && start());
  on(w, "scroll", scroll);
  on(w, "online", flush);
  on(d, "visibilitychange prerenderingchange", () => d.hidden ? hide() : show());
  on(d, "click auxclick", click);
  on(d, "submit", (event) => "analyticsLead" in event.target.dataset && sendForm(event));
  if (!stub || stub.q) {
    w.analytics = safe(track);
    stub?.q.map((call) => w.analytics(...call));
  }
  start();
} catch {} })(window, document, navigator, location, document.currentScript);
