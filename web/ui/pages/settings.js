// The settings page.
import { html } from '../lib/html.js';

export function SettingsPage() {
  return html`<main id="main" tabindex="-1"><div class="head"><h1>Settings</h1></div></main>`;
}
