//! From text to the tree of a query. The grammar is tantivy's; what a value is, is ours.

use regex::RegexBuilder;
use tantivy_query_grammar::{
    Delimiter, Occur, UserInputAst, UserInputBound, UserInputLeaf, UserInputLiteral, parse_query,
    parse_query_lenient,
};

use super::glob::Glob;
use super::question::{Lists, Question};
use super::test::{Bound, Network, Range, Regexp, Test, Words};
use super::{Node, QueryError};

/// Bytes a compiled regular expression may take.
const REGEX_SIZE_LIMIT: usize = 1 << 20;
/// Characters of a query.
const MAX_CHARS: usize = 16_384;
/// Nesting of parentheses.
const MAX_DEPTH: usize = 32;
/// The code of what is no query.
const INVALID: &str = "invalid_query";
/// The code of a query that names a list which is not there.
const UNKNOWN_LIST: &str = "unknown_list";

/// The tree of a text, and the lists that it names.
pub(super) fn parse(text: &str, lists: &dyn Lists) -> Result<(Node, Vec<Question>), QueryError> {
    let at = |position: usize, message: &str| QueryError {
        code: INVALID,
        message: message.into(),
        position,
    };
    let length = text.chars().count();
    if length > MAX_CHARS {
        return Err(at(MAX_CHARS, "the query is too long"));
    }
    if text.trim().is_empty() {
        return Ok((Node::All, Vec::new()));
    }
    let escaped = Escaper::new(text).run()?;
    let (_, errors) = parse_query_lenient(&escaped.text);
    if let Some(error) = errors.first() {
        let position = escaped.origins.get(error.pos).copied().unwrap_or(length);
        return Err(at(position, &error.message));
    }
    let ast = parse_query(&escaped.text)
        .map_err(|_| at(length, "the query ends where more was expected"))?;
    let mut lowering = Lowering {
        lists,
        named: Vec::new(),
    };
    let node = lowering.lower(&ast).map_err(|refused| match refused {
        Refused::Value(message) => at(0, &message),
        Refused::List(name) => QueryError {
            code: UNKNOWN_LIST,
            message: format!("there is no list {name}; a text that begins with @ needs quotes"),
            position: place_of(text, &name),
        },
    })?;
    Ok((node, lowering.named))
}

/// Where a list is named, in characters.
fn place_of(text: &str, name: &str) -> usize {
    let found = text.find(&format!("@{name}")).and_then(|at| text.get(..at));
    found.map_or(0, |before| before.chars().count())
}

/// Why a part of a query has no meaning.
enum Refused {
    Value(String),
    /// There is no list of this name.
    List(String),
}

impl From<&str> for Refused {
    fn from(message: &str) -> Self {
        Refused::Value(message.to_owned())
    }
}

/// Turns the grammar's tree into ours.
struct Lowering<'a> {
    lists: &'a dyn Lists,
    /// Lists that were named.
    named: Vec<Question>,
}

/// Escapes what the grammar would read otherwise: a `/` that starts a path and not a regular
/// expression, and colons inside values (IPv6 addresses, times).
struct Escaper {
    chars: Vec<char>,
    /// Next character to read.
    next: usize,
    text: String,
    /// For each character of `text`, its position in the original.
    origins: Vec<usize>,
}

impl Escaper {
    fn new(text: &str) -> Self {
        Escaper {
            chars: text.chars().collect(),
            next: 0,
            text: String::with_capacity(text.len() + 8),
            origins: Vec::new(),
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.next).copied()
    }

    /// Copies one character.
    fn copy(&mut self) {
        if let Some(c) = self.peek() {
            self.text.push(c);
            self.origins.push(self.next);
            self.next += 1;
        }
    }

    /// Writes a backslash before what is copied next.
    fn escape(&mut self) {
        self.text.push('\\');
        self.origins.push(self.next);
    }

    fn run(mut self) -> Result<Self, QueryError> {
        // In the part of a clause after its colon; at the start of a part.
        let (mut in_value, mut at_start) = (false, true);
        let mut depth = 0usize;
        while let Some(c) = self.peek() {
            match c {
                '\\' => {
                    self.copy();
                    self.copy();
                    at_start = false;
                }
                '"' | '\'' if at_start => {
                    self.copy_quoted(c);
                    at_start = false;
                }
                '[' | '{' if at_start => self.copy_through(&[']', '}']),
                '>' | '<' if at_start && in_value => self.copy_word(),
                '(' | ')' => {
                    depth = if c == '(' {
                        depth + 1
                    } else {
                        depth.saturating_sub(1)
                    };
                    if depth > MAX_DEPTH {
                        let message = "parentheses are nested too deep".into();
                        return Err(QueryError {
                            code: INVALID,
                            message,
                            position: self.next,
                        });
                    }
                    self.copy();
                    (in_value, at_start) = (false, true);
                }
                c if c.is_whitespace() => {
                    self.copy();
                    (in_value, at_start) = (false, true);
                }
                ':' if !in_value => {
                    self.copy();
                    (in_value, at_start) = (true, true);
                }
                ':' => {
                    self.escape();
                    self.copy();
                    at_start = false;
                }
                '/' if at_start => {
                    self.copy_slash();
                    at_start = false;
                }
                _ => {
                    self.copy();
                    at_start = at_start && !in_value && matches!(c, '-' | '+');
                }
            }
        }
        Ok(self)
    }

    fn copy_quoted(&mut self, quote: char) {
        self.copy();
        while let Some(c) = self.peek() {
            self.copy();
            if c == quote {
                return;
            }
            if c == '\\' {
                self.copy();
            }
        }
    }

