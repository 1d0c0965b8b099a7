// Settings: tokens, channels, users, and how this browser shows things.
import { html } from '../lib/html.js';
import { remove } from '../lib/api.js';
import { go, href, route } from '../lib/route.js';
import { kept, may, say, session, zone } from '../lib/state.js';
import { Tokens } from '../components/tokens.js';
import { Channels } from '../components/channels.js';
import { Users } from '../components/users.js';

const theme = kept('theme.choice', 'system', (value) => ['system', 'dark', 'light'].includes(value));

function chooseTheme(choice) {
  theme.set(choice);
  try {
    if (choice === 'system') localStorage.removeItem('wf.theme');
    else localStorage.setItem('wf.theme', choice);
  } catch {
    // Not kept; in force for this page.
  }
  if (choice === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}

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
  return html`<fieldset class="bar"><legend>${legend}</legend>${options.map(([name, title]) => html`<button type="button" key=${name}
    class="button small" aria-pressed=${value === name ? 'true' : 'false'} onClick=${() => onChoose(name)}>${
  value === name ? html`<b>${title}</b>` : title}</button>`)}</fieldset>`;
}

function You() {
  const who = session.use();
  return html`<section class="stack"><h2>You</h2>
    <p class="dim">Signed in as <b>${who?.name}</b>, ${who?.role}.</p>
    <${Choice} legend="Theme" value=${theme.use()} onChoose=${chooseTheme}
      options=${[['system', 'System'], ['dark', 'Dark'], ['light', 'Light']]} />
    <${Choice} legend="Times" value=${zone.use()} onChoose=${zone.set} options=${[['utc', 'UTC'], ['local', 'Local']]} />
    <div class="bar"><button type="button" class="button" onClick=${signOut}>Sign out</button></div></section>`;
}

const TABS = [['you', 'You', You, null], ['tokens', 'Tokens', Tokens, 'admin'], ['channels', 'Channels', Channels, 'admin'],
  ['users', 'Users', Users, 'admin']];

export function SettingsPage() {
  const { params } = route.use();
  session.use();
  const tabs = TABS.filter(([, , , scope]) => scope === null || may(scope));
  const [chosen, , Part] = tabs.find(([name]) => name === params.tab) ?? tabs[0];
  return html`<main id="main" tabindex="-1"><div class="head"><h1>Settings</h1></div>
    <div class="page"><nav class="page-tabs" aria-label="Settings">${tabs.map(([name, title]) => html`<a key=${name}
      href=${href('/settings', { tab: name })} aria-current=${name === chosen ? 'page' : undefined}>${title}</a>`)}</nav>
      <${Part} key=${chosen} /></div></main>`;
}
