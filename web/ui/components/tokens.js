// API tokens: make, see when last used, revoke.
import { html, useState } from '../lib/html.js';
import { post, remove } from '../lib/api.js';
import { ago, exact } from '../lib/format.js';
import { Secret, Sure, useListing } from './listing.js';

const SCOPES = [
  ['ingest', 'ingest: send events'],
  ['read', 'read: search and read'],
  ['admin', 'admin: everything'],
];

function When({ value }) {
  if (!value) return html`<span class="faint">never</span>`;
  return html`<span title=${exact(value)}>${ago(value)}</span>`;
}

function Row({ token, act }) {
  const revoke = () =>
    act(() => remove(`/tokens/${encodeURIComponent(token.id)}`), 'Revoked.');
  const day = token.expires ? exact(token.expires).slice(0, 10) : 'never';
  return html`<tr>
    <th scope="row">${token.name}</th>
    <td data-label="may">${token.scopes.join(', ')}</td>
    <td data-label="made"><${When} value=${token.created} /></td>
    <td data-label="last used"><${When} value=${token.last_used} /></td>
    <td data-label="ends">${token.revoked ? 'revoked' : day}</td>
    <td>${!token.revoked && html`<${Sure}
      label="Revoke"
      name=${token.name}
      question="Whatever uses this token is refused from now on. Events it sent stay."
      onSure=${revoke}
    />`}</td>
  </tr>`;
}

function Form({ onMake }) {
  return html`<form class="form" onSubmit=${onMake}>
    <label class="field">
      <span>Name</span><input class="input" name="name" required maxlength="100" />
    </label>
    <label class="field narrow">
      <span>May</span>
      <select class="input" name="scope">${SCOPES.map(
        ([value, title]) => html`<option key=${value} value=${value}>${title}</option>`,
      )}</select>
    </label>
    <button class="button primary">Make a token</button>
  </form>`;
}

export function Tokens() {
  const list = useListing('/tokens');
  const [secret, setSecret] = useState(null);
  const make = async (event) => {
    event.preventDefault();
    const form = event.target;
    const values = new FormData(form);
    const wish = { name: values.get('name').trim(), scopes: [values.get('scope')] };
    const made = await list.act(() => post('/tokens', wish));
    if (!made) return;
    setSecret({ title: `The token ${wish.name}`, text: made.token });
    form.reset();
  };
  return html`<section>
    <h2>Tokens</h2>
    <p class="lead">
      Programs sign in with a token. Events it ships carry its name as their source.
    </p>
    <${Form} onMake=${make} />
    ${secret && html`<${Secret} ...${secret} onDone=${() => setSecret(null)} />`}
    ${list.error && html`<p class="error" role="alert">${list.error.message}</p>`}
    <div class="scroll"><table>
      <caption class="sr">Tokens</caption>
      <thead><tr>
        <th scope="col">Name</th><th scope="col">May</th><th scope="col">Made</th>
        <th scope="col">Last used</th><th scope="col">Ends</th>
        <th scope="col"><span class="sr">Revoke</span></th>
      </tr></thead>
      <tbody>${(list.data?.tokens ?? []).map((token) => html`<${Row}
        key=${token.id}
        token=${token}
        act=${list.act}
      />`)}</tbody>
    </table></div>
  </section>`;
}
