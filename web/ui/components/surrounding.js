// What happened just before and after an event, for the same service, host, address or user.
import { html, useState } from '../lib/html.js';
import { get } from '../lib/api.js';
import { between } from '../lib/range.js';
import { exact, millis, stamp } from '../lib/format.js';
import { fields, sentence, text } from '../lib/hit.js';
import { clause } from '../lib/query.js';
import { useLoad } from '../lib/load.js';

const EACH_SIDE = 6;
const HOUR_MS = 3_600_000;
const LINE_CHARS = 300;
const SCOPES = ['service.name', 'host.name', 'source.ip', 'user.id', 'user.name'];

/** The events of an hour before and after, newest first, with the event itself among them. */
async function around(hit, q, signal) {
  const at = millis(hit._time);
  const later = { ...between(at, at + HOUR_MS), order: 'asc', limit: EACH_SIDE + 1 };
  const earlier = { ...between(at - HOUR_MS, at), limit: EACH_SIDE };
  const [after, before] = await Promise.all([
    get('/search', { q, ...later }, signal),
    get('/search', { q, ...earlier }, signal),
  ]);
  const others = after.hits.filter((one) => one._seq !== hit._seq).slice(0, EACH_SIDE);
  return [...others.reverse(), hit, ...before.hits];
}

function Line({ hit, isSelf }) {
  return html`<li class=${isSelf ? 'self' : ''} aria-current=${isSelf ? 'true' : undefined}>
    <time title=${exact(hit._time)}>${stamp(hit._time)}</time>
    <span>${sentence(hit).slice(0, LINE_CHARS)}</span>
  </li>`;
}

export function Surrounding({ hit, onOpenAt }) {
  const all = fields(hit);
  const scopes = SCOPES.filter((name) => text(all.get(name)) !== '');
  const [scope, setScope] = useState(scopes[0] ?? '');
  const q = scope === '' ? '' : clause(scope, text(all.get(scope)));
  const { data, error } = useLoad((signal) => around(hit, q, signal), [hit._seq, q]);
  const choice = (name, title) => html`<button
    type="button"
    class="plain"
    key=${name}
    aria-pressed=${scope === name ? 'true' : 'false'}
    onClick=${() => setScope(name)}
  >${title}</button>`;
  return html`<div class="bar scope">
      <span class="faint">Around this event, same</span>
      ${scopes.map((name) => choice(name, name))}${choice('', 'anything')}
    </div>
    ${error && html`<p class="bad" role="alert">${error.message}</p>`}
    <ol class="around">${(data ?? []).map((one) => html`<${Line}
      key=${one._seq}
      hit=${one}
      isSelf=${one._seq === hit._seq}
    />`)}</ol>
    <button type="button" class="plain" onClick=${() => onOpenAt(q, millis(hit._time))}>
      Search five minutes before and after
    </button>`;
}
