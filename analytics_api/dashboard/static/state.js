// The state of a page. It is in the query of the address, so that a link, "back" and a reload show the same.
// Days are `YYYY-MM-DD` in the site's time zone. Nothing here reads the browser's clock or time zone.

const DAY = 86_400_000;

const toDate = (day) => new Date(`${day}T00:00:00Z`);
const toDay = (date) => date.toISOString().slice(0, 10);

export function isDay(text) {
  const date = /^\d{4}-\d\d-\d\d$/.test(text) ? toDate(text) : new Date(NaN);
  return !Number.isNaN(date.getTime()) && toDay(date) === text;
}

export const addDays = (day, count) => toDay(new Date(toDate(day).getTime() + count * DAY));

const countDays = (from, to) => Math.round((toDate(to) - toDate(from)) / DAY) + 1;

export function monthStart(day, count = 0) {
  const date = toDate(day);
  return toDay(new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + count, 1)));
}

const monthEnd = (day) => addDays(monthStart(day, 1), -1);

// The periods by name. `key` is the keyboard shortcut. `find` takes today and returns the first and the last day.
export const PERIODS = {
  today: { key: "d", days: 1, find: (today) => [today, today] },
  yesterday: { key: "e", find: (today) => [addDays(today, -1), addDays(today, -1)] },
  "7d": { key: "w", days: 7, find: (today) => [addDays(today, -6), today] },
  "30d": { key: "t", days: 30, find: (today) => [addDays(today, -29), today] },
  "90d": { key: "n", days: 90, find: (today) => [addDays(today, -89), today] },
  month: { key: "m", find: (today) => [monthStart(today), today] },
  "last-month": { key: "p", find: (today) => [monthStart(today, -1), monthEnd(monthStart(today, -1))] },
  year: { key: "y", find: (today) => [`${today.slice(0, 4)}-01-01`, today] },
  all: { key: "a", find: (today) => [null, today] },
};

const DEFAULT_PERIOD = "30d";

/** Return the range before (`step` -1) or after (1). It has as many days, or is a calendar month if the range is one. */
export function shiftRange(from, to, step) {
  if (from === monthStart(from) && to === monthEnd(from)) {
    const first = monthStart(from, step);
    return [first, monthEnd(first)];
  }
  const count = countDays(from, to) * step;
  return [addDays(from, count), addDays(to, count)];
}

// The filter parameters of the API, and the suffixes that select a comparison. Without a suffix, a session matches if
// its value is equal to that of the parameter.
export const FILTERS = {
  source: [".not", ".contains", ".prefix"],
  page: [".not", ".contains", ".prefix"],
  entry_page: [".not", ".contains", ".prefix"],
  exit_page: [".not", ".contains", ".prefix"],
  country: [".not"],
  engagement: [".not"],
  event_type: [".not"],
  visitor: [".not"],
  lead: [".not"],
};
const FILTER_NAMES = new Set(Object.entries(FILTERS).flatMap(([name, more]) => [name, ...more.map((each) => name + each)]));

// Parameters of the address with a fixed set of values. The first is the default, which the address leaves out.
export const CHOICES = {
  compare: ["previous", "year", "off"],
  interval: ["", "hour", "day", "week", "month"],
  metric: ["visitors", "sessions", "page_views", "duration", "engagement"],
  pages: ["pages", "entry_pages", "exit_pages"],
  by: ["source", "campaign", "country", "entry_page", "project"],
  order: ["leads", "won", "sessions", "lead_rate", "win_rate", "median_days_to_lead", "median_days_to_won"],
};

const pick = (value, choices, otherwise) => (choices.includes(value) ? value : otherwise);

/** Return the state of a query. Parameters that are missing or not valid have their defaults. */
export function readState(search) {
  const query = new URLSearchParams(search);
  const [from, to] = [query.get("from"), query.get("to")];
  const isFixed = isDay(from ?? "") && isDay(to ?? "") && from <= to;
  return {
    period: isFixed ? null : pick(query.get("period"), Object.keys(PERIODS), DEFAULT_PERIOD),
    from: isFixed ? from : null,
    to: isFixed ? to : null,
    ...Object.fromEntries(Object.entries(CHOICES).map(([name, choices]) => [name, pick(query.get(name), choices, choices[0])])),
    detail: query.get("detail") ?? "",
    search: query.get("search") ?? "",
    sort: pick(query.get("sort"), ["change", "decline"], ""),
    filters: [...query].filter(([name, value]) => FILTER_NAMES.has(name) && value),
    wall: query.has("wall"),
    isInvalid: hasInvalidDays(query, isFixed),
  };
}

