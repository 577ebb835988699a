// Days of the site as `YYYY-MM-DD`, and ranges of them. Nothing here reads the browser's clock or time zone.

const DAY = 86_400_000;

const toDate = (day) => new Date(`${day}T00:00:00Z`);
const toDay = (date) => date.toISOString().slice(0, 10);

/** Return whether a text is a day that exists. */
export function isDay(text) {
  const date = /^\d{4}-\d\d-\d\d$/.test(text) ? toDate(text) : new Date(NaN);
  return !Number.isNaN(date.getTime()) && toDay(date) === text;
}

/** Return the day that is `count` days later. */
export const addDays = (day, count) => toDay(new Date(toDate(day).getTime() + count * DAY));

/** Return the number of days from `from` to `to`, both included. */
const countDays = (from, to) => Math.round((toDate(to) - toDate(from)) / DAY) + 1;

/** Return the first day of the month that is `count` months later. */
export function monthStart(day, count = 0) {
  const date = toDate(day);
  return toDay(new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + count, 1)));
}

const monthEnd = (day) => addDays(monthStart(day, 1), -1);

// The periods by name, with the key that chooses each. `find` takes today.
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

export const DEFAULT_PERIOD = "30d";

/** Return the range before (`step` -1) or after (1): whole months for whole months, else as many days. */
export function shiftRange(from, to, step) {
  if (from === monthStart(from) && to === monthEnd(from)) {
    const first = monthStart(from, step);
    return [first, monthEnd(first)];
  }
  const count = countDays(from, to) * step;
  return [addDays(from, count), addDays(to, count)];
}
