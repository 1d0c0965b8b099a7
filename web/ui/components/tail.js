// Live tail: hits as they are committed. Paused, they wait in a bounded buffer that says how many it holds.
import { useEffect, useRef, useState } from '../lib/html.js';
import { address } from '../lib/api.js';

const SHOWN_MAX = 500;
const WAITING_MAX = 5000;
const DRAW_EVERY_MS = 250;

/** `{hits, waiting, skipped, state, paused, setPaused}`; `state` is connecting, open or lost. */
export function useTail(on, query) {
  const [shown, setShown] = useState({ hits: [], waiting: 0, skipped: 0, state: 'connecting' });
  const [paused, setPaused] = useState(false);
  const held = useRef(false);
  held.current = paused;
  useEffect(() => {
    if (!on) return undefined;
    let waiting = [];
    let skipped = 0;
    let state = 'connecting';
    setShown({ hits: [], waiting: 0, skipped: 0, state });
    setPaused(false);
    const source = new EventSource(address('/tail', { q: query }));
    source.addEventListener('open', () => { state = 'open'; });
    source.addEventListener('error', () => { state = 'lost'; });
    source.addEventListener('message', (event) => {
      waiting.push(JSON.parse(event.data));
      if (waiting.length > WAITING_MAX) {
        waiting.shift();
        skipped += 1;
      }
    });
    source.addEventListener('skipped', (event) => { skipped += JSON.parse(event.data).events ?? 0; });
    const timer = setInterval(() => {
      const fresh = held.current ? [] : waiting.reverse();
      if (!held.current) waiting = [];
      const left = waiting.length;
      setShown((last) => {
        const same = fresh.length === 0 && last.waiting === left && last.skipped === skipped && last.state === state;
        if (same) return last;
        const hits = fresh.length === 0 ? last.hits : [...fresh, ...last.hits].slice(0, SHOWN_MAX);
        return { hits, waiting: left, skipped, state };
      });
    }, DRAW_EVERY_MS);
    return () => {
      clearInterval(timer);
      source.close();
    };
  }, [on, query]);
  return { ...shown, paused, setPaused };
}
