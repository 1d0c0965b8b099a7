// The rules page.
import { html } from '../lib/html.js';

export function RulesPage() {
  return html`<main id="main" tabindex="-1"><div class="head"><h1>Rules</h1></div></main>`;
}
