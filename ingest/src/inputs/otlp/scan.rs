//! Counts the messages of an OTLP body before it is decoded.
//!
//! Two bytes of protobuf can become a structure of two hundred in memory. Counting first keeps
//! the memory of a decoded request within a limit that is known.

use crate::error::Refusal;

/// Messages of a request: some 25,000 records with 20 attributes each.
const MAX_MESSAGES: usize = 1_000_000;
/// As deep as the decoder itself goes.
const MAX_DEPTH: usize = 100;

/// Which fields of a message are messages.
struct Shape {
    fields: &'static [(u64, &'static Shape)],
}

static REQUEST: Shape = Shape {
    fields: &[(1, &RESOURCE_LOGS)],
};
static RESOURCE_LOGS: Shape = Shape {
    fields: &[(1, &ATTRIBUTES_1), (2, &SCOPE_LOGS)],
};
static SCOPE_LOGS: Shape = Shape {
    fields: &[(1, &ATTRIBUTES_3), (2, &LOG_RECORD)],
};
static LOG_RECORD: Shape = Shape {
    fields: &[(5, &ANY_VALUE), (6, &KEY_VALUE)],
};
static ATTRIBUTES_1: Shape = Shape {
    fields: &[(1, &KEY_VALUE), (3, &ENTITY)],
};
static ATTRIBUTES_3: Shape = Shape {
    fields: &[(3, &KEY_VALUE)],
};
static ENTITY: Shape = Shape { fields: &[] };
static KEY_VALUE: Shape = Shape {
    fields: &[(2, &ANY_VALUE)],
};
static ANY_VALUE: Shape = Shape {
    fields: &[(5, &ARRAY), (6, &LIST)],
};
static ARRAY: Shape = Shape {
    fields: &[(1, &ANY_VALUE)],
};
static LIST: Shape = Shape {
    fields: &[(1, &KEY_VALUE)],
};

/// Refuses a protobuf body of too many messages. What cannot be read is left to the decoder.
pub(super) fn check_protobuf(body: &[u8]) -> Result<(), Refusal> {
    let mut left = MAX_MESSAGES;
    count(body, &REQUEST, 0, &mut left);
    if left == 0 { Err(too_many()) } else { Ok(()) }
}

/// Refuses a JSON body of too many objects and arrays.
pub(super) fn check_json(body: &[u8]) -> Result<(), Refusal> {
    let opened = body.iter().filter(|b| matches!(b, b'{' | b'[')).count();
    if opened > MAX_MESSAGES {
        Err(too_many())
    } else {
        Ok(())
    }
}

fn too_many() -> Refusal {
    Refusal::BodyTooLarge(format!("more than {MAX_MESSAGES} messages in a request"))
}

fn count(mut bytes: &[u8], shape: &Shape, depth: usize, left: &mut usize) {
    while let Some((tag, rest)) = varint(bytes) {
        let skip = match tag & 7 {
            0 => varint(rest).map(|(_, after)| rest.len() - after.len()),
            1 => Some(8),
            5 => Some(4),
            2 => match varint(rest) {
                Some((length, after)) => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    let Some(inner) = after.get(..length) else {
                        return;
                    };
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        return;
                    }
                    let field = shape.fields.iter().find(|(field, _)| *field == tag >> 3);
                    if let Some((_, shape)) = field.filter(|_| depth < MAX_DEPTH) {
                        count(inner, shape, depth + 1, left);
                    }
                    Some(rest.len() - after.len() + length)
                }
                None => None,
            },
            _ => None,
        };
        match skip.and_then(|n| rest.get(n..)) {
            Some(after) => bytes = after,
            None => return,
        }
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(i + 1..)?));
        }
    }
    None
}
