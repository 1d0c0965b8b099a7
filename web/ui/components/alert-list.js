// The list of alerts: what, who, when, how bad.
import { html } from '../lib/html.js';
import { about, capital } from '../lib/alert.js';
import { exact, shortTime } from '../lib/format.js';
import { href } from '../lib/route.js';
import { zone } from '../lib/state.js';

function Item({ alert, chosen, params }) {
  const { id, title, severity, status } = alert;
  const at = alert.ts * 1000;
  return html`<a
    class="alert-item"
    href=${href(`/alerts/${encodeURIComponent(id)}`, params)}
    aria-current=${id === chosen ? 'true' : undefined}
  >
    <span class=${`mark-severity ${severity}`} aria-hidden="true"></span>
    <span class="alert-title">${title}</span>
    <time title=${exact(at)}>${shortTime(at)}</time>
    <span class="alert-about">${about(alert)}</span>
    <span class="alert-state">
      ${status !== 'open' && html`<span class="dim">${status} · ${' '}</span>`}
      <span class=${`severity-word ${severity}`}>${capital(severity)}</span>
    </span>
  </a>`;
}

export function AlertList({ alerts, chosen, params }) {
  zone.use();
  return html`<ul class="alert-list">${alerts.map((alert) => html`<li key=${alert.id}>
    <${Item} alert=${alert} chosen=${chosen} params=${params} />
  </li>`)}</ul>`;
}
