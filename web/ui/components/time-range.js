// The time range: quick ranges, or two ends as text (`now-15m`, a date, a date with a time).
import { html, useRef, useState } from '../lib/html.js';
import { QUICK, label, resolve } from '../lib/range.js';
import { zone } from '../lib/state.js';
import { useKeys } from '../lib/keys.js';
import { Menu } from './menu.js';

function Ends({ from, to, onChoose }) {
  const [ends, setEnds] = useState({ from, to });
  const [fault, setFault] = useState('');
  const apply = (event) => {
    event.preventDefault();
    const start = resolve(ends.from);
    const end = resolve(ends.to);
    if (start === null || end === null) {
      setFault('Write now-15m, 2026-11-22 or 2026-11-22T09:30:00Z.');
    } else if (start >= end) setFault('The range ends before it starts.');
    else onChoose(ends);
  };
  const end = (name, title) => html`<label class="field">
    <span>${title}</span>
    <input
      class="input small mono"
      value=${ends[name]}
      spellcheck=${false}
      onInput=${(event) => setEnds({ ...ends, [name]: event.target.value })}
    />
  </label>`;
  return html`<form onSubmit=${apply}><fieldset>
    <legend class="sr">Exact range</legend>
    ${end('from', 'From')}${end('to', 'To')}
    ${fault && html`<p class="bad" role="alert">${fault}</p>`}
    <button class="button small">Apply</button>
  </fieldset></form>`;
}

export function TimeRange({ from, to, onChoose }) {
  const open = useRef(null);
  zone.use();
  useKeys({ t: () => open.current() });
  const quick = (value, title, choose) => html`<button
    type="button"
    class="choice"
    key=${value}
    aria-pressed=${from === value && to === 'now' ? 'true' : 'false'}
    onClick=${() => choose({ from: value, to: 'now' })}
  >${title}</button>`;
  const panel = (close) => {
    const choose = (range) => {
      onChoose(range);
      close();
    };
    return html`<div class="quick">
        ${QUICK.map(([value, title]) => quick(value, title, choose))}
      </div>
      <${Ends} from=${from} to=${to} onChoose=${choose} />`;
  };
  return html`<${Menu}
    className="range"
    buttonClass="button"
    label=${html`<span>${label(from, to)}</span><kbd aria-hidden="true">t</kbd>`}
    title="Time range (t)"
    openRef=${open}
  >${panel}<//>`;
}
