// An opened row: its fields, the event as it came, the events around it, the rules it matches,
// who it names.
import { html } from '../lib/html.js';
import { ENTITY_FIELDS } from '../lib/alert.js';
import { fields, text } from '../lib/hit.js';
import { href } from '../lib/route.js';
import { Command } from './empty.js';
import { FieldTable } from './field-table.js';
import { RulesOf } from './rules-of.js';
import { Surrounding } from './surrounding.js';
import { Tabs } from './tabs.js';

function AsItCame({ hit }) {
  const json = JSON.stringify(hit.event, null, 2);
  return html`<${Command} text=${json} name="the event as it came" />`;
}

function Entities({ hit }) {
  const all = fields(hit);
  const named = ENTITY_FIELDS.map(([field, kind]) => [field, kind, text(all.get(field))]);
  const present = named.filter(([, , value]) => value !== '');
  if (present.length === 0) {
    return html`<p class="faint">The event names no user, address, service, token or host.</p>`;
  }
  return html`<table class="field-table">
    <caption class="sr">Entities of the event</caption>
    <tbody>${present.map(([field, kind, value]) => html`<tr key=${field}>
      <th scope="row">${field}</th>
      <td><a href=${href('/entities', { kind, value })}>${value}</a></td>
    </tr>`)}</tbody>
  </table>`;
}

export function RowDetail(props) {
  const { hit, onOpenAt } = props;
  const tabs = [
    { name: 'fields', title: 'Fields', show: () => html`<${FieldTable} ...${props} />` },
    { name: 'came', title: 'As it came', show: () => html`<${AsItCame} hit=${hit} />` },
    {
      name: 'around',
      title: 'Surrounding',
      show: () => html`<${Surrounding} hit=${hit} onOpenAt=${onOpenAt} />`,
    },
    { name: 'rules', title: 'Rules', show: () => html`<${RulesOf} seq=${hit._seq} />` },
    { name: 'entities', title: 'Entities', show: () => html`<${Entities} hit=${hit} />` },
  ];
  return html`<${Tabs} tabs=${tabs} label="Event" />`;
}
