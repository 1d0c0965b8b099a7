//! Templates of log lines: the words that stay, and holes where they differ.
//!
//! Drain of He, Zhu, Zheng, Lyu, "Drain: An Online Log Parsing Approach with Fixed Depth Tree"
//! (ICWS 2017): lines of equal length and equal first words are compared word by word with the
//! templates so far; one that is similar enough takes the line in and gets holes where the words
//! differ.
//!
//! What is masked before decides more than the tree, see [`mask`]. One setting serves all systems.
//! Whether a new template is news is a question of how often there are new ones: its probability is
//! that of Good and Turing (Good, Biometrika 1953), the share of lines whose template was seen
//! once.
//!
//! Words are kept as hashes: what a line said about a person cannot be read from a saved state.
//!
//! Pitfalls. Words of people and products that hold no digit are not masked; they become holes once
//! a second one was seen, so the first lines of a source make templates too many. At the limit of
//! templates the one longest unseen goes, and from then on nothing is called new: a line of a
//! forgotten template must not look like one never seen.

mod mask;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::ModelError;
use super::codec::{Reader, Writer};
pub use mask::{HOLE, mask};

const NAME: &str = "drain";
const VERSION: u32 = 1;

/// Stands for a hole among the hashes of words.
const HOLE_HASH: u64 = 0;
/// Words of a line that are looked at; what follows them counts as one hole.
const WORDS: usize = 64;
/// Bytes of a word that are looked at.
const WORD_BYTES: usize = 64;
/// First words that lines of one branch share.
const DEPTH: usize = 2;
/// Branches of one length of lines; what comes later shares one.
const BRANCHES: usize = 200;
/// Share of equal words from which a line belongs to a template. Masked words on both sides count
/// as equal; the paper's lower bounds count words alone.
const SIMILAR: f64 = 0.8;
/// Templates of one branch from which the closest takes every line: words that vary so much are
/// none.
const CROWDED: usize = 256;

/// What a line gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parsed {
    /// The template's number; numbers are never given twice.
    pub id: u64,
    /// Whether the template is new, and none was ever forgotten.
    pub new: bool,
    /// Probability of a new template at this line, by Good and Turing; 1 before the first line.
    pub unseen: f64,
}

/// A template with its count.
#[derive(Debug, Clone, PartialEq)]
struct Template {
    id: u64,
    /// Hashes of the words; [`HOLE_HASH`] where they differ.
    words: Vec<u64>,
    lines: u64,
    /// The line number at which it was last seen.
    last: u64,
}

/// Templates learned from lines.
#[derive(Debug, Clone)]
pub struct Drain {
    most: usize,
    /// Branch (length and first words) to the templates in it.
    branches: HashMap<Vec<u64>, Vec<Template>>,
    /// Branches a length has.
    lengths: HashMap<usize, usize>,
    templates: usize,
    lines: u64,
    next_id: u64,
    /// Templates with one line.
    once: u64,
    forgotten: u64,
}

impl Drain {
    /// Keeps `most` templates (at least one).
    pub fn new(most: usize) -> Self {
        Drain {
            most: most.max(1),
            branches: HashMap::new(),
            lengths: HashMap::new(),
            templates: 0,
            lines: 0,
            next_id: 0,
            once: 0,
            forgotten: 0,
        }
    }

    /// Lines taken in.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Templates held.
    pub fn len(&self) -> usize {
        self.templates
    }

    /// Whether no template is held.
    pub fn is_empty(&self) -> bool {
        self.templates == 0
    }

    /// Templates that had to go.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Probability that the next line has a template never seen.
    pub fn unseen(&self) -> f64 {
        if self.lines == 0 {
            return 1.0;
        }
        // With no template seen once the next may still be new: as if half a line had been.
        (self.once as f64).max(0.5) / self.lines as f64
    }

    /// Finds or makes the template of a line.
    pub fn learn(&mut self, line: &str) -> Parsed {
        let unseen = self.unseen();
        self.lines += 1;
        let words = words(line);
        let branch = self.branch(&words);
        let lines = self.lines;
        let templates = self.branches.entry(branch).or_default();
        if let Some(template) = closest(templates, &words) {
            if template.lines == 1 {
                self.once -= 1;
            }
            template.lines += 1;
            template.last = lines;
            for (known, word) in template.words.iter_mut().zip(words) {
                if *known != word {
                    *known = HOLE_HASH;
                }
            }
            return Parsed {
                id: template.id,
                new: false,
                unseen,
            };
        }
        let id = self.next_id;
        templates.push(Template {
            id,
            words,
            lines: 1,
            last: lines,
        });
        self.next_id += 1;
        self.once += 1;
        self.templates += 1;
        if self.templates > self.most {
            self.forget();
        }
        Parsed {
            id,
            new: self.forgotten == 0,
            unseen,
        }
    }

    /// The branch of a line: its length and first words.
    fn branch(&mut self, words: &[u64]) -> Vec<u64> {
        let mut key = vec![words.len() as u64];
        key.extend(words.iter().take(DEPTH));
        if self.branches.contains_key(&key) {
            return key;
        }
        let branches = self.lengths.entry(words.len()).or_default();
        if *branches >= BRANCHES {
            key.truncate(1);
            return key;
        }
        *branches += 1;
        key
    }

