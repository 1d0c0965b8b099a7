// Line icons, 16 px. Each is decoration: the control around it carries the words.
import { html } from '../lib/html.js';

const PATHS = {
  search: 'M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM10.300 10.300 14 14',
  alerts:
    'M8 2a4 4 0 0 0-4 4c0 3.500-1.500 5-1.500 5h11S12 9.500 12 6a4 4 0 0 0-4-4zM6.800 13.500a1.300 1.300 0 0 0 2.400 0',
  rules: 'M3.500 2h6L12.500 5v9h-9zM6 7h4M6 9.500h4M6 12h2.500',
  data: 'M8 2c3 0 5 .9 5 2s-2 2-5 2-5-.9-5-2 2-2 5-2zM3 4v8c0 1.100 2 2 5 2s5-.9 5-2V4M3 8c0 1.100 2 2 5 2s5-.9 5-2',
  settings: 'M2 4.500h6M11 4.500h3M9.500 3v3M2 11.500h3M8 11.500h6M6.500 10v3',
  help: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM6.300 6.300a1.800 1.800 0 1 1 2.500 1.700c-.5.300-.8.600-.8 1.200M8 11.300v.2',
};

export function Icon({ name }) {
  return html`<svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.3"
    stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}

/** The product's mark: the one fire. */
export function Flame() {
  return html`<svg viewBox="0 0 24 24" aria-hidden="true">
    <path fill="#ff7a1a" d="M12.600 1.500c.4 3.300-1.100 5-2.800 6.900C7.900 10.500 5.500 12.600 5.500 16a6.500 6.500 0 0 0 13 0
      c0-2.600-1-4.700-2.200-6.300-.3 1.300-.9 2.200-1.700 2.800.5-4.200-.1-8.200-2-11z" />
    <path fill="#fff" d="M12.200 12.500c.2 1.800-.6 2.600-1.400 3.500-.6.700-1.100 1.400-1.100 2.500a2.600 2.600 0 0 0 5.200 0
      c0-2.300-1.300-4-2.700-6z" /></svg>`;
}
