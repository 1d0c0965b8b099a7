// Live tail: hits as they are committed. Paused, they wait in a bounded buffer that says how
// many it holds; beyond it the oldest go and are counted as skipped.
import { useEffect, useRef, useState } from '../lib/html.js';
import { address, get } from '../lib/api.js';

const SHOWN_MAX = 500;
const WAITING_MAX = 5000;
const DRAW_EVERY_MS = 250;
const NOTHING = { hits: [], waiting: 0, skipped: 0, state: 'connecting', problem: null };

/** Follows the stream; `take()` gives what has come since, newest first. */
function follow(query) {
  const source = new EventSource(address('/tail', { q: query }));
  const stream = { waiting: [], skipped: 0, state: 'connecting', problem: null };
  source.addEventListener('open', () => {
    stream.state = 'open';
  });
  source.addEventListener('error', async () => {
    stream.state = source.readyState === EventSource.CLOSED ? 'refused' : 'lost';
    if (stream.state !== 'refused') return;
    // A stream's refusal has no text that a page may read; the same search says what is wrong.
    await get('/search', { q: query, limit: 1 }).catch((problem) => {
      stream.problem = problem;
    });
  });
  source.addEventListener('message', (event) => {
    stream.waiting.push(JSON.parse(event.data));
    if (stream.waiting.length > WAITING_MAX) {
      stream.waiting.shift();
      stream.skipped += 1;
    }
  });
  source.addEventListener('skipped', (event) => {
    stream.skipped += JSON.parse(event.data).events;
  });
  stream.take = () => {
    const fresh = stream.waiting.reverse();
    stream.waiting = [];
    return fresh;
  };
  stream.close = () => source.close();
  return stream;
}

/** `{hits, waiting, skipped, state, paused, setPaused}`; `state` is connecting, open,
 * lost or refused; then `problem` may say why. */
export function useTail(on, query) {
  const [shown, setShown] = useState(NOTHING);
  const [paused, setPaused] = useState(false);
  const held = useRef(false);
  held.current = paused;
  useEffect(() => {
    if (!on) return undefined;
    setShown(NOTHING);
    setPaused(false);
    const stream = follow(query);
    const draw = () => {
      const fresh = held.current ? [] : stream.take();
      const { skipped, state, problem } = stream;
      const waiting = stream.waiting.length;
      setShown((last) => {
        const news = [waiting - last.waiting, skipped - last.skipped, fresh.length].some(Boolean);
        if (!news && state === last.state && problem === last.problem) return last;
        const hits = [...fresh, ...last.hits].slice(0, SHOWN_MAX);
        return { hits, waiting, skipped, state, problem };
      });
    };
    const timer = setInterval(draw, DRAW_EVERY_MS);
    return () => {
      clearInterval(timer);
      stream.close();
    };
  }, [on, query]);
  return { ...shown, paused, setPaused };
}
