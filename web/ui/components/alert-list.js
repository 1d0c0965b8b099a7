// The list of alerts: what, who, when, how bad.
import { html } from '../lib/html.js';
import { about } from '../lib/alert.js';
import { exact, shortTime } from '../lib/format.js';
import { href } from '../lib/route.js';
import { zone } from '../lib/state.js';
import { Mark, SeverityWord } from './severity.js';

export function AlertList({ alerts, chosen, params }) {
  zone.use();
  return html`<ul class="alert-list">${alerts.map((alert) => html`<li key=${alert.id}>
    <a class="alert-item" href=${href(`/alerts/${encodeURIComponent(alert.id)}`, params)}
      aria-current=${alert.id === chosen ? 'true' : undefined}>
      <${Mark} severity=${alert.severity} />
      <span class="alert-title">${alert.title}</span>
      <time title=${exact(alert.ts * 1000)}>${shortTime(alert.ts * 1000)}</time>
      <span class="alert-about">${about(alert)}</span>
      <span class="alert-state">${alert.status !== 'open' && html`<span class="dim">${alert.status} · </span>`}<${SeverityWord}
        severity=${alert.severity} /></span>
    </a></li>`)}</ul>`;
}
