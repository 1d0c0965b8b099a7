// The line above the results: how many, what it cost, and how they are shown.
import { html } from '../lib/html.js';
import { count, plural } from '../lib/format.js';
import { wider } from '../lib/range.js';
import { setParams } from '../lib/route.js';
import { wrapRows, zone } from '../lib/state.js';
import { ExportMenu } from './export-menu.js';
import { Menu } from './menu.js';

/** The choice of no colouring field, as the URL says it. */
export const NONE = '-';

const COLOURING = [
  'log.level',
  'event.outcome',
  'http.response.status_code',
  'http.request.method',
  'service.name',
  'event.action',
];
const STREAM = {
  connecting: 'connecting',
  open: 'live',
  lost: 'connection lost, trying again',
  refused: 'the server refused the stream',
};

function LiveCost({ tail }) {
  const skipped = `${count(tail.skipped)} skipped: more came than can be shown`;
  return html`<h1>${plural(tail.hits.length, 'event')}</h1>
    <span class="dim" role="status">
      ${STREAM[tail.state]}${tail.skipped > 0 ? ` · ${skipped}` : ''}
    </span>`;
}

function Cost({ events }) {
  if (!events.data) {
    return html`<h1>Events</h1>${events.busy && html`<span class="spinner"></span>`}`;
  }
  const { total, total_is_exact: sure, searched, took_ms: took, partial } = events.data;
  const time = took < 10 ? Number(took.toFixed(1)) : count(took);
  const all = searched > 0 ? `of ${count(Math.max(searched, total))} · ` : '';
  const found = `${count(total)}${sure === false ? '+' : ''}`;
  return html`<h1>${found} ${total === 1 ? 'event' : 'events'}</h1>
    <span class="dim" role="status">${all}${time} ms</span>
    ${partial && html`<span class="bad" role="alert">
      Part of the data cannot be read; the Data page says what.
    </span>`}`;
}

function ByMenu({ by, known }) {
  const names = COLOURING.filter((name) => known.some((field) => field.name === name));
  const choice = (name, close) => {
    const choose = () => {
      setParams({ by: name });
      close();
    };
    return html`<button
      type="button"
      class="choice"
      key=${name}
      aria-pressed=${(by || NONE) === name ? 'true' : 'false'}
      onClick=${choose}
    >${name === NONE ? 'one colour' : name}</button>`;
  };
  return html`<${Menu} label=${by ? `by ${by}` : 'one colour'} title="What colours the bars">
    ${(close) => [...names, NONE].map((name) => choice(name, close))}
  <//>`;
}

function ZoneSwitch() {
  const now = zone.use();
  return html`<button
    type="button"
    class="plain"
    title="Write times in UTC or in local time"
    onClick=${() => zone.set(now === 'utc' ? 'local' : 'utc')}
  >${now === 'utc' ? 'UTC' : 'Local'}<span class="sr"> time, switch</span></button>`;
}

function WrapSwitch() {
  const on = wrapRows.use();
  return html`<button
    type="button"
    class="plain"
    title="Show long values on several lines"
    aria-pressed=${on ? 'true' : 'false'}
    onClick=${() => wrapRows.set(!on)}
  >Wrap</button>`;
}

function Pause({ tail }) {
  return html`<button
    type="button"
    class="button small"
    onClick=${() => tail.setPaused(!tail.paused)}
  >${tail.paused ? `Resume · ${count(tail.waiting)} waiting` : 'Pause'}</button>`;
}

export function ResultHead({ events, live, tail, question, by, known }) {
  const zoomed = !live && !question.from.startsWith('now');
  const zoomOut = () => setParams(wider(question.from, question.to));
  return html`<div class="result-head">
    ${live ? html`<${LiveCost} tail=${tail} />` : html`<${Cost} events=${events} />`}
    <span class="grow"></span>
    ${live && html`<${Pause} tail=${tail} />`}
    ${zoomed && html`<button type="button" class="plain" onClick=${zoomOut}>Zoom out</button>`}
    <${ByMenu} by=${by} known=${known} />
    <${WrapSwitch} />
    <${ZoneSwitch} />
    <${ExportMenu} query=${question.q} range=${question.range} />
  </div>`;
}
