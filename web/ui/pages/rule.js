// One rule: what it finds, what became of it, its settings, exceptions, text, and why it matches.
import { html, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { capital, tag } from '../lib/alert.js';
import { bytes, count, exact, number, plural, shortTime } from '../lib/format.js';
import { href } from '../lib/route.js';
import { useLoad } from '../lib/load.js';
import { zone } from '../lib/state.js';
import { Command } from '../components/empty.js';
import { Exceptions } from '../components/exceptions.js';
import { RuleBacktest } from '../components/rule-backtest.js';
import { RuleExplain } from '../components/rule-explain.js';
import { RuleSettings } from '../components/rule-settings.js';
import { Spark } from '../components/spark.js';

export const detectorOf = (rule) => (rule.kind === 'detector' ? rule.id : `sigma:${rule.id}`);

/** `12 %` of `0.12`, a dash where nothing was closed. */
export const share = (value) => (value === null ? '–' : `${number(value * 100)} %`);

function When({ value }) {
  return value ? html`<span title=${exact(value)}>${shortTime(value)}</span>` : 'never';
}

/** `0.12 µs an event`; how often it is asked and its share of all detection beside. */
function Cost({ cost }) {
  const title = `${number(cost.share * 100)} % of the time of detection; decided for `
    + `${number(cost.asked_share * 100)} % of events`;
  return html`<span title=${title}>${number(cost.us_per_event)} µs an event</span>`;
}

function Facts({ health }) {
  zone.use();
  const { verdicts } = health;
  const facts = [
    ['matches, 24 h', count(health.matched_24h)],
    ['matches, 7 days', count(health.matched_7d)],
    ['alerts, 7 days', count(health.alerts_7d)],
    ['alerts a day', number(health.alerts_per_day)],
    ['false positives', share(health.false_positive_share)],
    ['last match', html`<${When} value=${health.last_match} />`],
    ['last alert', html`<${When} value=${verdicts.last_alert} />`],
  ];
  const quiet = [
    ['hidden by exceptions', health.hidden_7d],
    ['suppressed', health.suppressed_7d],
    ['alerts it would have raised', health.shadow_alerts_7d],
  ].filter(([, value]) => value > 0);
  const rest = quiet.map(([name, value]) => [name, count(value)]);
  const inside = health.detector;
  if (inside) rest.push(['memory', bytes(inside.state_bytes)]);
  if (inside?.calibrated !== null && inside?.calibrated !== undefined) {
    rest.push(['probabilities', html`<span
      class=${inside.calibrated ? 'good' : 'warn'}
      title=${`Distance of ${count(inside.windows)} p-values from uniform: ${inside.distance}`}
    >${inside.calibrated ? 'hold' : 'do not hold: its alerts add nothing to others'}</span>`]);
  }
  if (health.cost) rest.push(['cost', html`<${Cost} cost=${health.cost} />`]);
  return html`<dl class="facts">${[...facts, ...rest].map(([name, value]) => html`<div key=${name}>
    <dt>${name}</dt><dd>${value}</dd>
  </div>`)}</dl>`;
}

/** What all verdicts together have changed. */
function Learned({ learned }) {
  if (!learned || learned.holds_below === 0) return null;
  return html`<p class="dim">By ${plural(learned.labels, 'verdict')}, ${count(learned.attacks)} of
    them attacks, alerts of any rule that are attacks in fewer than${' '}
    ${(learned.holds_below * 100).toFixed(1)} % of cases are held back. Reopening an alert takes its
    verdict back.</p>`;
}

/** What verdicts have changed, and how to change it back. */
function Verdicts({ health }) {
  if (health.held_up_to === null) return null;
  return html`<p class="dim">Alerts that score up to ${number(health.held_up_to)} are held back:${' '}
    ${plural(health.held_by_verdicts, 'alert')} like that closed as false or benign, none as an
    attack. Reopening one of them takes its verdict back.</p>`;
}

/** Why the rule cannot match, in words. */
export function Blind({ health }) {
  if (health.can_match !== false) return null;
  const sources = health.missing_log_sources;
  const [verb, lacking] = sources.length > 0 ? ['is of', sources] : ['has', health.missing_fields];
  return html`<span class="warn">cannot match: no event of the last 7 days ${verb}${' '}
    <span class="mono">${lacking.join(', ')}</span></span>`;
}

function About({ rule }) {
  const lists = [
    ['Known benign causes', rule.falsepositives ?? []],
    ['Read on', rule.references ?? []],
  ];
  const tags = (rule.tags ?? []).map((text) => tag(text).title);
  return html`<p class="lead">${rule.description}</p>
    <p class="faint">
      ${capital(rule.severity)} · ${rule.kind}${rule.status ? `, ${rule.status}` : ''} ·
      ${' '}<span class="mono">${rule.logsource}</span> · <span class="mono">${rule.path}</span>
      ${tags.length > 0 ? ` · ${tags.join(', ')}` : ''}
      ${rule.pipelines?.length > 0 ? ` · rewritten by ${rule.pipelines.join(', ')}` : ''}
    </p>
    ${lists.map(([title, items]) => items.length > 0 && html`<details key=${title}>
      <summary class="dim">${title}</summary>
      <ul class="dim">${items.map((item) => html`<li key=${item}>${item}</li>`)}</ul>
    </details>`)}`;
}

function Known({ rule, seq, except, onChanged }) {
  const { health } = rule;
  const days = (health.by_day ?? []).map((day) => day.matched ?? 0);
  return html`<section>
      ${rule.gone
        ? html`<p class="error">
            Its file is gone. What is set about it holds again once the file is back.
          </p>`
        : html`<${About} rule=${rule} />`}
    </section>
    <section>
      <${Facts} health=${health} />
      <${Verdicts} health=${health} />
      <${Learned} learned=${health.learned} />
      <p><${Blind} health=${health} /></p>
      ${days.some((n) => n > 0) && html`<p class="bar">
        <${Spark} values=${days} height=${44} /> <span class="dim">matches a day, 31 days</span>
      </p>`}
      <p><a href=${href('/alerts', { q: `detector:${detectorOf(rule)}` })}>Its alerts</a></p>
    </section>
    ${rule.kind !== 'filter' && html`<${RuleSettings} rule=${rule} onChanged=${onChanged} />
      <${Exceptions} rule=${rule} query=${except} onChanged=${onChanged} />`}
    ${!rule.gone && rule.kind !== 'filter' && html`<${RuleExplain} rule=${rule} seq=${seq} />
      <${RuleBacktest} rule=${rule} />`}
    ${rule.text && html`<section class="rule-text">
      <h2>Text</h2>
      <${Command} text=${rule.text} name="the rule" />
    </section>`}`;
}

export function RulePage({ id, seq, except }) {
  const [turn, setTurn] = useState(0);
  const ask = (signal) => get(`/rules/${encodeURIComponent(id)}`, {}, signal);
  const { data, error, busy } = useLoad(ask, [id, turn]);
  return html`<main id="main" tabindex="-1">
    <div class="head">
      <h1 class="grow">${data?.title ?? 'Rule'}</h1>
      <a class="button" href="/rules">All rules</a>
    </div>
    <div class="page">
      ${error && html`<p class="error" role="alert">${error.message}</p>`}
      ${!data && busy && html`<p class="spinner"></p>`}
      ${data && html`<${Known}
        key=${id}
        rule=${data}
        seq=${seq}
        except=${except}
        onChanged=${() => setTurn((n) => n + 1)}
      />`}
    </div>
  </main>`;
}
