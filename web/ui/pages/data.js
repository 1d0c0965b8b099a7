// The data page.
import { html } from '../lib/html.js';

export function DataPage() {
  return html`<main id="main" tabindex="-1"><div class="head"><h1>Data</h1></div></main>`;
}
