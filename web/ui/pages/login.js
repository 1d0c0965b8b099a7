// Signing in, and making the first admin with the one-time link.
import { html, useEffect, useRef, useState } from '../lib/html.js';
import { askSession, post } from '../lib/api.js';
import { go, innerPath } from '../lib/route.js';
import { Flame } from '../components/icon.js';

const PASSWORD_MIN = 12;

function Gate({ title, children }) {
  return html`<main class="gate" id="main"><div class="gate-box">
    <span class="gate-mark"><${Flame} /></span>
    <h1>${title}</h1>
    ${children}
  </div></main>`;
}

function Field({ label, ...rest }) {
  return html`<label class="field">
    <span>${label}</span><input class="input" required ...${rest} />
  </label>`;
}

/** A form that runs `act` with its values and shows what went wrong. */
function Form({ act, label, children }) {
  const [state, setState] = useState({ busy: false, fault: '' });
  const form = useRef(null);
  useEffect(() => form.current?.querySelector('input')?.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    setState({ busy: true, fault: '' });
    try {
      await act(Object.fromEntries(new FormData(event.target)));
    } catch (error) {
      setState({ busy: false, fault: error.message });
    }
  };
  return html`<form class="stack" ref=${form} onSubmit=${submit}>
    ${children}
    ${state.fault && html`<p class="error" role="alert">${state.fault}</p>`}
    <button class="button primary" disabled=${state.busy}>${label}</button>
  </form>`;
}

export function LoginPage({ next }) {
  const signIn = async ({ user, password }) => {
    await post('/session', { user, password });
    await askSession();
    go(innerPath(next ?? '/'), { replace: true });
  };
  return html`<${Gate} title="Sign in to Watchfire">
    <${Form} act=${signIn} label="Sign in">
      <${Field} label="User" name="user" autocomplete="username" />
      <${Field}
        label="Password"
        name="password"
        type="password"
        autocomplete="current-password"
      />
    <//>
    <p class="dim">
      No user yet? The first start of the server prints a one-time admin link in its log.
    </p>
  <//>`;
}

function Incomplete() {
  return html`<${Gate} title="This link is incomplete">
    <p>
      The one-time admin link ends in <code>/setup?token=</code> and a token. Copy all of it from
      the server's log.
    </p>
  <//>`;
}

export function SetupPage({ token }) {
  const create = async ({ user, password, again }) => {
    if (password !== again) throw new Error('The two passwords are not the same.');
    await post('/setup', { token, user, password });
    await askSession();
    go('/', { replace: true });
  };
  if (token === '') return html`<${Incomplete} />`;
  return html`<${Gate} title="Make the first admin">
    <p class="dim">
      The link that brought you here works once. Whoever uses it owns this server.
    </p>
    <${Form} act=${create} label="Create the admin">
      <${Field} label="User" name="user" autocomplete="username" maxlength="64" />
      <${Field}
        label=${`Password, at least ${PASSWORD_MIN} characters`}
        name="password"
        type="password"
        autocomplete="new-password"
        minlength=${PASSWORD_MIN}
      />
      <${Field}
        label="Password again"
        name="again"
        type="password"
        autocomplete="new-password"
      />
    <//>
  <//>`;
}
