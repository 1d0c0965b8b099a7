// The search page: query, range, histogram, facets and rows; all of its state is in the URL.
import { html, useEffect, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { between } from '../lib/range.js';
import { defaultBy, defaultColumns, knownFields, refreshFields } from '../lib/known.js';
import { toggle } from '../lib/query.js';
import { route, setParams } from '../lib/route.js';
import { useEvents, useFacets, useQuestion, valuesOf } from '../lib/search.js';
import { rememberQuery, zone } from '../lib/state.js';
import { useKeys } from '../lib/keys.js';
import { useLoad } from '../lib/load.js';
import { Facets } from '../components/facets.js';
import { Histogram } from '../components/histogram.js';
import { QueryBar } from '../components/query-bar.js';
import { NONE, ResultHead } from '../components/result-head.js';
import { ResultFoot } from '../components/result-foot.js';
import { Rows } from '../components/rows.js';
import { TimeRange } from '../components/time-range.js';
import { useTail } from '../components/tail.js';

const BUCKETS = 120;
const ALERT_MARKS = 200;
const FIVE_MINUTES_MS = 300_000;

const isMessage = (name) => name === 'message';

/** The columns with one more, or one less; the message stays last. */
function toggleColumn(columns, name) {
  if (columns.includes(name)) return columns.filter((one) => one !== name);
  return [...columns.filter((one) => !isMessage(one)), name, ...columns.filter(isMessage)];
}

function useHistogram(question, by, live) {
  const ask = (signal) =>
    get('/histogram', { q: question.q, ...question.range, buckets: BUCKETS, by }, signal);
  return useLoad(live ? null : ask, [question, by, live]).data;
}

function useAlertMarks(question) {
  const ask = (signal) => get('/alerts', { ...question.range, limit: ALERT_MARKS }, signal);
  return useLoad(ask, [question]).data?.alerts ?? [];
}

function Head({ question, live, problem, known, onSearch, onLive }) {
  return html`<div class="head">
    <${QueryBar}
      value=${question.q}
      onSubmit=${onSearch}
      label="Query"
      placeholder="All events. Try event.outcome:failure"
      error=${problem}
      fields=${known}
      valuesOf=${(field, prefix) => valuesOf(field, prefix, question.range)}
      recents
    />
    <${TimeRange}
      from=${question.from}
      to=${question.to}
      onChoose=${(range) => setParams({ ...range, live: undefined })}
    />
    <button
      type="button"
      class="button"
      aria-pressed=${live ? 'true' : 'false'}
      onClick=${onLive}
      title="Live tail (l)"
    >
      <span class=${live ? 'live-dot on' : 'live-dot'}></span>Live<kbd aria-hidden="true">l</kbd>
    </button>
    <button class="button primary" form="query">Search</button>
  </div>`;
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
  const by = params.by === NONE ? '' : (params.by ?? defaultBy(known));
  const columns = params.cols ? params.cols.split(',').filter(Boolean) : defaultColumns(known);
  useEffect(() => {
    refreshFields();
  }, [question, live]);

  const events = useEvents(question, live);
  const histogram = useHistogram(question, by, live);
  const alerts = useAlertMarks(question);
  const facets = useFacets(question, known, live);
  const tail = useTail(live, question.q);
  const hits = live ? tail.hits : events.hits;
  const error = live ? tail.problem : events.error;
  const problem = error && error.position !== null ? error : null;

  const onSearch = (q) => {
    rememberQuery(q);
    setRun((n) => n + 1);
    setParams({ q });
  };
  const onLive = () => setParams({ live: live ? undefined : '1' });
  const onToggle = (field, value, not) => onSearch(toggle(question.q, field, value, not));
  const onColumn = (name) =>
    setParams({ cols: toggleColumn(columns, name).join(',') || 'message' }, { replace: true });
  const onOpenAt = (q, at) =>
    setParams({ q, ...between(at - FIVE_MINUTES_MS, at + FIVE_MINUTES_MS), live: undefined });
  useKeys({ l: onLive });

  const shared = { known, columns, query: question.q, onToggle, onColumn };
  const asked = { question, live, known };
  return html`<main id="main" tabindex="-1" class="search">
    <${Head} ...${asked} problem=${problem} onSearch=${onSearch} onLive=${onLive} />
    <div class="columns">
      <${Facets}
        ...${shared}
        facets=${facets.facets}
        total=${events.data?.total ?? 0}
        onLight=${setLight}
        onAdd=${facets.add}
        onDrop=${facets.drop}
        onMore=${facets.more}
      />
      <section class="results" aria-label="Events" aria-busy=${events.busy ? 'true' : 'false'}>
        <${ResultHead} ...${asked} events=${events} tail=${tail} by=${by} />
        ${error && !problem && html`<p class="error" role="alert">${error.message}</p>`}
        ${!live && events.hits.length > 0 && html`<${Histogram}
          data=${histogram}
          by=${by}
          alerts=${alerts}
          onZoom=${(from, to) => setParams(between(from, to))}
        />`}
        ${hits.length > 0 && html`<${Rows}
          hits=${hits}
          columns=${columns}
          query=${question.q}
          light=${light}
          openSeq=${openSeq}
          onOpen=${setOpenSeq}
          onColumn=${onColumn}
          detail=${{ onToggle, onColumn, onOpenAt }}
        />`}
        <${ResultFoot} ...${asked} tail=${tail} events=${events} />
      </section>
    </div>
  </main>`;
}
