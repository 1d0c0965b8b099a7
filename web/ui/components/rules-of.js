// Which rules an event matches, and why that did or did not raise an alert.
import { html } from '../lib/html.js';
import { post } from '../lib/api.js';
import { count } from '../lib/format.js';
import { href } from '../lib/route.js';
import { useLoad } from '../lib/load.js';

const OUTCOMES = {
  alert: 'part of an alert',
  shadow: 'in shadow: counted, no alert',
  disabled: 'disabled: not counted',
  excepted: 'hidden by an exception',
  counts: 'counts; whether it raises an alert depends on other events',
};

function Row({ one, seq }) {
  return html`<tr>
    <th scope="row"><a href=${href('/rules', { id: one.id, seq })}>${one.title}</a></th>
    <td>${OUTCOMES[one.outcome] ?? one.outcome}<br /><span class="dim">${one.sentence}</span></td>
  </tr>`;
}

export function RulesOf({ seq }) {
  const { data, error, busy } = useLoad(() => post('/rules/explain', { seq }), [seq]);
  if (error) return html`<p class="error" role="alert">${error.message}</p>`;
  if (!data) return busy ? html`<p class="spinner"></p>` : null;
  if (data.matched.length === 0)
    return html`<p class="dim">None of ${count(data.asked)} rules matches the event.</p>`;
  return html`<table class="field-table">
    <caption class="sr">Rules that the event matches</caption>
    <tbody>${data.matched.map((one) => html`<${Row} key=${one.id} one=${one} seq=${seq} />`)}</tbody>
  </table>`;
}
