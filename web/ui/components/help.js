// The keyboard and the query language on one card.
import { html } from '../lib/html.js';
import { Dialog } from './dialog.js';

const KEYS = [
  ['/', 'write a query'],
  ['t', 'choose the time range'],
  ['j k', 'next and previous row or alert'],
  ['Enter', 'open the row'],
  ['l', 'live tail on and off'],
  ['f', 'find a field'],
  ['a', 'acknowledge the alert'],
  ['g s', 'go to search'],
  ['g a', 'go to alerts'],
  ['?', 'this card'],
];

const QUERIES = [
  ['user.id:u100377', 'a field has this value'],
  ['"bad credentials"', 'these words in a row, anywhere'],
  ['http.response.status_code:>=500', 'a range'],
  ['source.ip:10.0.0.0/8', 'a network'],
  ['user.id:probe-*', 'a pattern'],
  ['token.hash:*', 'the field is there'],
  ['a:1 AND NOT (b:2 OR c:3)', 'both, not, either'],
];

export function Help({ onClose }) {
  return html`<${Dialog} title="Keyboard and queries" onClose=${onClose}>
    <dl class="keys">${KEYS.map(
      ([key, does]) => html`<dt>${key.split(' ').map((one) => html`<kbd>${one}</kbd> `)}</dt>
      <dd>${does}</dd>`,
    )}</dl>
    <dl class="keys">${QUERIES.map(
      ([query, does]) => html`<dt><code>${query}</code></dt><dd>${does}</dd>`,
    )}</dl>
    <div class="bar"><button type="button" class="button" onClick=${onClose}>Close</button></div>
  <//>`;
}
