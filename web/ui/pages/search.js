// The search page: query, range, histogram, facets and rows; all of its state is in the URL.
import { html, useEffect, useMemo, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { between, DEFAULT_RANGE, resolve, wider } from '../lib/range.js';
import { count, exact, plural } from '../lib/format.js';
import { defaultBy, defaultColumns, defaultFacets, knownFields, refreshFields } from '../lib/known.js';
import { toggle } from '../lib/query.js';
import { href, route, setParams } from '../lib/route.js';
import { kept, rememberQuery, say, zone } from '../lib/state.js';
import { useKeys } from '../lib/keys.js';
import { useLoad } from '../lib/load.js';
import { Empty, firstEvent } from '../components/empty.js';
import { ExportMenu } from '../components/export-menu.js';
import { Facets } from '../components/facets.js';
import { Histogram } from '../components/histogram.js';
import { Menu } from '../components/menu.js';
import { QueryBar } from '../components/query-bar.js';
import { Rows } from '../components/rows.js';
import { TimeRange } from '../components/time-range.js';
import { useTail } from '../components/tail.js';

const PAGE = 100;
const ROWS_MAX = 2000;
const BUCKETS = 120;
const FIVE_MINUTES_MS = 300_000;
const NONE = '-';

const texts = (value) => Array.isArray(value) && value.every((item) => typeof item === 'string');
const addedFacets = kept('facets.added', [], texts);
const droppedFacets = kept('facets.dropped', [], texts);

/** What the page asks for, from the URL. `from` and `to` are fixed moments, so that all answers speak of the same. */
function useQuestion(params, run) {
  return useMemo(() => {
    const now = Date.now();
    const from = params.from ?? DEFAULT_RANGE.from;
    const to = params.to ?? DEFAULT_RANGE.to;
    const fix = (text) => (String(text).startsWith('now') ? exact(resolve(text, now)) : text);
    return { q: params.q ?? '', from, to, range: { from: fix(from), to: fix(to) } };
  }, [params.q, params.from, params.to, run]);
}

function useEvents(question, live) {
  const [more, setMore] = useState({ hits: [], cursor: null, busy: false });
  const first = useLoad(live ? null : (signal) =>
    get('/search', { q: question.q, ...question.range, limit: PAGE }, signal), [question, live]);
  useEffect(() => setMore({ hits: [], cursor: first.data?.cursor ?? null, busy: false }), [first.data]);
  const older = async () => {
    setMore((last) => ({ ...last, busy: true }));
    try {
      const page = await get('/search', { q: question.q, ...question.range, limit: PAGE, cursor: more.cursor });
      setMore((last) => ({ hits: [...last.hits, ...page.hits], cursor: page.cursor, busy: false }));
    } catch (error) {
      say(error.message, 'bad');
      setMore((last) => ({ ...last, busy: false }));
    }
  };
  return { ...first, hits: [...(first.data?.hits ?? []), ...more.hits], cursor: more.cursor, fetching: more.busy, older };
}

function useFacets(question, known, live) {
  const added = addedFacets.use();
  const dropped = droppedFacets.use();
  const [wide, setWide] = useState([]);
  const names = useMemo(() => [...new Set([...added, ...defaultFacets(known)])].filter((name) => !dropped.includes(name)),
    [known, added, dropped]);
  const ask = names.length === 0 || live ? null : async (signal) => {
    const [few, many] = await Promise.all([
      get('/facets', { q: question.q, ...question.range, fields: names.join(','), top: 5 }, signal),
      wide.length === 0 ? { facets: [] }
        : get('/facets', { q: question.q, ...question.range, fields: wide.join(','), top: 50 }, signal),
    ]);
    return few.facets.map((facet) => many.facets.find((one) => one.field === facet.field) ?? facet);
  };
  const { data } = useLoad(ask, [question, names.join('\n'), wide.join('\n'), live]);
  return {
    facets: data ?? [],
    add: (name) => { droppedFacets.set(dropped.filter((one) => one !== name)); addedFacets.set([name, ...added.filter((one) => one !== name)]); },
    drop: (name) => { addedFacets.set(added.filter((one) => one !== name)); droppedFacets.set([...dropped.filter((one) => one !== name), name]); },
    more: (name) => setWide([...wide, name]),
  };
}

async function valuesOf(field, prefix, range) {
  const q = prefix === '' ? '' : `${field}:${prefix.replace(/[^A-Za-z0-9_.@-]/g, '?')}*`;
  const ask = (query) => get('/facets', { q: query, ...range, fields: field, top: 50 });
  const answer = await ask(q).catch(() => ask(''));
  return answer.facets[0]?.values ?? [];
}

function Cost({ events, live, tail }) {
  if (live) {
    const state = { connecting: 'connecting', open: 'live', lost: 'connection lost, trying again' }[tail.state];
    return html`<h1>${plural(tail.hits.length, 'event')}</h1><span class="dim" role="status">${state}${tail.skipped > 0
      ? ` · ${count(tail.skipped)} skipped: more came than can be shown` : ''}</span>`;
  }
  if (!events.data) return html`<h1>Events</h1>${events.busy && html`<span class="spinner"></span>`}`;
  const { total, total_is_exact: sure, searched, took_ms: took } = events.data;
  const cost = [searched > 0 && `of ${count(Math.max(searched, total))}`, `${took < 10 ? Number(took.toFixed(1)) : count(took)} ms`];
  return html`<h1>${count(total)}${sure === false ? '+' : ''} ${total === 1 ? 'event' : 'events'}</h1>
    <span class="dim" role="status">${cost.filter(Boolean).join(' · ')}</span>`;
}

function ByMenu({ by, known }) {
  const names = ['log.level', 'event.outcome', 'http.response.status_code', 'http.request.method', 'service.name', 'event.action']
    .filter((name) => known.some((field) => field.name === name));
  const choose = (value, close) => {
    setParams({ by: value });
    close();
  };
  return html`<${Menu} label=${by ? `by ${by}` : 'one colour'} title="What colours the bars">
    ${(close) => [...names, NONE].map((name) => html`<button type="button" class="choice" key=${name}
      aria-pressed=${(by || NONE) === name ? 'true' : 'false'} onClick=${() => choose(name, close)}>${name === NONE ? 'one colour' : name}</button>`)}
  <//>`;
}

function ZoneSwitch() {
  const now = zone.use();
  return html`<button type="button" class="plain" title="Write times in UTC or in local time"
    onClick=${() => zone.set(now === 'utc' ? 'local' : 'utc')}>${now === 'utc' ? 'UTC' : 'Local'}<span class="sr"> time, switch</span></button>`;
}

function NothingFound({ question, known }) {
  if (known.length === 0) {
    return html`<${Empty} title="No events yet" command=${firstEvent()}>Events appear here as soon as the server has
      answered for them. The first start printed an ingest token; <a href="/data">Data</a> has the lines for other shippers.<//>`;
  }
  return html`<section class="empty"><h1>No event matches</h1>
    <p>${question.q === '' ? 'Nothing happened in this range.' : 'Nothing in this range fits the query.'} Try a longer range${
  question.q === '' ? '' : ', or take a clause out of the query'}.</p>
    <div class="bar"><button type="button" class="button" onClick=${() => setParams({ from: 'now-90d', to: 'now' })}>Look at the last 90 days</button>
      ${question.q !== '' && html`<a class="button" href=${href('/search', { from: question.from, to: question.to })}>Clear the query</a>`}</div></section>`;
}

function Below({ live, tail, hits, events, question, known }) {
  if (live) {
    return tail.hits.length === 0 && html`<p class="dim pad" role="status">Waiting for events${question.q ? ' that match' : ''}.</p>`;
  }
  if (events.error) return null;
  if (events.data && hits.length === 0) return html`<${NothingFound} question=${question} known=${known} />`;
  if (!events.cursor) return null;
  if (hits.length >= ROWS_MAX) return html`<p class="dim pad">${plural(hits.length, 'row')} shown. Narrow the query or the range to see older ones.</p>`;
  return html`<button type="button" class="button small older" disabled=${events.fetching}
    onClick=${events.older}>Show ${PAGE} older events</button>`;
}

export function SearchPage() {
  const { params } = route.use();
  const known = knownFields.use();
  const [run, setRun] = useState(0);
  const [light, setLight] = useState(null);
  const [openSeq, setOpenSeq] = useState(null);
  zone.use();
  const live = params.live === '1';
  const question = useQuestion(params, run);
  const by = params.by === NONE ? '' : params.by ?? defaultBy(known);
  const columns = params.cols ? params.cols.split(',').filter(Boolean) : defaultColumns(known);
  useEffect(() => { refreshFields(); }, [question, live]);

  const events = useEvents(question, live);
  const histogram = useLoad(live ? null : (signal) =>
    get('/histogram', { q: question.q, ...question.range, buckets: BUCKETS, by }, signal), [question, by, live]);
  const alerts = useLoad((signal) => get('/alerts', { ...question.range, limit: 200 }, signal), [question]);
  const facets = useFacets(question, known, live);
  const tail = useTail(live, question.q);
  const hits = live ? tail.hits : events.hits;

  const search = (q) => {
    rememberQuery(q);
    setRun((n) => n + 1);
    setParams({ q });
  };
  const onToggle = (field, value, not) => search(toggle(question.q, field, value, not));
  const onColumn = (name) => {
    const next = columns.includes(name) ? columns.filter((one) => one !== name)
      : [...columns.filter((one) => one !== 'message'), name, ...columns.filter((one) => one === 'message')];
    setParams({ cols: next.join(',') || 'message' }, { replace: true });
  };
  const onZoom = (from, to) => setParams(between(from, to));
  const goLive = () => setParams({ live: live ? undefined : '1' });
  const onOpenAt = (q, at) => setParams({ q, ...between(at - FIVE_MINUTES_MS, at + FIVE_MINUTES_MS), live: undefined });
  useKeys({ l: goLive });
  const problem = events.error?.position !== null && events.error?.position !== undefined ? events.error : null;

  return html`<main id="main" tabindex="-1" class="search">
    <div class="head">
      <${QueryBar} value=${question.q} onSubmit=${search} label="Query" placeholder="All events. Try event.outcome:failure"
        error=${problem} fields=${known} valuesOf=${(field, prefix) => valuesOf(field, prefix, question.range)} recents />
      <${TimeRange} from=${question.from} to=${question.to} onChoose=${(range) => setParams({ ...range, live: undefined })} />
      <button type="button" class="button" aria-pressed=${live ? 'true' : 'false'} onClick=${goLive} title="Live tail (l)">
        <span class=${`live-dot ${live ? 'on' : ''}`}></span>Live<kbd aria-hidden="true">l</kbd></button>
      <button type="button" class="button primary" onClick=${() => document.querySelector('.query-box input').dispatchEvent(
    new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }))}>Search</button>
    </div>
    <div class="columns">
      <${Facets} facets=${facets.facets} known=${known} query=${question.q} columns=${columns} onToggle=${onToggle}
        onLight=${setLight} onAdd=${facets.add} onDrop=${facets.drop} onMore=${facets.more} onColumn=${onColumn} />
      <section class="results" aria-label="Events" aria-busy=${events.busy ? 'true' : 'false'}>
        <div class="result-head"><${Cost} events=${events} live=${live} tail=${tail} /><span class="grow"></span>
          ${live && html`<button type="button" class="button small" onClick=${() => tail.setPaused(!tail.paused)}>${
    tail.paused ? `Resume · ${count(tail.waiting)} waiting` : 'Pause'}</button>`}
          ${!live && params.from && !params.from.startsWith('now') && html`<button type="button" class="plain"
            onClick=${() => setParams(wider(question.from, question.to))}>Zoom out</button>`}
          <${ByMenu} by=${by} known=${known} /><${ZoneSwitch} />
          <${ExportMenu} query=${question.q} range=${question.range} /></div>
        ${events.error && !problem && html`<p class="error" role="alert">${events.error.message}</p>`}
        ${!live && events.hits.length > 0 && html`<${Histogram} data=${histogram.data} by=${by}
          alerts=${alerts.data?.alerts ?? []} onZoom=${onZoom} />`}
        ${hits.length > 0 && html`<${Rows} hits=${hits} columns=${columns} query=${question.q} light=${light}
          openSeq=${openSeq} onOpen=${setOpenSeq} onColumn=${onColumn} detail=${{ onToggle, onColumn, onOpenAt }} />`}
        <${Below} live=${live} tail=${tail} hits=${hits} events=${events} question=${question} known=${known} />
      </section>
    </div>
  </main>`;
}
