// Channels: where alerts are sent; a test, and what became of each delivery.
import { html, useState } from '../lib/html.js';
import { patch, post, remove } from '../lib/api.js';
import { Deliveries } from './deliveries.js';
import { Secret, Sure, useListing } from './listing.js';

// A test is sent at once; its delivery is worth looking at soon after, and once more.
const LOOK_AGAIN_MS = [1500, 6000];

function State({ channel }) {
  if (channel.enabled) return html`<span class="good">on</span>`;
  return channel.disabled_reason ? `off: ${channel.disabled_reason}` : 'off';
}

function Actions({ channel, act, open, onOpen, onTested }) {
  const at = `/channels/${encodeURIComponent(channel.id)}`;
  const test = async () => {
    const words = 'A test is on its way. See its delivery below.';
    const sent = await act(() => post(`${at}/test`), words);
    if (sent) onTested();
  };
  const turn = () => {
    const words = channel.enabled ? 'Switched off.' : 'Switched on.';
    return act(() => patch(at, { enabled: !channel.enabled }), words);
  };
  const name = html`<span class="sr"> ${channel.name}</span>`;
  return html`<span class="bar">
    <button type="button" class="plain" onClick=${test}>Test${name}</button>
    <button
      type="button"
      class="plain"
      aria-expanded=${open ? 'true' : 'false'}
      onClick=${onOpen}
    >Deliveries${name}</button>
    <button type="button" class="plain" onClick=${turn}>
      ${channel.enabled ? 'Switch off' : 'Switch on'}${name}
    </button>
    <${Sure}
      label="Delete"
      name=${channel.name}
      question="Nothing more is sent there, and what waits for it is dropped. Alerts stay."
      onSure=${() => act(() => remove(at), 'Deleted.')}
    />
  </span>`;
}

function Row({ channel, ...rest }) {
  return html`<tr>
    <th scope="row">${channel.name}<br /><span class="faint mono">${channel.url}</span></th>
    <td data-label="alerts" class="mono">${channel.query ?? 'all alerts'}</td>
    <td data-label="state"><${State} channel=${channel} /></td>
    <td><${Actions} channel=${channel} ...${rest} /></td>
  </tr>`;
}

function Form({ onMake }) {
  return html`<form class="form" onSubmit=${onMake}>
    <label class="field">
      <span>Name</span><input class="input" name="name" required maxlength="100" />
    </label>
    <label class="field">
      <span>Webhook address</span><input class="input" name="url" type="url" required />
    </label>
    <label class="field">
      <span>Which alerts (empty is all)</span><input class="input mono" name="query" />
    </label>
    <button class="button primary">Make a channel</button>
  </form>`;
}

function Table({ channels, ...rest }) {
  const { open, setOpen, onTested, act } = rest;
  return html`<div class="scroll"><table>
    <caption class="sr">Channels</caption>
    <thead><tr>
      <th scope="col">Channel</th><th scope="col">Alerts</th><th scope="col">State</th>
      <th scope="col"><span class="sr">Actions</span></th>
    </tr></thead>
    <tbody>${channels.map((channel) => html`<${Row}
      key=${channel.id}
      channel=${channel}
      act=${act}
      open=${open === channel.id}
      onOpen=${() => setOpen(open === channel.id ? null : channel.id)}
      onTested=${() => onTested(channel)}
    />`)}</tbody>
  </table></div>`;
}

export function Channels() {
  const list = useListing('/channels');
  const [secret, setSecret] = useState(null);
  const [open, setOpen] = useState(null);
  const [turn, setTurn] = useState(0);
  const channels = list.data?.channels ?? [];
  const shown = channels.find((channel) => channel.id === open);
  const make = async (event) => {
    event.preventDefault();
    const form = event.target;
    const { name, url, query } = Object.fromEntries(new FormData(form));
    const wish = { name: name.trim(), kind: 'webhook', url: url.trim() };
    if (query.trim() !== '') wish.query = query.trim();
    const made = await list.act(() => post('/channels', wish));
    if (!made) return;
    setSecret({ title: `The signing secret of ${wish.name}`, text: made.secret });
    form.reset();
  };
  const onTested = (channel) => {
    setOpen(channel.id);
    for (const wait of LOOK_AGAIN_MS) setTimeout(() => setTurn((n) => n + 1), wait);
  };
  return html`<section>
    <h2>Channels</h2>
    <p class="lead">
      Every new alert goes to each channel whose query fits it, signed as Standard Webhooks 1.0, and
      again until the receiver answers. Private addresses need <code>WATCHFIRE_WEBHOOK_ALLOW</code>.
    </p>
    <${Form} onMake=${make} />
    ${secret && html`<${Secret} ...${secret} onDone=${() => setSecret(null)} />`}
    ${list.error && html`<p class="error" role="alert">${list.error.message}</p>`}
    ${list.data && channels.length === 0 && html`<p class="dim">
      No channel yet: alerts are on the Alerts page only.
    </p>`}
    ${channels.length > 0 && html`<${Table}
      channels=${channels}
      act=${list.act}
      open=${open}
      setOpen=${setOpen}
      onTested=${onTested}
    />`}
    ${shown && html`<${Deliveries} channel=${shown} turn=${turn} />`}
  </section>`;
}
