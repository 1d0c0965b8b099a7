// Reads a rule before it is saved to a file: what it would be, or where it is wrong.
import { html, useState } from '../lib/html.js';
import { post } from '../lib/api.js';
import { capital } from '../lib/alert.js';
import { plural } from '../lib/format.js';

const EXAMPLE = `title: Admin login from outside
id: 0d5e5f0c-6b0e-4a53-9a5e-3a1d3f1a7a10
logsource:
  category: authentication
detection:
  selection:
    user.name: admin
    event.action: login
  inside:
    source.ip|cidr: 10.0.0.0/8
  condition: selection and not inside
level: high`;

function Fault({ fault }) {
  return html`<li class="bad">
    ${fault.line ? `line ${fault.line}: ` : ''}${fault.message} ${' '}
    <span class="faint">${fault.code}</span>
  </li>`;
}

function Verdict({ answer }) {
  const { ok, rules, faults } = answer;
  const read = ({ title, kind, severity, fields }) =>
    `${title}: ${kind}, ${capital(severity)}, reads ${(fields ?? []).join(', ') || 'no field'}`;
  return html`<div role="status">
    <p class=${ok ? 'good' : 'bad'}>
      ${ok ? `${plural(rules.length, 'rule')} read without a fault.` : 'Not all of it can be read.'}
    </p>
    <ul>
      ${faults.map((fault, at) => html`<${Fault} key=${at} fault=${fault} />`)}
      ${rules.map((rule) => html`<li class="dim" key=${rule.id}>${read(rule)}</li>`)}
    </ul>
  </div>`;
}

export function RuleCheck() {
  const [text, setText] = useState('');
  const [state, setState] = useState({ answer: null, fault: '' });
  const check = async (event) => {
    event.preventDefault();
    try {
      setState({ answer: await post('/rules/check', { text }), fault: '' });
    } catch (error) {
      setState({ answer: null, fault: error.message });
    }
  };
  return html`<details>
    <summary>Check a rule</summary>
    <form class="stack rule-check" onSubmit=${check}>
      <label class="field">
        <span>Sigma or a detector file; nothing is saved</span>
        <textarea
          class="input mono"
          rows="12"
          spellcheck=${false}
          required
          placeholder=${EXAMPLE}
          value=${text}
          onInput=${(event) => setText(event.target.value)}
        ></textarea>
      </label>
      ${state.fault && html`<p class="error" role="alert">${state.fault}</p>`}
      ${state.answer && html`<${Verdict} answer=${state.answer} />`}
      <div class="bar"><button class="button">Check</button></div>
    </form>
  </details>`;
}
