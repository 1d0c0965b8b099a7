// The audit trail: who did what, newest first. Each row is chained to the one before by its hash.
import { html, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { exact, stamp } from '../lib/format.js';
import { say, zone } from '../lib/state.js';
import { useLoad } from '../lib/load.js';

const PAGE = 100;

function Row({ row }) {
  const detail = JSON.stringify(row.detail);
  return html`<tr>
    <td title=${exact(row.at)} class="nowrap">${stamp(row.at).slice(0, -4)}</td>
    <td data-label="who">${row.who}</td>
    <td data-label="what">${row.what}</td>
    <td data-label="object" class="mono">${row.object}</td>
    <td data-label="from" class="mono">${row.from_addr}</td>
    <td data-label="detail" class="mono">${detail === '{}' || detail === 'null' ? '' : detail}</td>
  </tr>`;
}

export function Audit() {
  zone.use();
  const { data, error } = useLoad((signal) => get('/audit', { limit: PAGE }, signal), []);
  const [more, setMore] = useState([]);
  const rows = [...(data?.rows ?? []), ...more];
  const last = rows[rows.length - 1];
  const older = async () => {
    try {
      const page = await get('/audit', { limit: PAGE, before: last.seq });
      setMore([...more, ...page.rows]);
    } catch (problem) {
      say(problem.message, 'bad');
    }
  };
  return html`<section>
    <h2>Audit</h2>
    <p class="lead">
      Who did what, from where. Rows are only added; each holds the hash of the one before.
    </p>
    ${error && html`<p class="error" role="alert">${error.message}</p>`}
    <div class="scroll"><table>
      <caption class="sr">Audit trail</caption>
      <thead><tr>
        <th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th>
        <th scope="col">Object</th><th scope="col">From</th><th scope="col">Detail</th>
      </tr></thead>
      <tbody>${rows.map((row) => html`<${Row} key=${row.seq} row=${row} />`)}</tbody>
    </table></div>
    ${last?.seq > 1 && html`<button type="button" class="button small older" onClick=${older}>
      Show older
    </button>`}
  </section>`;
}
