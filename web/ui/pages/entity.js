// One user, address, service or token: how long it is known, what it does, with whom, and its alerts.
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
import { TimeRange } from '../components/time-range.js';

const RANGE = { from: 'now-30d', to: 'now' };

function Facts({ known }) {
  zone.use();
  const time = (value) => (value ? html`<span title=${exact(value)}>${shortTime(value)}</span>` : 'never');
  const facts = [['events', `${count(known.events)}${known.events_is_exact ? '' : '+'}`], ['first seen', time(known.first_seen)],
    ['last seen', time(known.last_seen)], ['alerts', count(known.alerts.total)]];
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Companions({ known, range }) {
  const facets = known.facets.filter((facet) => facet.values.length > 0
    && !(facet.distinct === 1 && facet.values[0].value === known.value));
  return html`<div class="companions">${facets.map((facet) => html`<section class="box" key=${facet.field}>
    <h3>${facet.field} <span class="faint">${count(facet.distinct)}</span></h3>
    <ul>${facet.values.slice(0, 6).map((item) => html`<li key=${item.value}>
      <a class="mono" href=${href('/search', { q: `(${known.query}) AND ${clause(facet.field, item.value)}`, ...range })}>${item.value || '(empty)'}</a>
      <span class="dim">${count(item.count)}</span></li>`)}</ul></section>`)}</div>`;
}

function Known({ known, range }) {
  if (known.events === 0 && known.alerts.total === 0) {
    return html`<section class="empty"><h1>Nothing about ${known.value}</h1>
      <p>No event and no alert in this range names it. Try a longer range.</p></section>`;
  }
  const zoom = (from, to) => go(href('/search', { q: known.query, ...between(from, to) }));
  return html`<section><${Facts} known=${known} /></section>
    <section><h2>Events over time</h2><${Histogram} data=${known.timeline} by="" alerts=${known.alerts.alerts} onZoom=${zoom} /></section>
    ${known.alerts.total > 0 && html`<section><h2>${plural(known.alerts.total, 'alert')}</h2>
      <div class="box flush"><${AlertList} alerts=${known.alerts.alerts} params=${{ q: '*' }} /></div></section>`}
    <section><h2>With whom and what</h2><${Companions} known=${known} range=${range} /></section>`;
}

export function EntityPage() {
  const { params } = route.use();
  const { kind = '', value = '' } = params;
  const range = { from: params.from ?? RANGE.from, to: params.to ?? RANGE.to };
  const { data, error, busy } = useLoad((signal) =>
    get(`/entities/${encodeURIComponent(kind)}/${encodeURIComponent(value)}`, range, signal), [kind, value, range.from, range.to]);
  return html`<main id="main" tabindex="-1"><div class="head"><h1 class="grow entity-name"><span class="mono">${value}</span> <span
      class="dim">${kind}</span></h1>
      <${TimeRange} from=${range.from} to=${range.to} onChoose=${(next) => setParams(next)} />
      ${data && html`<a class="button primary" href=${href('/search', { q: data.query, ...range })}>Search its events</a>`}</div>
    <div class="page">${error && html`<p class="error" role="alert">${error.message}</p>`}
      ${!data && busy && html`<p class="spinner"></p>`}
      ${data && html`<${Known} known=${data} range=${range} />`}</div></main>`;
}
