// The baseline's numbers as the detector gave them, for what the picture cannot show.
import { html } from '../lib/html.js';
import { number, span, words } from '../lib/format.js';

const SHOWN = 12;

const isPlain = (value) => value !== null && value !== false && typeof value !== 'object';

/** `[name, words]`; lists and objects have a place of their own, and `false` says nothing. */
function written([name, value]) {
  if (name.endsWith('_seconds')) return [words(name.replace('_seconds', '')), span(value * 1000)];
  if (value === true) return [words(name), 'yes'];
  return [words(name), typeof value === 'number' ? number(value) : String(value)];
}

export function Numbers({ base }) {
  const entries = Object.entries(base ?? {}).filter(([, value]) => isPlain(value));
  if (entries.length === 0) return null;
  return html`<dl class="numbers">
    ${entries.slice(0, SHOWN).map(written).map(([name, value]) => html`<div key=${name}>
      <dt>${name}</dt><dd>${value}</dd>
    </div>`)}
  </dl>`;
}
