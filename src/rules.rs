//! Where rules come from: the built-in pack, then folders, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher};
use rust_embed::RustEmbed;
use watchfire_detect::{RuleFault, RuleFile, RuleSet};
use watchfire_event::{BatchLimits, EventBatch, RowMeta};
use watchfire_ingest::Mappings;
use watchfire_web::RuleCatalog;

use crate::intel::Folders;

/// The day-one pack, part of the binary.
#[derive(RustEmbed)]
#[folder = "rules/"]
struct Pack;

/// Largest rule file, bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most rule files of a folder.
const MAX_FILES: usize = 50_000;
/// Changes within this time are taken together.
const SETTLE: Duration = Duration::from_millis(300);
/// Entries of threat lists that run out within this time go together.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);
/// The clock may be set meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// Files of the built-in pack, in a fixed order.
pub fn pack_files() -> Vec<RuleFile> {
    let mut paths: Vec<_> = Pack::iter().filter(|path| path.ends_with(".yml")).collect();
    paths.sort();
    let file = |path: &str| {
        let text = String::from_utf8_lossy(&Pack::get(path)?.data).into_owned();
        Some(RuleFile {
            path: format!("rules/{path}"),
            text,
        })
    };
    paths.iter().filter_map(|path| file(path)).collect()
}

/// Rule files below a folder (or the one file, with the pipelines beside it), in a fixed order,
/// with those that could not be read.
pub fn read_dir(dir: &Path) -> (Vec<RuleFile>, Vec<RuleFault>) {
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    let mut paths = Vec::new();
    if let Err(error) = collect(dir, &mut paths) {
        faults.push(fault(dir, "unreadable", error.to_string()));
    }
    let beside = dir.with_file_name("pipelines");
    if dir.is_file()
        && beside.is_dir()
        && let Err(error) = collect(&beside, &mut paths)
    {
        faults.push(fault(&beside, "unreadable", error.to_string()));
    }
    paths.sort();
    if paths.len() > MAX_FILES {
        faults.push(fault(
            dir,
            "too_many_files",
            format!("only {MAX_FILES} files are read"),
        ));
        paths.truncate(MAX_FILES);
    }
    for path in paths {
        match read_file(&path) {
            Ok(text) => files.push(RuleFile {
                path: shown(&path),
                text,
            }),
            Err(error) => faults.push(fault(&path, "unreadable", format!("{error:#}"))),
        }
    }
    (files, faults)
}

/// A path as rules are known by it. Those of the pack begin with `rules/`: a folder of that name
/// is another, and what lies in the working folder itself is not above it.
fn shown(path: &Path) -> String {
    let shown = path.display().to_string();
    let is_bare = path.is_relative() && path.components().count() == 1;
    match is_bare || path.starts_with("rules") || path.starts_with("pipelines") {
        true => format!("./{shown}"),
        false => shown,
    }
}

fn fault(path: &Path, code: &'static str, message: String) -> RuleFault {
    RuleFault {
        path: path.display().to_string(),
        line: None,
        code,
        message,
    }
}

fn read_file(path: &Path) -> Result<String> {
    let bytes = std::fs::metadata(path)?.len();
    anyhow::ensure!(
        bytes <= MAX_FILE_BYTES,
        "{bytes} bytes; a rule file may have {MAX_FILE_BYTES}"
    );
    std::fs::read_to_string(path).context("not readable as text")
}

fn collect(path: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        paths.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let is_rule = path.extension().is_some_and(|e| e == "yml" || e == "yaml");
        if path.is_dir() || is_rule {
            collect(&path, paths)?;
        }
    }
    Ok(())
}

/// Reads an event as the doors do.
///
/// # Errors
/// What is wrong with it.
pub fn read_event(text: &str, mappings: &Mappings) -> Result<EventBatch, String> {
    let meta = RowMeta {
        received_ns: 0,
        source: "explain".into(),
    };
    let lines = [text.as_bytes()];
    let (batch, mut refused) =
        watchfire_ingest::build_batch(&lines, &meta, BatchLimits::default(), mappings);
    match (batch.rows(), refused.pop()) {
        (1, _) => Ok(batch),
        (_, Some(why)) => Err(why.message),
        _ => Err("this is no event".to_owned()),
    }
}

/// The live rules and how to read them again. Cheap to clone.
#[derive(Clone)]
pub struct Rules {
    dirs: Arc<[PathBuf]>,
    /// Threat lists that rules may ask for; they change together with the rules.
    intel: Arc<Folders>,
    catalog: Arc<ArcSwap<RuleCatalog>>,
}

