// What happened, in order: the evidence events, the alert, and what people did since.
import { html, useMemo } from '../lib/html.js';
import { get } from '../lib/api.js';
import { reasonTitle } from '../lib/alert.js';
import { clock, day, exact, millis } from '../lib/format.js';
import { fields, sentence, text } from '../lib/hit.js';
import { href } from '../lib/route.js';
import { between } from '../lib/range.js';
import { useLoad } from '../lib/load.js';
import { zone } from '../lib/state.js';

const EVENTS_MAX = 20;
const AROUND_MS = 60_000;
const LINE_CHARS = 400;
const NAMED = ['source.ip', 'user.id', 'service.name'];

async function evidence(alert, signal) {
  const seqs = (alert.evidence?.events ?? []).filter((seq) => /^\d+$/.test(seq));
  if (seqs.length === 0) return [];
  const q = seqs.slice(0, EVENTS_MAX).map((seq) => `_seq:[${seq} TO ${seq}]`).join(' OR ');
  return (await get('/search', { q, limit: EVENTS_MAX, order: 'asc' }, signal)).hits;
}

function ofHit(hit) {
  const said = sentence(hit);
  const names = NAMED.map((name) => text(fields(hit).get(name)));
  const missing = names.filter((name) => name !== '' && !said.includes(name)).slice(0, 2);
  const words = missing.length === 0 ? said : `${said} · ${missing.join(', ')}`;
  return { at: millis(hit._time), stamp: hit._time, kind: 'event', key: `e${hit._seq}`, words };
}

const STEPS = {
  status: ({ who, to }) => {
    const inWords = String(to).replace(/\((\w+)\)/, (_, reason) => `(${reasonTitle(reason)})`);
    return `${who} set it to ${inWords}`;
  },
  assign: ({ who, to }) => `${who} gave it to ${to ?? 'nobody'}`,
  comment: ({ who }) => `${who} wrote a comment`,
};

function ofStep(step, n) {
  const words = STEPS[step.action]?.(step) ?? `${step.who}: ${step.action}`;
  return { at: millis(step.at), stamp: step.at, kind: 'step', key: `h${n}`, words };
}

function linesOf(alert, hits) {
  const at = alert.ts * 1000;
  const words = `alert raised: ${alert.title}`;
  const raised = { at, stamp: at, kind: 'raised', key: 'raised', words };
  const lines = [...hits.map(ofHit), raised, ...(alert.history ?? []).map(ofStep)];
  return lines.sort((a, b) => a.at - b.at);
}

function Line({ line, before, query }) {
  const date = before && day(before.at) === day(line.at) ? '' : `${day(line.at).slice(5)} `;
  const words = line.words.slice(0, LINE_CHARS);
  const minute = between(line.at - AROUND_MS, line.at + AROUND_MS);
  const link = href('/search', { q: query, ...minute });
  return html`<li class=${line.kind}>
    <time title=${exact(line.stamp)}>${date}${clock(line.at)}</time>
    <span class="dot" aria-hidden="true"></span>
    ${line.kind === 'event'
      ? html`<a href=${link} title="The minute around it">${words}</a>`
      : html`<span>${words}</span>`}
  </li>`;
}

export function Happened({ alert }) {
  zone.use();
  const ask = (signal) => evidence(alert, signal);
  const { data, error } = useLoad(ask, [alert.id, alert.count]);
  const lines = useMemo(() => linesOf(alert, data ?? []), [data, alert]);
  return html`<section class="box wide">
    <h2>What happened</h2>
    ${error && html`<p class="bad" role="alert">The events could not be read: ${error.message}</p>`}
    <ol class="happened">${lines.map((line, n) => html`<${Line}
      key=${line.key}
      line=${line}
      before=${lines[n - 1]}
      query=${alert.evidence?.query}
    />`)}</ol>
  </section>`;
}
