// The alerts page: the list at the left, one alert at the right; on a narrow screen one after
// the other.
import { html, useEffect, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { SEVERITIES, STATUSES, readFilter } from '../lib/alert.js';
import { resolve } from '../lib/range.js';
import { count, exact } from '../lib/format.js';
import { go, href, route, setParams } from '../lib/route.js';
import { openAlerts, say } from '../lib/state.js';
import { useKeys } from '../lib/keys.js';
import { useLoad } from '../lib/load.js';
import { whilePresent } from '../lib/presence.js';
import { AlertDetail } from '../components/alert-detail.js';
import { AlertList } from '../components/alert-list.js';
import { Empty } from '../components/empty.js';
import { QueryBar } from '../components/query-bar.js';
import { TimeRange } from '../components/time-range.js';

const PAGE = 100;
const LOOK_AGAIN_MS = 10_000;
const RANGE = { from: 'now-30d', to: 'now' };
const ALL = '*';
const FIELDS = [
  ['status', 'open, acknowledged, closed'],
  ['severity', 'this or worse'],
  ['entity', 'an address, user, service'],
  ['detector', 'by its name'],
  ['held', 'true: held back, nobody was called'],
].map(([name, note]) => ({ name, note, types: [], events: 0 }));

/** A number that grows while the page is looked at, and the way to make it grow at once. */
function useTurns() {
  const [turn, setTurn] = useState(0);
  const again = () => setTurn((n) => n + 1);
  useEffect(() => whilePresent(again, LOOK_AGAIN_MS), []);
  return [turn, again];
}

function withoutDoubles(alerts) {
  const known = new Set();
  return alerts.filter((one) => !known.has(one.id) && known.add(one.id));
}

function useList(asked, range, turn) {
  const [more, setMore] = useState({ alerts: [], cursor: null });
  const from = exact(resolve(range.from));
  // An open end also shows alerts on events whose clocks run ahead.
  const params = { ...asked, from, to: range.to === 'now' ? undefined : range.to, limit: PAGE };
  const key = JSON.stringify([asked, range]);
  const first = useLoad((signal) => get('/alerts', params, signal), [key, turn]);
  useEffect(() => setMore({ alerts: [], cursor: null }), [key]);
  const cursor = more.alerts.length > 0 ? more.cursor : first.data?.cursor;
  const older = async () => {
    try {
      const page = await get('/alerts', { ...params, cursor });
      setMore((last) => ({ alerts: [...last.alerts, ...page.alerts], cursor: page.cursor }));
    } catch (error) {
      say(error.message, 'bad');
    }
  };
  const alerts = withoutDoubles([...(first.data?.alerts ?? []), ...more.alerts]);
  return { ...first, alerts, cursor, older };
}

/** What may follow a colon in the filter: fixed words, or what the listed alerts have. */
async function valuesOf(field, alerts) {
  const fixed = { status: STATUSES, severity: SEVERITIES, held: ['true', 'false'] }[field];
  if (fixed) return fixed.map((value) => ({ value, note: '' }));
  const seen = new Map();
  for (const alert of alerts) {
    const entities = Object.values(alert.entities ?? {}).flat();
    const values = { detector: [alert.detector], entity: entities }[field] ?? [];
    for (const value of values) seen.set(value, (seen.get(value) ?? 0) + 1);
  }
  const found = [...seen].map(([value, n]) => ({ value, count: n }));
  return found.sort((a, b) => b.count - a.count);
}

/** What is open, held back alerts aside unless they are asked for. */
function withoutHeld(asked) {
  return asked.status === 'open' && asked.held === undefined ? { ...asked, held: 'false' } : asked;
}

function StatusTabs({ asked, counts, params }) {
  const { from, to } = params;
  const status = asked.held === 'true' ? 'held' : asked.status;
  const tabs = STATUSES.map((name) => [name, name, `status:${name}`]);
  // Shown once there are any: most places have none.
  if (counts?.held > 0 || status === 'held') tabs.push(['held', 'held back', 'status:open held:true']);
  return html`<nav class="status-tabs" aria-label="Status">${tabs.map(([name, title, q]) => html`<a
    key=${name}
    href=${href('/alerts', { from, to, q })}
    aria-current=${status === name ? 'true' : undefined}
  >${title} <span>${counts ? count(counts[name]) : ''}</span></a>`)}</nav>`;
}

function Nothing({ asked }) {
  const { status, ...others } = asked;
  if (!status || Object.keys(others).length > 0) {
    return html`<section class="empty">
      <h1>No alert matches</h1>
      <p>Try a longer range, or fewer words.</p>
    </section>`;
  }
  return html`<${Empty} title=${`No ${status} alert`} command="watchfire demo">
    What rules and detectors find appears here, each with one sentence, the numbers behind it and
    its events. To see some now, start a throw-away server with simulated traffic and attacks.
  <//>`;
}

function Detail({ id, turn, again }) {
  const path = `/alerts/${encodeURIComponent(id)}`;
  const { data, error, busy } = useLoad((signal) => get(path, {}, signal), [id, turn]);
  if (error && !data) return html`<p class="error" role="alert">${error.message}</p>`;
  if (!data) return busy ? html`<p class="spinner"></p>` : null;
  return html`<${AlertDetail} alert=${data} onChanged=${again} />`;
}

function Head({ q, error, range, params, alerts }) {
  const search = (text) => go(href('/alerts', { ...params, q: text || ALL }));
  return html`<div class="head">
    <h1 class="sr">Alerts</h1>
    <${QueryBar}
      value=${q}
      label="Filter alerts"
      placeholder="All alerts. Try status:open severity:high"
      error=${error}
      onSubmit=${search}
      fields=${FIELDS}
      valuesOf=${(field) => valuesOf(field, alerts)}
    />
    <${TimeRange} from=${range.from} to=${range.to} onChoose=${setParams} />
  </div>`;
}

export function AlertsPage() {
  const { params, id } = route.use();
  const [turn, again] = useTurns();
  const q = params.q ?? 'status:open';
  const range = { from: params.from ?? RANGE.from, to: params.to ?? RANGE.to };
  const { asked, error } = readFilter(q);
  const list = useList(withoutHeld(asked), range, turn);
  const { alerts } = list;
  const counts = list.data?.counts;
  useEffect(() => {
    if (counts) openAlerts.set(counts.open);
  }, [counts]);
  const wide = matchMedia('(min-width: 761px)').matches;
  const shown = id || (wide ? alerts[0]?.id : '');
  const step = (by) => {
    const at = alerts.findIndex((one) => one.id === shown);
    const next = alerts[Math.max(0, Math.min(alerts.length - 1, at + by))];
    if (next) go(href(`/alerts/${encodeURIComponent(next.id)}`, params), { replace: true });
  };
  useKeys({ j: () => step(1), k: () => step(-1) });
  const nothing = list.data && alerts.length === 0;
  return html`<main id="main" tabindex="-1" class=${`alerts ${id ? 'has-detail' : ''}`}>
    <${Head} q=${q} error=${error} range=${range} params=${params} alerts=${alerts} />
    <div class="two">
      <section class="alert-side" aria-label="List of alerts">
        <${StatusTabs} asked=${asked} counts=${counts} params=${params} />
        ${list.error && html`<p class="error" role="alert">${list.error.message}</p>`}
        <${AlertList} alerts=${alerts} chosen=${shown} params=${params} />
        ${list.cursor && html`<button
          type="button"
          class="button small older"
          onClick=${list.older}
        >Show older alerts</button>`}
      </section>
      <section class="alert-main" aria-label="Alert">
        ${id && html`<a class="back button small" href=${href('/alerts', params)}>All alerts</a>`}
        ${shown && html`<${Detail} key=${shown} id=${shown} turn=${turn} again=${again} />`}
        ${!shown && nothing && html`<${Nothing} asked=${asked} />`}
      </section>
    </div>
  </main>`;
}
