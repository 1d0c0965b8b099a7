// What a rule would have found in the stored events of the last days.
import { html, useState } from '../lib/html.js';
import { post } from '../lib/api.js';
import { number, plural } from '../lib/format.js';

const DAYS = 7;
const SHOWN = 10;

function Table({ head, rows }) {
  return html`<div class="scroll"><table>
    <thead><tr>${head.map((name) => html`<th key=${name}>${name}</th>`)}</tr></thead>
    <tbody>${rows.map((cells) => html`<tr key=${cells[0] + cells[1]}>
      ${cells.map((cell, at) => html`<td key=${at}>${cell}</td>`)}
    </tr>`)}</tbody>
  </table></div>`;
}

function Found({ answer }) {
  const days = answer.days.map((day) => [day.day, day.matches, day.alerts]);
  const about = answer.entities.slice(0, SHOWN);
  return html`<p>
      ${plural(answer.matches, 'match', 'matches')} and ${plural(answer.alerts, 'alert')} in
      ${' '}${plural(answer.rows_stored, 'event')}, found in ${number(answer.seconds)} s
    </p>
    ${days.length > 0 && html`<${Table} head=${['Day', 'Matches', 'Alerts']} rows=${days} />`}
    ${about.length > 0 && html`<${Table}
      head=${['About', 'Alerts', 'Events']}
      rows=${about.map((one) => [`${one.kind} ${one.value}`, one.alerts, one.events])}
    />`}`;
}

export function RuleBacktest({ rule }) {
  const [state, setState] = useState({ answer: null, fault: '', busy: false });
  const ask = async () => {
    setState({ answer: null, fault: '', busy: true });
    try {
      const wish = { rule: rule.id, from: `now-${DAYS}d` };
      setState({ answer: await post('/rules/backtest', wish), fault: '', busy: false });
    } catch (error) {
      setState({ answer: null, fault: error.message, busy: false });
    }
  };
  return html`<section class="rule-backtest">
    <h2>Try it</h2>
    <div class="bar">
      <button class="button" disabled=${state.busy} onClick=${ask}>
        ${state.busy ? 'Trying' : `Try on the last ${DAYS} days`}
      </button>
    </div>
    ${state.fault && html`<p class="error" role="alert">${state.fault}</p>`}
    <div role="status">${state.answer && html`<${Found} answer=${state.answer} />`}</div>
  </section>`;
}
