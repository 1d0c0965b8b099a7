// Line icons, 16 px. Each is decoration: the control around it carries the words.
import { html } from '../lib/html.js';

const PATHS = {
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3 14 14',
  alerts:
    'M8 2a4 4 0 0 0-4 4c0 3.5-1.5 5-1.5 5h11S12 9.5 12 6a4 4 0 0 0-4-4zM6.8 13.5a1.3 1.3 0 0 0 2.4 0',
  rules: 'M3.5 2h6L12.5 5v9h-9zM6 7h4M6 9.5h4M6 12h2.5',
  data: 'M8 2c3 0 5 .9 5 2s-2 2-5 2-5-.9-5-2 2-2 5-2zM3 4v8c0 1.1 2 2 5 2s5-.9 5-2V4M3 8c0 1.1 2 2 5 2s5-.9 5-2',
  settings: 'M2 4.5h6M11 4.5h3M9.5 3v3M2 11.5h3M8 11.5h6M6.5 10v3',
  help: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM6.3 6.3a1.8 1.8 0 1 1 2.5 1.7c-.5.3-.8.6-.8 1.2M8 11.3v.2',
};

export function Icon({ name }) {
  return html`<svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.3"
    stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}

/** The product's mark: the one fire. */
export function Flame() {
  return html`<svg viewBox="0 0 24 24" aria-hidden="true">
    <path fill="#ff7a1a" d="M12.6 1.5c.4 3.3-1.1 5-2.8 6.9C7.9 10.5 5.5 12.6 5.5 16a6.5 6.5 0 0 0 13 0
      c0-2.6-1-4.7-2.2-6.3-.3 1.3-.9 2.2-1.7 2.8.5-4.2-.1-8.2-2-11z" />
    <path fill="#fff" d="M12.2 12.5c.2 1.8-.6 2.6-1.4 3.5-.6.7-1.1 1.4-1.1 2.5a2.6 2.6 0 0 0 5.2 0
      c0-2.3-1.3-4-2.7-6z" /></svg>`;
}
