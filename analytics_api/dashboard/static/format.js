// Format numbers, durations and days in the language of the page. Days are in the site's time zone, not the browser's.

import { texts } from "./texts.js";

const locale = document.documentElement.lang;

// Creating a format is slow, so each is created at its first use and cached.
const memo = (create) => {
  const known = new Map();
  return (key) => known.get(key) ?? known.set(key, create(key)).get(key);
};
const numbers = (options) => memo(() => new Intl.NumberFormat(locale, options));
const dates = (options) => memo(() => new Intl.DateTimeFormat(locale, { timeZone: "UTC", ...options }));

const whole = numbers();
const tenth = numbers({ minimumFractionDigits: 1, maximumFractionDigits: 1 });
const compact = numbers({ notation: "compact", maximumFractionDigits: 1 });
const percent = numbers({ style: "percent", maximumFractionDigits: 0 });
const percentTenth = numbers({ style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const dayCount = numbers({ style: "unit", unit: "day", unitDisplay: "narrow", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const shortDay = dates({ day: "numeric", month: "short" });
const longDay = dates({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
const mediumDay = dates({ day: "numeric", month: "short", year: "numeric" });
const month = dates({ month: "short", year: "numeric" });
const hour = dates({ hour: "numeric" });
const zoned = (options) => memo((timeZone) => new Intl.DateTimeFormat(locale, { timeZone, ...options }));
const moments = zoned({ dateStyle: "medium", timeStyle: "short" });
const recentMoments = zoned({ day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
const zonedDays = zoned({ dateStyle: "medium" });
const recentDays = zoned({ day: "numeric", month: "short" });
const ageFormats = (unitDisplay) => memo((unit) => new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay }));
const ages = { long: ageFormats("long"), narrow: ageFormats("narrow") };
const regions = memo(() => new Intl.DisplayNames([locale], { type: "region", fallback: "code" }));

export const integer = (value) => whole().format(value);
const decimal = (value) => tenth().format(value);
export const share = (part, total) => (total ? percentTenth().format(part / total) : "");

export function duration(seconds) {
  const total = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const two = (value) => String(value).padStart(2, "0");
  if (hours) return `${integer(hours)}h ${two(minutes)}m`;
  return minutes ? `${minutes}m ${two(rest)}s` : `${rest}s`;
}

export const days = (value) => dayCount().format(value);

export const axis = (value, metric) => (metric === "duration" ? duration(value) : compact().format(value));

export function metricValue(value, metric) {
  if (metric === "duration") return duration(value);
  return metric === "engagement" ? decimal(value) : integer(value);
}

/** Return a change as `{ text, sign }`, such as `+12%`. The text is "new" if only `previous` is 0. Return null if both are 0. */
export function change(value, previous) {
  if (!previous) return value ? { text: texts.isNew, sign: 1 } : null;
  const ratio = (value - previous) / previous;
  const rounded = Math.round(ratio * 100);
  return { text: signOf(rounded) + percent().format(Math.abs(ratio)), sign: Math.sign(rounded) };
}

const signOf = (value) => (value > 0 ? "+" : value < 0 ? "−" : "");

export const difference = (value) => signOf(value) + integer(Math.abs(value));

export function country(code) {
  if (code === "XX") return texts.unknownCountry;
  try {
    return /^[A-Z]{2}$/.test(code) ? regions().of(code) : code;
  } catch {
    return code;
  }
}

const MAX_NAME = 300; // characters that are shown; the tooltip and the CSV have the whole text
const MAX_MESSAGE = 2000; // characters of a field of a form that are shown; the collector stores no more

/** Return a string without bidi controls, and with a visible symbol for each control character. */
export const withoutControls = (text) =>
  String(text)
    .replace(/[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/g, "")
    .replace(/[\0-\x1f\x7f]/g, (control) => String.fromCharCode(control === "\x7f" ? 0x2421 : 0x2400 + control.charCodeAt(0)));

const cut = (text, length) => (text.length > length ? `${text.slice(0, length)}…` : text);

export const shorten = (text) => cut(withoutControls(text), MAX_NAME);

/** Return the beginning of a text that may have several lines. */
export const message = (text) => cut(text.split(/\r\n?|\n/).map(withoutControls).join("\n"), MAX_MESSAGE);

// The `date` of a row of a series is an hour in the site's time zone, `YYYY-MM-DDTHH:MM+HH:MM`, or the first day of the row.
// The offset is ignored, and the local time is read as UTC, because `dates` formats in UTC.
const toDate = (text) => new Date(`${text.slice(0, 10)}T${text.length > 10 ? text.slice(11, 16) : "00:00"}:00Z`);

/** Return the name of a row of a series: a short one for the axis, or a long one. */
export function interval(date, kind, isLong = false) {
  const at = toDate(date);
  if (Number.isNaN(at.getTime())) return date;
  if (kind === "month") return month().format(at);
  if (kind === "hour") return isLong ? `${longDay().format(at)}, ${hour().format(at)}` : hour().format(at);
  if (kind === "week" && isLong) return texts.weekOf(mediumDay().format(at));
  return (isLong ? longDay() : shortDay()).format(at);
}

/** Return an instant as a day and time in a time zone. The default is the browser's. */
export const moment = (milliseconds, timeZone) => moments(timeZone).format(milliseconds);

const isRecent = (milliseconds) => Math.abs(Date.now() - milliseconds) < 300 * 86_400_000; // within 300 days, the year is clear

/** Return an instant as a day and time, or as a day, in a time zone. A recent one is shown without the year. */
export const shortMoment = (milliseconds, timeZone) => (isRecent(milliseconds) ? recentMoments : moments)(timeZone).format(milliseconds);
export const dayOf = (milliseconds, timeZone) => (isRecent(milliseconds) ? recentDays : zonedDays)(timeZone).format(milliseconds);

/** Return a duration in its largest unit: `3 days`, or narrow `3d`. */
export function age(milliseconds, width = "long") {
  const minutes = Math.max(0, Math.floor(milliseconds / 60_000));
  const [unit, value] = minutes >= 1440 ? ["day", Math.floor(minutes / 1440)] : minutes >= 60 ? ["hour", Math.floor(minutes / 60)] : ["minute", minutes];
  return ages[width](unit).format(value);
}

/** Convert a lead's UTC date text to ms since the epoch. Return null for null or an empty text. */
export const leadInstant = (text) => (text ? Date.parse(`${text.replace(" ", "T")}Z`) : null);

export function range(from, to) {
  if (!from) return texts.until(mediumDay().format(toDate(to)));
  if (from === to) return longDay().format(toDate(from));
  return mediumDay().formatRange(toDate(from), toDate(to));
}
