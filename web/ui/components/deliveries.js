// What became of each message to a channel.
import { html } from '../lib/html.js';
import { get } from '../lib/api.js';
import { exact, stamp } from '../lib/format.js';
import { useLoad } from '../lib/load.js';
import { zone } from '../lib/state.js';

function Row({ delivery }) {
  const { created, type, state, tries } = delivery;
  const answer = [delivery.last_status, delivery.last_error].filter(Boolean).join(' ');
  return html`<tr>
    <td title=${exact(created)}>${stamp(created)}</td>
    <td data-label="what">${type}</td>
    <td data-label="state" class=${state === 'delivered' ? 'good' : ''}>${state}</td>
    <td data-label="tries" class="number">${tries}</td>
    <td data-label="last answer">${answer}</td>
  </tr>`;
}

/** Asks again whenever `turn` changes. */
export function Deliveries({ channel, turn }) {
  zone.use();
  const path = `/channels/${encodeURIComponent(channel.id)}/deliveries`;
  const { data, error } = useLoad((signal) => get(path, {}, signal), [path, turn]);
  const rows = data?.deliveries ?? [];
  const title = `Deliveries to ${channel.name}`;
  return html`<h3>${title}</h3>
    ${error && html`<p class="error" role="alert">${error.message}</p>`}
    ${data && rows.length === 0 && html`<p class="dim">Nothing was sent yet.</p>`}
    ${rows.length > 0 && html`<div class="scroll"><table>
      <caption class="sr">${title}</caption>
      <thead><tr>
        <th scope="col">Queued</th><th scope="col">What</th><th scope="col">State</th>
        <th scope="col" class="number">Tries</th><th scope="col">Last answer</th>
      </tr></thead>
      <tbody>${rows.map((row) => html`<${Row} key=${row.id} delivery=${row} />`)}</tbody>
    </table></div>`}`;
}
