// An opened row: its fields, the event as it came, the events around it.
import { html, useMemo, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { between } from '../lib/range.js';
import { exact, millis, stamp } from '../lib/format.js';
import { fields, isMapped, sentence, text, tone } from '../lib/hit.js';
import { ENTITY_FIELDS } from '../lib/alert.js';
import { clause } from '../lib/query.js';
import { href } from '../lib/route.js';
import { useLoad } from '../lib/load.js';
import { say } from '../lib/state.js';
import { Tabs } from './tabs.js';

const FIELDS_SHOWN = 300;
const AROUND = 6;
const AROUND_MS = 3_600_000;
const HISTORY_MS = 30 * 86_400_000;
const ENTITIES = [['user.id', 'user'], ['user.name', 'user'], ['source.ip', 'address'], ['service.name', 'service']];
const REMARKED = ['source.geo.country_iso_code', 'source.as.number', 'source.ip', 'user_agent.original', 'host.name',
  'event.action', 'url.path', 'http.request.method', 'service.name', 'token.hash', 'user.roles'];

/** Which of the row's values its user (or address) showed exactly once in 30 days: asked, never guessed. */
function useRemarks(hit) {
  const all = fields(hit);
  const entity = ENTITIES.find(([name]) => text(all.get(name)) !== '');
  const asked = REMARKED.filter((name) => entity && name !== entity[0] && text(all.get(name)) !== '');
  const { data } = useLoad(asked.length === 0 ? null : (signal) => {
    const end = millis(hit._time) + 1;
    const range = between(end - HISTORY_MS, end);
    return get('/facets', { q: clause(entity[0], text(all.get(entity[0]))), ...range, fields: asked.join(','), top: 50 }, signal);
  }, [hit._seq]);
  const remarks = new Map();
  for (const facet of data?.facets ?? []) {
    const value = text(all.get(facet.field));
    const found = facet.values.find((item) => String(item.value) === value);
    const total = facet.values.reduce((sum, item) => sum + item.count, 0);
    if (found?.count === 1 && total > 5) remarks.set(facet.field, `first time in 30 days for this ${entity[1]}`);
  }
  return remarks;
}

function FieldRow({ hit, name, value, remark, columns, onToggle, onColumn }) {
  const shown = text(value);
  return html`<tr>
    <th scope="row">${name}${isMapped(hit, name) && html` <span class="faint" title="Added by a mapping; the event itself has another name for it">added</span>`}</th>
    <td><button type="button" class=${`value-pick ${tone(name, value)}`} title="Click to filter, Alt-click to exclude"
      onClick=${(event) => onToggle(name, shown, event.altKey)}>${shown === '' ? '(empty)' : shown}</button>
      ${remark && html` <span class="remark">${remark}</span>`}</td>
    <td class="tools"><button type="button" class="plain" title="Exclude" onClick=${() => onToggle(name, shown, true)}>−<span
      class="sr"> exclude ${name} ${shown.slice(0, 80)}</span></button>
      <button type="button" class="plain" aria-pressed=${columns.includes(name) ? 'true' : 'false'}
        title="Show as a column" onClick=${() => onColumn(name)}>column<span class="sr"> ${name}</span></button></td>
  </tr>`;
}

function FieldTable(props) {
  const { hit } = props;
  const remarks = useRemarks(hit);
  const [all, setAll] = useState(false);
  const entries = useMemo(() => [...fields(hit)].sort(([a], [b]) => (a < b ? -1 : 1)), [hit]);
  const shown = all ? entries : entries.slice(0, FIELDS_SHOWN);
  return html`<table class="field-table"><caption class="sr">Fields of the event</caption><tbody>
      ${shown.map(([name, value]) => html`<${FieldRow} key=${name} name=${name} value=${value}
        remark=${remarks.get(name)} ...${props} />`)}</tbody></table>
    ${!all && entries.length > shown.length && html`<button type="button" class="plain"
      onClick=${() => setAll(true)}>Show all ${entries.length} fields</button>`}
    <p class="faint">Event ${hit._seq}, received ${exact(hit._received)}${hit._source ? ` from ${hit._source}` : ''}</p>`;
}

function AsItCame({ hit }) {
  const json = JSON.stringify(hit.event, null, 2);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(json);
      say('The event was copied.');
    } catch {
      say('The browser did not allow copying. Select the text instead.', 'bad');
    }
  };
  return html`<div class="command"><pre tabindex="0" aria-label="The event as it came">${json}</pre>
    <button type="button" class="button small copy" onClick=${copy}>Copy<span class="sr"> the event</span></button></div>`;
}

function Surrounding({ hit, onOpenAt }) {
  const all = fields(hit);
  const scopes = ['service.name', 'host.name', 'source.ip', 'user.id', 'user.name'].filter((name) => text(all.get(name)) !== '');
  const [scope, setScope] = useState(scopes[0] ?? '');
  const q = scope === '' ? '' : clause(scope, text(all.get(scope)));
  const at = millis(hit._time);
  const { data, error } = useLoad(async (signal) => {
    const [after, before] = await Promise.all([
      get('/search', { q, ...between(at, at + AROUND_MS), order: 'asc', limit: AROUND + 1 }, signal),
      get('/search', { q, ...between(at - AROUND_MS, at), limit: AROUND }, signal),
    ]);
    return [...after.hits.filter((one) => one._seq !== hit._seq).slice(0, AROUND).reverse(), hit, ...before.hits];
  }, [hit._seq, q]);
  const choice = (name, title) => html`<button type="button" class="plain" key=${name}
    aria-pressed=${scope === name ? 'true' : 'false'} onClick=${() => setScope(name)}>${title}</button>`;
  return html`<div class="bar scope"><span class="faint">Around this event, same</span>
      ${scopes.map((name) => choice(name, name))}${choice('', 'anything')}</div>
    ${error && html`<p class="bad" role="alert">${error.message}</p>`}
    <ol class="around">${(data ?? []).map((one) => html`<li key=${one._seq} class=${one._seq === hit._seq ? 'self' : ''}
      aria-current=${one._seq === hit._seq ? 'true' : undefined}>
      <time title=${exact(one._time)}>${stamp(one._time)}</time> <span>${sentence(one).slice(0, 300)}</span></li>`)}</ol>
    <button type="button" class="plain" onClick=${() => onOpenAt(q, at)}>Search these five minutes before and after</button>`;
}

/** The way to everyone the event names. */
function Entities({ hit }) {
  const all = fields(hit);
  const named = ENTITY_FIELDS.map(([field, kind]) => [field, kind, text(all.get(field))]).filter(([, , value]) => value !== '');
  if (named.length === 0) return html`<p class="faint">The event names no user, address, service, token or host.</p>`;
  return html`<table class="field-table"><caption class="sr">Entities of the event</caption><tbody>${named.map(([field, kind, value]) => html`
    <tr key=${field}><th scope="row">${field}</th><td><a href=${href('/entities', { kind, value })}>${value}</a></td></tr>`)}</tbody></table>`;
}

export function RowDetail(props) {
  const tabs = [
    { name: 'fields', title: 'Fields', show: () => html`<${FieldTable} ...${props} />` },
    { name: 'came', title: 'As it came', show: () => html`<${AsItCame} hit=${props.hit} />` },
    { name: 'around', title: 'Surrounding', show: () => html`<${Surrounding} hit=${props.hit} onOpenAt=${props.onOpenAt} />` },
    { name: 'entities', title: 'Entities', show: () => html`<${Entities} hit=${props.hit} />` },
  ];
  return html`<${Tabs} tabs=${tabs} label="Event" />`;
}
