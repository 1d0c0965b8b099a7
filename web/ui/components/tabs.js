// Tabs as WAI-ARIA describes them: arrows move, one panel shows.
import { html, useState } from '../lib/html.js';

let made = 0;

/** `tabs` is a list of `{name, title, show}`; `show` draws the panel. */
export function Tabs({ tabs, label }) {
  const [chosen, setChosen] = useState(tabs[0].name);
  const [id] = useState(() => `tabs-${made += 1}`);
  const at = Math.max(0, tabs.findIndex((tab) => tab.name === chosen));
  const keydown = (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    const next = (at + move + tabs.length) % tabs.length;
    setChosen(tabs[next].name);
    event.currentTarget.querySelectorAll('[role=tab]')[next].focus();
  };
  return html`<div class="tabs">
    <div role="tablist" aria-label=${label} onKeyDown=${keydown}>${tabs.map((tab, n) => html`
      <button type="button" role="tab" key=${tab.name} id=${`${id}-${tab.name}`} aria-selected=${n === at ? 'true' : 'false'}
        aria-controls=${`${id}-panel`} tabindex=${n === at ? 0 : -1} onClick=${() => setChosen(tab.name)}>${tab.title}</button>`)}
    </div>
    <div role="tabpanel" id=${`${id}-panel`} aria-labelledby=${`${id}-${tabs[at].name}`}>${tabs[at].show()}</div>
  </div>`;
}
