((w, d, n, l) => { try {
  const o = d.currentScript.dataset;
  const api = new URL(o.api || "collect", d.currentScript.src);
  const stub = w.analytics;
  if (!("local" in o) && /^(localhost|127[\d.]+|\[::1])$/.test(l.hostname))
    return console.warn("analytics needs data-local");
  // Do nothing in a second tag of the same server, on a page that was opened as a file, or if an element with the name
  // "currentScript" hides the tag.
  if (w[Symbol.for(api)] || !/^http.*script$/.test(l.protocol + d.currentScript.localName)) return;
  w[Symbol.for(api)] = 1;

  const quiet = n.globalPrivacyControl || n.doNotTrack == 1 && !("ignoreDnt" in o);
  // `page` is the address of the current view, `path` its path, and `view` its id. `depth` is its greatest scroll depth in
  // percent. `shown` is the time at which the page became visible, or 0 while it is hidden. `visible` is the number of ms
  // for which it was visible before that time. `queue` has the unconfirmed events as JSON, and `single` is whether each is
  // sent in a request of its own.
  let page, path, view, visible, depth, shown, busy, timer, single, tries = 0, referrer = d.referrer, queue = [];

  const safe = (f) => (...a) => {
    try {
      return f(...a);
    } catch {}
  };
  const on = (types, f) => types.split(" ").map((type) => addEventListener(type, safe(f), true));
  const cut = (text) => text.slice(0, 2e3);
  const random = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
  const here = () => "hash" in o ? l.href : l.href.split("#")[0];

  const make = (type, data) => JSON.stringify({
    type: type,
    id: random(),
    url: cut(page || here()),
    at: Date.now(),
    visitor: o.identity == "storage" && !quiet ? safe(() => localStorage.analyticsVisitor ||= random())() : void 0,
    webdriver: n.webdriver,
    ...data
  });

  // Replace each character that the server escapes by six, so that the result is as long as the escaped text.
  const ascii = (text) => ("" + text).replace(/[^ -~]/g, "------");

  // Return the first events, as many as the server accepts in one request: at most 20 events and 8 KiB.
  const take = (events, i = single ? 1 : 20) =>
    i < 2 || ascii(events.slice(0, i)).length < 8e3 ? events.slice(0, i) : take(events, i - 1);

  const flush = async () => {
    if (busy || !queue[0]) return;
    clearTimeout(timer);
    const part = take(queue);
    busy = timer = 1;
    try {
      const reply = await fetch(api, {
        method: "POST", body: `[${part}]`, credentials: "omit", keepalive: !part[0][2e4]
      });
      timer = /5..|429/.test(reply.status) && reply.headers.get("Retry-After") | 1;
      // If one event is invalid, the server refuses the whole list with 400. The events are then sent one by one.
      single = reply.status == 400;
    } catch {}
    busy = 0;
    if (timer) timer = setTimeout(flush, 1e3 * Math.max(timer, Math.min(2 ** tries++, 300)));
    else {
      tries = 0;
      if (!single || !part[1]) queue.splice(0, part.length);
      flush();
    }
  };

  const add = (event) => {
    queue[199] || queue.push(event);
    flush();
  };

  // Return whether the path matches one of the patterns. The path is percent-encoded, so characters of the patterns that
  // are not ASCII are percent-encoded, too.
  const matches = (text) => RegExp("^(" +
    text.replace(/[^ -~]+/g, encodeURI).replace(/[^*\w ,]/g, "\\$&").replace(/[ ,]/g, "|")
      .replace(/\*+/g, (s) => s[1] ? ".*" : "[^/]*") +
    ")$").test(l.pathname);

  const counts = () => !quiet && matches(o.include || "**") && !matches(o.exclude || "");

  const scroll = () => {
    depth = Math.min(100, Math.max(depth, 100 * (scrollY + innerHeight) / d.documentElement.scrollHeight || 0));
  };

  // Return a list with the `page_end` event of the current view. It is empty if the view is hidden.
  const end = () => {
    if (!shown) return [];
    scroll();
    visible += performance.now() - shown;
    shown = 0;
    return [make("page_end", { view: view, visible: visible, scroll: depth })];
  };

  // Send all unconfirmed events and `page_end`, even events that `flush` is sending now. The server counts each event
  // once, even if it arrives twice.
  const hide = () => {
    const events = shown ? queue.concat(end()) : [];
    while (events[0]) n.sendBeacon(api, `[${events.splice(0, take(events).length)}]`);
  };

  // Begin a view. A hidden or prerendered page begins it when it is shown.
  const start = () => {
    page = here();
    path = l.pathname;
    view = shown = visible = depth = 0;
    if (d.hidden || d.prerendering || !counts()) return;
    view = random();
    shown = performance.now();
    add(make("page_view", { id: view, referrer: cut(referrer) }));
    referrer = "";
  };

  // Begin a view if the address has changed. `i` is 1 for `replaceState`, which begins a view only if the path changes.
  const move = (i) => {
    if (i === 1 && path == l.pathname) page = here();
    if (here() != page) {
      queue.push(...end());
      start();
      flush();
    }
  };

  const track = (type, name, data) => {
    if (type == "event" && counts()) {
      // Send only names and data that schema.json allows. The server would refuse others.
      if (/^(?!lead\n|page_)[^\p{Cc}\p{Cs}]{1,64}\n\{.{1,4095}$/u.test(name + "\n" + ascii(safe(JSON.stringify)(data || {}))))
        add(make(type, { name: "" + name, data: data || void 0 }));
      else console.warn("analytics ignores", name);
    }
    if (type == "lead") add(make(type, { form: data || "", fields: name, anonymous: quiet }));
  };

  const sendForm = (event) => {
    const form = event.target;
    // If the form does not have the attribute, this throws, so the form is not sent as a lead.
    const name = cut(form.dataset.analyticsLead);
    const fields = { __proto__: null };
    // Join the values of each name. The space is written as \x20, because `minify` removes a space after a comma.
    new FormData(form).forEach((text, s) => fields[s] = [fields[s], text].filter((s) => s).join(",\x20"));
    [...form.elements].map(
      (field) => /password|file|cc-/.test(field.type + field.autocomplete) && delete fields[field.name]
    );
    track("lead", fields, name);
  };

  const click = (event) => {
    // A click with the right button opens a menu, but not the link.
    const link = event.button < 2 && event.target.closest("a[href]");
    const name = "downloads" in o && RegExp("\\.(" +
      (o.downloads || "pdf|zip|gz|dmg|exe|(doc|xls|ppt)x?|csv|mp[34]").replace(/[ ,.]/g, "|") +
      ")$", "i").test(link.pathname) ? "download" : "outbound" in o && link.host != l.host && "outbound";
    name && /^http/.test(link.protocol) && track("event", name, { url: cut(link.href) });
  };

  ["pushState", "replaceState"].map((name, i) => {
    const original = history[name];
    history[name] = (...a) => {
      original.apply(history, a);
      safe(move)(i);
    };
  });
  on("popstate hashchange", move);
  on("pagehide", hide);
  on("pageshow", (event) => event.persisted && start());
  on("scroll", scroll);
  on("online", flush);
  on("visibilitychange prerenderingchange", () => {
    if (d.hidden) return hide();
    view ? shown ||= performance.now() : start();
    flush();
  });
  on("click auxclick", click);
  on("submit", sendForm);
  if (!stub || stub.q) {
    w.analytics = safe(track);
    safe(() => stub.q.map(safe((a) => track(...a))))();
  }
  start();
} catch {} })(window, document, navigator, location);
