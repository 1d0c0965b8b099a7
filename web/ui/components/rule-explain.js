// Why a rule does or does not match an event: every part of its condition with the value it met.
import { html, useState } from '../lib/html.js';
import { post } from '../lib/api.js';

const TITLES = {
  all: 'all of',
  any: 'any of',
  not: 'not',
  array: 'members of',
};

const said = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

function Leaf({ node }) {
  const { field, source, matcher, pattern, value } = node;
  const name = source ?? field ?? 'any text';
  const known = source && field && source.toLowerCase() !== field.toLowerCase();
  return html`<span class="mono">${name}</span>
    ${known && html`<span class="faint"> (${field})</span>`}
    <span class="dim"> ${value === undefined ? 'is not there' : 'is '}</span>
    ${value !== undefined && html`<span class="mono">${said(value)}</span>`}
    ${pattern && html`<span class="dim">, looked for: ${matcher} </span>
      <span class="mono dim">${pattern}</span>`}`;
}

function Node({ node }) {
  const leaf = ['field', 'keywords', 'query'].includes(node.what);
  const kind = node.what === 'count' ? `at least ${node.need} of` : (TITLES[node.what] ?? node.what);
  const title = `${kind} ${node.name ?? node.field ?? ''}`.trim();
  return html`<li>
    <span class=${node.matched ? 'good' : 'bad'}>${node.matched ? 'yes' : 'no'}</span>${' '}
    ${leaf ? html`<${Leaf} node=${node} />` : html`<span>${title}</span>`}
    ${node.parts && html`<ul>${node.parts.map((part, at) => html`<${Node}
      key=${at}
      node=${part}
    />`)}</ul>`}
  </li>`;
}

function Trace({ trace }) {
  const nodes = [...(trace.conditions ?? []), ...(trace.group ?? [])];
  return html`<div class="trace">
    <p class=${trace.matched ? 'good' : 'bad'}>${trace.sentence}</p>
    ${trace.hidden_by?.length > 0 && html`<p class="warn">
      An exception hides this event from the rule.
    </p>`}
    <ul>${nodes.map((node, at) => html`<${Node} key=${at} node=${node} />`)}</ul>
    ${(trace.rules ?? []).map((rule) => html`<div key=${rule.id}>
      <h3>${rule.title}</h3>
      <${Trace} trace=${rule} />
    </div>`)}
  </div>`;
}

function wishOf(text) {
  const plain = text.trim();
  return /^\d+$/.test(plain) ? { seq: plain } : { event: JSON.parse(plain) };
}

export function RuleExplain({ rule, seq = '' }) {
  const [text, setText] = useState(seq);
  const [state, setState] = useState({ trace: null, fault: '' });
  const ask = async (event) => {
    event.preventDefault();
    let wish;
    try {
      wish = wishOf(text);
    } catch {
      setState({ trace: null, fault: 'This is neither a sequence number nor a JSON object.' });
      return;
    }
    try {
      const trace = await post(`/rules/${encodeURIComponent(rule.id)}/explain`, wish);
      setState({ trace, fault: '' });
    } catch (error) {
      setState({ trace: null, fault: error.message });
    }
  };
  return html`<section class="rule-explain">
    <h2>Explain</h2>
    <form class="stack" onSubmit=${ask}>
      <label class="field">
        <span>A sequence number of a stored event (<code>_seq</code>), or an event as JSON</span>
        <textarea
          class="input mono"
          rows="3"
          required
          spellcheck=${false}
          placeholder='{"url.path": "/login", "source.ip": "203.0.113.9"}'
          value=${text}
          onInput=${(event) => setText(event.target.value)}
        ></textarea>
      </label>
      <div class="bar"><button class="button">Why, or why not</button></div>
    </form>
    ${state.fault && html`<p class="error" role="alert">${state.fault}</p>`}
    <div role="status">${state.trace && html`<${Trace} trace=${state.trace} />`}</div>
  </section>`;
}
