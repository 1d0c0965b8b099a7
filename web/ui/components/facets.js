// Facets: what values the found events have. A click filters, Alt-click or the minus excludes.
import { html, useState } from '../lib/html.js';
import { count } from '../lib/format.js';
import { asksFor } from '../lib/query.js';

const FIELDS_LISTED = 40;

function Value({ facet, item, top, query, onToggle, onLight }) {
  const value = String(item.value);
  const chosen = Boolean(asksFor(query, facet.field, value));
  const excluded = Boolean(asksFor(query, facet.field, value, true));
  const click = (event) => onToggle(facet.field, value, event.altKey);
  const share = Math.max((item.count / top) * 100, 2);
  return html`<li class=${`facet-value ${chosen ? 'chosen' : ''} ${excluded ? 'excluded' : ''}`}
      onPointerEnter=${() => onLight({ field: facet.field, value })} onPointerLeave=${() => onLight(null)}>
    <span class="share" style=${{ width: `${share}%` }}></span>
    <button type="button" class="pick" title=${`${facet.field}: ${value}\nClick to filter, Alt-click to exclude`}
      aria-pressed=${chosen ? 'true' : 'false'} onClick=${click}
      onFocus=${() => onLight({ field: facet.field, value })} onBlur=${() => onLight(null)}>
      <span class="name">${value === '' ? '(empty)' : value}</span><span class="n">${count(item.count)}</span>
    </button>
    <button type="button" class="minus" title="Exclude" aria-pressed=${excluded ? 'true' : 'false'}
      onClick=${() => onToggle(facet.field, value, true)}>−<span class="sr"> exclude ${value}</span></button>
  </li>`;
}

function Facet({ facet, query, columns, onToggle, onLight, onMore, onColumn, onDrop }) {
  const top = Math.max(...facet.values.map((item) => item.count), 1);
  const shown = columns.includes(facet.field);
  const distinct = `${facet.distinct_is_exact === false ? '~' : ''}${count(facet.distinct)}`;
  return html`<section class="facet">
    <h3><span class="name" title=${facet.field}>${facet.field}</span>
      <span class="tools">
        <button type="button" class="plain" aria-pressed=${shown ? 'true' : 'false'} onClick=${() => onColumn(facet.field)}
          title=${shown ? 'Remove the column' : 'Show as a column'}>${shown ? 'column ✓' : '+ column'}<span class="sr"> ${facet.field}</span></button>
        ${onDrop && html`<button type="button" class="plain" title="Remove this facet"
          onClick=${() => onDrop(facet.field)}>×<span class="sr"> remove the facet ${facet.field}</span></button>`}
      </span>
      <span class="distinct" title="Distinct values">${distinct}</span></h3>
    <ul>${facet.values.map((item) => html`<${Value} key=${item.value} facet=${facet} item=${item} top=${top} query=${query}
      onToggle=${onToggle} onLight=${onLight} />`)}</ul>
    ${facet.values.length < facet.distinct && facet.values.length < 50 && html`<button type="button" class="plain more"
      onClick=${() => onMore(facet.field)}>more<span class="sr"> values of ${facet.field}</span></button>`}
    ${facet.values.length === 0 && html`<p class="faint">no value in these events</p>`}
  </section>`;
}

export function Facets({ facets, known, query, columns, onToggle, onLight, onAdd, onDrop, onMore, onColumn }) {
  const [wanted, setWanted] = useState('');
  const [open, setOpen] = useState(false);
  const shown = new Set(facets.map((facet) => facet.field));
  const word = wanted.trim().toLowerCase();
  const matching = word === '' ? [] : known
    .filter((field) => !shown.has(field.name) && field.name.toLowerCase().includes(word)).slice(0, FIELDS_LISTED);
  const visible = word === '' ? facets : facets.filter((facet) => facet.field.toLowerCase().includes(word));
  return html`<aside class=${`facets ${open ? 'open' : ''}`} aria-label="Facets">
    <button type="button" class="button small facets-switch" aria-expanded=${open ? 'true' : 'false'}
      onClick=${() => setOpen(!open)}>Facets</button>
    <div class="facets-body">
      <input class="input small" type="search" placeholder=${`Filter ${count(known.length)} fields`} aria-label="Filter fields"
        value=${wanted} onInput=${(event) => setWanted(event.target.value)} />
      ${matching.length > 0 && html`<ul class="field-list" aria-label="More fields">${matching.map((field) => html`
        <li key=${field.name}><button type="button" class="plain" onClick=${() => { onAdd(field.name); setWanted(''); }}>
          <span class="mono">${field.name}</span> <small>${field.types.join(', ')}</small></button></li>`)}</ul>`}
      ${visible.map((facet) => html`<${Facet} key=${facet.field} facet=${facet} query=${query} columns=${columns}
        onToggle=${onToggle} onLight=${onLight} onMore=${onMore} onColumn=${onColumn} onDrop=${onDrop} />`)}
    </div>
  </aside>`;
}
