//! Visits the strings in JSON: in text without a tree in between, or in a tree.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Is there a string value, keys aside, that satisfies `pred`? Nothing is said of broken JSON.
pub(super) fn any_string_in(json: &str, pred: &mut dyn FnMut(&str) -> bool) -> bool {
    let mut found = false;
    let strings = Strings {
        pred,
        found: &mut found,
    };
    let mut json = serde_json::Deserializer::from_str(json);
    // What comes before a fault counts; our own columns hold no faults.
    let _ = strings.deserialize(&mut json);
    found
}

/// Is there a string value in the tree that satisfies `pred`?
pub(super) fn any_string(value: &Value, pred: &mut dyn FnMut(&str) -> bool) -> bool {
    match value {
        Value::String(s) => pred(s),
        Value::Array(members) => members.iter().any(|m| any_string(m, pred)),
        Value::Object(members) => members.values().any(|m| any_string(m, pred)),
        _ => false,
    }
}

struct Strings<'s> {
    pred: &'s mut dyn FnMut(&str) -> bool,
    found: &'s mut bool,
}

impl Strings<'_> {
    fn again(&mut self) -> Strings<'_> {
        Strings {
            pred: &mut *self.pred,
            found: &mut *self.found,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strings<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strings<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        *self.found = *self.found || (self.pred)(text);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while members.next_element_seed(self.again())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while members.next_key::<IgnoredAny>()?.is_some() {
            members.next_value_seed(self.again())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_visited_in_their_order_until_one_will_do() {
        let json = r#"[1,"a",{"key":"b","n":null,"l":[["c"],true,-1,1.5]},"d\n"]"#;
        let mut seen = Vec::new();
        assert!(!any_string_in(json, &mut |text| {
            seen.push(text.to_owned());
            false
        }));
        assert_eq!(seen, ["a", "b", "c", "d\n"]);
        let mut asked = 0;
        assert!(any_string_in(json, &mut |text| {
            asked += 1;
            text == "b"
        }));
        assert_eq!(asked, 2);
        assert!(!any_string_in("null", &mut |_| true));
    }
}
