// Why a rule matched: its conditions with the fields and values that met them.
import { html } from '../lib/html.js';
import { clause } from '../lib/query.js';
import { href } from '../lib/route.js';
import { between } from '../lib/range.js';

const DAY_MS = 86_400_000;
const SHOWN = 24;

// How a value was compared; alerts of earlier versions do not say it.
const VERBS = {
  contains: 'contains', startswith: 'begins with', endswith: 'ends with', regex: 'matches',
  one_of: 'one of', cidr: 'in', fieldref: 'same as',
};

function condition({ selection, matcher, pattern }) {
  const text = typeof pattern === 'object' ? JSON.stringify(pattern) : pattern;
  const said = matcher === 'exists' ? 'exists' : [VERBS[matcher], text].filter(Boolean).join(' ');
  return [selection, said].filter(Boolean).join(': ');
}

export function Matched({ alert }) {
  const matched = alert.evidence?.baseline?.matched;
  if (!Array.isArray(matched) || matched.length === 0) return null;
  const range = between(alert.t0 * 1000 - DAY_MS, alert.t1 * 1000 + DAY_MS);
  const row = (one, at) => html`<tr key=${at}>
    <th scope="row" class="mono">${one.field}</th>
    <td class="mono">
      <a href=${href('/search', { q: clause(one.field, one.value), ...range })}>${one.value}</a>
    </td>
    <td class="mono dim">${condition(one)}</td>
  </tr>`;
  const { correlation, condition: whole } = alert.evidence.baseline;
  return html`<section class="box wide">
    <h2>Why the rule matched</h2>
    ${correlation && html`<p class="dim">The event that completed it; others are below.</p>`}
    ${whole && html`<p class="dim">Condition: <span class="mono">${whole}</span></p>`}
    <table class="matched">
      <caption class="sr">Fields that met the rule's conditions</caption>
      <thead><tr>
        <th scope="col">Field</th><th scope="col">Value</th><th scope="col">Condition</th>
      </tr></thead>
      <tbody>${matched.slice(0, SHOWN).map(row)}</tbody>
    </table>
  </section>`;
}
