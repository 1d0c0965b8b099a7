// The name under which CI finds the browser checks.
import './run.mjs';
