// The found events: a real table, one row an event, a row opens in place.
import { html } from '../lib/html.js';
import { exact, stamp } from '../lib/format.js';
import { cell, text, tone } from '../lib/hit.js';
import { shortName } from '../lib/known.js';
import { clauses } from '../lib/query.js';
import { wrapRows } from '../lib/state.js';
import { useKeys } from '../lib/keys.js';
import { RowDetail } from './row-detail.js';

// A cell shows the beginning of a value; the opened row has all of it.
const CELL_CHARS = 500;
const TOOLTIP_FROM_CHARS = 40;

/** Moves the focus `by` rows on from the row that has it. */
function stepRow(by) {
  const rows = [...document.querySelectorAll('.rows .open-row')];
  if (rows.length === 0) return;
  const focused = document.activeElement?.closest('tr')?.querySelector('.open-row');
  const at = rows.indexOf(focused);
  const next = rows[at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + by))];
  next.focus();
  next.scrollIntoView({ block: 'nearest' });
}

function Cell({ hit, name, lit }) {
  const value = text(cell(hit, name));
  const shown = value.slice(0, CELL_CHARS);
  const isLit = (item) => item.field === name && item.value === value;
  const marked = value !== '' && lit.some(isLit);
  return html`<td
    class=${`${name === 'message' ? 'message' : ''} ${tone(name, value)}`}
    data-label=${shortName(name)}
    title=${value.length > TOOLTIP_FROM_CHARS ? shown : undefined}
  >${marked ? html`<mark>${shown}</mark>` : shown}</td>`;
}

function Flags({ flags }) {
  const words = flags.join(', ');
  return html`${' '}<span class="warn" title=${words}>
    !<span class="sr"> odd: ${words}</span>
  </span>`;
}

function Row({ hit, columns, lit, open, onOpen, detail }) {
  const flags = hit._flags ?? [];
  return html`<tr class=${open ? 'is-open' : ''}>
      <td class="time"><button
        type="button"
        class="open-row"
        title=${exact(hit._time)}
        aria-expanded=${open ? 'true' : 'false'}
        onClick=${onOpen}
      ><span class="arrow" aria-hidden="true">${open ? '▾' : '▸'}</span>
        ${stamp(hit._time)}
        ${flags.length > 0 && html`<${Flags} flags=${flags} />`}</button></td>
      ${columns.map((name) => html`<${Cell} key=${name} hit=${hit} name=${name} lit=${lit} />`)}
    </tr>
    ${open && html`<tr class="opened"><td colspan=${columns.length + 1}>
      <${RowDetail} hit=${hit} columns=${columns} ...${detail} />
    </td></tr>`}`;
}

function HeadCell({ name, onColumn }) {
  const words = `emove the column ${name}`;
  return html`<th scope="col" title=${name}>
    ${shortName(name)}
    <button type="button" class="plain drop" title=${`R${words}`} onClick=${() => onColumn(name)}>
      ×<span class="sr"> r${words}</span>
    </button>
  </th>`;
}

/** The query's values that only some of the rows have: marking what all share would say nothing. */
function telling(hits, query) {
  const has = (item) => (hit) => text(cell(hit, item.field)) === item.value;
  return clauses(query).filter(
    (item) => !item.not && hits.some(has(item)) && !hits.every(has(item)),
  );
}

export function Rows({ hits, columns, query, light, openSeq, onOpen, onColumn, detail }) {
  const lit = light ? [...telling(hits, query), light] : telling(hits, query);
  useKeys({ j: () => stepRow(1), k: () => stepRow(-1) });
  const look = wrapRows.use() ? 'rows wrap' : 'rows';
  return html`<div class="table-box"><table class=${look}>
    <caption class="sr">Events, newest first. A row opens with Enter.</caption>
    <thead><tr>
      <th scope="col">@timestamp</th>
      ${columns.map((name) => html`<${HeadCell} key=${name} name=${name} onColumn=${onColumn} />`)}
    </tr></thead>
    <tbody>${hits.map((hit) => html`<${Row}
      key=${hit._seq}
      hit=${hit}
      columns=${columns}
      lit=${lit}
      open=${openSeq === hit._seq}
      onOpen=${() => onOpen(openSeq === hit._seq ? null : hit._seq)}
      detail=${detail}
    />`)}</tbody>
  </table></div>`;
}
