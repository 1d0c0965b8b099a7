// What stands below the rows, or in their place: older events, or why there are none.
import { html } from '../lib/html.js';
import { plural } from '../lib/format.js';
import { href, setParams } from '../lib/route.js';
import { PAGE } from '../lib/search.js';
import { Empty, firstEvent } from './empty.js';

const ROWS_MAX = 2000;

function NothingYet() {
  return html`<${Empty} title="No events yet" command=${firstEvent()}>
    Events appear here as soon as the server has answered for them. The first start printed an
    ingest token; ${' '}<a href="/data">Data</a>${' '} has the lines for other shippers.
  <//>`;
}

function NothingFound({ question }) {
  const { q, from, to } = question;
  const why = q === ''
    ? 'Nothing happened in this range. Try a longer range.'
    : 'Nothing in this range fits the query. Try a longer range, or take a clause out of it.';
  const longer = () => setParams({ from: 'now-90d', to: 'now' });
  return html`<section class="empty">
    <h1>No event matches</h1>
    <p>${why}</p>
    <div class="bar">
      <button type="button" class="button" onClick=${longer}>Look at the last 90 days</button>
      ${q !== '' && html`<a class="button" href=${href('/search', { from, to })}>
        Clear the query
      </a>`}
    </div>
  </section>`;
}

export function ResultFoot({ live, tail, events, question, known }) {
  if (live) {
    if (tail.hits.length > 0 || tail.state === 'refused') return null;
    const which = question.q ? ' that match' : '';
    return html`<p class="dim pad" role="status">Waiting for events${which}.</p>`;
  }
  if (events.error) return null;
  if (events.data && events.hits.length === 0) {
    if (known.length === 0) return html`<${NothingYet} />`;
    return html`<${NothingFound} question=${question} />`;
  }
  if (!events.cursor) return null;
  if (events.hits.length >= ROWS_MAX) {
    return html`<p class="dim pad">
      ${plural(events.hits.length, 'row')} shown. Narrow the query or the range to see older ones.
    </p>`;
  }
  return html`<button
    type="button"
    class="button small older"
    disabled=${events.fetching}
    onClick=${events.older}
  >Show ${PAGE} older events</button>`;
}
