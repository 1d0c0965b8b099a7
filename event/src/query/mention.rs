//! Do texts speak of what a query names? For copies of events in other shapes: alerts, comments,
//! lines that could not be read.

use super::{Node, Query, Test};

impl Query {
    /// Do these texts together name the values that the query asks for, in whatever field? Words,
    /// lists of values and networks are looked for as words of a text, letter case aside. What a
    /// text cannot answer (ranges, patterns, existence, negations) is taken as given. A query
    /// that names no value is never mentioned.
    pub fn is_mentioned_by<T: AsRef<str>>(&self, texts: &[T]) -> bool {
        mentioned(self.node(), texts).unwrap_or(false)
    }

    /// Does it match every row whatever the row holds, by its form?
    pub fn is_everything(&self) -> bool {
        everything(self.node())
    }
}

/// None where texts cannot tell.
fn mentioned<T: AsRef<str>>(node: &Node, texts: &[T]) -> Option<bool> {
    match node {
        Node::All | Node::Not(_) | Node::Exists(_) => None,
        Node::Never => Some(false),
        Node::And(list) => list
            .iter()
            .filter_map(|node| mentioned(node, texts))
            .reduce(|a, b| a && b),
        Node::Or(list) => list
            .iter()
            .filter_map(|node| mentioned(node, texts))
            .reduce(|a, b| a || b),
        Node::Test { test, .. } => match test {
            Test::Words(_) | Test::In(_) => {
                Some(texts.iter().any(|t| test.passes_str(t.as_ref(), true)))
            }
            Test::Network(_) => Some(texts.iter().any(|t| holds_address(test, t.as_ref()))),
            Test::Glob(_) | Test::Regex(_) | Test::Range(_) | Test::Ask(_) => None,
        },
    }
}

/// Is an address of the network anywhere in the text?
fn holds_address(network: &Test, text: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')))
        .map(|part| part.trim_end_matches(['.', ':']))
        .any(|part| !part.is_empty() && network.passes_str(part, true))
}

fn everything(node: &Node) -> bool {
    match node {
        Node::All => true,
        Node::Never | Node::Exists(_) | Node::Test { .. } => false,
        Node::Not(inner) => **inner == Node::Never,
        Node::And(list) => list.iter().all(everything),
        Node::Or(list) => list.iter().any(everything),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_that_name_the_values_mention_the_query() {
        let texts = [
            "Alice failed 7 times from 203.0.113.9",
            "user.id:\"alice\"",
            "shop",
        ];
        for (query, expected) in [
            ("user.id:alice", true),
            ("user.id:ALICE", true),
            ("alice", true),
            ("user.id:alic", false),
            ("user.id:bob", false),
            ("user.id:alice service.name:shop", true),
            ("user.id:alice service.name:auth", false),
            ("user.id:alice OR user.id:bob", true),
            ("user.id:alice http.response.status_code:>=400 -x:y", true),
            ("user.id: IN [bob alice]", true),
            ("source.ip:203.0.113.0/24", true),
            ("source.ip:198.51.100.0/24", false),
            ("message:\"failed 7 times\"", true),
            ("message:\"failed 8 times\"", false),
            ("user.id:a*", false),
            ("user.id:*", false),
            ("NOT user.id:bob", false),
            ("*", false),
        ] {
            let found = Query::parse(query).unwrap().is_mentioned_by(&texts);
            assert_eq!(found, expected, "{query}");
        }
    }

    #[test]
    fn a_query_without_conditions_is_everything() {
        for (query, expected) in [
            ("", true),
            ("*", true),
            ("(*) AND (*)", true),
            ("* OR a:b", true),
            ("* AND a:b", false),
            ("a:*", false),
            ("a:b", false),
        ] {
            assert_eq!(
                Query::parse(query).unwrap().is_everything(),
                expected,
                "{query}"
            );
        }
    }
}
