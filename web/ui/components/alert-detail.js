// One alert: the sentence first, then the actions, then one picture, who, and what happened.
import { html } from '../lib/html.js';
import { capital, emphasised, reasonTitle, tag } from '../lib/alert.js';
import { exact, plural, shortTime } from '../lib/format.js';
import { zone } from '../lib/state.js';
import { AlertActions } from './alert-actions.js';
import { Baseline } from './baseline.js';
import { Comments } from './comments.js';
import { Happened } from './happened.js';
import { Involved } from './involved.js';
import { Matched } from './matched.js';

function State({ alert }) {
  const seen = plural(alert.count ?? 1, 'time');
  const status = alert.status === 'closed' && alert.reason ? `closed, ${reasonTitle(alert.reason).toLowerCase()}` : alert.status;
  return html`<span class="tag" title=${exact(alert.ts * 1000)}>${status} since ${shortTime(alert.ts * 1000)}, seen ${seen}</span>`;
}

export function AlertDetail({ alert, onChanged }) {
  zone.use();
  return html`<article class="alert" aria-label=${alert.title}>
    <p class="bar tags"><span class=${`tag severity ${alert.severity}`}>${capital(alert.severity)}</span>
      <${State} alert=${alert} />
      ${alert.assignee && html`<span class="tag">with ${alert.assignee}</span>`}
      ${(alert.tags ?? []).map(tag).map(({ title, href: link }) => (link
    ? html`<a class="tag" key=${title} href=${link} target="_blank" rel="noreferrer noopener">${title}</a>`
    : html`<span class="tag" key=${title}>${title}</span>`))}</p>
    <h1>${alert.title}</h1>
    <p class="sentence">${emphasised(alert).map((part) => (part.strong ? html`<strong>${part.text}</strong>` : part.text))}</p>
    <p class="faint source">${alert.rule ? `Sigma rule, level ${alert.rule.level}` : `${capital(alert.kind)} detector`} · <span
      class="mono">${alert.detector}</span> · score ${Number(alert.score).toFixed(1)}</p>
    <${AlertActions} alert=${alert} onChanged=${onChanged} />
    <div class="boxes">
      <${Baseline} alert=${alert} />
      <${Involved} alert=${alert} />
      <${Matched} alert=${alert} />
      <${Happened} alert=${alert} />
      <${Comments} alert=${alert} onChanged=${onChanged} />
    </div>
  </article>`;
}
