// The found events: a real table, one row an event, a row opens in place.
import { html } from '../lib/html.js';
import { exact, stamp } from '../lib/format.js';
import { cell, text, tone } from '../lib/hit.js';
import { shortName } from '../lib/known.js';
import { clauses } from '../lib/query.js';
import { useKeys } from '../lib/keys.js';
import { RowDetail } from './row-detail.js';

/** Moves the focus `by` rows on from the row that has it. */
export function stepRow(by) {
  const rows = [...document.querySelectorAll('.rows .open-row')];
  if (rows.length === 0) return;
  const at = rows.indexOf(document.activeElement?.closest('tr')?.querySelector('.open-row') ?? document.activeElement);
  const next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))];
  next.focus();
  next.scrollIntoView({ block: 'nearest' });
}

function Cell({ hit, name, lit }) {
  const value = text(cell(hit, name));
  const marked = value !== '' && lit.some((item) => item.field === name && item.value === value);
  return html`<td class=${`${name === 'message' ? 'message' : ''} ${tone(name, value)}`} data-label=${shortName(name)}
    title=${value.length > 40 ? value.slice(0, 1000) : undefined}>${marked
  ? html`<mark>${value.slice(0, 500)}</mark>` : value.slice(0, 500)}</td>`;
}

function Row({ hit, columns, lit, open, onOpen, detail }) {
  const flags = (hit._flags ?? []).length > 0;
  return html`<tr class=${open ? 'is-open' : ''}>
      <td class="time"><button type="button" class="open-row" aria-expanded=${open ? 'true' : 'false'} onClick=${onOpen}
        title=${exact(hit._time)}><span class="arrow" aria-hidden="true">${open ? '▾' : '▸'}</span>
        ${stamp(hit._time)}${flags && html` <span class="warn" title=${hit._flags.join(', ')}>!<span class="sr">
          odd: ${hit._flags.join(', ')}</span></span>`}</button></td>
      ${columns.map((name) => html`<${Cell} key=${name} hit=${hit} name=${name} lit=${lit} />`)}
    </tr>
    ${open && html`<tr class="opened"><td colspan=${columns.length + 1}>
      <${RowDetail} hit=${hit} columns=${columns} ...${detail} /></td></tr>`}`;
}

/** The query's values that only some of the rows have: marking what all rows share would say nothing. */
function telling(hits, query) {
  return clauses(query).filter((item) => !item.not
    && hits.some((hit) => text(cell(hit, item.field)) !== item.value)
    && hits.some((hit) => text(cell(hit, item.field)) === item.value));
}

export function Rows({ hits, columns, query, light, openSeq, onOpen, onColumn, detail }) {
  const lit = telling(hits, query);
  if (light) lit.push(light);
  useKeys({ j: () => stepRow(1), k: () => stepRow(-1) });
  return html`<div class="table-box"><table class="rows">
    <caption class="sr">Events, newest first. A row opens with Enter.</caption>
    <thead><tr><th scope="col">@timestamp</th>${columns.map((name) => html`<th scope="col" key=${name} title=${name}>
      ${shortName(name)}
      <button type="button" class="plain drop" title=${`Remove the column ${name}`} onClick=${() => onColumn(name)}>×<span
        class="sr"> remove the column ${name}</span></button></th>`)}</tr></thead>
    <tbody>${hits.map((hit) => html`<${Row} key=${hit._seq} hit=${hit} columns=${columns} lit=${lit}
      open=${openSeq === hit._seq} onOpen=${() => onOpen(openSeq === hit._seq ? null : hit._seq)} detail=${detail} />`)}</tbody>
  </table></div>`;
}
