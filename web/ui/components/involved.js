// Who is involved: each entity, what else is known of it, and the way to its events.
import { html } from '../lib/html.js';
import { get } from '../lib/api.js';
import { entityQuery, involved } from '../lib/alert.js';
import { between } from '../lib/range.js';
import { plural } from '../lib/format.js';
import { href } from '../lib/route.js';
import { useLoad } from '../lib/load.js';

const ASKED = 8;
const SHOWN = 20;
const DAY_MS = 86_400_000;

/** Other alerts about each of the first few entities: asked from the server. */
async function others(alert, everyone, signal) {
  const answers = await Promise.all(everyone.slice(0, ASKED).map(([kind, value]) =>
    get('/alerts', { entity: `${kind}:${value}`, limit: 5 }, signal).catch(() => null)));
  return answers.map((answer) => answer && (answer.total ?? answer.alerts.length)
    - (answer.alerts.some((one) => one.id === alert.id) ? 1 : 0));
}

export function Involved({ alert }) {
  const everyone = involved(alert);
  const { data } = useLoad((signal) => others(alert, everyone, signal), [alert.id]);
  const note = (at) => (data?.[at] > 0 ? plural(data[at], 'other alert') : data?.[at] === 0 ? 'no other alert' : '');
  const range = between(alert.t0 * 1000 - DAY_MS, alert.t1 * 1000 + DAY_MS);
  return html`<section class="box"><h2>Who is involved</h2>
    <ul class="involved">${everyone.slice(0, SHOWN).map(([kind, value], at) => html`<li key=${`${kind}:${value}`}>
      <a class="mono" href=${href('/search', { q: entityQuery(kind, value), ...range })}
        title="Its events, a day before and after">${value}</a>
      <span class="dim">${kind}${note(at) && ', '}${data?.[at] > 0
  ? html`<a href=${href('/alerts', { q: `entity:${JSON.stringify(value)}` })}>${note(at)}</a>` : note(at)}</span></li>`)}</ul>
    ${everyone.length > SHOWN && html`<p class="dim">and ${everyone.length - SHOWN} more</p>`}
    ${everyone.length === 0 && html`<p class="dim">The rule names nobody.</p>`}
  </section>`;
}
