// The rail: where one can go, and how many alerts are open.
import { html } from '../lib/html.js';
import { helpOpen, openAlerts } from '../lib/state.js';
import { count } from '../lib/format.js';
import { Flame, Icon } from './icon.js';

const ABOVE = [
  ['search', '/search', 'Search'],
  ['alerts', '/alerts', 'Alerts'],
  ['rules', '/rules', 'Rules'],
];
const BELOW = [
  ['data', '/data', 'Data'],
  ['settings', '/settings', 'Settings'],
];

function Place({ name, path, title, page, badge }) {
  return html`<a class="goto" href=${path} aria-current=${page === name ? 'page' : undefined}>
    <${Icon} name=${name} />
    ${badge > 0 && html`<span class="badge" aria-hidden="true">
      ${badge > 99 ? '99+' : badge}
    </span>`}
    <span class="sr">${title}${badge > 0 ? `, ${count(badge)} open` : ''}</span>
    <span class="tip" aria-hidden="true">${title}</span>
  </a>`;
}

export function Rail({ page }) {
  const open = openAlerts.use();
  const place = ([
    name,
    path,
    title,
  ]) => html`<${Place} key=${name} name=${name} path=${path} title=${title}
    page=${page} badge=${name === 'alerts' ? open : 0} />`;
  return html`<nav class="rail" aria-label="Main">
    <span class="mark"><${Flame} /></span>
    ${ABOVE.map(place)}
    <span class="gap"></span>
    ${BELOW.map(place)}
    <button type="button" class="goto" onClick=${() => helpOpen.set(true)}>
      <${Icon} name="help" /><span class="sr">Keyboard and help</span>
      <span class="tip" aria-hidden="true">Help</span>
    </button>
  </nav>`;
}
