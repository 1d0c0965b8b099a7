// The rules that are loaded, whether the fields they read arrive, and the files that could not be read.
import { html, useEffect, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { tag } from '../lib/alert.js';
import { count, plural } from '../lib/format.js';
import { knownFields, refreshFields } from '../lib/known.js';
import { href } from '../lib/route.js';
import { useLoad } from '../lib/load.js';
import { Empty } from '../components/empty.js';
import { SeverityWord } from '../components/severity.js';

const SHOWN = 200;

const detectorOf = (rule) => (rule.kind === 'detector' ? rule.id : `sigma:${rule.id}`);

function Fields({ rule, seen }) {
  const missing = (rule.fields ?? []).filter((name) => !seen.has(name));
  if (seen.size === 0) return html`<span class="faint">no events yet</span>`;
  if (missing.length === 0) return html`<span class="good">all its fields arrive</span>`;
  return html`<span class="dim" title=${missing.join(', ')}>not seen yet: ${missing.slice(0, 3).join(', ')}${
    missing.length > 3 ? ` and ${missing.length - 3} more` : ''}</span>`;
}

function Rule({ rule, seen }) {
  return html`<tr>
    <th scope="row"><b>${rule.title}</b>
      ${rule.description && html`<details><summary class="dim">What it finds</summary><p class="dim">${rule.description}</p></details>`}</th>
    <td data-label="severity"><${SeverityWord} severity=${rule.severity} /></td>
    <td data-label="kind">${rule.kind}${rule.status ? `, ${rule.status}` : ''}</td>
    <td data-label="fields"><${Fields} rule=${rule} seen=${seen} /></td>
    <td data-label="tags">${(rule.tags ?? []).slice(0, 4).map((text) => tag(text).title).join(', ')}</td>
    <td><a href=${href('/alerts', { q: `detector:${detectorOf(rule)}` })}>alerts<span class="sr"> of ${rule.title}</span></a></td>
  </tr>`;
}

function Faults({ faults }) {
  if (faults.length === 0) return null;
  return html`<section><h2 class="bad">${plural(faults.length, 'rule')} set aside</h2>
    <p class="lead">These could not be read. All others are live. Correct the file and it is taken up by itself.</p>
    <div class="scroll"><table><caption class="sr">Rules set aside</caption>
      <thead><tr><th scope="col">File</th><th scope="col">Line</th><th scope="col">What is wrong</th></tr></thead>
      <tbody>${faults.slice(0, SHOWN).map((fault, at) => html`<tr key=${at}><td class="mono">${fault.path}</td><td>${fault.line ?? ''}</td>
        <td>${fault.message} <span class="faint">${fault.code}</span></td></tr>`)}</tbody></table></div></section>`;
}

export function RulesPage() {
  const known = knownFields.use();
  const [wanted, setWanted] = useState('');
  const { data, error } = useLoad((signal) => get('/rules', {}, signal), []);
  useEffect(() => { refreshFields(); }, []);
  const seen = new Set(known.map((field) => field.name));
  const rules = data?.rules ?? [];
  const word = wanted.trim().toLowerCase();
  const found = rules.filter((rule) => `${rule.title} ${rule.id} ${rule.path} ${(rule.tags ?? []).join(' ')}`.toLowerCase().includes(word));
  const ready = rules.filter((rule) => (rule.fields ?? []).every((name) => seen.has(name))).length;
  return html`<main id="main" tabindex="-1"><div class="head"><h1>Rules</h1></div>
    <div class="page">
      ${error && html`<p class="error" role="alert">${error.message}</p>`}
      ${data && rules.length === 0 && html`<${Empty} title="No rules loaded" command="watchfire serve --rules ./rules">Sigma rules and
        detectors are files. Name the folder they are in.<//>`}
      ${rules.length > 0 && html`<section>
        <p class="lead">${plural(rules.length, 'rule')} live${seen.size > 0 ? `; the fields of ${count(ready)} arrive` : ''}.
          Rules are files; a change is taken up without a restart.</p>
        <div class="form"><label class="field"><span>Filter by title, tag or file</span><input class="input small" type="search"
          value=${wanted} onInput=${(event) => setWanted(event.target.value)} /></label></div>
        <div class="scroll"><table><caption class="sr">Rules</caption>
          <thead><tr><th scope="col">Rule</th><th scope="col">Severity</th><th scope="col">Kind</th><th scope="col">Fields</th>
            <th scope="col">Tags</th><th scope="col"><span class="sr">Alerts</span></th></tr></thead>
          <tbody>${found.slice(0, SHOWN).map((rule) => html`<${Rule} key=${rule.path + rule.id} rule=${rule} seen=${seen} />`)}</tbody></table></div>
        ${found.length > SHOWN && html`<p class="dim">${count(found.length - SHOWN)} more; filter to see them.</p>`}</section>`}
      <${Faults} faults=${data?.faults ?? []} />
    </div></main>`;
}
