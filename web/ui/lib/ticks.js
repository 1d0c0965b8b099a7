// Where a time axis has its marks, and what they say: round times of the chosen zone.
import { clock, day, hourMinute } from './format.js';
import { zone } from './state.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS_MS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14, 30, 90, 365].map((n) => n * DAY),
];
const APART_PX = 150;

function writer(step, length) {
  if (step >= DAY) return (ms) => day(ms).slice(5);
  if (length > DAY) return (ms) => `${day(ms).slice(5)} ${hourMinute(ms)}`;
  return step >= MINUTE ? hourMinute : clock;
}

/** `[milliseconds, words]` of each mark between two moments on an axis of `width` pixels. */
export function ticks(from, to, width) {
  const wish = (to - from) / Math.max(width / APART_PX, 2);
  const step = STEPS_MS.find((size) => size >= wish) ?? STEPS_MS[STEPS_MS.length - 1];
  const offset = zone.get() === 'utc' ? 0 : new Date(from).getTimezoneOffset() * MINUTE;
  const write = writer(step, to - from);
  const found = [];
  const first = Math.ceil((from - offset) / step) * step + offset;
  for (let at = first; at <= to; at += step) found.push([at, write(at)]);
  return found;
}
