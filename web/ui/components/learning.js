// Which detectors do not judge an entity yet, as they have seen too little of it.
import { html } from '../lib/html.js';
import { get } from '../lib/api.js';
import { count } from '../lib/format.js';
import { href } from '../lib/route.js';
import { useLoad } from '../lib/load.js';

const seen = ({ learned, needed, unit }) => `${count(learned)} of ${count(needed)} ${unit} learned`;

/** Nothing where all judge it, and where detection does not answer. */
export function Learning({ kind, value }) {
  const path = `/entities/${encodeURIComponent(kind)}/${encodeURIComponent(value)}/learning`;
  const { data } = useLoad((signal) => get(path, {}, signal), [path]);
  const detectors = data?.detectors ?? [];
  if (detectors.length === 0) return null;
  return html`<section>
    <h2>Not judged yet</h2>
    <p class="dim">These detectors have seen too little of ${value}; until then they say nothing
      about it.</p>
    <ul class="learning">${detectors.map((one) => html`<li key=${one.id}>
      <a href=${href('/rules', { id: one.id })}>${one.title}</a>
      <span class="dim">${seen(one)}</span>
    </li>`)}</ul>
  </section>`;
}
