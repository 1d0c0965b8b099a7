// Who is involved: each entity, what changed for it, and the way to all that is known of it.
import { html } from '../lib/html.js';
import { get } from '../lib/api.js';
import { involvedByKind } from '../lib/alert.js';
import { millis, plural, shortTime, span } from '../lib/format.js';
import { href } from '../lib/route.js';
import { useLoad } from '../lib/load.js';

const ASKED = 6;
const SHOWN_OF_A_KIND = 4;
const NEW_WITHIN_MS = 600_000;

/** What the server knows of the first few; an answer that fails is left out. */
function askAbout(shown, signal) {
  const address = ([kind, value]) =>
    `/entities/${encodeURIComponent(kind)}/${encodeURIComponent(value)}`;
  const ask = (entity) => get(address(entity), {}, signal).catch(() => null);
  return Promise.all(shown.slice(0, ASKED).map(ask));
}

/** Since when it is known, and in how many other alerts it is. */
function Note({ known, alert }) {
  if (!known) return null;
  const others = Math.max((known.alerts?.total ?? 0) - 1, 0);
  const also = others > 0 ? plural(others, 'other alert') : '';
  if (!known.first_seen) return also;
  const first = millis(known.first_seen);
  const age = alert.t0 * 1000 - first;
  const since = age < NEW_WITHIN_MS
    ? html`<b class="fresh">first seen ${shortTime(first)}</b>`
    : `known for ${span(age)}`;
  return html`${since}${also && `, ${also}`}`;
}

function Entity({ kind, value, known, alert }) {
  return html`<li>
    <span>
      <a class="mono" href=${href('/entities', { kind, value })}>${value}</a>
      ${' '}<span class="faint">${kind}</span>
    </span>
    <span class="dim note"><${Note} known=${known} alert=${alert} /></span>
  </li>`;
}

export function Involved({ alert }) {
  const kinds = involvedByKind(alert);
  const few = ([kind, values]) => values.slice(0, SHOWN_OF_A_KIND).map((value) => [kind, value]);
  const shown = kinds.flatMap(few);
  const rest = kinds.filter(([, values]) => values.length > SHOWN_OF_A_KIND)
    .map(([kind, values]) => plural(values.length - SHOWN_OF_A_KIND, `more ${kind}`));
  const { data } = useLoad((signal) => askAbout(shown, signal), [alert.id, shown.length]);
  return html`<section class="box">
    <h2>Who is involved</h2>
    <ul class="involved">${shown.map(([kind, value], at) => html`<${Entity}
      key=${`${kind}:${value}`}
      kind=${kind}
      value=${value}
      known=${data?.[at]}
      alert=${alert}
    />`)}</ul>
    ${rest.length > 0 && html`<p class="dim">and ${rest.join(', ')}</p>`}
    ${shown.length === 0 && html`<p class="dim">The rule names nobody.</p>`}
  </section>`;
}
