// What an empty page says: what would be here, and the one command that fills it.
import { html } from '../lib/html.js';
import { say } from '../lib/state.js';

/** A text to be copied: a command, a secret, an event. */
export function Command({ text, name = 'command' }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say('Copied.');
    } catch {
      say('The browser did not allow copying. Select the text instead.', 'bad');
    }
  };
  return html`<div class="command">
    <pre tabindex="0" aria-label=${name}>${text}</pre>
    <button type="button" class="button small copy" onClick=${copy}>
      Copy<span class="sr"> ${name}</span>
    </button>
  </div>`;
}

export function Empty({ title, children, command }) {
  return html`<section class="empty">
    <h1>${title}</h1>
    <p>${children}</p>
    ${command && html`<${Command} text=${command} />`}
  </section>`;
}

/** The one command that sends a first event to this server. */
export const firstEvent = () => `curl ${location.origin}/api/v1/events \\
  -H "Authorization: Bearer $WATCHFIRE_TOKEN" -H 'Content-Type: application/json' \\
  -d '{"service.name":"auth","event.action":"login","event.outcome":"failure","user.id":"u1"}'`;