    /// Makes room: the template longest unseen goes.
    fn forget(&mut self) {
        let all = self.branches.iter();
        let oldest = all.filter_map(|(key, templates)| {
            let oldest = templates.iter().min_by_key(|t| t.last)?;
            Some((oldest.last, oldest.id, key))
        });
        let Some((_, id, key)) = oldest.min_by_key(|(last, id, _)| (*last, *id)) else {
            return;
        };
        let key = key.clone();
        if let Some(templates) = self.branches.get_mut(&key) {
            templates.retain(|t| {
                if t.id == id && t.lines == 1 {
                    self.once -= 1;
                }
                t.id != id
            });
            if templates.is_empty() {
                self.branches.remove(&key);
                if key.len() > 1 {
                    let length = key.first().map_or(0, |l| *l as usize);
                    self.lengths.entry(length).and_modify(|n| *n -= 1);
                }
            }
        }
        self.templates -= 1;
        self.forgotten += 1;
    }

    /// Bytes held now, about.
    pub fn bytes(&self) -> usize {
        let of_template = |t: &Template| size_of::<Template>() + t.words.len() * 8;
        let templates = self.branches.values().flatten().map(of_template);
        templates.sum::<usize>() + self.branches.len() * ((DEPTH + 1) * 8 + 64)
    }

    /// Bytes that so many templates take at most: all lines as long as is looked at.
    pub fn max_bytes(most: usize) -> usize {
        // A template, and the key of a branch of its own.
        most.max(1) * (size_of::<Template>() + (WORDS + 1 + DEPTH + 1) * size_of::<u64>() + 64)
    }

    /// The templates as bytes; [`Drain::restore`] gives them back.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::begin(NAME, VERSION);
        out.size(self.most);
        out.u64(self.lines);
        out.u64(self.next_id);
        out.u64(self.forgotten);
        let mut all: Vec<(&Template, &Vec<u64>)> = Vec::with_capacity(self.templates);
        for (key, templates) in &self.branches {
            all.extend(templates.iter().map(|t| (t, key)));
        }
        all.sort_by_key(|(t, _)| t.id);
        out.size(all.len());
        for (template, key) in all {
            out.u64(template.id);
            out.u64(template.lines);
            out.u64(template.last);
            for list in [key, &template.words] {
                out.size(list.len());
                list.iter().for_each(|word| out.u64(*word));
            }
        }
        out.finish()
    }

    /// What was saved.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] if the bytes are not templates.
    pub fn restore(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut from = Reader::begin(bytes, NAME, VERSION)?;
        let mut drain = Drain::new(from.size()?);
        drain.lines = from.u64()?;
        drain.next_id = from.u64()?;
        drain.forgotten = from.u64()?;
        for _ in 0..from.count(40)? {
            let (id, lines, last) = (from.u64()?, from.u64()?, from.u64()?);
            let [key, words] = [hashes(&mut from)?, hashes(&mut from)?];
            drain.templates += 1;
            drain.once += u64::from(lines == 1);
            if !drain.branches.contains_key(&key) && key.len() > 1 {
                *drain.lengths.entry(words.len()).or_default() += 1;
            }
            let template = Template {
                id,
                words,
                lines,
                last,
            };
            drain.branches.entry(key).or_default().push(template);
        }
        from.end()?;
        Ok(drain)
    }
}

fn hashes(from: &mut Reader) -> Result<Vec<u64>, ModelError> {
    (0..from.count(8)?).map(|_| from.u64()).collect()
}

/// The most similar template if one is similar enough.
fn closest<'t>(templates: &'t mut [Template], words: &[u64]) -> Option<&'t mut Template> {
    let mut best: Option<(usize, usize, usize)> = None;
    for (i, template) in templates.iter().enumerate() {
        if template.words.len() != words.len() {
            continue;
        }
        let pairs = template.words.iter().zip(words);
        let (mut equal, mut holes) = (0, 0);
        for (known, word) in pairs {
            if known == word {
                equal += 1;
            } else if *known == HOLE_HASH {
                holes += 1;
            }
        }
        if best.is_none_or(|(e, h, _)| (equal, holes) > (e, h)) {
            best = Some((equal, holes, i));
        }
    }
    let (equal, _, i) = best?;
    let enough = equal as f64 >= SIMILAR * words.len() as f64 || templates.len() >= CROWDED;
    if enough { templates.get_mut(i) } else { None }
}

/// Hashes of the masked words of a line.
fn words(line: &str) -> Vec<u64> {
    let masked = mask(start_of(line, WORDS * WORD_BYTES));
    let each = masked.split(' ').filter(|w| !w.is_empty());
    let each = each.map(|w| hash(start_of(w, WORD_BYTES)));
    let mut words: Vec<u64> = each.take(WORDS + 1).collect();
    if words.len() > WORDS {
        words.truncate(WORDS);
        words.push(HOLE_HASH);
    }
    words
}

/// The standard hasher with its default key: the same in every process.
fn hash(word: &str) -> u64 {
    if word == HOLE {
        return HOLE_HASH;
    }
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}

/// At most so many bytes of the text, whole characters.
fn start_of(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}
