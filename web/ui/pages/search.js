// The search page.
import { html } from '../lib/html.js';

export function SearchPage() {
  return html`<main id="main" tabindex="-1"><div class="head"><h1>Search</h1></div></main>`;
}
