// What an alert measured, over time, and what is usual: read from the detector's numbers and
// counted again from the events, never invented.
import { get } from './api.js';
import { between } from './range.js';
import { millis } from './format.js';

const POINTS_MIN = 12;
const POINTS_MAX = 96;
const WINDOWS_BEFORE = 12;
const WINDOWS_AFTER = 4;
const STEP_MIN_MS = 60_000;
/** A band counted per window fits a line counted per bucket when both are about as long. */
const FITS = 0.25;

const UNIT_S = { s: 1, min: 60, h: 3600, d: 86_400 };

/** Milliseconds of `10 min`, `90 s`, `1 h`, `1 d`, or of a number of seconds. */
function windowMs(base) {
  if (Number.isFinite(base.timespan_seconds)) return base.timespan_seconds * 1000;
  const found = /^(\d+) (s|min|h|d)$/.exec(base.window ?? '');
  return found ? Number(found[1]) * UNIT_S[found[2]] * 1000 : null;
}

/** `{low, high, window}` of the baseline; `high` is null where the detector gives no interval. */
export function usual(alert) {
  const base = alert.evidence?.baseline ?? {};
  const known = Number.isFinite(base.low) && Number.isFinite(base.high);
  return { low: known ? base.low : null, high: known ? base.high : null, window: windowMs(base) };
}

/** Whether the interval may stand behind the measured line. */
export function comparable({ high, window }, width) {
  return high !== null && (window === null || Math.abs(width - window) < window * FITS);
}

const clamp = (value) => Math.min(Math.max(Math.round(value), POINTS_MIN), POINTS_MAX);

/** Events behind the alert per window, some windows before and after it: `{points, width}`. */
export async function measure(alert, signal) {
  const { window } = usual(alert);
  const [t0, t1] = [alert.t0 * 1000, alert.t1 * 1000];
  const step = window ?? Math.max((t1 - t0) / 4, STEP_MIN_MS);
  const start = Math.floor(t0 / step - WINDOWS_BEFORE) * step;
  const wished = Math.ceil(t1 / step + WINDOWS_AFTER) * step;
  const end = Math.min(wished, Math.ceil(Date.now() / step) * step);
  const ask = (buckets) =>
    get('/histogram', { q: alert.evidence.query, ...between(start, end), buckets }, signal);
  let answer = await ask(clamp((end - start) / step));
  if (Math.abs(answer.width_ms - step) > step * FITS) {
    // The server counts only where it has data; over that part, ask for windows of our length.
    answer = await ask(clamp((millis(answer.to) - millis(answer.from)) / step));
  }
  return { points: filled(answer, start, end), width: answer.width_ms };
}

/** `[middle, count]` over the whole range: where the server has no bucket there was no event. */
function filled({ buckets, width_ms: width }, start, end) {
  const points = buckets.map((bucket) => [millis(bucket.from) + width / 2, bucket.count]);
  if (points.length === 0 || width <= 0) return points;
  for (let at = points[0][0] - width; at > start && points.length < 2 * POINTS_MAX; at -= width) {
    points.unshift([at, 0]);
  }
  const last = points[points.length - 1][0];
  for (let at = last + width; at < end && points.length < 2 * POINTS_MAX; at += width) {
    points.push([at, 0]);
  }
  return points;
}
