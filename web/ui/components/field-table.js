// The fields of an event: a click on a value filters; a remark where a value is new for its entity.
import { html, useMemo, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { between } from '../lib/range.js';
import { exact, millis } from '../lib/format.js';
import { fields, isMapped, text, tone } from '../lib/hit.js';
import { clause } from '../lib/query.js';
import { useLoad } from '../lib/load.js';

const FIELDS_SHOWN = 300;
const HISTORY_MS = 30 * 86_400_000;
const HISTORY_MIN_EVENTS = 5;
const VALUES_KNOWN = 50;

const ENTITIES = [
  ['user.id', 'user'],
  ['user.name', 'user'],
  ['source.ip', 'address'],
  ['service.name', 'service'],
];
const REMARKED = [
  'source.geo.country_iso_code',
  'source.as.number',
  'source.ip',
  'user_agent.original',
  'host.name',
  'event.action',
  'url.path',
  'http.request.method',
  'service.name',
  'token.hash',
  'user.roles',
];

/** Values that the event's user (or address) showed exactly once in 30 days: asked, not guessed. */
function useRemarks(hit) {
  const all = fields(hit);
  const has = (name) => text(all.get(name)) !== '';
  const entity = ENTITIES.find(([name]) => has(name));
  const names = REMARKED.filter((name) => entity && name !== entity[0] && has(name));
  const ask = (signal) => {
    const end = millis(hit._time) + 1;
    const q = clause(entity[0], text(all.get(entity[0])));
    const what = { fields: names.join(','), top: VALUES_KNOWN };
    return get('/facets', { q, ...between(end - HISTORY_MS, end), ...what }, signal);
  };
  const { data } = useLoad(names.length === 0 ? null : ask, [hit._seq]);
  const remarks = new Map();
  for (const { field, values } of data?.facets ?? []) {
    const found = values.find((item) => String(item.value) === text(all.get(field)));
    const total = values.reduce((sum, item) => sum + item.count, 0);
    if (found?.count === 1 && total > HISTORY_MIN_EVENTS) {
      remarks.set(field, `first time in 30 days for this ${entity[1]}`);
    }
  }
  return remarks;
}

function FieldRow({ hit, name, value, remark, columns, onToggle, onColumn }) {
  const shown = text(value);
  return html`<tr>
    <th scope="row">
      ${name}
      ${isMapped(hit, name) && html`${' '}<span
        class="faint"
        title="Added by a mapping; the event itself has another name for it"
      >added</span>`}
    </th>
    <td>
      <button
        type="button"
        class=${`value-pick ${tone(name, value)}`}
        title="Click to filter, Alt-click to exclude"
        onClick=${(event) => onToggle(name, shown, event.altKey)}
      >${shown === '' ? '(empty)' : shown}</button>
      ${remark && html`${' '}<span class="remark">${remark}</span>`}
    </td>
    <td class="tools">
      <button
        type="button"
        class="plain"
        title="Exclude"
        onClick=${() => onToggle(name, shown, true)}
      >−<span class="sr"> exclude ${name} ${shown.slice(0, 80)}</span></button>
      <button
        type="button"
        class="plain"
        title="Show as a column"
        aria-pressed=${columns.includes(name) ? 'true' : 'false'}
        onClick=${() => onColumn(name)}
      >column<span class="sr"> ${name}</span></button>
    </td>
  </tr>`;
}

export function FieldTable(props) {
  const { hit } = props;
  const remarks = useRemarks(hit);
  const [all, setAll] = useState(false);
  const entries = useMemo(() => [...fields(hit)].sort(([a], [b]) => (a < b ? -1 : 1)), [hit]);
  const shown = all ? entries : entries.slice(0, FIELDS_SHOWN);
  const from = hit._source ? ` from ${hit._source}` : '';
  return html`<table class="field-table">
      <caption class="sr">Fields of the event</caption>
      <tbody>${shown.map(([name, value]) => html`<${FieldRow}
        key=${name}
        name=${name}
        value=${value}
        remark=${remarks.get(name)}
        ...${props}
      />`)}</tbody>
    </table>
    ${entries.length > shown.length && html`<button
      type="button"
      class="plain"
      onClick=${() => setAll(true)}
    >Show all ${entries.length} fields</button>`}
    <p class="faint">Event ${hit._seq}, received ${exact(hit._received)}${from}</p>`;
}
