// A modal dialog on the browser's own <dialog>: focus stays inside, Escape closes.
import { html, useEffect, useRef } from '../lib/html.js';

export function Dialog({ title, onClose, children }) {
  const box = useRef(null);
  useEffect(() => {
    const dialog = box.current;
    const before = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      before?.focus?.();
    };
  }, []);
  return html`<dialog ref=${box} aria-label=${title} onCancel=${(event) => {
    event.preventDefault();
    onClose();
  }}
    onClick=${(event) => event.target === box.current && onClose()}>
    <div class="stack"><h1>${title}</h1>${children}</div>
  </dialog>`;
}
