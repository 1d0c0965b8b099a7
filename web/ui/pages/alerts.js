// The alerts page.
import { html } from '../lib/html.js';

export function AlertsPage() {
  return html`<main id="main" tabindex="-1"><div class="head"><h1>Alerts</h1></div></main>`;
}
