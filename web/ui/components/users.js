// People: who may look, who may work on alerts, who may change things.
import { html } from '../lib/html.js';
import { post, remove } from '../lib/api.js';
import { ago, exact } from '../lib/format.js';
import { session } from '../lib/state.js';
import { Sure, useListing } from './listing.js';

const ROLES = [
  ['viewer', 'viewer: look'],
  ['analyst', 'analyst: work on alerts'],
  ['admin', 'admin: everything'],
];
const PASSWORD_MIN = 12;

function Form({ onMake }) {
  return html`<form class="form" onSubmit=${onMake}>
    <label class="field">
      <span>Name</span>
      <input class="input" name="name" required maxlength="64" autocomplete="off" />
    </label>
    <label class="field">
      <span>Password, at least ${PASSWORD_MIN} characters</span>
      <input
        class="input"
        name="password"
        type="password"
        required
        minlength=${PASSWORD_MIN}
        autocomplete="new-password"
      />
    </label>
    <label class="field narrow">
      <span>Role</span>
      <select class="input" name="role">${ROLES.map(
        ([value, title]) => html`<option key=${value} value=${value}>${title}</option>`,
      )}</select>
    </label>
    <button class="button primary">Add a user</button>
  </form>`;
}

function Row({ user, isMe, act }) {
  const drop = () => act(() => remove(`/users/${encodeURIComponent(user.id)}`), 'Removed.');
  return html`<tr>
    <th scope="row">${user.name}${isMe ? ' (you)' : ''}</th>
    <td data-label="role">${user.role}</td>
    <td data-label="added" title=${exact(user.created)}>${ago(user.created)}</td>
    <td>${!isMe && html`<${Sure}
      label="Remove"
      name=${user.name}
      question="They are signed out at once and cannot sign in again."
      onSure=${drop}
    />`}</td>
  </tr>`;
}

export function Users() {
  const me = session.use();
  const list = useListing('/users');
  const make = async (event) => {
    event.preventDefault();
    const form = event.target;
    const { name, password, role } = Object.fromEntries(new FormData(form));
    const wish = { name: name.trim(), password, role };
    if (await list.act(() => post('/users', wish), 'The user can sign in now.')) form.reset();
  };
  return html`<section>
    <h2>Users</h2>
    <${Form} onMake=${make} />
    ${list.error && html`<p class="error" role="alert">${list.error.message}</p>`}
    <div class="scroll"><table>
      <caption class="sr">Users</caption>
      <thead><tr>
        <th scope="col">Name</th><th scope="col">Role</th><th scope="col">Added</th>
        <th scope="col"><span class="sr">Remove</span></th>
      </tr></thead>
      <tbody>${(list.data?.users ?? []).map((user) => html`<${Row}
        key=${user.id}
        user=${user}
        isMe=${user.name === me?.name}
        act=${list.act}
      />`)}</tbody>
    </table></div>
  </section>`;
}
