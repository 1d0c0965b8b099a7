// What one can do about an alert: acknowledge, take it, close it, open it again, see its events.
import { html, useState } from '../lib/html.js';
import { patch } from '../lib/api.js';
import { href } from '../lib/route.js';
import { between } from '../lib/range.js';
import { may, say, session } from '../lib/state.js';
import { useKeys } from '../lib/keys.js';
import { CloseDialog } from './close-dialog.js';

const AROUND_MS = 5 * 60_000;

/** Where the alert's events are found again. */
function evidenceHref({ evidence, t0, t1 }) {
  const range = between(t0 * 1000 - AROUND_MS, t1 * 1000 + AROUND_MS);
  return href('/search', { q: evidence.query, ...range });
}

/** Where an exception is made for what the alert is about, at any time. */
function exceptionHref({ rule, detector, evidence }) {
  const except = evidence.query.replace(/ AND @timestamp:\[[^\]]*\]$/, '');
  return href('/rules', { id: rule?.id ?? detector, seq: evidence.events?.[0], except });
}

function Act({ label, primary, shortcut, onClick }) {
  const look = primary ? 'button primary' : 'button';
  return html`<button type="button" class=${look} onClick=${onClick}>
    ${label}${shortcut && html`<kbd aria-hidden="true">${shortcut}</kbd>`}
  </button>`;
}

function Evidence({ alert }) {
  return html`<a class="button search-evidence" href=${evidenceHref(alert)}>
    Search these events<kbd aria-hidden="true">e</kbd>
  </a>`;
}

export function AlertActions({ alert, onChanged }) {
  const who = session.use();
  const [closing, setClosing] = useState(false);
  const { status, assignee } = alert;
  const change = async (body, words) => {
    try {
      await patch(`/alerts/${encodeURIComponent(alert.id)}`, body);
      say(words);
      onChanged();
    } catch (error) {
      say(error.message, 'bad');
    }
  };
  const acts = may('triage');
  const canAcknowledge = acts && status === 'open';
  const canClose = acts && status !== 'closed';
  const canOpen = acts && status !== 'open';
  const acknowledge = () => change({ status: 'acknowledged' }, 'Acknowledged.');
  const take = () => change({ assignee: who.name }, 'It is yours.');
  const open = () => change({ status: 'open' }, 'Open again.');
  useKeys({
    a: () => (canAcknowledge ? acknowledge() : false),
    e: () => document.querySelector('.search-evidence')?.click(),
  });
  return html`<div class="bar actions">
    ${canAcknowledge && html`<${Act}
      label="Acknowledge"
      primary
      shortcut="a"
      onClick=${acknowledge}
    />`}
    ${canClose && html`<${Act} label="Close…" onClick=${() => setClosing(true)} />`}
    ${canClose && assignee !== who.name && html`<${Act} label="Assign to me" onClick=${take} />`}
    ${canOpen && html`<${Act} label="Open again" onClick=${open} />`}
    ${alert.evidence?.query && html`<${Evidence} alert=${alert} />`}
    ${acts && alert.evidence?.query && html`<a class="button" href=${exceptionHref(alert)}>
      Make an exception
    </a>`}
    ${closing && html`<${CloseDialog}
      alert=${alert}
      onClose=${() => setClosing(false)}
      onDone=${onChanged}
    />`}
  </div>`;
}
