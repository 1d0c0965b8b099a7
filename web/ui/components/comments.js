// Comments on an alert: what was found out, for the next person.
import { html, useState } from '../lib/html.js';
import { post } from '../lib/api.js';
import { ago, exact } from '../lib/format.js';
import { may, say, session } from '../lib/state.js';

/** Comments as `{who, at, text}`, from the alert's history. */
const written = (alert) => (alert.history ?? []).filter((step) => step.action === 'comment')
  .map((step) => ({ who: step.who, at: step.at, text: step.to ?? '' }));

export function Comments({ alert, onChanged }) {
  session.use();
  const [text, setText] = useState('');
  const send = async (event) => {
    event.preventDefault();
    try {
      await post(`/alerts/${encodeURIComponent(alert.id)}/comments`, { text: text.trim() });
      setText('');
      onChanged();
    } catch (error) {
      say(error.message, 'bad');
    }
  };
  return html`<section class="box wide"><h2>Comments</h2>
    <ul class="comments">${written(alert).map((one, n) => html`<li key=${n}><span class="dim" title=${exact(one.at)}>${one.who},
      ${ago(one.at)}</span><p>${one.text}</p></li>`)}</ul>
    ${may('triage') && html`<form class="bar comment-form" onSubmit=${send}>
      <label class="grow"><span class="sr">Comment</span><input class="input" placeholder="What did you find?" maxlength="10000"
        value=${text} onInput=${(event) => setText(event.target.value)} /></label>
      <button class="button" disabled=${text.trim() === ''}>Comment</button></form>`}</section>`;
}
