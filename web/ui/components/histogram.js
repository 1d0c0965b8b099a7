// Events over time: stacked bars, alerts as marks, drag to zoom. The caption says the same to
// readers of text.
import { html, useState } from '../lib/html.js';
import { count, millis, plural, span, stamp } from '../lib/format.js';
import { ticks } from '../lib/ticks.js';
import { useWidth } from '../lib/width.js';
import { zone } from '../lib/state.js';
import { AlertMarks } from './alert-marks.js';

const HEIGHT = 92;
const HEADROOM = 8;
const AXIS = 22;
const EDGE_PX = 30;
const MARK_PX = 24;
const DRAG_MIN_PX = 5;
const VALUES_NAMED = 4;
/** From the floor up: what is usual stands below, what is bad on top. */
const LAYERS = ['plain', 'cool', 'warm', 'hot'];

/** How a value of the colouring field is drawn: by its meaning where it has one. */
function layerOf(value) {
  const word = String(value).toLowerCase();
  if (/^(fatal|crit|emerg|alert|err|5\d\d$)/.test(word)) return 'hot';
  if (/^(warn|fail|denied|deny|4\d\d$)/.test(word)) return 'warm';
  if (/^(debug|trace|3\d\d$)/.test(word)) return 'cool';
  return 'plain';
}

function layers(bucket) {
  const sums = { plain: bucket.count, cool: 0, warm: 0, hot: 0 };
  for (const { value, count: n } of bucket.by ?? []) {
    const layer = layerOf(value);
    if (layer === 'plain') continue;
    sums[layer] += n;
    sums.plain = Math.max(sums.plain - n, 0);
  }
  return sums;
}

function Bars({ buckets, view, step, top }) {
  const wide = step * view.scale;
  const width = Math.max(wide - (wide > 4 ? 2 : 0.5), 1);
  return buckets.filter((bucket) => bucket.count > 0).map((bucket) => {
    const sums = layers(bucket);
    let y = HEIGHT;
    return LAYERS.filter((name) => sums[name] > 0).map((name) => {
      const height = Math.max((sums[name] / top) * (HEIGHT - HEADROOM), 1.5);
      y -= height;
      return html`<rect
        key=${bucket.from + name}
        class=${`bar-${name}`}
        x=${view.x(millis(bucket.from))}
        y=${y}
        width=${width}
        height=${height}
      />`;
    });
  });
}

function Axis({ view, alerts }) {
  const anchor = (x) => (x < EDGE_PX ? 'start' : x > view.width - EDGE_PX ? 'end' : 'middle');
  return html`<g aria-hidden="true">
    <line class="floor" x1="0" x2=${view.width} y1=${HEIGHT + 0.5} y2=${HEIGHT + 0.5} />
    ${ticks(view.from, view.to, view.width).map(([at, word]) => {
      const x = view.x(at);
      // The mark of an alert stands in the same line and matters more.
      if (alerts.some((alert) => Math.abs(view.x(alert.ts * 1000) - x) < MARK_PX)) return null;
      return html`<text key=${at} x=${x} y=${HEIGHT + 15} text-anchor=${anchor(x)}>${word}</text>`;
    })}
  </g>`;
}

function summary(buckets, by) {
  const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  if (total === 0) return 'No events in this range.';
  const most = buckets.reduce((best, bucket) => (bucket.count > best.count ? bucket : best));
  const coloured = by ? `, coloured by ${by}` : '';
  const peak = `the most, ${count(most.count)}, at ${stamp(most.from)}`;
  return `${plural(total, 'event')} over time${coloured}; ${peak}.`;
}

function describe(bucket, step) {
  const named = (bucket.by ?? []).slice(0, VALUES_NAMED);
  const parts = named.map(({ value, count: n }) => `${value} ${count(n)}`).join(', ');
  const what = `${plural(bucket.count, 'event')} in ${span(step)}`;
  return [stamp(bucket.from).slice(0, -4), what, parts].filter(Boolean).join(' · ');
}

const within = (event, width) => {
  const x = event.clientX - event.currentTarget.getBoundingClientRect().left;
  return Math.max(0, Math.min(width, x));
};

/** Drag over the drawing; `onDrag` gets both ends in pixels. */
function useBrush(width, onDrag) {
  const [drag, setDrag] = useState(null);
  const handlers = {
    onPointerDown: (event) => {
      if (event.button !== 0 || event.target.closest('a')) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      setDrag({ start: within(event, width), end: within(event, width) });
    },
    onPointerMove: (event) => drag && setDrag({ ...drag, end: within(event, width) }),
    onPointerUp: () => {
      if (!drag) return;
      const [low, high] = [drag.start, drag.end].sort((a, b) => a - b);
      setDrag(null);
      if (high - low >= DRAG_MIN_PX) onDrag(low, high);
    },
    onPointerCancel: () => setDrag(null),
  };
  return [drag, handlers];
}

function Brush({ drag }) {
  const x = Math.min(drag.start, drag.end);
  const width = Math.abs(drag.end - drag.start);
  return html`<rect class="brush" x=${x} y="0" width=${width} height=${HEIGHT} />`;
}

/** From milliseconds to pixels and back. */
function viewOf(data, width) {
  const from = data ? millis(data.from) : 0;
  const to = data ? Math.max(millis(data.to), from + 1) : 1;
  const scale = width / (to - from);
  return { from, to, width, scale, x: (ms) => (ms - from) * scale, ms: (x) => from + x / scale };
}

export function Histogram({ data, by, alerts, onZoom }) {
  const [box, width] = useWidth();
  const [near, setNear] = useState(null);
  zone.use();
  const view = viewOf(data, width);
  const buckets = data?.buckets ?? [];
  const step = data?.width_ms || 1;
  const top = Math.max(...buckets.map((bucket) => bucket.count), 1);
  const [drag, handlers] = useBrush(width, (low, high) => onZoom(view.ms(low), view.ms(high)));
  const look = (event) => {
    const ms = view.ms(within(event, width));
    const at = (bucket) => millis(bucket.from);
    setNear(buckets.find((bucket) => at(bucket) <= ms && ms < at(bucket) + step) ?? null);
  };
  const words = summary(buckets, by);
  return html`<figure
    class="histogram"
    ref=${box}
    onPointerMove=${look}
    onPointerLeave=${() => setNear(null)}
  >
    ${width > 0 && data && html`<svg
      width=${width}
      height=${HEIGHT + AXIS}
      role="group"
      aria-label=${words}
      ...${handlers}
    >
      <${Bars} buckets=${buckets} view=${view} step=${step} top=${top} />
      <${Axis} view=${view} alerts=${alerts} />
      <${AlertMarks} alerts=${alerts} view=${view} height=${HEIGHT} />
      ${drag && html`<${Brush} drag=${drag} />`}
    </svg>`}
    <figcaption class="readout">${near ? describe(near, step) : ''}</figcaption>
    <p class="sr">${words}</p>
  </figure>`;
}
