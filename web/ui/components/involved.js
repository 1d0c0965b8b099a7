// Who is involved: each entity, what changed for it, and the way to all that is known of it.
import { html } from '../lib/html.js';
import { get } from '../lib/api.js';
import { involved } from '../lib/alert.js';
import { millis, plural, shortTime, span } from '../lib/format.js';
import { href } from '../lib/route.js';
import { useLoad } from '../lib/load.js';

const ASKED = 6;
const SHOWN = 20;
const NEW_WITHIN_MS = 600_000;

/** What the server knows of the first few: when first seen, and their alerts. An answer that fails is left out. */
const askAbout = (everyone, signal) => Promise.all(everyone.slice(0, ASKED).map(([kind, value]) =>
  get(`/entities/${encodeURIComponent(kind)}/${encodeURIComponent(value)}`, {}, signal).catch(() => null)));

function Note({ known, alert }) {
  if (!known) return null;
  const first = known.first_seen && millis(known.first_seen);
  const others = Math.max((known.alerts?.total ?? 0) - 1, 0);
  const since = alert.t0 * 1000 - first;
  const age = first && (since < NEW_WITHIN_MS ? html`<b class="fresh">first seen ${shortTime(first)}</b>` : `known for ${span(since)}`);
  return html`<span>${age}${age && others > 0 ? ', ' : ''}${others > 0 ? plural(others, 'other alert') : ''}</span>`;
}

export function Involved({ alert }) {
  const everyone = involved(alert);
  const { data } = useLoad((signal) => askAbout(everyone, signal), [alert.id]);
  return html`<section class="box"><h2>Who is involved</h2>
    <ul class="involved">${everyone.slice(0, SHOWN).map(([kind, value], at) => html`<li key=${`${kind}:${value}`}>
      <span><a class="mono" href=${href('/entities', { kind, value })} title=${`All that is known of this ${kind}`}>${value}</a>${' '}<span class="faint">${kind}</span></span>
      <span class="dim note"><${Note} known=${data?.[at]} alert=${alert} /></span></li>`)}</ul>
    ${everyone.length > SHOWN && html`<p class="dim">and ${everyone.length - SHOWN} more</p>`}
    ${everyone.length === 0 && html`<p class="dim">The rule names nobody.</p>`}
  </section>`;
}
