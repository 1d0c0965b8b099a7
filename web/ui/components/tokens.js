// API tokens: make, see when last used, revoke.
import { html, useState } from '../lib/html.js';
import { post, remove } from '../lib/api.js';
import { ago, exact } from '../lib/format.js';
import { Secret, Sure, useListing } from './listing.js';

const SCOPES = [['ingest', 'ingest: send events'], ['read', 'read: search and read'], ['admin', 'admin: everything']];
const time = (value) => (value ? html`<span title=${exact(value)}>${ago(value)}</span>` : html`<span class="faint">never</span>`);

export function Tokens() {
  const list = useListing('/tokens');
  const [secret, setSecret] = useState(null);
  const make = async (event) => {
    event.preventDefault();
    const form = event.target;
    const values = new FormData(form);
    const made = await list.act(() => post('/tokens', { name: values.get('name').trim(), scopes: [values.get('scope')] }));
    if (!made) return;
    setSecret({ name: made.name ?? values.get('name'), text: made.token });
    form.reset();
  };
  return html`<section><h2>Tokens</h2>
    <p class="lead">Programs sign in with a token. Events it ships carry its name as their source.</p>
    <form class="form" onSubmit=${make}>
      <label class="field"><span>Name</span><input class="input" name="name" required maxlength="100" /></label>
      <label class="field narrow"><span>May</span><select class="input" name="scope">${SCOPES.map(([value, title]) => html`
        <option key=${value} value=${value}>${title}</option>`)}</select></label>
      <button class="button primary">Make a token</button></form>
    ${secret && html`<${Secret} title=${`The token ${secret.name}`} text=${secret.text} onDone=${() => setSecret(null)} />`}
    ${list.error && html`<p class="error" role="alert">${list.error.message}</p>`}
    <div class="scroll"><table><caption class="sr">Tokens</caption>
      <thead><tr><th scope="col">Name</th><th scope="col">May</th><th scope="col">Made</th><th scope="col">Last used</th>
        <th scope="col">Ends</th><th scope="col"><span class="sr">Revoke</span></th></tr></thead>
      <tbody>${(list.data?.tokens ?? []).map((token) => html`<tr key=${token.id}>
        <th scope="row">${token.name}</th><td data-label="may">${token.scopes.join(', ')}</td>
        <td data-label="made">${time(token.created)}</td><td data-label="last used">${time(token.last_used)}</td>
        <td data-label="ends">${token.revoked ? 'revoked' : token.expires ? exact(token.expires).slice(0, 10) : 'never'}</td>
        <td>${!token.revoked && html`<${Sure} label="Revoke" name=${token.name} onSure=${() => list.act(() => remove(`/tokens/${encodeURIComponent(token.id)}`), 'Revoked.')}
          question="Whatever uses this token is refused from now on. Events it sent stay." />`}</td></tr>`)}</tbody></table></div>
  </section>`;
}
