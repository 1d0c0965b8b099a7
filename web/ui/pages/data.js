// Your data: what has arrived, under which names, and the lines that make others send more.
import { html, useEffect, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { bytes, count } from '../lib/format.js';
import { knownFields, refreshFields } from '../lib/known.js';
import { escapeField } from '../lib/query.js';
import { href } from '../lib/route.js';
import { shippers } from '../lib/shippers.js';
import { useLoad } from '../lib/load.js';
import { Command } from '../components/empty.js';
import { Health } from '../components/health.js';

const FIELDS_SHOWN = 200;

function Ways({ open }) {
  return html`<section class="ways">
    <h2>Send events</h2>
    <p class="lead">
      Each needs an ingest token in <code>WATCHFIRE_TOKEN</code>. The first start printed one;
      ${' '}<a href=${href('/settings', { tab: 'tokens' })}>Settings</a>${' '}makes more.
    </p>
    ${shippers().map(([name, text], at) => html`<details key=${name} open=${open && at === 0}>
      <summary>${name}</summary>
      <${Command} text=${text} name=${name} />
    </details>`)}
  </section>`;
}

function Facts({ status }) {
  const { log, readers, store } = status;
  const facts = [
    ['events taken', count(log.head)],
    ['waiting for detection', count(log.head - readers.detect)],
  ];
  const disk = log.bytes + (store?.segment_bytes ?? 0);
  if (Number.isFinite(store?.rows)) facts.push(['events stored', count(store.rows)]);
  if (Number.isFinite(disk)) facts.push(['on disk', bytes(disk)]);
  if (Number.isFinite(store?.disk_free_bytes)) {
    facts.push(['free on disk', bytes(store.disk_free_bytes)]);
  }
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div key=${name}>
    <dt>${name}</dt><dd>${value}</dd>
  </div>`)}</dl>`;
}

function Row({ field }) {
  const { name, types, events, distinct, mapped } = field;
  return html`<tr>
    <th scope="row" class="mono">
      <a href=${href('/search', { q: `${escapeField(name)}:*` })}>${name}</a>
    </th>
    <td data-label="types">${types.join(', ')}</td>
    <td data-label="values" class="number">${count(events)}</td>
    <td data-label="distinct" class="number">${count(distinct)}</td>
    <td data-label="origin">${mapped ? 'added by a mapping' : 'as it came'}</td>
  </tr>`;
}

function Fields({ fields }) {
  const [wanted, setWanted] = useState('');
  const word = wanted.trim().toLowerCase();
  const found = fields.filter((field) => field.name.toLowerCase().includes(word));
  found.sort((a, b) => b.events - a.events || (a.name < b.name ? -1 : 1));
  const rest = found.length - FIELDS_SHOWN;
  return html`<section>
    <h2>Fields seen</h2>
    <p class="lead">
      Every name under which something has arrived. What a mapping added stands beside the event's
      own name; both find it.
    </p>
    <div class="form"><label class="field">
      <span>Filter ${count(fields.length)} fields</span>
      <input
        class="input small"
        type="search"
        value=${wanted}
        onInput=${(event) => setWanted(event.target.value)}
      />
    </label></div>
    <div class="scroll"><table>
      <caption class="sr">Fields seen</caption>
      <thead><tr>
        <th scope="col">Field</th><th scope="col">Types</th>
        <th scope="col" class="number">Values stored</th>
        <th scope="col" class="number">Distinct, about</th><th scope="col">Origin</th>
      </tr></thead>
      <tbody>${found.slice(0, FIELDS_SHOWN).map((field) => html`<${Row}
        key=${field.name}
        field=${field}
      />`)}</tbody>
    </table></div>
    ${rest > 0 && html`<p class="dim">${count(rest)} more; filter to see them.</p>`}
  </section>`;
}

export function DataPage() {
  const fields = knownFields.use();
  const { data: status, error } = useLoad((signal) => get('/status', {}, signal), []);
  useEffect(() => {
    refreshFields();
  }, []);
  return html`<main id="main" tabindex="-1">
    <div class="head"><h1>Data</h1></div>
    <div class="page">
      ${error && html`<p class="error" role="alert">${error.message}</p>`}
      ${status && html`<section class="stack">
        <${Health} status=${status} /><${Facts} status=${status} />
      </section>`}
      <${Ways} open=${fields.length === 0} />
      ${fields.length > 0 && html`<${Fields} fields=${fields} />`}
    </div>
  </main>`;
}
