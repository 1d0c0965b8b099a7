// Your data: what has arrived, under which names, and the lines that make other shippers send more.
import { html, useEffect, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { bytes, count } from '../lib/format.js';
import { knownFields, refreshFields } from '../lib/known.js';
import { escapeField } from '../lib/query.js';
import { href } from '../lib/route.js';
import { useLoad } from '../lib/load.js';
import { Command, firstEvent } from '../components/empty.js';

const FIELDS_SHOWN = 200;

const ways = () => {
  const { host, hostname, origin } = location;
  const port = location.port || (location.protocol === 'https:' ? '443' : '80');
  return [
    ['curl', firstEvent()],
    ['Vector', `[sinks.watchfire]
type = "http"
inputs = ["my_source"]
uri = "${origin}/api/v1/events"
encoding.codec = "json"
framing.method = "newline_delimited"
compression = "zstd"
auth.strategy = "bearer"
auth.token = "\${WATCHFIRE_TOKEN}"`],
    ['Fluent Bit', `[OUTPUT]
    Name    http
    Match   *
    Host    ${hostname}
    Port    ${port}
    URI     /api/v1/events
    Format  json_lines
    Header  Authorization Bearer \${WATCHFIRE_TOKEN}`],
    ['OpenTelemetry Collector', `exporters:
  otlphttp/watchfire:
    logs_endpoint: ${origin}/v1/logs
    headers:
      Authorization: Bearer \${env:WATCHFIRE_TOKEN}`],
    ['Filebeat, Logstash and other Elasticsearch clients', `output.elasticsearch:
  hosts: ["${location.protocol}//${host}/elastic"]
  username: watchfire
  password: "\${WATCHFIRE_TOKEN}"`],
  ];
};

function Ways({ open }) {
  return html`<section class="ways"><h2>Send events</h2>
    <p class="lead">Each needs an ingest token in <code>WATCHFIRE_TOKEN</code>. The first start printed one; <a
      href=${href('/settings', { tab: 'tokens' })}>Settings</a> makes more.</p>
    ${ways().map(([name, text], at) => html`<details key=${name} open=${open && at === 0}><summary>${name}</summary>
      <${Command} text=${text} name=${name} /></details>`)}</section>`;
}

function Facts({ status }) {
  if (!status) return null;
  const head = status.log?.head ?? 0;
  const behind = (reader) => head - (status.readers?.[reader] ?? head);
  const facts = [['events taken', count(head)], ['waiting for detection', count(behind('detect'))]];
  const rows = status.store?.rows;
  const disk = status.store?.disk_bytes;
  if (Number.isFinite(rows)) facts.splice(1, 0, ['events stored', count(rows)]);
  if (Number.isFinite(disk)) facts.splice(2, 0, ['on disk', bytes(disk)]);
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Fields({ fields }) {
  const [wanted, setWanted] = useState('');
  const found = fields.filter((field) => field.name.toLowerCase().includes(wanted.trim().toLowerCase()))
    .sort((a, b) => b.events - a.events || (a.name < b.name ? -1 : 1));
  return html`<section><h2>Fields seen</h2>
    <p class="lead">Every name under which something has arrived. What a mapping added stands beside the event's own name;
      both find it.</p>
    <div class="form"><label class="field"><span>Filter ${count(fields.length)} fields</span><input class="input small" type="search"
      value=${wanted} onInput=${(event) => setWanted(event.target.value)} /></label></div>
    <div class="scroll"><table><caption class="sr">Fields seen</caption>
      <thead><tr><th scope="col">Field</th><th scope="col">Types</th><th scope="col" class="number">Values stored</th>
        <th scope="col" class="number">Distinct, about</th><th scope="col">Origin</th></tr></thead>
      <tbody>${found.slice(0, FIELDS_SHOWN).map((field) => html`<tr key=${field.name}>
        <th scope="row" class="mono"><a href=${href('/search', { q: `${escapeField(field.name)}:*` })}>${field.name}</a></th>
        <td data-label="types">${field.types.join(', ')}</td><td class="number" data-label="values">${count(field.events)}</td>
        <td class="number" data-label="distinct">${count(field.distinct)}</td>
        <td data-label="origin">${field.mapped ? 'added by a mapping' : 'as it came'}</td></tr>`)}</tbody></table></div>
    ${found.length > FIELDS_SHOWN && html`<p class="dim">${count(found.length - FIELDS_SHOWN)} more; filter to see them.</p>`}
  </section>`;
}

export function DataPage() {
  const fields = knownFields.use();
  const { data: status, error } = useLoad((signal) => get('/status', {}, signal), []);
  useEffect(() => { refreshFields(); }, []);
  return html`<main id="main" tabindex="-1"><div class="head"><h1>Data</h1></div>
    <div class="page">
      ${error && html`<p class="error" role="alert">${error.message}</p>`}
      <section><${Facts} status=${status} /></section>
      <${Ways} open=${fields.length === 0} />
      ${fields.length > 0 && html`<${Fields} fields=${fields} />`}
    </div></main>`;
}
