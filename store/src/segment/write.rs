//! Writing a segment: sorted rows to Parquet, words to the index, a description of both.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use watchfire_event::{EventBatch, Kind, field};

use super::columns::{Access, ColumnInfo, describe};
use super::files::{Checksummed, FileInfo, sync_dir, write_info};
use super::filter::write_filters;
use super::{EVENTS_FILE, FORMAT, Filter, INDEX_DIR, INFO_FILE, SegmentInfo, hex, index};
use crate::StoreError;
use crate::vault::Vault;

/// Rows of a row group: a segment is one, as a rule. To show one row of a column, the dictionary
/// of its row group is read, so that many groups cost more than they save.
const GROUP_ROWS: usize = 524_288;
/// Rows of a page: what is decoded at least to show one row.
const PAGE_ROWS: usize = 1_024;
/// Level 1 is twice as fast as 3 and gives files that are a few percent larger.
const ZSTD_LEVEL: i32 = 1;
/// Text is the widest, and a tenth smaller at this level.
const TEXT_LEVEL: i32 = 3;

/// Sorts the rows by (event time, sequence number), writes them as the segment `id` in `parent`
/// and makes it durable. Returns what was written; the folder has its final name.
pub(crate) fn write_segment(
    parent: &Path,
    vault: &Vault,
    id: &str,
    batch: &EventBatch,
    created_ns: i64,
) -> Result<SegmentInfo, StoreError> {
    let temporary = parent.join(format!("{id}.tmp"));
    let written = write_folder((parent, &temporary), vault, id, batch, created_ns);
    if written.is_err() {
        // Frees the space of a failed attempt, for example on a full disk; it may be gone.
        let _ = fs::remove_dir_all(&temporary);
    }
    written
}

fn write_folder(
    (parent, temporary): (&Path, &Path),
    vault: &Vault,
    id: &str,
    batch: &EventBatch,
    created_ns: i64,
) -> Result<SegmentInfo, StoreError> {
    let io = |what: &Path| StoreError::io(format!("writing {}", what.display()));
    if temporary.exists() {
        fs::remove_dir_all(temporary).map_err(io(temporary))?;
    }
    fs::create_dir_all(temporary.join(INDEX_DIR)).map_err(io(temporary))?;
    let batch = sorted(batch);
    let columns = describe(&batch);
    let mut files = vec![write_parquet(temporary, vault, &batch, &columns)?];
    let (filters, file) = write_filters(temporary, vault, batch.columns(), &columns)?;
    files.extend(file);
    index::write_index(&temporary.join(INDEX_DIR), vault, &batch, &columns)?;
    files.extend(sync_index(temporary).map_err(io(temporary))?);
    let info = summary(id, &batch, (columns, filters), files, created_ns)?;
    write_info(&temporary.join(INFO_FILE), &info, vault).map_err(io(temporary))?;
    sync_dir(temporary).map_err(io(temporary))?;
    let target = parent.join(id);
    if target.exists() {
        // Left by a crash after the rename and before the manifest: it is not in use.
        fs::remove_dir_all(&target).map_err(io(&target))?;
    }
    fs::rename(temporary, &target).map_err(io(&target))?;
    sync_dir(parent).map_err(io(parent))?;
    Ok(info)
}

/// The rows by (event time, sequence number).
pub(crate) fn sorted(batch: &EventBatch) -> EventBatch {
    let (time, seq) = (batch.time().values(), batch.seq().values());
    let key = |row: u32| {
        (
            time.get(row as usize).copied(),
            seq.get(row as usize).copied(),
        )
    };
    let mut order: Vec<u32> = (0..batch.rows() as u32).collect();
    if order.is_sorted_by_key(|row| key(*row)) {
        return batch.clone();
    }
    order.sort_by_key(|row| key(*row));
    batch.take(&order)
}

fn write_parquet(
    dir: &Path,
    vault: &Vault,
    batch: &EventBatch,
    columns: &[ColumnInfo],
) -> Result<FileInfo, StoreError> {
    let path = dir.join(EVENTS_FILE);
    let context = || format!("writing {}", path.display());
    let file = File::create_new(&path).map_err(StoreError::io(context()))?;
    let (record, packed) = packed(batch.to_record_batch()?, batch, columns)?;
    let out = Checksummed::new(BufWriter::with_capacity(1 << 18, file));
    let out = vault.writer(out).map_err(StoreError::io(context()))?;
    let mut writer =
        ArrowWriter::try_new(out, record.schema(), Some(properties(columns, &packed)?))?;
    writer.write(&record)?;
    let ended = writer.into_inner()?.finish();
    let (buffered, info) = ended
        .map_err(StoreError::io(context()))?
        .finish(EVENTS_FILE);
    let sync = || {
        let mut buffered = buffered;
        buffered.flush()?;
        buffered
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?
            .sync_all()
    };
    sync().map_err(StoreError::io(context()))?;
    Ok(info)
}

