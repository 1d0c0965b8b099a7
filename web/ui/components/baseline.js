// One picture: the measured line against the usual band, the breaking point named. No legend needed.
import { html, useEffect, useRef, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { between } from '../lib/range.js';
import { count, hourMinute, millis, number, span, stamp, words } from '../lib/format.js';
import { useLoad } from '../lib/load.js';
import { zone } from '../lib/state.js';

const HEIGHT = 178;
const TOP = 26;
const FLOOR = 20;
const POINTS_MIN = 12;
const POINTS_MAX = 96;
const LEAD = 12;

const firstNumber = (object, names) => names.map((name) => object?.[name]).find(Number.isFinite);

/** The usual interval and the window it is counted in, where the detector gives them. */
export function usual(alert) {
  const base = alert.evidence?.baseline ?? {};
  const pair = ['interval', 'usual', 'range'].map((name) => base[name])
    .find((value) => Array.isArray(value) && value.length === 2 && value.every(Number.isFinite));
  const low = pair?.[0] ?? firstNumber(base, ['low', 'usual_low', 'p05', 'p5']);
  const high = pair?.[1] ?? firstNumber(base, ['high', 'usual_high', 'p95', 'p99']);
  const seconds = firstNumber(base, ['window_s', 'window_seconds', 'timespan_seconds']) ?? spanOf(base.window);
  return { low: low ?? 0, high, window: seconds ? seconds * 1000 : null };
}

/** Seconds of `10 min`, `90 s`, `1 h`, `1 d`; a number is seconds already. */
function spanOf(words) {
  if (Number.isFinite(words)) return words;
  const found = /^(\d+) (s|min|h|d)$/.exec(words ?? '');
  return found ? Number(found[1]) * { s: 1, min: 60, h: 3600, d: 86_400 }[found[2]] : undefined;
}

/** The series behind the picture: matching events per window around the alert. */
async function measure(alert, window, signal) {
  const q = alert.evidence.query;
  const step = window ?? Math.max((alert.t1 - alert.t0) * 1000 / 4, 60_000);
  const start = Math.floor((alert.t0 * 1000) / step - LEAD) * step;
  const end = Math.min(Math.ceil((alert.t1 * 1000) / step + 4) * step, Math.ceil(Date.now() / step) * step);
  const points = Math.min(Math.max(Math.round((end - start) / step), POINTS_MIN), POINTS_MAX);
  const histogram = await get('/histogram', { q, ...between(start, end), buckets: points }, signal);
  return { ...histogram, start, end };
}

/** Points over the whole range asked for: where the server has no buckets there were no events. */
function series({ buckets, width_ms: width, start, end }) {
  const found = buckets.map((bucket) => [millis(bucket.from) + width / 2, bucket.count]);
  const points = [...found];
  if (found.length === 0) return [];
  for (let at = found[0][0] - width; at > start; at -= width) points.unshift([at, 0]);
  for (let at = found[found.length - 1][0] + width; at < end; at += width) points.push([at, 0]);
  return points.slice(-2 * POINTS_MAX);
}

function useWidth() {
  const box = useRef(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  return [box, width];
}

const asLine = (points, x, y) =>
  points.map(([time, value], n) => `${n === 0 ? 'M' : 'L'}${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join('');

/** Without a band to compare with, counts of single events are bars: a line between them would invent some. */
function asBars(points, x, y) {
  const wide = points.length > 1 ? Math.max((x(points[1][0]) - x(points[0][0])) * 0.7, 1) : 4;
  return points.filter(([, value]) => value > 0)
    .map(([at, value]) => `M${(x(at) - wide / 2).toFixed(1)} ${HEIGHT}V${y(value).toFixed(1)}h${wide.toFixed(1)}V${HEIGHT}z`).join('');
}

function Drawing({ points, band, width, peak }) {
  const half = band || points.length < 2 ? 0 : (points[1][0] - points[0][0]) / 2;
  const first = points[0][0] - half;
  const last = points[points.length - 1][0] + half;
  const top = Math.max(peak[1], band?.high ?? 0, 1);
  const x = (at) => ((at - first) / Math.max(last - first, 1)) * width;
  const y = (value) => HEIGHT - (value / top) * (HEIGHT - TOP);
  const line = band ? asLine(points, x, y) : asBars(points, x, y);
  const at = x(peak[0]);
  const anchor = at > width - 50 ? 'end' : at < 50 ? 'start' : 'middle';
  return html`
    ${band && html`<rect class="band" x="0" width=${width} y=${y(band.high)}
      height=${Math.max(y(band.low) - y(band.high), 2)} />
    <text class="band-name" x="6" y=${Math.max(y(band.high) - 5, 12)}>usual ${number(band.low)}-${number(band.high)}</text>`}
    <line class="floor" x1="0" x2=${width} y1=${HEIGHT + .5} y2=${HEIGHT + .5} />
    <path class=${band ? 'measured' : 'measured bars'} d=${line} />
    <circle class="peak" cx=${at} cy=${y(peak[1])} r="4" />
    <text class="peak-name" x=${at} y=${y(peak[1]) - 10} text-anchor=${anchor}>${count(peak[1])} at ${hourMinute(peak[0])}</text>
    <text class="axis" x="0" y=${HEIGHT + 16}>${hourMinute(first)}</text>
    <text class="axis" x=${width} y=${HEIGHT + 16} text-anchor="end">${hourMinute(last)}</text>`;
}

/** The baseline's numbers as the detector gave them, for what the picture cannot show. */
function Numbers({ base }) {
  const shown = (value) => value !== null && value !== false && (typeof value !== 'object'
    || (Array.isArray(value) && value.length > 0 && value.length <= 12 && value.every((one) => typeof one !== 'object')));
  const entries = Object.entries(base ?? {}).filter(([, value]) => shown(value));
  if (entries.length === 0) return null;
  const write = (name, value) => {
    if (Array.isArray(value)) return value.map((one) => (typeof one === 'number' ? number(one) : String(one))).join(', ');
    if (/(_s|_seconds)$/.test(name) && Number.isFinite(value)) return span(value * 1000);
    if (/(since|_at|_ts)$/.test(name) && value > 1e9) return stamp(value);
    if (value === true) return 'yes';
    return typeof value === 'number' ? number(value) : String(value);
  };
  return html`<dl class="numbers">${entries.slice(0, 12).map(([name, value]) => html`<div key=${name}>
    <dt>${words(name.replace(/_(s|seconds)$/, ''))}</dt><dd>${write(name, value)}</dd></div>`)}</dl>`;
}

export function Baseline({ alert }) {
  const [box, width] = useWidth();
  zone.use();
  const known = usual(alert);
  const { data, error } = useLoad(alert.evidence?.query ? (signal) => measure(alert, known.window, signal) : null,
    [alert.id, alert.t1]);
  const points = data ? series(data) : [];
  const peak = points.length > 0 ? points.reduce((best, point) => (point[1] > best[1] ? point : best)) : null;
  const comparable = known.high !== undefined && data && (!known.window || Math.abs(data.width_ms - known.window) < known.window * 0.25);
  const band = comparable ? { low: known.low, high: known.high } : null;
  const per = data ? span(data.width_ms) : '';
  const title = `Events behind this alert per ${per || 'interval'}${band ? ', against what is usual' : ''}`;
  const summary = peak ? `${title}: at most ${count(peak[1])} at ${hourMinute(peak[0])}${band
    ? `; usual is ${number(band.low)} to ${number(band.high)}` : ''}.` : '';
  return html`<section class="box picture"><h2>${title}</h2>
    <div ref=${box} class="drawing">${width > 0 && peak && html`<svg width=${width} height=${HEIGHT + FLOOR} role="img"
      aria-label=${summary}><${Drawing} points=${points} band=${band} width=${width} peak=${peak} /></svg>`}
      ${error && html`<p class="bad" role="alert">${error.message}</p>`}
      ${data && !peak && html`<p class="dim">The events behind this alert are no longer stored.</p>`}
      ${!alert.evidence?.query && html`<p class="dim">This alert names no query; its numbers are below.</p>`}
    </div>
    <${Numbers} base=${alert.evidence?.baseline} /></section>`;
}
