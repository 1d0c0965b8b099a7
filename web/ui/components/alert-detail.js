// One alert: the sentence first, then the actions, then one picture, who, and what happened.
import { html } from '../lib/html.js';
import { capital, emphasised, reasonTitle, tag } from '../lib/alert.js';
import { exact, plural, shortTime } from '../lib/format.js';
import { href } from '../lib/route.js';
import { zone } from '../lib/state.js';
import { AlertActions } from './alert-actions.js';
import { Baseline } from './baseline.js';
import { Comments } from './comments.js';
import { Happened } from './happened.js';
import { Involved } from './involved.js';
import { Matched } from './matched.js';

function Tag({ text }) {
  const { title, href } = tag(text);
  if (!href) return html`<span class="tag">${title}</span>`;
  return html`<a class="tag" href=${href} target="_blank" rel="noreferrer noopener">${title}</a>`;
}

function Tags({ alert }) {
  const { status, reason, severity, assignee } = alert;
  const state = reason ? `${status}, ${reasonTitle(reason).toLowerCase()}` : status;
  const at = alert.ts * 1000;
  const words = `${state} since ${shortTime(at)}, seen ${plural(alert.count ?? 1, 'time')}`;
  return html`<p class="bar tags">
    <span class=${`tag severity ${severity}`}>${capital(severity)}</span>
    <span class="tag" title=${exact(at)}>${words}</span>
    ${assignee && html`<span class="tag">with ${assignee}</span>`}
    ${(alert.tags ?? []).map((text) => html`<${Tag} key=${text} text=${text} />`)}
  </p>`;
}

/** Why nobody was called. */
function Held({ alert }) {
  if (!alert.held || alert.status === 'closed') return null;
  return html`<p class="dim">Held back: nobody was called. There were alerts of higher risk, as many
    as the budget of the day has, or people closed alerts like it as false. It is let through when
    its risk rises.</p>`;
}

/** How likely it is an attack, by what people said of others. */
function Chance({ alert }) {
  if (alert.chance == null || alert.status === 'closed') return null;
  const percent = alert.chance * 100;
  const share = percent < 1 ? 'less than 1' : percent.toFixed(0);
  return html`<p class="dim">By the verdicts on earlier alerts, ${share} % of alerts like this are
    attacks.</p>`;
}

function Sentence({ alert }) {
  const part = ({ strong, text }) => (strong ? html`<strong>${text}</strong>` : text);
  return html`<p class="sentence">${emphasised(alert).map(part)}</p>`;
}

function Origin({ alert }) {
  const { rule, kind, detector, score } = alert;
  const what = rule ? `Sigma rule, level ${rule.level}` : `${capital(kind)} detector`;
  const points = Number(score).toFixed(1);
  const seq = alert.evidence?.events?.[0];
  return html`<p class="faint source">
    ${what} · ${' '}<a class="mono" href=${href('/rules', { id: rule?.id ?? detector, seq })}>
      ${detector}
    </a>${' '} · score ${points}
    ${alert.risk > 0 && html`<span title="What all alerts about those involved came to">
      ${' '}· risk ${alert.risk.toFixed(1)}
    </span>`}
  </p>`;
}

export function AlertDetail({ alert, onChanged }) {
  zone.use();
  return html`<article class="alert" aria-label=${alert.title}>
    <${Tags} alert=${alert} />
    <h1>${alert.title}</h1>
    <${Sentence} alert=${alert} />
    <${Origin} alert=${alert} />
    <${Held} alert=${alert} />
    <${Chance} alert=${alert} />
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
