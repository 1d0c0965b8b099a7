//! From OTLP log records to lines of JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::{Map, Value};
use watchfire_event::{field, time};

use crate::error::Refusal;
use crate::lines::{Lines, Span};

type Event = Map<String, Value>;

/// One line a record; refuses more than `max_lines`, or than `max_bytes` together: attributes of
/// the resource are repeated in every line.
pub(super) fn lines(
    request: ExportLogsServiceRequest,
    max_lines: usize,
    max_bytes: usize,
) -> Result<Lines, Refusal> {
    let mut lines = Lines::default();
    for resource_logs in request.resource_logs {
        let mut shared = Event::new();
        add_attributes(
            &mut shared,
            resource_logs.resource.unwrap_or_default().attributes,
        );
        for scope_logs in resource_logs.scope_logs {
            let mut shared = shared.clone();
            add_scope(&mut shared, scope_logs.scope.unwrap_or_default());
            for record in scope_logs.log_records {
                let number = lines.spans.len() as u32 + 1;
                if number as usize > max_lines {
                    return Err(Refusal::BodyTooLarge(format!(
                        "more than {max_lines} records"
                    )));
                }
                let start = lines.body.len() as u32;
                let event = event(&shared, record);
                serde_json::to_writer(&mut lines.body, &event).map_err(|_| Refusal::Internal)?;
                if lines.body.len() > max_bytes {
                    let message = format!("the records are over {max_bytes} bytes of JSON");
                    return Err(Refusal::BodyTooLarge(message));
                }
                lines.spans.push(Span {
                    start,
                    end: lines.body.len() as u32,
                    number,
                });
            }
        }
    }
    Ok(lines)
}

fn add_scope(event: &mut Event, scope: InstrumentationScope) {
    for (name, value) in [
        ("otel.scope.name", scope.name),
        ("otel.scope.version", scope.version),
    ] {
        if !value.is_empty() {
            event.insert(name.into(), value.into());
        }
    }
    add_attributes(event, scope.attributes);
}

fn add_attributes(event: &mut Event, attributes: Vec<KeyValue>) {
    for attribute in attributes {
        event.insert(attribute.key, json(attribute.value));
    }
}

fn event(shared: &Event, record: LogRecord) -> Event {
    let mut event = shared.clone();
    add_attributes(&mut event, record.attributes);
    let observed = (record.time_unix_nano == 0).then_some(record.observed_time_unix_nano);
    if let Ok(ns @ 1..) = i64::try_from(observed.unwrap_or(record.time_unix_nano)) {
        set(&mut event, field::TIMESTAMP, time::to_rfc3339(ns).into());
    }
    match record.body.and_then(|body| body.value) {
        Some(Any::StringValue(text)) => set(&mut event, field::MESSAGE, text.into()),
        Some(value) => set(
            &mut event,
            "body",
            json(Some(AnyValue { value: Some(value) })),
        ),
        None => {}
    }
    if !record.severity_text.is_empty() {
        set(&mut event, "severity_text", record.severity_text.into());
    }
    if record.severity_number != 0 {
        set(&mut event, "severity_number", record.severity_number.into());
    }
    if !record.event_name.is_empty() {
        set(&mut event, "event_name", record.event_name.into());
    }
    for (name, id) in [("trace.id", record.trace_id), ("span.id", record.span_id)] {
        if id.iter().any(|byte| *byte != 0) {
            let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            set(&mut event, name, hex.into());
        }
    }
    event
}

/// Sets a field of the record itself; an attribute of the same name moves under `attributes`.
fn set(event: &mut Event, name: &str, value: Value) {
    if let Some(attribute) = event.insert(name.into(), value) {
        event.insert(format!("attributes.{name}"), attribute);
    }
}

fn json(value: Option<AnyValue>) -> Value {
    match value.and_then(|v| v.value) {
        None => Value::Null,
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(b)) => b.into(),
        Some(Any::IntValue(n)) => n.into(),
        // JSON has no infinities and no NaN: they are kept as text.
        Some(Any::DoubleValue(n)) if !n.is_finite() => n.to_string().into(),
        Some(Any::DoubleValue(n)) => n.into(),
        Some(Any::ArrayValue(list)) => list.values.into_iter().map(|v| json(Some(v))).collect(),
        Some(Any::KvlistValue(list)) => {
            let members = list.values.into_iter().map(|kv| (kv.key, json(kv.value)));
            Value::Object(members.collect())
        }
        Some(Any::BytesValue(bytes)) => STANDARD.encode(bytes).into(),
        Some(Any::StringValueStrindex(n)) => n.into(),
    }
}