impl Rules {
    /// Loads the pack and the folders of rules and threat lists.
    pub fn load(dirs: &[PathBuf], intel: &[PathBuf]) -> Rules {
        let catalog = Arc::new(ArcSwap::from_pointee(RuleCatalog::default()));
        let rules = Rules {
            dirs: dirs.into(),
            intel: Arc::new(Folders::new(intel)),
            catalog,
        };
        rules.reload();
        rules
    }

    /// The live rules.
    pub fn catalog(&self) -> Arc<ArcSwap<RuleCatalog>> {
        self.catalog.clone()
    }

    /// Reads everything again and puts the new rules in place as one. What is broken is left
    /// out and named; the rest is live.
    pub fn reload(&self) {
        let mut files = pack_files();
        let mut faults = Vec::new();
        for dir in self.dirs.iter() {
            let (more, unread) = read_dir(dir);
            files.extend(more);
            faults.extend(unread);
        }
        let lists = self.intel.read();
        let (set, broken) = RuleSet::load_with(&files, Arc::new(lists.set));
        faults.extend(broken);
        for fault in faults.iter().chain(&lists.faults) {
            tracing::warn!(
                path = fault.path,
                line = fault.line,
                code = fault.code,
                "left out: {}",
                fault.message
            );
        }
        let generation = self.catalog.load().generation + 1;
        let by_row = set.rules_by_row();
        metrics::gauge!("watchfire_rules_by_row").set(by_row.len() as f64);
        tracing::info!(
            rules = set.len(),
            faults = faults.len(),
            by_row = by_row.len(),
            generation,
            "rules loaded"
        );
        for (rule, reason) in by_row {
            tracing::debug!(
                rule,
                "part of the rule is evaluated row by row: it {reason}"
            );
        }
        metrics::gauge!("watchfire_rules_loaded").set(set.len() as f64);
        metrics::gauge!("watchfire_intel_lists").set(set.lists().lists().count() as f64);
        metrics::gauge!("watchfire_intel_faults").set(lists.faults.len() as f64);
        metrics::gauge!("watchfire_rules_failed").set(faults.len() as f64);
        self.catalog.store(Arc::new(RuleCatalog {
            set: Arc::new(set),
            faults,
            list_faults: lists.faults,
            lists_loaded_ns: lists.loaded_ns,
            generation,
        }));
    }

    /// Is there anything to watch?
    pub fn has_folders(&self) -> bool {
        !self.dirs.is_empty() || !self.intel.dirs().is_empty()
    }

    /// Has an entry of a threat list run out since the lists were read?
    fn has_expired(&self) -> bool {
        let next = self.catalog.load().set.lists().next_expiry_ns();
        next.is_some_and(|at| at <= crate::intel::now_ns())
    }

    /// How long until an entry of a threat list runs out.
    fn until_expiry(&self) -> Duration {
        let next = self.catalog.load().set.lists().next_expiry_ns();
        let left = next.map(|at| at.saturating_sub(crate::intel::now_ns()).max(0));
        let left = left.map(|ns| Duration::from_nanos(ns.unsigned_abs()));
        left.map_or(LONGEST_WAIT, |left| left.clamp(SHORTEST_WAIT, LONGEST_WAIT))
    }

    /// Watches the folders and reloads when files in them change or an entry of a threat list runs
    /// out, until the watch is dropped.
    ///
    /// # Errors
    /// When the system gives no watch.
    pub fn watch(&self) -> Result<Watch> {
        let (changed, changes) = std::sync::mpsc::sync_channel::<()>(1);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if event.is_ok_and(|e| !e.kind.is_access()) {
                    // A full channel already says that something changed.
                    let _ = changed.try_send(());
                }
            })
            .context("cannot watch the folders of rules")?;
        for dir in self.dirs.iter().chain(self.intel.dirs()) {
            watcher
                .watch(dir, RecursiveMode::Recursive)
                .with_context(|| format!("cannot watch {}", dir.display()))?;
        }
        let rules = self.clone();
        std::thread::Builder::new()
            .name("rules".into())
            .spawn(move || {
                loop {
                    match changes.recv_timeout(rules.until_expiry()) {
                        Ok(()) => {
                            std::thread::sleep(SETTLE);
                            while changes.try_recv().is_ok() {}
                        }
                        Err(RecvTimeoutError::Timeout) if rules.has_expired() => {}
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                    rules.reload();
                }
            })?;
        Ok(Watch { _watcher: watcher })
    }
}

/// A running watch of the folders.
pub struct Watch {
    _watcher: notify::RecommendedWatcher,
}
