//! Route templates learned from paths: which parts of a path vary.
//!
//! A part that looks like an identifier (a number, a UUID, hexadecimal, letters mixed with digits)
//! is variable at sight. A part that does not, for example the name of a user, turns out to be
//! variable when its place has brought more different words than an application has routes: the
//! paths of a service form a tree, and a node with more than [`MAX_WORDS`] children is from then
//! on one child that stands for all.

use ahash::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use crate::cells::{hash_text, mix};

/// Different words in one place of a path, before the place counts as variable.
const MAX_WORDS: usize = 48;
/// Nodes over all services.
const MAX_NODES: usize = 50_000;
/// Parts of a path that are looked at.
const MAX_PARTS: usize = 12;
/// Hash that stands for a variable part.
const VARIABLE: u64 = 0x7b69_647d;

/// A path, understood.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Route {
    /// Hash of the template.
    pub(crate) template: u64,
    /// Hash of the last variable part, 0 without one.
    pub(crate) object: u64,
    /// That part as a number.
    pub(crate) number: Option<i64>,
    /// The template as people write it.
    pub(crate) text: String,
}

/// What was learned of the paths of all services.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Routes {
    /// Words below a node: number of different ones, [`MAX_WORDS`] + 1 when it is variable.
    nodes: HashMap<u64, u32>,
    /// Words seen in their place.
    words: HashSet<u64>,
    /// Places that vary though their words do not look like it.
    variable: u32,
}

impl Routes {
    /// Splits `path` of a service into what is fixed and what varies, and learns from it.
    pub(crate) fn read(&mut self, service: u64, path: &str) -> Route {
        let mut route = Route::default();
        let mut node = mix(service, 1);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        for part in path
            .split('/')
            .filter(|part| !part.is_empty())
            .take(MAX_PARTS)
        {
            let variable = is_identifier(part) || self.is_variable(node, part);
            route.text.push('/');
            if variable {
                node = mix(node, VARIABLE);
                route.object = hash_text(part);
                route.number = part.parse().ok();
                route.text.push_str("{id}");
            } else {
                node = mix(node, hash_text(part));
                route.text.push_str(part);
            }
        }
        if route.text.is_empty() {
            route.text.push('/');
        }
        route.template = node;
        route
    }

    /// Has this place of a path brought so many words that it varies?
    fn is_variable(&mut self, node: u64, part: &str) -> bool {
        let known = self.nodes.len() < MAX_NODES || self.nodes.contains_key(&node);
        if !known || self.words.len() >= MAX_NODES * 4 {
            return false;
        }
        let count = self.nodes.entry(node).or_insert(0);
        if *count as usize > MAX_WORDS {
            return true;
        }
        if self.words.insert(mix(node, hash_text(part))) {
            *count += 1;
        }
        let now = *count as usize > MAX_WORDS;
        self.variable += u32::from(now);
        now
    }

    /// How many places have turned out to vary.
    pub(crate) fn variable_places(&self) -> u32 {
        self.variable
    }

    /// Bytes that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.nodes.capacity() * 13 + self.words.capacity() * 9
    }
}

/// Does a part of a path look like an identifier?
pub(crate) fn is_identifier(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        // A long word without a vowel or break, such as a random token, is rare enough to ignore.
        return part.starts_with('{') || part.starts_with(':') || part.len() > 40;
    }
    let letters = part.bytes().filter(u8::is_ascii_alphabetic).count();
    // "v2", "oauth2", "s3": versions and names with a number at their end.
    let name = digits <= 2 && letters >= 1 && part.len() <= 12;
    let starts = part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    !(name && starts && part.bytes().rev().take(digits).all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(routes: &mut Routes, path: &str) -> String {
        routes.read(7, path).text
    }

    #[test]
    fn identifiers_are_variable_at_sight() {
        let mut routes = Routes::default();
        for (path, template) in [
            ("/", "/"),
            ("/api/v1/orders/100234", "/api/v1/orders/{id}"),
            (
                "/api/v1/orders/100234/items/7?x=1",
                "/api/v1/orders/{id}/items/{id}",
            ),
            ("/files/0f8fad5b-d9cb-469f-a165-70867728950e", "/files/{id}"),
            ("/b/deadbeef00112233/raw", "/b/{id}/raw"),
            ("/oauth2/token", "/oauth2/token"),
            ("/users/u1234/avatar", "/users/{id}/avatar"),
            ("/accounts/{id}", "/accounts/{id}"),
        ] {
            assert_eq!(text(&mut routes, path), template, "{path}");
        }
        assert_eq!(routes.read(7, "/o/41").number, Some(41));
        assert_eq!(routes.read(7, "/o/a-41-b9f").number, None);
    }

    #[test]
    fn a_place_with_many_words_is_variable() {
        let mut routes = Routes::default();
        let word = |i: u32| {
            let letter = |n: u32| char::from(b'a' + u8::try_from(n % 26).unwrap());
            format!("{}{}", letter(i / 26), letter(i))
        };
        let early = text(&mut routes, "/people/aa");
        assert_eq!(early, "/people/aa");
        (0..200).for_each(|i| drop(routes.read(7, &format!("/people/{}", word(i)))));
        assert_eq!(text(&mut routes, "/people/somebody"), "/people/{id}");
        assert_eq!(text(&mut routes, "/health"), "/health");
        assert_ne!(
            routes.read(7, "/people/x").template,
            routes.read(8, "/people/x").template
        );
    }
}
