// A button that opens a small panel: closes on Escape, on a click elsewhere and after a choice.
import { html, useEffect, useRef, useState } from '../lib/html.js';

/** `children` is a function of `close`. `openRef.current` opens the panel from a key. */
export function Menu({ label, title, buttonClass = 'plain', children, className = '', openRef }) {
  const [open, setOpen] = useState(false);
  const box = useRef(null);
  if (openRef) openRef.current = () => setOpen(true);
  const close = () => {
    setOpen(false);
    box.current?.querySelector('button')?.focus();
  };
  useEffect(() => {
    if (!open) return undefined;
    const outside = (event) => !box.current?.contains(event.target) && setOpen(false);
    const escape = (event) => event.key === 'Escape' && close();
    document.addEventListener('pointerdown', outside);
    document.addEventListener('keydown', escape);
    box.current?.querySelector('.popover button, .popover a, .popover input')?.focus();
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('keydown', escape);
    };
  }, [open]);
  return html`<div class=${`menu ${className}`} ref=${box}>
    <button
      type="button"
      class=${buttonClass}
      title=${title}
      aria-expanded=${open ? 'true' : 'false'}
      onClick=${() => setOpen(!open)}
    >${label}</button>
    ${open && html`<div class="popover">${children(close)}</div>`}
  </div>`;
}
