// The keyboard: one listener, a stack of maps; the newest map that knows a key handles it.
import { useEffect, useRef } from './html.js';

const maps = [];

function typing(target) {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (typing(event.target) || document.querySelector('dialog[open]')) return;
  for (let at = maps.length - 1; at >= 0; at -= 1) {
    const act = maps[at].current[event.key];
    // An action that answers false passes the key on to the map below.
    if (act && act(event) !== false) {
      event.preventDefault();
      return;
    }
  }
});

/** While the component is on the page, a key of `map` outside of a field calls its function. */
export function useKeys(map) {
  const holder = useRef(map);
  holder.current = map;
  useEffect(() => {
    maps.push(holder);
    return () => maps.splice(maps.indexOf(holder), 1);
  }, []);
}