/// The record batch with identifiers as bytes where they are hexadecimal, and the names of those
/// columns.
fn packed(
    record: RecordBatch,
    batch: &EventBatch,
    columns: &[ColumnInfo],
) -> Result<(RecordBatch, Vec<String>), StoreError> {
    let mut names = Vec::new();
    let (mut fields, mut arrays) = (record.schema().fields().to_vec(), record.columns().to_vec());
    for (column, info) in batch.columns().iter().zip(columns) {
        let place = fields.iter().position(|f| *f.name() == info.stored);
        let (Access::Bloom, Some(place)) = (info.access, place) else {
            continue;
        };
        let Some(bytes) = hex::packed(column) else {
            continue;
        };
        let field = Field::new(&info.stored, bytes.data_type().clone(), true);
        fields.splice(place..=place, [Arc::new(field)]);
        arrays.splice(place..=place, [Arc::new(bytes) as ArrayRef]);
        names.push(info.stored.clone());
    }
    let record = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
    Ok((record, names))
}

fn properties(columns: &[ColumnInfo], packed: &[String]) -> Result<WriterProperties, StoreError> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for name in ["_seq", "_time", "_received"] {
        builder = builder
            .set_column_dictionary_enabled(path_of(name), false)
            .set_column_encoding(path_of(name), Encoding::DELTA_BINARY_PACKED);
    }
    for column in columns {
        builder = column_properties(builder, column)?;
        if packed.contains(&column.stored) {
            // Random bytes.
            let path = path_of(&column.stored);
            builder = builder.set_column_compression(path, Compression::UNCOMPRESSED);
        }
    }
    Ok(builder.build())
}

fn column_properties(
    builder: WriterPropertiesBuilder,
    column: &ColumnInfo,
) -> Result<WriterPropertiesBuilder, StoreError> {
    let path = path_of(&column.stored);
    Ok(match column.access {
        // A time a row, each a little after the one before.
        Access::Scan if column.name == field::TIMESTAMP => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BYTE_ARRAY),
        // Numbers that hardly repeat: their differences are shorter than they are.
        Access::Scan if is_wide_number(column) => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
        Access::Scan => builder,
        Access::Index => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_compression(path, Compression::ZSTD(ZstdLevel::try_new(TEXT_LEVEL)?)),
        Access::Bloom => builder.set_column_dictionary_enabled(path, false),
    })
}

/// An integer column with about as many values as rows.
fn is_wide_number(column: &ColumnInfo) -> bool {
    column.origin_and_kind().1 == Kind::Int && column.distinct * 2 > column.rows
}

fn path_of(name: &str) -> ColumnPath {
    ColumnPath::new(vec![name.to_owned()])
}

/// Syncs the files of the index and takes their checksums.
fn sync_index(dir: &Path) -> std::io::Result<Vec<FileInfo>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir.join(INDEX_DIR))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".lock") {
            continue;
        }
        File::open(entry.path())?.sync_all()?;
        files.push(FileInfo::of(dir, &format!("{INDEX_DIR}/{name}"))?);
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    sync_dir(&dir.join(INDEX_DIR))?;
    Ok(files)
}

fn summary(
    id: &str,
    batch: &EventBatch,
    (columns, filters): (Vec<ColumnInfo>, Vec<Filter>),
    files: Vec<FileInfo>,
    created_ns: i64,
) -> Result<SegmentInfo, StoreError> {
    let empty = || StoreError::Internal("a segment without rows".into());
    let (time, received) = (batch.time(), batch.received());
    Ok(SegmentInfo {
        format: FORMAT,
        id: id.to_owned(),
        rows: batch.rows() as u64,
        first_seq: min(batch.seq()).ok_or_else(empty)?,
        last_seq: max(batch.seq()).ok_or_else(empty)?,
        min_time_ns: min(time).ok_or_else(empty)?,
        max_time_ns: max(time).ok_or_else(empty)?,
        min_received_ns: min(received).ok_or_else(empty)?,
        max_received_ns: max(received).ok_or_else(empty)?,
        created_ns,
        columns,
        filters,
        files,
    })
}
