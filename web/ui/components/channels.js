// Channels: where alerts are sent; a test, and what became of each delivery.
import { html, useState } from '../lib/html.js';
import { get, patch, post, remove } from '../lib/api.js';
import { exact, stamp } from '../lib/format.js';
import { useLoad } from '../lib/load.js';
import { zone } from '../lib/state.js';
import { Empty } from './empty.js';
import { Secret, Sure, useListing } from './listing.js';

function Deliveries({ channel, turn }) {
  zone.use();
  const { data, error } = useLoad((signal) => get(`/channels/${encodeURIComponent(channel.id)}/deliveries`, {}, signal), [channel.id, turn]);
  const rows = data?.deliveries ?? [];
  return html`<h3>Deliveries to ${channel.name}</h3>
    ${error && html`<p class="error" role="alert">${error.message}</p>`}
    ${data && rows.length === 0 && html`<p class="dim">Nothing was sent yet.</p>`}
    ${rows.length > 0 && html`<div class="scroll"><table><caption class="sr">Deliveries to ${channel.name}</caption>
      <thead><tr><th scope="col">Queued</th><th scope="col">What</th><th scope="col">State</th><th scope="col" class="number">Tries</th>
        <th scope="col">Last answer</th></tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${row.id}><td title=${exact(row.created)}>${stamp(row.created)}</td><td>${row.type}</td>
        <td class=${row.state === 'delivered' ? 'good' : ''}>${row.state}</td><td class="number">${row.tries}</td>
        <td>${row.last_status ?? ''} ${row.last_error ?? ''}</td></tr>`)}</tbody></table></div>`}`;
}

function ChannelRow({ channel, act, open, onOpen, onTested }) {
  const at = `/channels/${encodeURIComponent(channel.id)}`;
  const test = async () => {
    await act(() => post(`${at}/test`), 'A test is on its way. Its delivery shows below.');
    onTested();
  };
  return html`<tr>
    <th scope="row">${channel.name}<br /><span class="faint mono">${channel.url}</span></th>
    <td data-label="alerts" class="mono">${channel.query ?? 'all alerts'}</td>
    <td data-label="state">${channel.enabled ? html`<span class="good">on</span>` : html`off${channel.disabled_reason ? `: ${channel.disabled_reason}` : ''}`}</td>
    <td class="nowrap"><span class="bar">
      <button type="button" class="plain" onClick=${test}>Test<span class="sr"> ${channel.name}</span></button>
      <button type="button" class="plain" aria-expanded=${open ? 'true' : 'false'} onClick=${onOpen}>Deliveries<span class="sr"> of ${channel.name}</span></button>
      <button type="button" class="plain" onClick=${() => act(() => patch(at, { enabled: !channel.enabled }), channel.enabled ? 'Switched off.' : 'Switched on.')}>${
    channel.enabled ? 'Switch off' : 'Switch on'}<span class="sr"> ${channel.name}</span></button>
      <${Sure} label="Delete" name=${channel.name} onSure=${() => act(() => remove(at), 'Deleted.')}
        question="Nothing more is sent there, and what waits for it is dropped. Alerts stay." /></span></td></tr>`;
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
    const values = new FormData(form);
    const query = values.get('query').trim();
    const made = await list.act(() => post('/channels', {
      name: values.get('name').trim(), kind: 'webhook', url: values.get('url').trim(), ...(query === '' ? {} : { query }),
    }));
    if (!made) return;
    setSecret({ name: values.get('name'), text: made.secret });
    form.reset();
  };
  const tested = (channel) => {
    setOpen(channel.id);
    setTimeout(() => setTurn((n) => n + 1), 1500);
  };
  return html`<section><h2>Channels</h2>
    <p class="lead">Every new alert goes to each channel whose query fits it, signed as Standard Webhooks 1.0, and again until the
      receiver answers. Private addresses need <code>WATCHFIRE_WEBHOOK_ALLOW</code>.</p>
    <form class="form" onSubmit=${make}>
      <label class="field"><span>Name</span><input class="input" name="name" required maxlength="100" /></label>
      <label class="field"><span>Webhook address</span><input class="input" name="url" type="url" required /></label>
      <label class="field"><span>Which alerts (empty is all)</span><input class="input mono" name="query" /></label>
      <button class="button primary">Make a channel</button></form>
    ${secret && html`<${Secret} title=${`The signing secret of ${secret.name}`} text=${secret.text} onDone=${() => setSecret(null)} />`}
    ${list.error && html`<p class="error" role="alert">${list.error.message}</p>`}
    ${list.data && channels.length === 0 && html`<${Empty} title="No channel yet">Without one, alerts are on the Alerts page only.<//>`}
    ${channels.length > 0 && html`<div class="scroll"><table><caption class="sr">Channels</caption>
      <thead><tr><th scope="col">Channel</th><th scope="col">Alerts</th><th scope="col">State</th><th scope="col"><span class="sr">Actions</span></th></tr></thead>
      <tbody>${channels.map((channel) => html`<${ChannelRow} key=${channel.id} channel=${channel} act=${list.act} open=${open === channel.id}
        onOpen=${() => setOpen(open === channel.id ? null : channel.id)} onTested=${() => tested(channel)} />`)}</tbody></table></div>`}
    ${shown && html`<${Deliveries} channel=${shown} turn=${turn} />`}
  </section>`;
}
