// What happened, in order: the evidence events, and what people did since.
import { html, useMemo } from '../lib/html.js';
import { get } from '../lib/api.js';
import { reasonTitle } from '../lib/alert.js';
import { clock, day, exact, millis } from '../lib/format.js';
import { sentence, text, fields } from '../lib/hit.js';
import { href } from '../lib/route.js';
import { between } from '../lib/range.js';
import { useLoad } from '../lib/load.js';
import { zone } from '../lib/state.js';

const EVENTS_MAX = 20;
const AROUND_MS = 60_000;

async function evidence(alert, signal) {
  const seqs = (alert.evidence?.events ?? []).filter((seq) => /^\d+$/.test(seq)).slice(0, EVENTS_MAX);
  if (seqs.length === 0) return [];
  const q = seqs.map((seq) => `_seq:[${seq} TO ${seq}]`).join(' OR ');
  const answer = await get('/search', { q, limit: EVENTS_MAX, order: 'asc' }, signal);
  return answer.hits;
}

function ofHit(hit) {
  const who = ['source.ip', 'user.id', 'service.name'].map((name) => text(fields(hit).get(name))).filter(Boolean);
  const words = sentence(hit);
  const added = who.filter((one) => !words.includes(one)).slice(0, 2).join(', ');
  return { at: millis(hit._time), words: added === '' ? words : `${words} · ${added}`, kind: 'event',
    key: `e${hit._seq}`, seq: hit._seq, stamp: hit._time };
}

function ofStep(step, n) {
  const said = {
    status: () => `${step.who} set it to ${String(step.to).replace(/\((\w+)\)/, (_, reason) => `(${reasonTitle(reason)})`)}`,
    assign: () => (step.to ? `${step.who} gave it to ${step.to}` : `${step.who} gave it to nobody`),
    comment: () => `${step.who} wrote a comment`,
  }[step.action];
  return { at: millis(step.at), words: said ? said() : `${step.who}: ${step.action}`, kind: 'step', key: `h${n}`, stamp: step.at };
}

export function Happened({ alert }) {
  zone.use();
  const { data, error } = useLoad((signal) => evidence(alert, signal), [alert.id, alert.count]);
  const lines = useMemo(() => [
    ...(data ?? []).map(ofHit),
    { at: alert.ts * 1000, words: `alert raised: ${alert.title}`, kind: 'raised', key: 'raised', stamp: alert.ts * 1000 },
    ...(alert.history ?? []).map(ofStep),
  ].sort((a, b) => a.at - b.at), [data, alert]);
  const around = (line) => href('/search', { q: alert.evidence?.query, ...between(line.at - AROUND_MS, line.at + AROUND_MS) });
  return html`<section class="box wide"><h2>What happened</h2>
    ${error && html`<p class="bad" role="alert">The events could not be read: ${error.message}</p>`}
    <ol class="happened">${lines.map((line, n) => html`<li key=${line.key} class=${line.kind}>
      <time title=${exact(line.stamp)}>${n === 0 || day(line.at) !== day(lines[n - 1].at) ? `${day(line.at).slice(5)} ` : ''}${clock(line.at)}</time>
      <span class="dot" aria-hidden="true"></span>
      ${line.kind === 'event' ? html`<a href=${around(line)} title="The minute around it">${line.words.slice(0, 400)}</a>`
    : html`<span>${line.words.slice(0, 400)}</span>`}</li>`)}</ol></section>`;
}
