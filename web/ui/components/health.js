// What is wrong with the server, in words: what happened, what was kept, what to do.
import { html } from '../lib/html.js';
import { count, plural } from '../lib/format.js';

/** Sentences for what the status shows to be wrong; none on a good day. */
function troubles({ store, rules }) {
  const found = [];
  const { log_failed: logFailed, damaged_segments: damaged = [], refused = {} } = store;
  if (logFailed) {
    found.push('The log cannot be written. Nothing new is taken; what was answered for is kept. '
      + 'Make room or replace the disk, then start the server again.');
  }
  if (damaged.length > 0) {
    const rows = damaged.reduce((sum, segment) => sum + segment.rows, 0);
    found.push(`${plural(damaged.length, 'segment')} with ${plural(rows, 'event')} cannot be read. `
      + 'All others are searched. Restore them from a backup; watchfire verify names them.');
  }
  if (refused.disk_reserve > 0) {
    found.push(`${plural(refused.disk_reserve, 'commit')} refused since the start because the disk `
      + 'was nearly full. The senders were told to try again.');
  }
  if (refused.overloaded > 0) {
    found.push(`${plural(refused.overloaded, 'commit')} refused since the start because more came `
      + 'than can be stored. The senders were told to try again.');
  }
  if (rules?.faults > 0) {
    found.push(`${count(rules.faults)} rule files are set aside; the Rules page says why.`);
  }
  return found;
}

export function Health({ status }) {
  const found = troubles(status);
  if (found.length === 0) return null;
  return html`<ul class="error stack">
    ${found.map((words) => html`<li key=${words}>${words}</li>`)}
  </ul>`;
}
