// The rules that are loaded, whether the fields they read arrive, and the files that could not
// be read.
import { html, useEffect, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { capital, tag } from '../lib/alert.js';
import { count, plural } from '../lib/format.js';
import { knownFields, refreshFields } from '../lib/known.js';
import { href } from '../lib/route.js';
import { useLoad } from '../lib/load.js';
import { Empty } from '../components/empty.js';
import { RuleCheck } from '../components/rule-check.js';

const SHOWN = 200;
const FIELDS_NAMED = 3;
const TAGS_NAMED = 4;

const detectorOf = (rule) => (rule.kind === 'detector' ? rule.id : `sigma:${rule.id}`);

const missing = (rule, seen) => (rule.fields ?? []).filter((name) => !seen.has(name));

function Fields({ rule, seen }) {
  const absent = missing(rule, seen);
  if (seen.size === 0) return html`<span class="faint">no events yet</span>`;
  if (absent.length === 0) return html`<span class="good">all its fields arrive</span>`;
  const rest = absent.length - FIELDS_NAMED;
  const named = absent.slice(0, FIELDS_NAMED).join(', ');
  return html`<span class="dim" title=${absent.join(', ')}>
    not seen yet: ${named}${rest > 0 ? ` and ${rest} more` : ''}
  </span>`;
}

function Rule({ rule, seen }) {
  const { title, description, severity, kind, status } = rule;
  const tags = (rule.tags ?? []).slice(0, TAGS_NAMED).map((text) => tag(text).title);
  return html`<tr>
    <th scope="row">
      <b>${title}</b>
      ${description && html`<details>
        <summary class="dim">What it finds</summary>
        <p class="dim">${description}</p>
      </details>`}
    </th>
    <td data-label="severity">
      <span class=${`severity-word ${severity}`}>${capital(severity)}</span>
    </td>
    <td data-label="kind">${kind}${status ? `, ${status}` : ''}</td>
    <td data-label="fields"><${Fields} rule=${rule} seen=${seen} /></td>
    <td data-label="tags">${tags.join(', ')}</td>
    <td><a href=${href('/alerts', { q: `detector:${detectorOf(rule)}` })}>
      alerts<span class="sr"> of ${title}</span>
    </a></td>
  </tr>`;
}

function Live({ rules, seen }) {
  const [wanted, setWanted] = useState('');
  const word = wanted.trim().toLowerCase();
  const textOf = ({ title, id, path, tags }) => [title, id, path, ...(tags ?? [])].join(' ');
  const found = rules.filter((rule) => textOf(rule).toLowerCase().includes(word));
  const ready = rules.filter((rule) => missing(rule, seen).length === 0).length;
  const arrive = seen.size > 0 ? `; the fields of ${count(ready)} arrive` : '';
  const rest = found.length - SHOWN;
  return html`<section>
    <p class="lead">
      ${plural(rules.length, 'rule')} live${arrive}. Rules are files;
      a change is taken up without a restart.
    </p>
    <div class="form"><label class="field">
      <span>Filter by title, tag or file</span>
      <input
        class="input small"
        type="search"
        value=${wanted}
        onInput=${(event) => setWanted(event.target.value)}
      />
    </label></div>
    <div class="scroll"><table>
      <caption class="sr">Rules</caption>
      <thead><tr>
        <th scope="col">Rule</th><th scope="col">Severity</th><th scope="col">Kind</th>
        <th scope="col">Fields</th><th scope="col">Tags</th>
        <th scope="col"><span class="sr">Alerts</span></th>
      </tr></thead>
      <tbody>${found.slice(0, SHOWN).map((rule) => html`<${Rule}
        key=${rule.path + rule.id}
        rule=${rule}
        seen=${seen}
      />`)}</tbody>
    </table></div>
    ${rest > 0 && html`<p class="dim">${count(rest)} more; filter to see them.</p>`}
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

export function RulesPage() {
  const known = knownFields.use();
  const { data, error } = useLoad((signal) => get('/rules', {}, signal), []);
  useEffect(() => {
    refreshFields();
  }, []);
  const seen = new Set(known.map((field) => field.name));
  return html`<main id="main" tabindex="-1">
    <div class="head"><h1>Rules</h1></div>
    <div class="page">
      ${error && html`<p class="error" role="alert">${error.message}</p>`}
      ${data?.rules.length === 0 && html`<${NoRules} />`}
      ${data?.rules.length > 0 && html`<${Live} rules=${data.rules} seen=${seen} />`}
      ${data && html`<section><${RuleCheck} /></section>`}
      ${data?.faults.length > 0 && html`<${Faults} faults=${data.faults} />`}
    </div>
  </main>`;
}
