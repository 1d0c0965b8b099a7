//! The index over text columns: which rows can hold a word.
//!
//! Words are those of `watchfire_event::query::tokens`, lower-cased one by one, so that the
//! index and `Query::matches` cannot disagree about what a word is. Positions are not kept: a
//! phrase is looked up as all of its words, and matching decides.

use std::path::Path;

use arrow::array::AsArray;
use arrow::buffer::{BooleanBuffer, MutableBuffer};
use arrow::datatypes::Int32Type;
use arrow::util::bit_util;
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::store::Compressor;
use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer, TokenizerManager};
use tantivy::{DocSet, Index, IndexSettings, SegmentReader, TERMINATED, TantivyDocument, Term};
use watchfire_event::{Column, EventBatch};

use super::columns::{Access, ColumnInfo};
use crate::StoreError;
use crate::vault::Vault;

const TOKENIZER: &str = "watchfire";
/// Size of the term table to start with; it grows.
const MEMORY_BYTES: usize = 32 << 20;
/// Longer words are not in the index (tantivy's limit is 65,530 bytes).
const MAX_WORD_BYTES: usize = 1_024;

/// An open index.
pub(crate) struct RowIndex {
    reader: SegmentReader,
    schema: Schema,
}

impl std::fmt::Debug for RowIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowIndex")
            .field("rows", &self.reader.max_doc())
            .finish()
    }
}

impl RowIndex {
    pub fn open(dir: &Path, vault: &Vault) -> Result<RowIndex, StoreError> {
        let directory = vault
            .directory(dir)
            .map_err(|e| StoreError::Corrupt(format!("{}: {e}", dir.display())))?;
        let index = Index::open(directory)?;
        let segments = index.searchable_segments()?;
        let [segment] = segments.as_slice() else {
            return Err(StoreError::Corrupt(format!(
                "{}: not one segment",
                dir.display()
            )));
        };
        Ok(RowIndex {
            reader: SegmentReader::open(segment)?,
            schema: index.schema(),
        })
    }

    /// Rows whose value of `column` has `word` (lower case) among its words. `None` when the
    /// index cannot tell.
    pub fn rows(&self, column: &str, word: &str) -> Result<Option<BooleanBuffer>, StoreError> {
        if word.len() > MAX_WORD_BYTES {
            return Ok(None);
        }
        let Some(field) = self.field(column) else {
            return Ok(None);
        };
        let rows = self.reader.max_doc() as usize;
        let mut bits = MutableBuffer::from_len_zeroed(rows.div_ceil(8));
        let words = self.reader.inverted_index(field)?;
        let term = Term::from_field_text(field, word);
        let io = StoreError::io("reading the index");
        if let Some(mut found) = words
            .read_postings(&term, IndexRecordOption::Basic)
            .map_err(io)?
        {
            let mut row = found.doc();
            while row != TERMINATED {
                bit_util::set_bit(bits.as_slice_mut(), row as usize);
                row = found.advance();
            }
        }
        Ok(Some(BooleanBuffer::new(bits.into(), 0, rows)))
    }

    /// Calls `take` with every word of `column` and its rows, ascending. False when the column is
    /// not in the index.
    pub fn each_word(
        &self,
        column: &str,
        mut take: impl FnMut(&[u8], &mut dyn Iterator<Item = u32>),
    ) -> Result<bool, StoreError> {
        let Some(field) = self.field(column) else {
            return Ok(false);
        };
        let io = || StoreError::io("reading the index");
        let words = self.reader.inverted_index(field)?;
        let mut terms = words.terms().stream().map_err(io())?;
        while let Some((word, info)) = terms.next() {
            let mut found = words
                .read_postings_from_terminfo(info, IndexRecordOption::Basic)
                .map_err(io())?;
            let mut rows = std::iter::from_fn(|| {
                let row = found.doc();
                found.advance();
                (row != TERMINATED).then_some(row)
            });
            take(word, &mut rows);
        }
        Ok(true)
    }

    fn field(&self, column: &str) -> Option<Field> {
        // Names of fields are looked up among the entries, since `.` means a path to tantivy.
        self.schema
            .fields()
            .find(|(_, entry)| entry.name() == column)
            .map(|(field, _)| field)
    }
}

/// Writes the index of the columns that want one. Does nothing when there are none.
pub(super) fn write_index(
    dir: &Path,
    vault: &Vault,
    batch: &EventBatch,
    infos: &[ColumnInfo],
) -> Result<(), StoreError> {
    let mut schema = Schema::builder();
    let mut columns: Vec<(Field, &Column)> = Vec::new();
    for (column, info) in batch.columns().iter().zip(infos) {
        if info.access == Access::Index {
            columns.push((schema.add_text_field(&info.stored, options()), column));
        }
    }
    if columns.is_empty() {
        return Ok(());
    }
    let tokenizers = TokenizerManager::new();
    tokenizers.register(TOKENIZER, TextAnalyzer::builder(Words::default()).build());
    let settings = IndexSettings {
        // Documents are empty, but each takes a few bytes unless they are packed.
        docstore_compression: Compressor::Zstd(Default::default()),
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    };
    let directory = vault
        .directory(dir)
        .map_err(|e| StoreError::Internal(format!("{}: {e}", dir.display())))?;
    let mut writer = Index::builder()
        .schema(schema.build())
        .settings(settings)
        .tokenizers(tokenizers)
        .single_segment_index_writer::<TantivyDocument>(directory, MEMORY_BYTES)?;
    for row in 0..batch.rows() {
        let mut document = TantivyDocument::default();
        for (field, column) in &columns {
            if let Some(text) = text_at(column, row) {
                document.add_text(*field, text);
            }
        }
        writer.add_document(document)?;
    }
    writer.finalize()?;
    Ok(())
}

fn options() -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    TextOptions::default().set_indexing_options(indexing)
}

fn text_at(column: &Column, row: usize) -> Option<&str> {
    let dictionary = column.array().as_dictionary_opt::<Int32Type>()?;
    let key = dictionary.key(row)?;
    Some(dictionary.values().as_string_opt::<i32>()?.value(key))
}

/// The words of a text as the index holds them.
pub(crate) fn indexed_words(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = watchfire_event::query::tokens(text).filter(|word| is_indexed(word));
    words.map(|word| {
        let mut out = String::new();
        lower(word, &mut out);
        out
    })
}

/// Is the word short enough to be in an index?
pub(super) fn is_indexed(word: &str) -> bool {
    word.len() <= MAX_WORD_BYTES
}

/// Puts a word in lower case into `out`.
fn lower(word: &str, out: &mut String) {
    out.clear();
    if word.is_ascii() {
        out.push_str(word);
        out.make_ascii_lowercase();
    } else {
        out.push_str(&word.to_lowercase());
    }
}

/// The tokenizer of the query language, for tantivy.
#[derive(Debug, Clone, Default)]
struct Words {
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream {
            words: Box::new(watchfire_event::query::tokens(text)),
            token: &mut self.token,
        }
    }
}

struct WordStream<'a> {
    words: Box<dyn Iterator<Item = &'a str> + 'a>,
    token: &'a mut Token,
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.find(|w| is_indexed(w)) else {
            return false;
        };
        lower(word, &mut self.token.text);
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}
