// The lines that make other programs send their logs here, each for this server's address.
import { firstEvent } from '../components/empty.js';

const vector = ({ origin }) => `[sinks.watchfire]
type = "http"
inputs = ["my_source"]
uri = "${origin}/api/v1/events"
encoding.codec = "json"
framing.method = "newline_delimited"
compression = "zstd"
auth.strategy = "bearer"
auth.token = "\${WATCHFIRE_TOKEN}"`;

const fluentBit = ({ hostname, port, protocol }) => `[OUTPUT]
    Name    http
    Match   *
    Host    ${hostname}
    Port    ${port || (protocol === 'https:' ? 443 : 80)}
    URI     /api/v1/events
    Format  json_lines
    Header  Authorization Bearer \${WATCHFIRE_TOKEN}`;

const collector = ({ origin }) => `exporters:
  otlphttp/watchfire:
    logs_endpoint: ${origin}/v1/logs
    headers:
      Authorization: Bearer \${env:WATCHFIRE_TOKEN}`;

const elastic = ({ origin }) => `output.elasticsearch:
  hosts: ["${origin}/elastic"]
  username: watchfire
  password: "\${WATCHFIRE_TOKEN}"`;

/** `[name, text]` of each way. */
export const shippers = () => [
  ['curl', firstEvent()],
  ['Vector', vector(location)],
  ['Fluent Bit', fluentBit(location)],
  ['OpenTelemetry Collector', collector(location)],
  ['Filebeat, Logstash and other Elasticsearch clients', elastic(location)],
];
