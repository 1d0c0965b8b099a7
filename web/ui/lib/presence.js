// Whether somebody is there. Questions asked on a timer would keep a forgotten session alive for
// ever, so they stop when the page is hidden or nobody has touched it for a while.

const AWAY_AFTER_MS = 10 * 60_000;
let touched = Date.now();

for (const kind of ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchstart']) {
  const touch = () => {
    touched = Date.now();
  };
  addEventListener(kind, touch, { capture: true, passive: true });
}

const isPresent = () => !document.hidden && Date.now() - touched < AWAY_AFTER_MS;

/** Calls `act` every `everyMs` while somebody is there, until the returned function is called. */
export function whilePresent(act, everyMs) {
  const timer = setInterval(() => isPresent() && act(), everyMs);
  return () => clearInterval(timer);
}
