// Severity: a mark with its own colour and shape, and always the word.
import { html } from '../lib/html.js';
import { capital } from '../lib/alert.js';

export function Mark({ severity }) {
  return html`<span class=${`mark-severity ${severity}`} aria-hidden="true"></span>`;
}

export function SeverityWord({ severity }) {
  return html`<span class=${`severity-word ${severity}`}>${capital(severity)}</span>`;
}
