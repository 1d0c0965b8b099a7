// Tabs as WAI-ARIA describes them: arrows move, one panel shows.
import { html, useState } from '../lib/html.js';

let made = 0;

function nextId() {
  made += 1;
  return `tabs-${made}`;
}

/** `tabs` is a list of `{name, title, show}`; `show` draws the panel. */
export function Tabs({ tabs, label }) {
  const [chosen, setChosen] = useState(tabs[0].name);
  const [id] = useState(nextId);
  const found = tabs.findIndex((tab) => tab.name === chosen);
  const at = Math.max(found, 0);
  const keydown = (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    const next = (at + move + tabs.length) % tabs.length;
    setChosen(tabs[next].name);
    event.currentTarget.querySelectorAll('[role=tab]')[next].focus();
  };
  const tab = ({ name, title }, n) => html`<button
    type="button"
    role="tab"
    key=${name}
    id=${`${id}-${name}`}
    aria-selected=${n === at ? 'true' : 'false'}
    aria-controls=${`${id}-panel`}
    tabindex=${n === at ? 0 : -1}
    onClick=${() => setChosen(name)}
  >${title}</button>`;
  return html`<div class="tabs">
    <div role="tablist" aria-label=${label} onKeyDown=${keydown}>${tabs.map(tab)}</div>
    <div role="tabpanel" id=${`${id}-panel`} aria-labelledby=${`${id}-${tabs[at].name}`}>
      ${tabs[at].show()}
    </div>
  </div>`;
}
