// Signing in, and making the first admin with the one-time link.
import { html, useEffect, useRef, useState } from '../lib/html.js';
import { askSession, post } from '../lib/api.js';
import { go, innerPath } from '../lib/route.js';
import { Flame } from '../components/icon.js';

function Gate({ title, children }) {
  return html`<main class="gate" id="main"><div class="gate-box">
    <span class="gate-mark"><${Flame} /></span><h1>${title}</h1>${children}</div></main>`;
}

function Field({ label, ...rest }) {
  return html`<label class="field"><span>${label}</span><input class="input" ...${rest} /></label>`;
}

function useSubmit(act) {
  const [state, setState] = useState({ busy: false, error: null });
  const submit = async (event) => {
    event.preventDefault();
    setState({ busy: true, error: null });
    try {
      await act(new FormData(event.target));
    } catch (error) {
      setState({ busy: false, error: error.message });
    }
  };
  return [state, submit];
}

export function LoginPage({ next }) {
  const first = useRef(null);
  useEffect(() => first.current?.querySelector('input')?.focus(), []);
  const [state, submit] = useSubmit(async (form) => {
    await post('/session', { user: form.get('user'), password: form.get('password') });
    await askSession();
    go(innerPath(next ?? '/'), { replace: true });
  });
  return html`<${Gate} title="Sign in to Watchfire">
    <form class="stack" ref=${first} onSubmit=${submit}>
      <${Field} label="User" name="user" autocomplete="username" required />
      <${Field} label="Password" name="password" type="password" autocomplete="current-password" required />
      ${state.error && html`<p class="error" role="alert">${state.error}</p>`}
      <button class="button primary" disabled=${state.busy}>Sign in</button>
    </form>
    <p class="dim">No user yet? The first start of the server prints a one-time admin link in its log.</p>
  <//>`;
}

const PASSWORD_MIN = 12;

export function SetupPage({ token }) {
  const first = useRef(null);
  useEffect(() => first.current?.querySelector('input')?.focus(), []);
  const [state, submit] = useSubmit(async (form) => {
    if (form.get('password') !== form.get('again')) throw new Error('The two passwords are not the same.');
    const user = form.get('user');
    const password = form.get('password');
    await post('/setup', { token, user, password });
    await askSession().catch(() => null);
    go('/', { replace: true });
  });
  if (token === '') {
    return html`<${Gate} title="This link is incomplete">
      <p>The one-time admin link ends in <code>/setup?token=</code> and a token. Copy all of it from the server's log.</p>
    <//>`;
  }
  return html`<${Gate} title="Make the first admin">
    <p class="dim">The link that brought you here works once. Whoever uses it owns this server.</p>
    <form class="stack" ref=${first} onSubmit=${submit}>
      <${Field} label="User" name="user" autocomplete="username" required maxlength="64" />
      <${Field} label=${`Password, at least ${PASSWORD_MIN} characters`} name="password" type="password"
        autocomplete="new-password" required minlength=${PASSWORD_MIN} />
      <${Field} label="Password again" name="again" type="password" autocomplete="new-password" required />
      ${state.error && html`<p class="error" role="alert">${state.error}</p>`}
      <button class="button primary" disabled=${state.busy}>Create the admin</button>
    </form>
  <//>`;
}
