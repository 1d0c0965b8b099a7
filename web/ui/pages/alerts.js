// The alerts page: the list at the left, one alert at the right; on a narrow screen one after the other.
import { html, useEffect, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { SEVERITIES, STATUSES, readFilter } from '../lib/alert.js';
import { resolve } from '../lib/range.js';
import { count, exact } from '../lib/format.js';
import { go, href, route, setParams } from '../lib/route.js';
import { openAlerts, say } from '../lib/state.js';
import { useKeys } from '../lib/keys.js';
import { useLoad } from '../lib/load.js';
import { AlertDetail } from '../components/alert-detail.js';
import { AlertList } from '../components/alert-list.js';
import { Empty } from '../components/empty.js';
import { QueryBar } from '../components/query-bar.js';
import { TimeRange } from '../components/time-range.js';

const PAGE = 100;
const LOOK_AGAIN_MS = 10_000;
const RANGE = { from: 'now-30d', to: 'now' };
const FIELDS = [['status', 'open, acknowledged, closed'], ['severity', 'this or worse'], ['entity', 'an address, user, service'],
  ['detector', 'by its name']].map(([name, note]) => ({ name, note, types: [], events: 0 }));

function useAgain() {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && setTurn((n) => n + 1), LOOK_AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  return [turn, () => setTurn((n) => n + 1)];
}

function useList(asked, range, turn) {
  const [more, setMore] = useState({ alerts: [], cursor: null });
  const fixed = { from: exact(resolve(range.from)), to: range.to === 'now' ? undefined : range.to };
  const key = JSON.stringify([asked, range]);
  const first = useLoad((signal) => get('/alerts', { ...asked, ...fixed, limit: PAGE }, signal), [key, turn]);
  useEffect(() => setMore({ alerts: [], cursor: null }), [key]);
  const cursor = more.alerts.length > 0 ? more.cursor : first.data?.cursor;
  const older = async () => {
    try {
      const page = await get('/alerts', { ...asked, ...fixed, limit: PAGE, cursor });
      setMore((last) => ({ alerts: [...last.alerts, ...page.alerts], cursor: page.cursor }));
    } catch (error) {
      say(error.message, 'bad');
    }
  };
  const known = new Set();
  const alerts = [...(first.data?.alerts ?? []), ...more.alerts]
    .filter((one) => !known.has(one.id) && known.add(one.id));
  return { ...first, alerts, cursor, older };
}

async function valuesOf(field, alerts) {
  const words = (list) => list.map((value) => ({ value, count: 0, note: '' }));
  if (field === 'status') return words(STATUSES);
  if (field === 'severity') return words(SEVERITIES);
  const seen = new Map();
  const add = (value) => seen.set(value, (seen.get(value) ?? 0) + 1);
  for (const alert of alerts) {
    if (field === 'detector') add(alert.detector);
    if (field === 'entity') Object.values(alert.entities ?? {}).flat().forEach(add);
  }
  return [...seen].map(([value, n]) => ({ value, count: n })).sort((a, b) => b.count - a.count);
}

function StatusTabs({ asked, counts, range }) {
  return html`<nav class="status-tabs" aria-label="Status">${STATUSES.map((status) => html`<a key=${status}
    href=${href('/alerts', { ...range, q: `status:${status}` })} aria-current=${asked.status === status ? 'true' : undefined}>
    ${status} <span>${counts ? count(counts[status] ?? 0) : ''}</span></a>`)}</nav>`;
}

function Nothing({ asked }) {
  if (asked.status && !asked.entity && !asked.detector && !asked.severity) {
    return html`<${Empty} title=${`No ${asked.status} alert`} command="watchfire demo">What rules and detectors find appears here,
      each with one sentence, the numbers behind it and its events. To see some now, start a throw-away server with
      simulated traffic and attacks.<//>`;
  }
  return html`<section class="empty"><h1>No alert matches</h1><p>Try a longer range, or fewer words.</p></section>`;
}

function Detail({ id, turn, again }) {
  const { data, error, busy } = useLoad((signal) => get(`/alerts/${encodeURIComponent(id)}`, {}, signal), [id, turn]);
  if (error && !data) return html`<p class="error" role="alert">${error.message}</p>`;
  if (!data || data.id !== id) return busy ? html`<p class="spinner"></p>` : null;
  return html`<${AlertDetail} alert=${data} onChanged=${again} />`;
}

export function AlertsPage() {
  const { params, id } = route.use();
  const [turn, again] = useAgain();
  const q = params.q ?? 'status:open';
  const range = { from: params.from ?? RANGE.from, to: params.to ?? RANGE.to };
  const { asked, error } = readFilter(q);
  const list = useList(asked, range, turn);
  const counts = list.data?.counts?.by_status;
  useEffect(() => { if (counts) openAlerts.set(counts.open ?? 0); }, [counts]);
  const wide = matchMedia('(min-width: 761px)').matches;
  const shown = id || (wide ? list.alerts[0]?.id : '');
  const step = (by) => {
    const at = list.alerts.findIndex((one) => one.id === shown);
    const next = list.alerts[Math.max(0, Math.min(list.alerts.length - 1, at + by))];
    if (next) go(href(`/alerts/${encodeURIComponent(next.id)}`, params), { replace: true });
  };
  useKeys({ j: () => step(1), k: () => step(-1) });
  return html`<main id="main" tabindex="-1" class=${`alerts ${id ? 'has-detail' : ''}`}>
    <div class="head"><h1 class="sr">Alerts</h1>
      <${QueryBar} value=${q} label="Filter alerts" placeholder="All alerts. Try status:open severity:high" error=${error}
        onSubmit=${(text) => go(href('/alerts', { ...params, q: text || '*' }))} fields=${FIELDS}
        valuesOf=${(field) => valuesOf(field, list.alerts)} />
      <${TimeRange} from=${range.from} to=${range.to} onChoose=${(next) => setParams(next)} />
    </div>
    <div class="two">
      <section class="alert-side" aria-label="List of alerts">
        <${StatusTabs} asked=${asked} counts=${counts} range=${{ from: params.from, to: params.to }} />
        ${list.error && html`<p class="error" role="alert">${list.error.message}</p>`}
        <${AlertList} alerts=${list.alerts} chosen=${shown} params=${params} />
        ${list.cursor && html`<button type="button" class="button small older" onClick=${list.older}>Show older alerts</button>`}
      </section>
      <section class="alert-main" aria-label="Alert">
        ${id && html`<a class="back button small" href=${href('/alerts', params)}>All alerts</a>`}
        ${shown ? html`<${Detail} key=${shown} id=${shown} turn=${turn} again=${again} />`
    : list.data && list.alerts.length === 0 && html`<${Nothing} asked=${asked} />`}
      </section>
    </div>
  </main>`;
}
