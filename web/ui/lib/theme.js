// The theme: the system's unless chosen. `theme.js` at the root applies the choice before paint.
import { atom } from './state.js';

const KEY = 'wf.theme';
const chosen = document.documentElement.dataset.theme;

/** `system`, `dark` or `light`. */
export const theme = atom(chosen ?? 'system');

export function chooseTheme(choice) {
  theme.set(choice);
  const root = document.documentElement;
  if (choice === 'system') delete root.dataset.theme;
  else root.dataset.theme = choice;
  try {
    if (choice === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, choice);
  } catch {
    // Not kept, still in force for this page.
  }
}
