//! Reads one line of JSON straight into column builders, without a tree in between.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::build::Rows;
use super::tree::NodeId;

/// The stable code of a refused line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineCode {
    /// Not JSON.
    InvalidJson,
    /// JSON, but not an object.
    NotObject,
    /// Not UTF-8.
    InvalidUtf8,
    /// Nested deeper than the limit.
    TooDeep,
    /// Longer than the limit.
    LineTooLarge,
    /// A number beyond what a 64-bit float can say, such as `1e400`.
    NumberOutOfRange,
}

impl LineCode {
    /// The code as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            LineCode::InvalidJson => "invalid_json",
            LineCode::NotObject => "not_object",
            LineCode::InvalidUtf8 => "invalid_utf8",
            LineCode::TooDeep => "too_deep",
            LineCode::LineTooLarge => "line_too_large",
            LineCode::NumberOutOfRange => "number_out_of_range",
        }
    }
}

/// Why a line was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LineError {
    /// The stable code.
    pub code: LineCode,
    /// A sentence for a person.
    pub message: String,
}

impl LineError {
    pub(super) fn new(code: LineCode, message: impl Into<String>) -> Self {
        LineError {
            code,
            message: message.into(),
        }
    }
}

/// Parses `line` into the current row of `rows`. On error the row is half written: the caller
/// marks it dead.
pub(super) fn parse_line(rows: &mut Rows, line: &str) -> Result<(), LineError> {
    let mut json = serde_json::Deserializer::from_str(line);
    let root = ObjectSeed {
        rows: &mut *rows,
        node: NodeId::ROOT,
        depth: 1,
        inner: false,
    };
    let result = root.deserialize(&mut json).and_then(|()| json.end());
    let Err(error) = result else { return Ok(()) };
    if rows.too_deep {
        let limit = rows.limits.max_depth;
        return Err(LineError::new(
            LineCode::TooDeep,
            format!("nested deeper than {limit} levels"),
        ));
    }
    let text = error.to_string();
    let code = if text.starts_with("number out of range") {
        LineCode::NumberOutOfRange
    } else if rows.not_object && serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok() {
        return Err(LineError::new(
            LineCode::NotObject,
            "a line must be a JSON object",
        ));
    } else {
        LineCode::InvalidJson
    };
    Err(LineError::new(code, text))
}

/// The object at `node`: only an object will do.
struct ObjectSeed<'r> {
    rows: &'r mut Rows,
    node: NodeId,
    depth: usize,
    inner: bool,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.rows.not_object = true;
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.rows.not_object = false;
        visit_object(self.rows, self.node, self.depth, self.inner, map).map(|_| ())
    }
}

/// Visits the members of an object; answers whether there were any.
fn visit_object<'de, A: MapAccess<'de>>(
    rows: &mut Rows,
    node: NodeId,
    depth: usize,
    inner: bool,
    mut map: A,
) -> Result<bool, A::Error> {
    if depth > rows.limits.max_depth {
        rows.too_deep = true;
        return Err(A::Error::custom("too deep"));
    }
    let mut before = None;
    let mut any = false;
    while let Some(child) = map.next_key_seed(KeySeed {
        rows: &mut *rows,
        node,
        before: &mut before,
    })? {
        any = true;
        match child {
            Some(child) => {
                let repeated = !inner && rows.enter(child);
                let inner = inner || repeated;
                map.next_value_seed(ValueSeed {
                    rows: &mut *rows,
                    node: child,
                    depth,
                    inner,
                })?;
            }
            None => {
                let value = map.next_value_seed(TreeSeed {
                    rows: &mut *rows,
                    depth,
                })?;
                rows.overflow_pending(node, value);
            }
        }
    }
    Ok(any)
}

/// A key: the child node it leads to, `None` when the batch has no room for another column.
struct KeySeed<'r, 'e> {
    rows: &'r mut Rows,
    node: NodeId,
    before: &'e mut Option<NodeId>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_, '_> {
    type Value = Option<NodeId>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_, '_> {
    type Value = Option<NodeId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.rows.child(self.node, key, self.before))
    }
}

/// A value at `node`. `inner`: for searching only, the text of the line gives it back.
struct ValueSeed<'r> {
    rows: &'r mut Rows,
    node: NodeId,
    depth: usize,
    inner: bool,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, v: &str) -> Result<(), E> {
        if self.inner {
            self.rows.push_inner(self.node, v);
        } else {
            self.rows.push_str(self.node, v);
        }
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<(), E> {
        if self.inner {
            self.rows.push_inner(self.node, &v.to_string());
        } else {
            self.rows.push_int(self.node, v);
        }
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<(), E> {
        match i64::try_from(v) {
            Ok(v) => self.visit_i64(v),
            Err(_) if self.inner => {
                self.rows.push_inner(self.node, &v.to_string());
                Ok(())
            }
            Err(_) => {
                self.rows.push_json(self.node, &v.to_string());
                Ok(())
            }
        }
    }

    fn visit_f64<E>(self, v: f64) -> Result<(), E> {
        self.rows.note_float(v);
        if self.inner {
            self.rows.push_inner(self.node, &v.to_string());
        } else {
            self.rows.push_float(self.node, v);
        }
        Ok(())
    }

    fn visit_bool<E>(self, v: bool) -> Result<(), E> {
        if self.inner {
            self.rows
                .push_inner(self.node, if v { "true" } else { "false" });
        } else {
            self.rows.push_bool(self.node, v);
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        if !self.inner {
            self.rows.push_json(self.node, "null");
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let ValueSeed {
            rows,
            node,
            depth,
            inner,
        } = self;
        let any = visit_object(&mut *rows, node, depth + 1, inner, map)?;
        if !any && !inner {
            rows.push_json(node, "{}");
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let ValueSeed {
            rows,
            node,
            depth,
            inner,
        } = self;
        if depth + 1 > rows.limits.max_depth {
            rows.too_deep = true;
            return Err(A::Error::custom("too deep"));
        }
        let mut list = std::mem::take(&mut rows.scratch);
        list.clear();
        while let Some(element) = seq.next_element_seed(TreeSeed {
            rows: &mut *rows,
            depth: depth + 1,
        })? {
            list.push(element);
        }
        if inner {
            list.iter().for_each(|v| rows.push_inner_tree(node, v));
        } else {
            rows.push_list(node, &list);
        }
        rows.scratch = list;
        Ok(())
    }
}

/// A value as a tree: members of arrays, and what found no column.
struct TreeSeed<'r> {
    rows: &'r mut Rows,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for TreeSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TreeSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        self.rows.note_float(v);
        Ok(Value::from(v))
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let TreeSeed { rows, depth } = self;
        let depth = depth + 1;
        if depth > rows.limits.max_depth {
            rows.too_deep = true;
            return Err(A::Error::custom("too deep"));
        }
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(TreeSeed {
                rows: &mut *rows,
                depth,
            })?;
            match members.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                // All values must be seen; the text of the line gives the event back.
                Entry::Occupied(mut place) => {
                    rows.note_repeated();
                    let earlier = place.get_mut().take();
                    place.insert(Value::Array(vec![earlier, value]));
                }
            }
        }
        Ok(Value::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let TreeSeed { rows, depth } = self;
        let depth = depth + 1;
        if depth > rows.limits.max_depth {
            rows.too_deep = true;
            return Err(A::Error::custom("too deep"));
        }
        let mut list = Vec::new();
        while let Some(element) = seq.next_element_seed(TreeSeed {
            rows: &mut *rows,
            depth,
        })? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }
}
