// Settings: tokens, channels, users, and how this browser shows things.
import { html } from '../lib/html.js';
import { remove } from '../lib/api.js';
import { go, href, route } from '../lib/route.js';
import { may, say, session, zone } from '../lib/state.js';
import { chooseTheme, theme } from '../lib/theme.js';
import { Tokens } from '../components/tokens.js';
import { Channels } from '../components/channels.js';
import { Users } from '../components/users.js';
import { Audit } from '../components/audit.js';

const THEMES = [['system', 'System'], ['dark', 'Dark'], ['light', 'Light']];
const ZONES = [['utc', 'UTC'], ['local', 'Local']];

async function signOut() {
  try {
    await remove('/session');
  } catch (error) {
    say(error.message, 'bad');
    return;
  }
  session.set(null);
  go('/login', { replace: true });
}

function Choice({ legend, options, value, onChoose }) {
  const option = ([name, title]) => html`<button
    type="button"
    key=${name}
    class="button small"
    aria-pressed=${value === name ? 'true' : 'false'}
    onClick=${() => onChoose(name)}
  >${title}</button>`;
  return html`<fieldset class="bar">
    <legend>${legend}</legend>
    ${options.map(option)}
  </fieldset>`;
}

function You() {
  const who = session.use();
  return html`<section class="stack">
    <h2>You</h2>
    <p class="dim">Signed in as <b>${who?.name}</b>${who?.role ? `, ${who.role}` : ''}.</p>
    <${Choice} legend="Theme" value=${theme.use()} onChoose=${chooseTheme} options=${THEMES} />
    <${Choice} legend="Times" value=${zone.use()} onChoose=${zone.set} options=${ZONES} />
    <div class="bar">
      <button type="button" class="button" onClick=${signOut}>Sign out</button>
    </div>
  </section>`;
}

/** Name, title, content, and the scope that it needs. */
const TABS = [
  ['you', 'You', You, null],
  ['tokens', 'Tokens', Tokens, 'admin'],
  ['channels', 'Channels', Channels, 'admin'],
  ['users', 'Users', Users, 'admin'],
  ['audit', 'Audit', Audit, 'admin'],
];

export function SettingsPage() {
  const { params } = route.use();
  session.use();
  const tabs = TABS.filter(([, , , scope]) => scope === null || may(scope));
  const [chosen, , Part] = tabs.find(([name]) => name === params.tab) ?? tabs[0];
  return html`<main id="main" tabindex="-1">
    <div class="head"><h1>Settings</h1></div>
    <div class="page">
      <nav class="page-tabs" aria-label="Settings">${tabs.map(([name, title]) => html`<a
        key=${name}
        href=${href('/settings', { tab: name })}
        aria-current=${name === chosen ? 'page' : undefined}
      >${title}</a>`)}</nav>
      <${Part} key=${chosen} />
    </div>
  </main>`;
}
