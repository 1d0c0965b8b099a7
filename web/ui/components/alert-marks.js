// Alerts on a time axis: a line and a mark that lead to the alert. Close ones share a mark.
import { html } from '../lib/html.js';

const APART_PX = 10;
const TARGET_PX = 24;

function grouped(alerts, view) {
  const marks = [];
  for (const alert of [...alerts].sort((a, b) => a.ts - b.ts)) {
    const x = view.x(alert.ts * 1000);
    if (x < 0 || x > view.width) continue;
    const last = marks[marks.length - 1];
    if (last && x - last.x < APART_PX) last.alerts.push(alert);
    else marks.push({ x, alerts: [alert] });
  }
  return marks;
}

function Mark({ x, alerts, height }) {
  const [first] = alerts;
  const many = `${alerts.length} alerts, the first: ${first.title}`;
  const title = alerts.length === 1 ? `Alert: ${first.title}` : many;
  return html`<a
    class="alert-mark"
    href=${`/alerts/${encodeURIComponent(first.id)}`}
    aria-label=${title}
  >
    <title>${title}</title>
    <line x1=${x} x2=${x} y1="0" y2=${height} />
    <rect
      class="hit-area"
      x=${x - TARGET_PX / 2}
      y=${height - 2}
      width=${TARGET_PX}
      height=${TARGET_PX}
    />
    <path d=${`M${x - 4} ${height + 11}h8l-4-7z`} />
  </a>`;
}

export function AlertMarks({ alerts, view, height }) {
  return grouped(alerts, view).map(
    (mark) => html`<${Mark} key=${mark.alerts[0].id} ...${mark} height=${height} />`,
  );
}
