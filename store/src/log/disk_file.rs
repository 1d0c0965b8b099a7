//! The few things the log asks of a disk, behind a trait so that tests can make each of them fail.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

/// Files and folders as the log uses them.
pub(super) trait Disk: Send + Sync {
    /// Creates a file that must not exist yet, for its owner only.
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;
    /// Opens a file for writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;
    /// Opens a file for reading.
    fn reader(&self, path: &Path) -> io::Result<Box<dyn ReadAt>>;
    /// Deletes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes created and deleted names of a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file that is written at explicit offsets.
pub(super) trait LogFile: Send {
    /// Writes all of `bytes` at `offset`; on error some of them may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// `fdatasync`: contents and length are on disk when it returns.
    fn sync_data(&self) -> io::Result<()>;
}

/// A file that is read at explicit offsets.
pub(super) trait ReadAt {
    /// Fills `bytes` from `offset` on.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Length of the file.
    fn len(&self) -> io::Result<u64>;
}

/// The real disk.
pub(super) struct OsDisk;

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(OpenOptions::new().write(true).open(path)?))
    }

    fn reader(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        Ok(Box::new(File::open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl LogFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

impl ReadAt for File {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Sectors fail in blocks of this size at least.
const BLOCK_BYTES: u64 = 4096;

/// Fills `bytes` from `offset` on; blocks that the disk cannot read come as zeros, so that their
/// neighbours are not lost with them. Returns the end of the last such block, 0 for none.
///
/// Zeros cannot be taken for content: every byte that is used is under a checksum.
pub(super) fn read_what_is_readable(
    file: &dyn ReadAt,
    bytes: &mut [u8],
    offset: u64,
) -> io::Result<u64> {
    match file.read_exact_at(bytes, offset) {
        Ok(()) => return Ok(0),
        Err(error) if is_bad_sector(&error) => {}
        Err(error) => return Err(error),
    }
    let (mut at, mut rest, mut bad_end) = (offset, bytes, 0);
    while !rest.is_empty() {
        let to_border = (BLOCK_BYTES - at % BLOCK_BYTES) as usize;
        let (block, after) = rest.split_at_mut(to_border.min(rest.len()));
        let next = at + block.len() as u64;
        match file.read_exact_at(block, at) {
            Ok(()) => {}
            Err(error) if is_bad_sector(&error) => {
                block.fill(0);
                bad_end = next;
            }
            Err(error) => return Err(error),
        }
        (at, rest) = (next, after);
    }
    Ok(bad_end)
}

/// The disk, or a file system that checks what it reads, has lost these very bytes.
fn is_bad_sector(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let lost = [Errno::IO, Errno::BADMSG, Errno::UCLEAN];
    Errno::from_io_error(error).is_some_and(|errno| lost.contains(&errno))
}

/// Creates `dir` (and its parents) for the owner only, and makes its name durable.
///
/// The name of a folder that was there already is synced too: who created it may have been killed
/// in between. Only then may the parent be one that cannot be opened.
pub(super) fn create_private_dir(dir: &Path) -> io::Result<()> {
    let existed = dir.is_dir();
    if !existed {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    match OsDisk.sync_dir(parent.unwrap_or(Path::new("."))) {
        Err(error) if existed && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}