    fn copy_through(&mut self, ends: &[char]) {
        while let Some(c) = self.peek() {
            self.copy();
            if ends.contains(&c) {
                return;
            }
        }
    }

    fn copy_word(&mut self) {
        while self.peek().is_some_and(|c| !c.is_whitespace() && c != ')') {
            self.copy();
        }
    }

    /// `/x.*y/`, without another bare slash inside and followed by a blank, `)` or the end, is a
    /// regular expression; anything else is a path.
    fn copy_slash(&mut self) {
        let mut end = self.next + 1;
        while self.chars.get(end).is_some_and(|c| *c != '/') {
            end += if self.chars.get(end) == Some(&'\\') {
                2
            } else {
                1
            };
        }
        let closed = self.chars.get(end) == Some(&'/') && end > self.next + 1;
        let ends = self
            .chars
            .get(end + 1)
            .is_none_or(|c| c.is_whitespace() || *c == ')');
        if closed && ends {
            while self.next <= end {
                self.copy();
            }
        } else {
            self.escape();
            self.copy();
        }
    }
}

impl Lowering<'_> {
    fn lower(&mut self, ast: &UserInputAst) -> Result<Node, Refused> {
        let clauses = match ast {
            UserInputAst::Boost(inner, _) => return self.lower(inner),
            UserInputAst::Leaf(leaf) => return self.leaf(leaf),
            UserInputAst::Clause(clauses) => clauses,
        };
        let (mut must, mut should) = (Vec::new(), Vec::new());
        for (occur, ast) in clauses {
            let node = self.lower(ast)?;
            match occur {
                None | Some(Occur::Must) => must.push(node),
                Some(Occur::Should) => should.push(node),
                Some(Occur::MustNot) => must.push(Node::Not(Box::new(node))),
            }
        }
        match should.len() {
            0 => {}
            1 => must.append(&mut should),
            _ => must.push(Node::Or(should)),
        }
        Ok(match must.len() {
            0 => Node::All,
            1 => must.swap_remove(0),
            _ => Node::And(must),
        })
    }

    fn leaf(&mut self, leaf: &UserInputLeaf) -> Result<Node, Refused> {
        let node = |field: &Option<String>, test: Test| Node::Test {
            field: field.as_deref().filter(|f| !f.is_empty()).map(Into::into),
            test,
        };
        Ok(match leaf {
            UserInputLeaf::All => Node::All,
            UserInputLeaf::Exists { field } => Node::Exists(field.as_str().into()),
            UserInputLeaf::Literal(literal) => node(&literal.field_name, self.literal(literal)?),
            UserInputLeaf::Range {
                field,
                lower,
                upper,
            } => node(field, Test::Range(Range::new(bound(lower), bound(upper)))),
            UserInputLeaf::Set { elements, .. } if elements.is_empty() => Node::Never,
            UserInputLeaf::Set { field, elements } => node(
                field,
                Test::In(elements.iter().map(|e| Words::new(e)).collect()),
            ),
            UserInputLeaf::Regex { field, pattern } => {
                let regex = RegexBuilder::new(pattern)
                    .size_limit(REGEX_SIZE_LIMIT)
                    .build()
                    .map_err(|e| {
                        let why = last_line(&e.to_string()).to_owned();
                        Refused::Value(format!("not a regular expression: {why}"))
                    })?;
                node(field, Test::Regex(Regexp(regex)))
            }
        })
    }

    fn literal(&mut self, literal: &UserInputLiteral) -> Result<Test, Refused> {
        if literal.slop > 0 {
            return Err("words at a distance (\"a b\"~2) are not supported".into());
        }
        if literal.delimiter != Delimiter::None {
            return Ok(match literal.prefix {
                true => Test::Glob(Glob::new(&format!("{}*", escape_glob(&literal.phrase)))),
                false => Test::Words(Words::new(&literal.phrase)),
            });
        }
        let text = literal.phrase.replace("\\/", "/");
        if let Some(name) = list_name(&text) {
            let list = self.lists.list(name);
            let list = list.ok_or_else(|| Refused::List(name.to_owned()))?;
            self.named.push(list.clone());
            return Ok(Test::Ask(list));
        }
        if has_wildcard(&text) {
            return Ok(Test::Glob(Glob::new(&text)));
        }
        let text = text.replace("\\*", "*").replace("\\?", "?");
        Ok(match Network::parse(&text) {
            Some(network) => Test::Network(network),
            None => Test::Words(Words::new(&text)),
        })
    }
}

/// The list that a value names: `@` and a word, so that the tail of an address of mail is none.
fn list_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix('@')?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_part);
    is_name.then_some(name)
}

fn last_line(text: &str) -> &str {
    text.lines()
        .last()
        .unwrap_or(text)
        .trim_start_matches("error: ")
}

fn has_wildcard(text: &str) -> bool {
    let mut escaped = false;
    text.chars().any(|c| {
        let found = !escaped && matches!(c, '*' | '?');
        escaped = c == '\\' && !escaped;
        found
    })
}

fn escape_glob(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('*', "\\*")
        .replace('?', "\\?")
}

fn bound(bound: &UserInputBound) -> Bound {
    match bound {
        UserInputBound::Unbounded => Bound::Open,
        UserInputBound::Inclusive(text) => Bound::Inclusive(text.clone()),
        UserInputBound::Exclusive(text) => Bound::Exclusive(text.clone()),
    }
}
