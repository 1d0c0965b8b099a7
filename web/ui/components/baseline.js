// One picture: the measured line against the usual band, or the counts as bars, with the alert's
// own time in orange and its highest point named. No legend.
import { html } from '../lib/html.js';
import { count, hourMinute, number, span } from '../lib/format.js';
import { comparable, measure, usual } from '../lib/measure.js';
import { useLoad } from '../lib/load.js';
import { useWidth } from '../lib/width.js';
import { zone } from '../lib/state.js';
import { Numbers } from './numbers.js';

const HEIGHT = 178;
const TOP = 26;
const FLOOR = 20;
const EDGE_PX = 50;
const PAD = 6;
const BAR_SHARE = 0.7;

const fixed = (...values) => values.map((value) => value.toFixed(1)).join(' ');

const asLine = (points, x, y) =>
  points.map(([at, n], nth) => `${nth === 0 ? 'M' : 'L'}${fixed(x(at), y(n))}`).join('');

/** Without a band to compare with, counts are bars: a line between them would invent some. */
function asBars(points, wide, x, y) {
  const bar = ([at, n]) => `M${fixed(x(at) - wide / 2, HEIGHT)}V${y(n)}h${wide}V${HEIGHT}z`;
  return points.filter(([, n]) => n > 0).map(bar).join('');
}

/** Points whose window touches the alert's time; where none does, all of them. */
function ofAlert(points, alert, width) {
  const [from, to] = [alert.t0 * 1000 - width / 2, alert.t1 * 1000 + width / 2];
  const inside = points.filter(([at, n]) => n > 0 && at >= from && at <= to);
  return inside.length > 0 ? inside : points.filter(([, n]) => n > 0);
}

const highest = (points) =>
  points.reduce((best, point) => (point[1] > (best?.[1] ?? 0) ? point : best), null);

function Band({ band, width, y }) {
  const height = Math.max(y(band.low) - y(band.high), 2);
  const words = `usual ${number(band.low)}-${number(band.high)}`;
  return html`<rect class="band" x="0" width=${width} y=${y(band.high)} height=${height} />
    <text class="band-name" x="6" y=${Math.max(y(band.high) - 5, 12)}>${words}</text>`;
}

function Peak({ peak: [at, n], width, x, y }) {
  const left = x(at);
  const anchor = left > width - EDGE_PX ? 'end' : left < EDGE_PX ? 'start' : 'middle';
  const words = `${count(n)} at ${hourMinute(at)}`;
  return html`<circle class="peak" cx=${left} cy=${y(n)} r="4" />
    <text class="peak-name" x=${left} y=${y(n) - 10} text-anchor=${anchor}>${words}</text>`;
}

function Drawing({ points, own, band, width, peak }) {
  const half = band || points.length < 2 ? 0 : (points[1][0] - points[0][0]) / 2;
  const first = points[0][0] - half;
  const last = points[points.length - 1][0] + half;
  const top = Math.max(highest(points)[1], band?.high ?? 0, 1);
  const x = (at) => PAD + ((at - first) / Math.max(last - first, 1)) * (width - 2 * PAD);
  const y = (n) => HEIGHT - (n / top) * (HEIGHT - TOP);
  const wide = points.length > 1 ? (x(points[1][0]) - x(points[0][0])) * BAR_SHARE : 4;
  const others = points.filter((point) => !own.includes(point));
  return html`
    ${band && html`<${Band} band=${band} width=${width} y=${y} />`}
    <line class="floor" x1="0" x2=${width} y1=${HEIGHT + 0.5} y2=${HEIGHT + 0.5} />
    ${band && html`<path class="measured" d=${asLine(points, x, y)} />`}
    ${!band && html`<path class="bars" d=${asBars(others, wide, x, y)} />
      <path class="measured bars" d=${asBars(own, wide, x, y)} />`}
    <${Peak} peak=${peak} width=${width} x=${x} y=${y} />
    <text x="0" y=${HEIGHT + 16}>${hourMinute(first)}</text>
    <text x=${width} y=${HEIGHT + 16} text-anchor="end">${hourMinute(last)}</text>`;
}

function Missing({ alert, data, error }) {
  if (error) return html`<p class="bad" role="alert">${error.message}</p>`;
  if (!alert.evidence?.query) {
    return html`<p class="dim">This alert names no query; its numbers are below.</p>`;
  }
  return data && html`<p class="dim">The events behind this alert are no longer stored.</p>`;
}

export function Baseline({ alert }) {
  const [box, width] = useWidth();
  zone.use();
  const ask = alert.evidence?.query ? (signal) => measure(alert, signal) : null;
  const { data, error } = useLoad(ask, [alert.id, alert.t1]);
  const points = data?.points ?? [];
  const known = usual(alert);
  const band = data && comparable(known, data.width) ? known : null;
  const own = data ? ofAlert(points, alert, data.width) : [];
  const peak = highest(own);
  // A single event makes a bucket of no width to speak of.
  const per = data?.width >= 1 ? ` per ${span(data.width)}` : '';
  const title = `Events that its query finds${per}${band ? ', against what is usual' : ''}`;
  const silent = alert.evidence?.baseline?.silent_at?.sentence;
  const most = peak ? `: ${count(peak[1])} at ${hourMinute(peak[0])}` : '';
  const interval = band ? `; usual is ${number(band.low)} to ${number(band.high)}` : '';
  return html`<section class="box picture">
    <h2>${title}</h2>
    <div ref=${box} class="drawing">
      ${!peak && html`<${Missing} alert=${alert} data=${data} error=${error} />`}
      ${peak && width > 0 && html`<svg
        width=${width}
        height=${HEIGHT + FLOOR}
        role="img"
        aria-label=${`${title}${most}${interval}.`}
      ><${Drawing} points=${points} own=${own} band=${band} width=${width} peak=${peak} /></svg>`}
    </div>
    ${silent && html`<p class="silent">${silent}</p>`}
    <${Numbers} base=${alert.evidence?.baseline} />
  </section>`;
}
