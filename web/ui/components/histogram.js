// Events over time: stacked bars, alerts as marks, drag to zoom. The table beneath says the same to readers of text.
import { html, useEffect, useRef, useState } from '../lib/html.js';
import { clock, count, day, hourMinute, millis, plural, span, stamp } from '../lib/format.js';
import { zone } from '../lib/state.js';

const HEIGHT = 92;
const AXIS = 22;
const DRAG_MIN_PX = 5;
const STEPS_MS = [1, 2, 5, 10, 15, 30].map((s) => s * 1000)
  .concat([1, 2, 5, 10, 15, 30].map((m) => m * 60_000), [1, 2, 3, 6, 12].map((h) => h * 3_600_000))
  .concat([1, 2, 7, 14, 30].map((d) => d * 86_400_000));

/** How a value of the colouring field is drawn: its meaning where it has one. */
export function barClass(value) {
  const word = String(value).toLowerCase();
  if (/^(fatal|crit|emerg|alert|err|5\d\d$)/.test(word)) return 'hot';
  if (/^(warn|fail|denied|deny|4\d\d$)/.test(word)) return 'warm';
  if (/^(debug|trace|3\d\d$)/.test(word)) return 'cool';
  return 'plain';
}

function ticks(from, to, width) {
  const wish = (to - from) / Math.max(width / 150, 2);
  const step = STEPS_MS.find((size) => size >= wish) ?? STEPS_MS[STEPS_MS.length - 1];
  const offset = zone.get() === 'utc' ? 0 : new Date(from).getTimezoneOffset() * 60_000;
  const write = step >= 86_400_000 ? (ms) => day(ms).slice(5) : step >= 60_000
    ? (ms) => (to - from > 86_400_000 ? `${day(ms).slice(5)} ${hourMinute(ms)}` : hourMinute(ms)) : clock;
  const found = [];
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to; at += step) found.push([at, write(at)]);
  return found;
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

function Bars({ buckets, from, to, step, width, top }) {
  const scale = width / (to - from);
  return buckets.map((bucket) => {
    if (bucket.count === 0) return null;
    const x = (millis(bucket.from) - from) * scale;
    const w = Math.max(step * scale - (step * scale > 4 ? 2 : 0.5), 1);
    const order = { plain: 0, cool: 1, warm: 2, hot: 3 };
    const sums = { plain: 0, cool: 0, warm: 0, hot: 0 };
    let named = 0;
    for (const { value, count: n } of bucket.by ?? []) {
      sums[barClass(value)] += n;
      named += n;
    }
    sums.plain += Math.max(bucket.count - named, 0);
    let y = HEIGHT;
    return Object.keys(order).map((name) => {
      if (sums[name] === 0) return null;
      const h = Math.max((sums[name] / top) * (HEIGHT - 8), 1.5);
      y -= h;
      return html`<rect key=${`${bucket.from}${name}`} class=${`bar-${name}`} x=${x} y=${y} width=${w} height=${h} />`;
    });
  });
}

/** Alerts closer than the width of a mark share one. */
function grouped(alerts, from, to, width) {
  const marks = [];
  for (const alert of [...alerts].sort((a, b) => a.ts - b.ts)) {
    const x = ((alert.ts * 1000 - from) / (to - from)) * width;
    if (x < 0 || x > width) continue;
    const last = marks[marks.length - 1];
    if (last && x - last.x < 10) last.alerts.push(alert);
    else marks.push({ x, alerts: [alert] });
  }
  return marks;
}

function Marks({ alerts, from, to, width }) {
  return grouped(alerts, from, to, width).map(({ x, alerts: some }) => {
    const title = some.length === 1 ? `Alert: ${some[0].title}` : `${some.length} alerts, the first: ${some[0].title}`;
    return html`<a key=${some[0].id} class="alert-mark" href=${`/alerts/${encodeURIComponent(some[0].id)}`} aria-label=${title}>
      <title>${title}</title><line x1=${x} x2=${x} y1="0" y2=${HEIGHT} />
      <rect class="hit-area" x=${x - 12} y=${HEIGHT - 2} width="24" height="24" />
      <path d=${`M${x - 4} ${HEIGHT + 11}h8l-4-7z`} /></a>`;
  });
}

