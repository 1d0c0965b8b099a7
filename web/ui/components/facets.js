// Facets: what values the found events have. A click filters, Alt-click or the minus excludes.
import { html, useRef, useState } from '../lib/html.js';
import { count } from '../lib/format.js';
import { asksFor } from '../lib/query.js';
import { useKeys } from '../lib/keys.js';

const FIELDS_LISTED = 40;
const VALUES_MAX = 50;

function Value({ field, item, top, total, query, onToggle, onLight }) {
  const value = String(item.value);
  const chosen = Boolean(asksFor(query, field, value));
  const excluded = Boolean(asksFor(query, field, value, true));
  const light = () => onLight({ field, value });
  const dark = () => onLight(null);
  const percent = total > 0 ? `, ${((item.count / total) * 100).toFixed(1)} % of the events` : '';
  const share = `${Math.max((item.count / top) * 100, 2)}%`;
  return html`<li
    class=${`facet-value ${chosen ? 'chosen' : ''} ${excluded ? 'excluded' : ''}`}
    onPointerEnter=${light}
    onPointerLeave=${dark}
  >
    <span class="share" style=${{ width: share }}></span>
    <button
      type="button"
      class="pick"
      title=${`${field}: ${value}${percent}\nClick to filter, Alt-click to exclude`}
      aria-pressed=${chosen ? 'true' : 'false'}
      onClick=${(event) => onToggle(field, value, event.altKey)}
      onFocus=${light}
      onBlur=${dark}
    >
      <span class="name">${value === '' ? '(empty)' : value}</span>
      <span class="n">${count(item.count)}</span>
    </button>
    <button
      type="button"
      class="minus"
      title="Exclude"
      aria-pressed=${excluded ? 'true' : 'false'}
      onClick=${() => onToggle(field, value, true)}
    >−<span class="sr"> exclude ${value}</span></button>
  </li>`;
}

function FacetHead({ facet, shown, onColumn, onDrop }) {
  const { field } = facet;
  const distinct = `${facet.distinct_is_exact === false ? '~' : ''}${count(facet.distinct)}`;
  return html`<h3>
    <span class="name" title=${field}>${field}</span>
    <span class="tools">
      <button
        type="button"
        class="plain"
        title=${shown ? 'Remove the column' : 'Show as a column'}
        aria-pressed=${shown ? 'true' : 'false'}
        onClick=${() => onColumn(field)}
      >${shown ? 'column ✓' : '+ column'}<span class="sr"> ${field}</span></button>
      <button
        type="button"
        class="plain"
        title="Remove this facet"
        onClick=${() => onDrop(field)}
      >×<span class="sr"> remove the facet ${field}</span></button>
    </span>
    <span class="distinct" title="Distinct values">${distinct}</span>
  </h3>`;
}

function Facet({ facet, total, query, columns, onToggle, onLight, onMore, onColumn, onDrop }) {
  const { field, values } = facet;
  const top = Math.max(...values.map((item) => item.count), 1);
  const more = values.length < facet.distinct && values.length < VALUES_MAX;
  return html`<section class="facet">
    <${FacetHead}
      facet=${facet}
      shown=${columns.includes(field)}
      onColumn=${onColumn}
      onDrop=${onDrop}
    />
    <ul>${values.map((item) => html`<${Value}
      key=${item.value}
      field=${field}
      item=${item}
      top=${top}
      total=${total}
      query=${query}
      onToggle=${onToggle}
      onLight=${onLight}
    />`)}</ul>
    ${values.length === 0 && html`<p class="faint">no value in these events</p>`}
    ${more && html`<button type="button" class="plain more" onClick=${() => onMore(field)}>
      more<span class="sr"> values of ${field}</span>
    </button>`}
  </section>`;
}

function OtherFields({ fields, onAdd }) {
  if (fields.length === 0) return null;
  return html`<ul class="field-list" aria-label="More fields">${fields.map(
    (field) => html`<li key=${field.name}>
      <button type="button" class="plain" onClick=${() => onAdd(field.name)}>
        <span class="mono">${field.name}</span>${' '}<small>${field.types.join(', ')}</small>
      </button>
    </li>`,
  )}</ul>`;
}

export function Facets({ facets, known, onAdd, ...shared }) {
  const [wanted, setWanted] = useState('');
  const [open, setOpen] = useState(false);
  const filter = useRef(null);
  const toFilter = () => {
    setOpen(true);
    requestAnimationFrame(() => filter.current.focus());
  };
  useKeys({ f: toFilter });
  const word = wanted.trim().toLowerCase();
  const fits = (name) => name.toLowerCase().includes(word);
  const shown = new Set(facets.map((facet) => facet.field));
  const others = known.filter((field) => !shown.has(field.name) && fits(field.name));
  const add = (name) => {
    onAdd(name);
    setWanted('');
  };
  return html`<aside class=${`facets ${open ? 'open' : ''}`} aria-label="Facets">
    <button
      type="button"
      class="button small facets-switch"
      aria-expanded=${open ? 'true' : 'false'}
      onClick=${() => setOpen(!open)}
    >Facets</button>
    <div class="facets-body">
      <input
        ref=${filter}
        class="input small"
        type="search"
        placeholder=${`Filter ${count(known.length)} fields`}
        aria-label="Filter fields"
        value=${wanted}
        onInput=${(event) => setWanted(event.target.value)}
      />
      <${OtherFields} fields=${word === '' ? [] : others.slice(0, FIELDS_LISTED)} onAdd=${add} />
      ${facets.filter((facet) => fits(facet.field)).map((facet) => html`<${Facet}
        key=${facet.field}
        facet=${facet}
        ...${shared}
      />`)}
    </div>
  </aside>`;
}
