// How wide an element is, for drawings whose units are pixels.
import { useEffect, useRef, useState } from './html.js';

/** `[ref, width]`; 0 until the element is on the page. */
export function useWidth() {
  const box = useRef(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  return [box, width];
}
