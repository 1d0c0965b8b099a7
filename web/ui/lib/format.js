// Numbers, times and sizes as the interface writes them; times in UTC or local, by `zone`.
import { zone } from './state.js';

const GROUPED = new Intl.NumberFormat('en-US');

/** `4140` as `4,140`. */
export const count = (value) => GROUPED.format(Math.round(value ?? 0));

/** `1 event`, `2 events`. */
export const plural = (value, one, many = `${one}s`) =>
  `${count(value)} ${value === 1 ? one : many}`;

/** A measured number with at most three digits that matter. */
export function number(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 100 || Number.isInteger(value)) return count(value);
  return String(Number(value.toPrecision(3)));
}

/** Bytes as `12.4 MB`. */
export function bytes(value) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let rest = value;
  let at = 0;
  while (rest >= 1000 && at < units.length - 1) {
    rest /= 1000;
    at += 1;
  }
  return `${at === 0 ? rest : rest.toFixed(rest < 10 ? 1 : 0)} ${units[at]}`;
}

/** Milliseconds since the epoch of RFC 3339 text, or of a number of seconds or milliseconds. */
export function millis(value) {
  if (typeof value === 'number') return value < 1e11 ? value * 1000 : value;
  const parsed = Date.parse(value);
  return Number.isNaN(parsed) ? null : parsed;
}

const two = (value) => String(value).padStart(2, '0');

function parts(ms) {
  const date = new Date(ms);
  if (zone.get() === 'utc') {
    return {
      y: date.getUTCFullYear(),
      mo: date.getUTCMonth() + 1,
      d: date.getUTCDate(),
      h: date.getUTCHours(),
      mi: date.getUTCMinutes(),
      s: date.getUTCSeconds(),
      ms: date.getUTCMilliseconds(),
    };
  }
  return {
    y: date.getFullYear(),
    mo: date.getMonth() + 1,
    d: date.getDate(),
    h: date.getHours(),
    mi: date.getMinutes(),
    s: date.getSeconds(),
    ms: date.getMilliseconds(),
  };
}

/** `11-22 09:31:07.412`, with the year where it is not this year. */
export function stamp(value) {
  const ms = millis(value);
  if (ms === null) return String(value);
  const p = parts(ms);
  const year = p.y === parts(Date.now()).y ? '' : `${p.y}-`;
  return `${year}${two(p.mo)}-${two(p.d)} ${clock(ms)}.${String(p.ms).padStart(3, '0')}`;
}

/** `09:31:07`. */
export function clock(value) {
  const p = parts(millis(value));
  return `${two(p.h)}:${two(p.mi)}:${two(p.s)}`;
}

/** `09:31`. */
export const hourMinute = (value) => clock(value).slice(0, 5);

/** `2026-11-22`. */
export function day(value) {
  const p = parts(millis(value));
  return `${p.y}-${two(p.mo)}-${two(p.d)}`;
}

/** A time as short as its distance from now allows: `09:31`, `Sat 09:31`, `11-02`, `2025-11-02`. */
export function shortTime(value, now = Date.now()) {
  const ms = millis(value);
  if (ms === null) return String(value);
  if (day(ms) === day(now)) return hourMinute(ms);
  if (now - ms < 6 * 86_400_000 && ms <= now) {
    const timeZone = zone.get() === 'utc' ? 'UTC' : undefined;
    const weekday = new Intl.DateTimeFormat('en-GB', { weekday: 'short', timeZone });
    return `${weekday.format(ms)} ${hourMinute(ms)}`;
  }
  return parts(ms).y === parts(now).y ? day(ms).slice(5) : day(ms);
}

/** The exact time for a tooltip, always with its zone. */
export function exact(value) {
  const ms = millis(value);
  if (ms === null) return String(value);
  return typeof value === 'string' ? value : new Date(ms).toISOString();
}

/** `10 min`, `6 h`, `3 d`: a length of time in the largest unit that fits. */
export function span(ms) {
  const steps = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1000, 's'],
  ];
  for (const [size, unit] of steps) {
    if (ms >= size) return `${number(Number((ms / size).toFixed(ms / size < 10 ? 1 : 0)))} ${unit}`;
  }
  return `${Math.round(ms)} ms`;
}

/** How long ago, in words. */
export function ago(value, now = Date.now()) {
  const ms = millis(value);
  if (ms === null) return String(value);
  return ms > now - 1000 ? 'just now' : `${span(now - ms)} ago`;
}

/** `log_source_silent` as `log source silent`. */
export const words = (name) => String(name).replace(/[_.]+/g, ' ');
