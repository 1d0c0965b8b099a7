// Export of exactly the shown query and range, streamed by the server.
import { html } from '../lib/html.js';
import { address } from '../lib/api.js';
import { Menu } from './menu.js';

const FORMATS = [
  ['ndjson', 'NDJSON', 'events as they came'],
  ['csv', 'CSV', 'a column a field'],
  ['parquet', 'Parquet', 'typed columns'],
  ['arrow', 'Arrow', 'an IPC stream'],
];

export function ExportMenu({ query, range }) {
  const choice = ([format, title, note], close) => html`<a
    class="choice"
    key=${format}
    download=${`watchfire-events.${format}`}
    href=${address('/export', { q: query, ...range, format })}
    onClick=${() => setTimeout(close)}
  ><span>${title}</span><span class="dim">${note}</span></a>`;
  return html`<${Menu} label="Export" title="Export these events">
    ${(close) => FORMATS.map((format) => choice(format, close))}
  <//>`;
}