function summary(buckets, by) {
  const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  if (total === 0) return 'No events in this range.';
  const most = buckets.reduce((best, bucket) => (bucket.count > best.count ? bucket : best));
  return `${plural(total, 'event')} over time${by ? `, coloured by ${by}` : ''}; the most, ${count(most.count)}, at ${stamp(most.from)}.`;
}

function describe(bucket, step, by) {
  const parts = (bucket.by ?? []).slice(0, 4).map(({ value, count: n }) => `${value} ${count(n)}`);
  return `${stamp(bucket.from).slice(0, -4)} · ${plural(bucket.count, 'event')} in ${span(step)}`
    + (by && parts.length > 0 ? ` · ${parts.join(', ')}` : '');
}

function useBrush(width, onDrag) {
  const [drag, setDrag] = useState(null);
  const place = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.max(0, Math.min(width, event.clientX - box.left));
  };
  const handlers = {
    onPointerDown: (event) => {
      if (event.button !== 0 || event.target.closest('a')) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      setDrag({ start: place(event), end: place(event) });
    },
    onPointerMove: (event) => drag && setDrag({ ...drag, end: place(event) }),
    onPointerUp: () => {
      if (drag && Math.abs(drag.end - drag.start) >= DRAG_MIN_PX) {
        onDrag(Math.min(drag.start, drag.end) / width, Math.max(drag.start, drag.end) / width);
      }
      setDrag(null);
    },
    onPointerCancel: () => setDrag(null),
  };
  return [drag, handlers];
}

export function Histogram({ data, by, alerts, onZoom }) {
  const [box, width] = useWidth();
  const [near, setNear] = useState(null);
  zone.use();
  const from = data ? millis(data.from) : 0;
  const to = data ? Math.max(millis(data.to), from + 1) : 1;
  const buckets = data?.buckets ?? [];
  const step = data?.width_ms || Math.max((to - from) / Math.max(buckets.length, 1), 1);
  const [drag, handlers] = useBrush(width, (a, b) => onZoom(from + a * (to - from), from + b * (to - from)));
  const top = Math.max(...buckets.map((bucket) => bucket.count), 1);
  const look = (event) => {
    const x = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const ms = from + (x / width) * (to - from);
    setNear(buckets.find((bucket) => millis(bucket.from) <= ms && ms < millis(bucket.from) + step) ?? null);
  };
  return html`<figure class="histogram" ref=${box} onPointerLeave=${() => setNear(null)} onPointerMove=${look}>
    ${width > 0 && data && html`<svg width=${width} height=${HEIGHT + AXIS} role="group"
        aria-label=${summary(buckets, by)} ...${handlers}>
      <${Bars} buckets=${buckets} from=${from} to=${to} step=${step} width=${width} top=${top} />
      <line class="floor" x1="0" x2=${width} y1=${HEIGHT + .5} y2=${HEIGHT + .5} />
      <g aria-hidden="true">${ticks(from, to, width).map(([at, word]) => {
    const x = ((at - from) / (to - from)) * width;
    return html`<text key=${at} x=${x} y=${HEIGHT + 15}
        text-anchor=${x < 30 ? 'start' : x > width - 30 ? 'end' : 'middle'}>${word}</text>`;
  })}</g>
      <${Marks} alerts=${alerts} from=${from} to=${to} width=${width} />
      ${drag && html`<rect class="brush" x=${Math.min(drag.start, drag.end)} y="0" height=${HEIGHT}
        width=${Math.abs(drag.end - drag.start)} />`}
    </svg>`}
    <figcaption class="readout">${near ? describe(near, step, by) : ''}</figcaption>
    <p class="sr">${summary(buckets, by)}</p>
  </figure>`;
}
