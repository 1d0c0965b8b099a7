// The rules that are loaded: how each is run, what became of it, whether it can match at all; the
// files that could not be read.
import { html, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { capital } from '../lib/alert.js';
import { count, exact, plural, shortTime } from '../lib/format.js';
import { href, route, setParams } from '../lib/route.js';
import { zone } from '../lib/state.js';
import { useLoad } from '../lib/load.js';
import { Empty } from '../components/empty.js';
import { ExceptionTable } from '../components/exceptions.js';
import { RuleCheck } from '../components/rule-check.js';
import { Spark } from '../components/spark.js';
import { Blind, RulePage, share } from './rule.js';

const SHOWN = 200;

const SHOWS = [
  ['', 'all', () => true],
  ['firing', 'matched in 7 days', (rule) => rule.health.matched_7d > 0],
  ['blind', 'cannot match', (rule) => rule.health.can_match === false],
  ['changed', 'changed here', (rule) => rule.settings.changed !== null],
];

function Severity({ rule }) {
  const own = rule.settings.severity;
  if (!own) return html`<span class=${`severity-word ${rule.severity}`}>
    ${capital(rule.severity)}
  </span>`;
  return html`<span class=${`severity-word ${own}`}>${capital(own)}</span>
    <span class="faint"> file: ${rule.severity}</span>`;
}

function State({ settings, health }) {
  const { state } = settings;
  if (state === 'live') return html`<span class=${health.can_match === false ? 'dim' : 'good'}>
    live
  </span>`;
  return html`<span class="warn">${state}</span>`;
}

function Rule({ rule }) {
  const { title, id, health, kind } = rule;
  return html`<tr>
    <th scope="row">
      <a href=${href('/rules', { id })}>${title}</a>
      ${health.can_match === false && html`<br /><${Blind} health=${health} />`}
    </th>
    <td data-label="state"><${State} ...${rule} /></td>
    <td data-label="severity"><${Severity} rule=${rule} /></td>
    <td data-label="kind">${kind}</td>
    <td data-label="last match">${health.last_match
      ? html`<span title=${exact(health.last_match)}>${shortTime(health.last_match)}</span>`
      : html`<span class="faint">never</span>`}</td>
    <td data-label="7 days" class="nowrap">
      <${Spark} values=${health.days} /> ${count(health.matched_7d)}
    </td>
    <td data-label="alerts" class="number">${count(health.alerts_7d)}</td>
    <td data-label="false positives" class="number">${share(health.false_positive_share)}</td>
  </tr>`;
}

/** Those that match first, then those with alerts, then by title. */
function byActivity(a, b) {
  const most = b.health.matched_7d - a.health.matched_7d;
  return most || b.health.verdicts.alerts - a.health.verdicts.alerts || (a.title < b.title ? -1 : 1);
}

function Shows({ rules, show, params }) {
  return html`<nav class="page-tabs" aria-label="Which rules">${SHOWS.map(([name, title, test]) => html`<a
    key=${name}
    href=${href('/rules', { ...params, show: name })}
    aria-current=${name === show ? 'true' : undefined}
  >${title} <span class="faint">${count(rules.filter(test).length)}</span></a>`)}</nav>`;
}

function Table({ rules }) {
  return html`<div class="scroll"><table>
    <caption class="sr">Rules</caption>
    <thead><tr>
      <th scope="col">Rule</th><th scope="col">State</th><th scope="col">Severity</th>
      <th scope="col">Kind</th><th scope="col">Last match</th><th scope="col">7 days</th>
      <th scope="col" class="number">Alerts</th>
      <th scope="col" class="number">False positives</th>
    </tr></thead>
    <tbody>${rules.map((rule) => html`<${Rule} key=${rule.path + rule.id} rule=${rule} />`)}</tbody>
  </table></div>`;
}

function Live({ rules }) {
  zone.use();
  const { params } = route.use();
  const [wanted, setWanted] = useState(params.find ?? '');
  const word = wanted.trim().toLowerCase();
  const show = params.show ?? '';
  const test = SHOWS.find(([name]) => name === show)?.[2] ?? SHOWS[0][2];
  const textOf = ({ title, id, path, tags }) => [title, id, path, ...(tags ?? [])].join(' ');
  const found = rules.filter((rule) => textOf(rule).toLowerCase().includes(word) && test(rule));
  const rest = found.length - SHOWN;
  const type = (event) => {
    setWanted(event.target.value);
    setParams({ find: event.target.value || undefined }, { replace: true });
  };
  return html`<section>
    <p class="lead">
      ${plural(rules.length, 'rule')}. Rules are files; a change of a file or of a setting is taken
      up without a restart.
    </p>
    <${Shows} rules=${rules} show=${show} params=${params} />
    <div class="form"><label class="field">
      <span>Filter by title, tag or file</span>
      <input class="input small" type="search" value=${wanted} onInput=${type} />
    </label></div>
    ${found.length === 0
      ? html`<p class="dim">No rule fits.</p>`
      : html`<${Table} rules=${found.sort(byActivity).slice(0, SHOWN)} />`}
    ${rest > 0 && html`<p class="dim">${count(rest)} more; filter to see them.</p>`}
  </section>`;
}

function Gone({ gone }) {
  return html`<section>
    <h2>${plural(gone.length, 'rule')} gone</h2>
    <p class="lead">Their files are gone; what was set about them is kept for when they are back.</p>
    <ul>${gone.map(({ id, title, settings }) => html`<li key=${id}>
      <a href=${href('/rules', { id })}>${title}</a>${' '}
      <span class="dim">${settings.state}, set by ${settings.changed_by}</span>
    </li>`)}</ul>
  </section>`;
}

/** The exceptions of all rules: who answers for what, until when. */
function AllExceptions({ rules }) {
  const { data } = useLoad((signal) => get('/exceptions', {}, signal), []);
  if (!data || data.exceptions.length === 0) return null;
  const titles = new Map(rules.map((rule) => [rule.id, rule.title]));
  const active = data.exceptions.filter((one) => one.status === 'active').length;
  return html`<section>
    <h2>${plural(data.exceptions.length, 'exception')}</h2>
    <p class="lead">Events that rules do not speak of: ${count(active)} in force.</p>
    <${ExceptionTable} exceptions=${data.exceptions} titles=${titles} />
  </section>`;
}

function Fault({ fault }) {
  return html`<tr>
    <td class="mono">${fault.path}</td>
    <td data-label="line">${fault.line ?? ''}</td>
    <td>${fault.message} <span class="faint">${fault.code}</span></td>
  </tr>`;
}

function Faults({ faults }) {
  return html`<section>
    <h2>${plural(faults.length, 'rule')} set aside</h2>
    <p class="lead">
      These could not be read. All others are live. Correct the file and it is taken up by itself.
    </p>
    <div class="scroll"><table>
      <caption class="sr">Rules set aside</caption>
      <thead><tr>
        <th scope="col">File</th><th scope="col">Line</th><th scope="col">What is wrong</th>
      </tr></thead>
      <tbody>${faults.slice(0, SHOWN).map((fault, at) => html`<${Fault}
        key=${at}
        fault=${fault}
      />`)}</tbody>
    </table></div>
  </section>`;
}

function NoRules() {
  return html`<${Empty} title="No rules loaded" command="watchfire serve --rules ./rules">
    Sigma rules and detectors are files. Name the folder they are in.
  <//>`;
}

function AllRules() {
  const { data, error } = useLoad((signal) => get('/rules', {}, signal), []);
  return html`<main id="main" tabindex="-1">
    <div class="head"><h1>Rules</h1></div>
    <div class="page">
      ${error && html`<p class="error" role="alert">${error.message}</p>`}
      ${data?.rules.length === 0 && html`<${NoRules} />`}
      ${data?.rules.length > 0 && html`<${Live} rules=${data.rules} />`}
      ${data?.gone.length > 0 && html`<${Gone} gone=${data.gone} />`}
      ${data && html`<${AllExceptions} rules=${data.rules} />`}
      ${data && html`<section><${RuleCheck} /></section>`}
      ${data?.faults.length > 0 && html`<${Faults} faults=${data.faults} />`}
    </div>
  </main>`;
}

export function RulesPage() {
  const { params } = route.use();
  const { id, seq, except } = params;
  if (id) return html`<${RulePage} key=${id} id=${id} seq=${seq} except=${except} />`;
  return html`<${AllRules} />`;
}
