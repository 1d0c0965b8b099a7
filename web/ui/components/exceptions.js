// Exceptions of a rule: which events it is not to speak of, who says so, why, and until when.
// What one would have hidden is shown before it is made.
import { html, useEffect, useRef, useState } from '../lib/html.js';
import { post, remove } from '../lib/api.js';
import { count, exact, plural, shortTime } from '../lib/format.js';
import { href } from '../lib/route.js';
import { may, say } from '../lib/state.js';
import { Sure } from './listing.js';

const ENDS = [
  ['now+1d', 'in a day'],
  ['now+7d', 'in a week'],
  ['now+30d', 'in 30 days'],
  ['now+90d', 'in 90 days'],
  ['', 'never'],
];

function End({ one }) {
  if (!one.expires) return 'never';
  const when = html`<span title=${exact(one.expires)}>${shortTime(one.expires)}</span>`;
  return one.status === 'expired' ? html`<span class="warn">ended ${when}</span>` : when;
}

function About({ one, titles }) {
  if (one.rules.includes('*')) return html`<span class="warn">of every rule</span>`;
  if (!titles) return null;
  return one.rules.map((id, at) => html`${at > 0 ? ', ' : ''}<a
    key=${id}
    href=${href('/rules', { id })}
  >${titles.get(id) ?? id}</a>`);
}

function Row({ one, titles, onDrop }) {
  return html`<tr>
    <th scope="row">
      <span class="mono">${one.query}</span><br /><${About} one=${one} titles=${titles} />
    </th>
    <td data-label="why">${one.reason}</td>
    <td data-label="owner">${one.owner}</td>
    <td data-label="ends"><${End} one=${one} /></td>
    <td data-label="hid" class="number">${count(one.hidden)}</td>
    <td>${onDrop && html`<${Sure}
      label="Remove"
      name=${one.query}
      question="From the next events on, the rule speaks of these again."
      onSure=${() => onDrop(one)}
    />`}</td>
  </tr>`;
}

/** `titles` by rule id where the exceptions are of several rules; `onDrop` where one may remove. */
export function ExceptionTable({ exceptions, titles, onDrop }) {
  return html`<div class="scroll"><table>
    <caption class="sr">Exceptions</caption>
    <thead><tr>
      <th scope="col">Events</th><th scope="col">Why</th><th scope="col">Owner</th>
      <th scope="col">Ends</th><th scope="col" class="number">Hid</th>
      <th scope="col"><span class="sr">Actions</span></th>
    </tr></thead>
    <tbody>${exceptions.map((one) => html`<${Row}
      key=${one.id}
      one=${one}
      titles=${titles}
      onDrop=${onDrop}
    />`)}
    </tbody>
  </table></div>`;
}

function Tried({ tried }) {
  const { events, alerts, hidden_alerts: hidden, touched_alerts: touched } = tried;
  const attacks = tried.confirmed_attacks;
  const parts = touched > 0 ? `, and parts of ${count(touched)} more` : '';
  const closed = attacks === 0 ? 'none of these were' : `of these, ${count(attacks)} were`;
  return html`<p role="status" class=${attacks > 0 ? 'bad' : 'dim'}>
    In the last 7 days it matches ${plural(events, 'event')} and would have hidden
    ${' '}${count(hidden)} of ${plural(alerts, 'alert')}${parts}; ${closed} closed as an attack.
  </p>`;
}

function Form({ rule, query, onMade }) {
  const [tried, setTried] = useState(null);
  const [fault, setFault] = useState('');
  const first = useRef(null);
  useEffect(() => {
    if (query !== '') first.current?.focus();
  }, [query]);
  const ask = async (work) => {
    try {
      setFault('');
      return await work();
    } catch (error) {
      setFault(error.message);
      return null;
    }
  };
  const wishOf = (form) => ({ rules: [rule.id], query: new FormData(form).get('query').trim() });
  const attempt = async (event) => {
    const wish = wishOf(event.target.form);
    setTried(await ask(() => post('/exceptions/preview', wish)));
  };
  const make = async (event) => {
    event.preventDefault();
    const form = event.target;
    const { reason, owner, expires } = Object.fromEntries(new FormData(form));
    const wish = { ...wishOf(form), reason };
    if (owner.trim() !== '') wish.owner = owner.trim();
    if (expires !== '') wish.expires = expires;
    if (!(await ask(() => post('/exceptions', wish)))) return;
    say('The exception holds from the next events on.');
    setTried(null);
    form.reset();
    onMade();
  };
  return html`<form class="form" onSubmit=${make}>
    <label class="field wide">
      <span>Which events, a query</span>
      <input
        class="input mono"
        name="query"
        required
        ref=${first}
        defaultValue=${query}
        placeholder="source.ip:192.0.2.0/28 user_agent.original:our-scanner*"
      />
    </label>
    <label class="field"><span>Why</span>
      <input class="input" name="reason" required maxlength="1000" />
    </label>
    <label class="field narrow"><span>Owner (you, by default)</span>
      <input class="input" name="owner" maxlength="100" />
    </label>
    <label class="field narrow"><span>Ends</span>
      <select class="input" name="expires">${ENDS.map(([value, title]) => html`<option
        key=${value}
        value=${value}
        selected=${value === 'now+30d'}
      >${title}</option>`)}</select>
    </label>
    <button type="button" class="button" onClick=${attempt}>Try it</button>
    <button class="button">Make an exception</button>
    ${fault && html`<p class="error wide" role="alert">${fault}</p>`}
    ${tried && html`<${Tried} tried=${tried} />`}
  </form>`;
}

/** `query` is what an exception is to be made of, where one comes from an alert. */
export function Exceptions({ rule, query = '', onChanged }) {
  const { exceptions } = rule;
  const acts = may('triage');
  const drop = async (one) => {
    try {
      await remove(`/exceptions/${encodeURIComponent(one.id)}`);
      say('Removed.');
      onChanged();
    } catch (error) {
      say(error.message, 'bad');
    }
  };
  return html`<section class="rule-exceptions">
    <h2>Exceptions</h2>
    ${exceptions.length === 0 && html`<p class="dim">
      None: the rule speaks of every event that it matches.
    </p>`}
    ${exceptions.length > 0 && html`<${ExceptionTable}
      exceptions=${exceptions}
      onDrop=${acts ? drop : null}
    />`}
    ${acts && !rule.gone && html`<${Form} rule=${rule} query=${query} onMade=${onChanged} />`}
  </section>`;
}
