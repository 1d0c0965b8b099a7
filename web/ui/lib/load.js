// Asking the API from a component: the newest question wins, older answers are dropped, the last
// answer stays on the page while the next one is on its way.
import { useEffect, useState } from './html.js';

/** `ask(signal)` again whenever `inputs` change; gives `{data, error, busy, took}`. */
export function useLoad(ask, inputs) {
  const [state, setState] = useState({ data: null, error: null, busy: true });
  useEffect(() => {
    if (!ask) {
      setState({ data: null, error: null, busy: false });
      return undefined;
    }
    const stop = new AbortController();
    setState((last) => ({ ...last, busy: true }));
    ask(stop.signal).then(
      (data) => !stop.signal.aborted && setState({ data, error: null, busy: false }),
      (error) =>
        !stop.signal.aborted && setState((last) => ({ data: last.data, error, busy: false })),
    );
    return () => stop.abort();
  }, inputs);
  return state;
}
