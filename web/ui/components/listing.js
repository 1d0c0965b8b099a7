// What the management lists share: load, change and load again, ask before something is taken
// away, show a secret once.
import { html, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { say } from '../lib/state.js';
import { useLoad } from '../lib/load.js';
import { Command } from './empty.js';
import { Dialog } from './dialog.js';

/** `{data, error, act}`; `act(work, words)` says how it went and loads the list again. */
export function useListing(path) {
  const [turn, setTurn] = useState(0);
  const listing = useLoad((signal) => get(path, {}, signal), [path, turn]);
  const act = async (work, words) => {
    try {
      const answer = await work();
      if (words) say(words);
      setTurn((n) => n + 1);
      return answer;
    } catch (error) {
      say(error.message, 'bad');
      return null;
    }
  };
  return { ...listing, act };
}

/** A button that asks once more before it does something that cannot be undone. */
export function Sure({ label, name, question, onSure }) {
  const [open, setOpen] = useState(false);
  const close = () => setOpen(false);
  const yes = () => {
    close();
    onSure();
  };
  return html`<button type="button" class="plain" onClick=${() => setOpen(true)}>
      ${label}<span class="sr"> ${name}</span>
    </button>
    ${open && html`<${Dialog} title=${`${label} ${name}`} onClose=${close}>
      <p>${question}</p>
      <div class="bar">
        <button type="button" class="button danger" onClick=${yes}>${label}</button>
        <button type="button" class="button" onClick=${close}>Keep it</button>
      </div>
    <//>`}`;
}

/** A secret that the server shows this once. */
export function Secret({ title, text, onDone }) {
  return html`<div class="secret" role="status">
    <b>${title}</b>
    <p class="dim">It is shown this once and cannot be read again.</p>
    <${Command} text=${text} name="secret" />
    <div class="bar">
      <button type="button" class="button small" onClick=${onDone}>I have it</button>
    </div>
  </div>`;
}
