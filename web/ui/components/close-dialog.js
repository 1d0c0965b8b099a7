// Closing an alert: with a reason, and a comment for whoever sees the next one.
import { html, useState } from '../lib/html.js';
import { patch } from '../lib/api.js';
import { REASONS } from '../lib/alert.js';
import { say } from '../lib/state.js';
import { Dialog } from './dialog.js';

const MAX_CHARS = 10_000;

function Reason({ name, title, meaning }) {
  return html`<label class="reason">
    <input type="radio" name="reason" value=${name} required />
    <span><b>${title}</b><span class="dim">${meaning}</span></span>
  </label>`;
}

export function CloseDialog({ alert, onClose, onDone }) {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState('');
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const comment = form.get('comment').trim();
    const change = { status: 'closed', reason: form.get('reason') };
    if (comment !== '') change.comment = comment;
    setBusy(true);
    try {
      await patch(`/alerts/${encodeURIComponent(alert.id)}`, change);
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
      <fieldset class="stack">
        <legend>Why it is closed</legend>
        ${REASONS.map(([name, title, meaning]) => html`<${Reason}
          key=${name}
          name=${name}
          title=${title}
          meaning=${meaning}
        />`)}
      </fieldset>
      <label class="field">
        <span>Comment, for whoever sees the next one</span>
        <textarea class="input" name="comment" maxlength=${MAX_CHARS}></textarea>
      </label>
      ${fault && html`<p class="error" role="alert">${fault}</p>`}
      <div class="bar">
        <button class="button primary" disabled=${busy}>Close the alert</button>
        <button type="button" class="button" onClick=${onClose}>Keep it open</button>
      </div>
    </form>
  <//>`;
}
