// What one can do about an alert: acknowledge, take it, close it with a reason, open it again, search its events.
import { html, useState } from '../lib/html.js';
import { patch } from '../lib/api.js';
import { REASONS } from '../lib/alert.js';
import { href } from '../lib/route.js';
import { between } from '../lib/range.js';
import { may, say, session } from '../lib/state.js';
import { useKeys } from '../lib/keys.js';
import { Dialog } from './dialog.js';

const AROUND_MS = 5 * 60_000;

/** Where the alert's events are found again. */
export const evidenceHref = (alert) => href('/search', {
  q: alert.evidence?.query, ...between(alert.t0 * 1000 - AROUND_MS, alert.t1 * 1000 + AROUND_MS),
});

function CloseDialog({ alert, onClose, onDone }) {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState('');
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    setBusy(true);
    try {
      const words = form.get('comment').trim();
      await patch(`/alerts/${encodeURIComponent(alert.id)}`, {
        status: 'closed', reason: form.get('reason'), ...(words === '' ? {} : { comment: words }),
      });
      say('The alert is closed.');
      onDone();
      onClose();
    } catch (error) {
      setFault(error.message);
      setBusy(false);
    }
  };
  return html`<${Dialog} title="Close this alert" onClose=${onClose}>
    <form onSubmit=${submit}>
      <fieldset class="stack"><legend>Why it is closed</legend>
        ${REASONS.map(([name, title, meaning]) => html`<label class="reason" key=${name}>
          <input type="radio" name="reason" value=${name} required /><span><b>${title}</b>
          <span class="dim">${meaning}</span></span></label>`)}</fieldset>
      <label class="field"><span>Comment, for whoever sees the next one</span>
        <textarea class="input" name="comment" maxlength="10000"></textarea></label>
      ${fault && html`<p class="error" role="alert">${fault}</p>`}
      <div class="bar"><button class="button primary" disabled=${busy}>Close the alert</button>
        <button type="button" class="button" onClick=${onClose}>Keep it open</button></div>
    </form><//>`;
}

export function AlertActions({ alert, onChanged }) {
  const who = session.use();
  const [closing, setClosing] = useState(false);
  const mayTriage = may('triage');
  const change = async (body, words) => {
    try {
      await patch(`/alerts/${encodeURIComponent(alert.id)}`, body);
      say(words);
      onChanged();
    } catch (error) {
      say(error.message, 'bad');
    }
  };
  const acknowledge = () => change({ status: 'acknowledged' }, 'Acknowledged.');
  useKeys({
    a: () => (mayTriage && alert.status === 'open' ? acknowledge() : false),
    e: () => document.querySelector('.search-evidence')?.click(),
  });
  return html`<div class="bar actions">
    ${mayTriage && alert.status === 'open' && html`<button type="button" class="button primary" onClick=${acknowledge}>Acknowledge<kbd
      aria-hidden="true">a</kbd></button>`}
    ${mayTriage && alert.status !== 'closed' && html`<button type="button" class="button" onClick=${() => setClosing(true)}>Close…</button>`}
    ${mayTriage && alert.status !== 'closed' && alert.assignee !== who.name && html`<button type="button" class="button"
      onClick=${() => change({ assignee: who.name }, 'It is yours.')}>Assign to me</button>`}
    ${mayTriage && alert.status !== 'open' && html`<button type="button" class="button"
      onClick=${() => change({ status: 'open' }, 'Open again.')}>Open again</button>`}
    ${alert.evidence?.query && html`<a class="button search-evidence" href=${evidenceHref(alert)}>Search these events<kbd
      aria-hidden="true">e</kbd></a>`}
    ${closing && html`<${CloseDialog} alert=${alert} onClose=${() => setClosing(false)} onDone=${onChanged} />`}
  </div>`;
}
