// One user, address, service or token: how long it is known, what it does, with whom, its alerts.
import { html } from '../lib/html.js';
import { get } from '../lib/api.js';
import { between } from '../lib/range.js';
import { count, exact, plural, shortTime } from '../lib/format.js';
import { clause } from '../lib/query.js';
import { go, href, route, setParams } from '../lib/route.js';
import { zone } from '../lib/state.js';
import { useLoad } from '../lib/load.js';
import { AlertList } from '../components/alert-list.js';
import { Histogram } from '../components/histogram.js';
import { Learning } from '../components/learning.js';
import { TimeRange } from '../components/time-range.js';

const RANGE = { from: 'now-30d', to: 'now' };
const VALUES_SHOWN = 6;

function When({ value }) {
  return value ? html`<span title=${exact(value)}>${shortTime(value)}</span>` : 'never';
}

function Facts({ known }) {
  zone.use();
  const facts = [
    ['events', `${count(known.events)}${known.events_is_exact ? '' : '+'}`],
    ['first seen', html`<${When} value=${known.first_seen} />`],
    ['last seen', html`<${When} value=${known.last_seen} />`],
    ['alerts', count(known.alerts.total)],
    ['risk', html`<span title="What the alerts of the last week come to; it halves in a day">
      ${known.risk.toFixed(1)}
    </span>`],
  ];
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div key=${name}>
    <dt>${name}</dt><dd>${value}</dd>
  </div>`)}</dl>`;
}

function Companion({ facet, query, range }) {
  const both = (value) => `(${query}) AND ${clause(facet.field, value)}`;
  return html`<section class="box">
    <h3>${facet.field} <span class="faint">${count(facet.distinct)}</span></h3>
    <ul>${facet.values.slice(0, VALUES_SHOWN).map((item) => html`<li key=${item.value}>
      <a class="mono" href=${href('/search', { q: both(item.value), ...range })}>
        ${item.value || '(empty)'}
      </a>
      <span class="dim">${count(item.count)}</span>
    </li>`)}</ul>
  </section>`;
}

function Nothing({ value }) {
  return html`<section class="empty">
    <h1>Nothing about ${value}</h1>
    <p>No event and no alert in this range names it. Try a longer range.</p>
  </section>`;
}

function Known({ known, range }) {
  const { query, value, timeline, facets, alerts } = known;
  if (known.events === 0 && alerts.total === 0) return html`<${Nothing} value=${value} />`;
  const isItself = ({ distinct, values }) => distinct === 1 && values[0].value === value;
  const companions = facets.filter((facet) => facet.values.length > 0 && !isItself(facet));
  const zoom = (from, to) => go(href('/search', { q: query, ...between(from, to) }));
  return html`<section><${Facts} known=${known} /></section>
    <${Learning} kind=${known.kind} value=${value} />
    <section>
      <h2>Events over time</h2>
      <${Histogram} data=${timeline} by="" alerts=${alerts.alerts} onZoom=${zoom} />
    </section>
    ${alerts.total > 0 && html`<section>
      <h2>${plural(alerts.total, 'alert')}</h2>
      <div class="box flush">
        <${AlertList} alerts=${alerts.alerts} params=${{ q: '*' }} />
      </div>
    </section>`}
    <section>
      <h2>With whom and what</h2>
      <div class="companions">${companions.map((facet) => html`<${Companion}
        key=${facet.field}
        facet=${facet}
        query=${query}
        range=${range}
      />`)}</div>
    </section>`;
}

export function EntityPage() {
  const { params } = route.use();
  const { kind = '', value = '' } = params;
  const range = { from: params.from ?? RANGE.from, to: params.to ?? RANGE.to };
  const path = `/entities/${encodeURIComponent(kind)}/${encodeURIComponent(value)}`;
  const ask = (signal) => get(path, range, signal);
  const { data, error, busy } = useLoad(ask, [path, range.from, range.to]);
  return html`<main id="main" tabindex="-1">
    <div class="head">
      <h1 class="grow entity-name">
        <span class="mono">${value}</span>${' '}<span class="dim">${kind}</span>
      </h1>
      <${TimeRange} from=${range.from} to=${range.to} onChoose=${setParams} />
      ${data && html`<a class="button primary" href=${href('/search', { q: data.query, ...range })}>
        Search its events
      </a>`}
    </div>
    <div class="page">
      ${error && html`<p class="error" role="alert">${error.message}</p>`}
      ${!data && busy && html`<p class="spinner"></p>`}
      ${data && html`<${Known} known=${data} range=${range} />`}
    </div>
  </main>`;
}
