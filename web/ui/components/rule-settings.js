// How a rule is run: live, only watched, or off; another severity; how long an alert takes in what
// follows.
import { html, useState } from '../lib/html.js';
import { put } from '../lib/api.js';
import { SEVERITIES, capital } from '../lib/alert.js';
import { exact, shortTime } from '../lib/format.js';
import { may, say } from '../lib/state.js';

export const STATES = [
  ['live', 'Live', 'raises alerts'],
  ['shadow', 'Shadow', 'is counted and feeds correlations, raises nothing'],
  ['disabled', 'Disabled', 'counts for nothing'],
];

function Changed({ settings }) {
  const { changed, changed_by: by, note } = settings;
  if (!changed) return html`<p class="dim">Nothing is set: the rule is as its file says.</p>`;
  return html`<p class="dim">
    Set by ${by}, <span title=${exact(changed)}>${shortTime(changed)}</span>${note && `: ${note}`}
  </p>`;
}

function Choice({ name, label, children, disabled }) {
  return html`<label class="field">
    <span>${label}</span>
    <select class="input" name=${name} disabled=${disabled}>${children}</select>
  </label>`;
}

export function RuleSettings({ rule, onChanged }) {
  const [fault, setFault] = useState('');
  const { settings } = rule;
  const locked = !may('triage');
  const save = async (event) => {
    event.preventDefault();
    const wish = Object.fromEntries(
      [...new FormData(event.target)].filter(([, value]) => value.trim() !== ''),
    );
    try {
      await put(`/rules/${encodeURIComponent(rule.id)}`, wish);
      setFault('');
      say('Saved. It holds from the next events on.');
      onChanged();
    } catch (error) {
      setFault(error.message);
    }
  };
  const ofFile = rule.severity ? `as the file says: ${rule.severity}` : 'as the file says';
  return html`<section class="rule-settings">
    <h2>Settings</h2>
    <${Changed} settings=${settings} />
    <form class="form" onSubmit=${save} key=${settings.changed ?? ''}>
      <${Choice} name="state" label="State" disabled=${locked}>
        ${STATES.map(([name, title, meaning]) => html`<option
          key=${name}
          value=${name}
          selected=${name === settings.state}
        >${title}: ${meaning}</option>`)}
      <//>
      <${Choice} name="severity" label="Severity" disabled=${locked}>
        <option value="" selected=${!settings.severity}>${capital(ofFile)}</option>
        ${SEVERITIES.map((name) => html`<option
          key=${name}
          value=${name}
          selected=${name === settings.severity}
        >${capital(name)}</option>`)}
      <//>
      <label class="field narrow">
        <span>An alert takes in all for</span>
        <input
          class="input mono"
          name="suppress_for"
          placeholder="1h of quiet"
          pattern="[0-9]+(s|m|h|d|w)"
          title="A duration such as 30m, 24h or 7d"
          disabled=${locked}
          defaultValue=${settings.suppress_for ?? ''}
        />
      </label>
      <label class="field">
        <span>Why</span>
        <input class="input" name="note" maxlength="1000" disabled=${locked}
          defaultValue=${settings.note ?? ''} />
      </label>
      ${!locked && html`<button class="button primary">Save</button>`}
    </form>
    ${fault && html`<p class="error" role="alert">${fault}</p>`}
  </section>`;
}
