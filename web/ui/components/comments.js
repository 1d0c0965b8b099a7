// Comments on an alert: what was found out, for the next person.
import { html, useState } from '../lib/html.js';
import { post } from '../lib/api.js';
import { ago, exact } from '../lib/format.js';
import { may, say, session } from '../lib/state.js';

const MAX_CHARS = 10_000;

function CommentForm({ id, onChanged }) {
  const [text, setText] = useState('');
  const send = async (event) => {
    event.preventDefault();
    try {
      await post(`/alerts/${encodeURIComponent(id)}/comments`, { text: text.trim() });
      setText('');
      onChanged();
    } catch (error) {
      say(error.message, 'bad');
    }
  };
  return html`<form class="bar comment-form" onSubmit=${send}>
    <label class="grow">
      <span class="sr">Comment</span>
      <input
        class="input"
        placeholder="What did you find?"
        maxlength=${MAX_CHARS}
        value=${text}
        onInput=${(event) => setText(event.target.value)}
      />
    </label>
    <button class="button" disabled=${text.trim() === ''}>Comment</button>
  </form>`;
}

export function Comments({ alert, onChanged }) {
  session.use();
  const written = (alert.history ?? []).filter((step) => step.action === 'comment');
  return html`<section class="box wide">
    <h2>Comments</h2>
    <ul class="comments">${written.map((step, n) => html`<li key=${n}>
      <span class="dim" title=${exact(step.at)}>${step.who}, ${ago(step.at)}</span>
      <p>${step.to}</p>
    </li>`)}</ul>
    ${may('triage') && html`<${CommentForm} id=${alert.id} onChanged=${onChanged} />`}
  </section>`;
}
