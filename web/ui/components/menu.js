// A button that opens a small panel: closes on Escape, on a click elsewhere and after a choice.
import { html, useEffect, useRef, useState } from '../lib/html.js';

export function Menu({ label, title, buttonClass = 'plain', children, className = '', openRef }) {
  const [open, setOpen] = useState(false);
  const box = useRef(null);
  if (openRef) openRef.current = () => setOpen(true);
  useEffect(() => {
    if (!open) return undefined;
    const outside = (event) => !box.current?.contains(event.target) && setOpen(false);
    const escape = (event) => {
      if (event.key !== 'Escape') return;
      setOpen(false);
      box.current?.querySelector('button')?.focus();
    };
    document.addEventListener('pointerdown', outside);
    document.addEventListener('keydown', escape);
    box.current?.querySelector('.popover button, .popover a, .popover input')?.focus();
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('keydown', escape);
    };
  }, [open]);
  const close = () => {
    setOpen(false);
    box.current?.querySelector('button')?.focus();
  };
  return html`<div class=${`menu ${className}`} ref=${box}>
    <button type="button" class=${buttonClass} title=${title} aria-expanded=${open ? 'true' : 'false'}
      onClick=${() => setOpen(!open)}>${label}</button>
    ${open && html`<div class="popover">${typeof children === 'function' ? children(close) : children}</div>`}
  </div>`;
}