/** Return whether a query has a range or a comparison that is not valid, so that another one is shown. */
function hasInvalidDays(query, isFixed) {
  const isUnknown = (name, values) => query.has(name) && !values.includes(query.get(name));
  return (!isFixed && (query.has("from") || query.has("to"))) || isUnknown("period", Object.keys(PERIODS)) || isUnknown("compare", CHOICES.compare);
}

/** Return the query string of a state with `?`. Parameters with their default values are omitted, so it may be empty. */
function writeState(state) {
  const query = new URLSearchParams();
  if (state.from) {
    query.set("from", state.from);
    query.set("to", state.to);
  } else if (state.period !== DEFAULT_PERIOD) query.set("period", state.period);
  for (const [name, choices] of Object.entries(CHOICES)) if (state[name] !== choices[0]) query.set(name, state[name]);
  for (const [name, value] of state.filters) query.append(name, value);
  if (state.detail) query.set("detail", state.detail);
  if (state.detail && state.search) query.set("search", state.search);
  if (state.detail && state.sort) query.set("sort", state.sort);
  if (state.wall) query.set("wall", "");
  return query.size ? `?${query}` : "";
}

export const requestOf = (state) => writeState({ ...state, metric: CHOICES.metric[0], pages: CHOICES.pages[0], order: CHOICES.order[0], ...CLOSED, wall: false });

export const linkTo = (state, changes) => writeState({ ...state, ...changes }) || location.pathname;

/** Return the properties of a link to this page in another state. `key` is for `keepFocus`. */
export const nav = (state, changes, key) => ({ href: linkTo(state, changes), "data-nav": "", "data-key": key });

// Changes of the state that close the open list.
export const CLOSED = { detail: "", search: "", sort: "" };

/** Return the first and the last day of a state. The first is null for all time. `today` is the site's. */
export const daysOf = (state, today) => (state.from ? [state.from, state.to] : PERIODS[state.period].find(today));

const yearEarlier = (day) => `${day.slice(0, 4) - 1}${day.slice(4).replace("-02-29", "-02-28")}`;

/** Return the first and the last day that the API compares a range with. */
export const comparedDays = ([from, to], compare) =>
  compare === "year" ? [yearEarlier(from), yearEarlier(to)] : [addDays(from, -countDays(from, to)), addDays(from, -1)];

/** Return whether the range depends on the site's today, which the page must first request. */
export const needsToday = (state) => !state.from && !PERIODS[state.period].days;

/** Return the API's query for the range and the filters. `today` may be null unless `needsToday(state)`. */
export function rangeQuery(state, today) {
  const query = new URLSearchParams();
  const days = state.period && PERIODS[state.period].days;
  if (days) query.set("days", days);
  else {
    const [from, to] = daysOf(state, today);
    if (from) query.set("from", from);
    query.set("to", to);
  }
  for (const [name, value] of state.filters) query.append(name, value);
  return query;
}

/** Return whether the state has a comparison. The period `all` has no comparison, because no days are before it. */
export const compares = (state) => state.compare !== "off" && state.period !== "all";

/** Return the state with one more filter, after the last one of the same name. An equal filter is removed first. */
export function addFilter(state, name, value) {
  const others = state.filters.filter(([each, text]) => !(each === name && text === value));
  const last = others.findLastIndex(([each]) => each === name);
  const filters = others.toSpliced(last < 0 ? others.length : last + 1, 0, [name, value]);
  return { ...state, filters, ...CLOSED };
}

export const removeFilter = (state, index) => ({ ...state, filters: state.filters.filter((_, at) => at !== index) });

/** Return the state with a filter replaced by its complement: `name` by `name.not` and the reverse. */
export function invertFilter(state, index) {
  const invert = (name) => (name.endsWith(".not") ? name.slice(0, -4) : `${name}.not`);
  const filters = state.filters.map(([name, value], at) => [at === index ? invert(name) : name, value]);
  return { ...state, filters };
}
