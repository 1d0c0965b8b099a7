// The shell: who is signed in, which page is shown, the keys that work everywhere.
import { html, render, useEffect, useRef } from './lib/html.js';
import { askSession, get } from './lib/api.js';
import { go, href, innerPath, route, startRouter } from './lib/route.js';
import { helpOpen, notice, openAlerts, say, session } from './lib/state.js';
import { useKeys } from './lib/keys.js';
import { whilePresent } from './lib/presence.js';
import { Rail } from './components/rail.js';
import { Help } from './components/help.js';
import { SearchPage } from './pages/search.js';
import { AlertsPage } from './pages/alerts.js';
import { EntityPage } from './pages/entity.js';
import { RulesPage } from './pages/rules.js';
import { DataPage } from './pages/data.js';
import { SettingsPage } from './pages/settings.js';
import { LoginPage, SetupPage } from './pages/login.js';

const PAGES = {
  search: [SearchPage, 'Search'],
  alerts: [AlertsPage, 'Alerts'],
  entities: [EntityPage, 'Entity'],
  rules: [RulesPage, 'Rules'],
  data: [DataPage, 'Data'],
  settings: [SettingsPage, 'Settings'],
};

const BADGE_EVERY_MS = 15_000;
const G_WAITS_MS = 1000;

function followOpenAlerts() {
  let stopped = false;
  const look = async () => {
    try {
      const answer = await get('/alerts', { status: 'open', limit: 1 });
      if (!stopped) openAlerts.set(answer.counts.open);
    } catch {
      // The page that is open says what is wrong; the badge only stays as it was.
    }
  };
  look();
  const stop = whilePresent(look, BADGE_EVERY_MS);
  return () => {
    stopped = true;
    stop();
  };
}

function Notice() {
  const now = notice.use();
  const kind = now?.kind ?? '';
  return html`<div class=${`notice ${kind}`} role="status" aria-live="polite">${now?.text}</div>`;
}

function Inside({ page }) {
  const help = helpOpen.use();
  const lead = useRef(0);
  useEffect(followOpenAlerts, []);
  const afterG = (target) => () => {
    if (Date.now() - lead.current > G_WAITS_MS) return false;
    lead.current = 0;
    go(target);
    return true;
  };
  useKeys({
    '?': () => helpOpen.set(true),
    g: () => {
      lead.current = Date.now();
    },
    s: afterG('/search'),
    a: afterG('/alerts'),
  });
  const [Page] = PAGES[page];
  return html`<a class="button skip" href="#main">Skip to the content</a>
    <div class="shell">
      <${Rail} page=${page} />
      <${Page} key=${page} />
    </div>
    ${help && html`<${Help} onClose=${() => helpOpen.set(false)} />`}
    <${Notice} />`;
}

function App() {
  const who = session.use();
  const { page, params } = route.use();
  const known = Object.hasOwn(PAGES, page);
  useEffect(() => {
    const title = known ? PAGES[page][1] : page === 'setup' ? 'First admin' : 'Sign in';
    document.title = `${title} · Watchfire`;
  }, [page]);
  useEffect(() => {
    if (who === null && page !== 'login' && page !== 'setup') {
      go(href('/login', { next: location.pathname + location.search }), { replace: true });
    } else if (who && (page === 'login' || !known) && page !== 'setup') {
      go(innerPath(params.next ?? '/'), { replace: true });
    }
  }, [who, page]);
  if (page === 'setup') return html`<${SetupPage} token=${params.token ?? ''} /><${Notice} />`;
  if (who === undefined) return html`<p class="spinner"></p>`;
  if (who === null || !known) return html`<${LoginPage} next=${params.next} /><${Notice} />`;
  return html`<${Inside} page=${page} />`;
}

startRouter();
render(html`<${App} />`, document.getElementById('app'));
askSession().catch((error) => say(error.message, 'bad'));
