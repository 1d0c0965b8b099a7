// A row of small bars: how much happened on each of some days. The text beside it says the sum.
import { html } from '../lib/html.js';
import { plural } from '../lib/format.js';

const BAR = 6;
const GAP = 2;

/** `values` oldest first; the last is today. */
export function Spark({ values, unit = 'match', units = 'matches', height = 20 }) {
  const top = Math.max(...values, 1);
  const width = values.length * (BAR + GAP) - GAP;
  const sum = values.reduce((all, value) => all + value, 0);
  const words = `${plural(sum, unit, units)} in ${plural(values.length, 'day')}`;
  return html`<svg
    class="spark"
    role="img"
    aria-label=${words}
    width=${width}
    height=${height}
    viewBox=${`0 0 ${width} ${height}`}
  >
    <title>${words}</title>
    ${values.map((value, at) => {
      const tall = value === 0 ? 1 : Math.max(2, (value / top) * height);
      return html`<rect
        key=${at}
        class=${value === 0 ? 'none' : ''}
        x=${at * (BAR + GAP)}
        y=${height - tall}
        width=${BAR}
        height=${tall}
      />`;
    })}
  </svg>`;
}
