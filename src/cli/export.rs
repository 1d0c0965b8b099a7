//! `watchfire export`: everything that matches, to a file or to stdout, in constant memory.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::{Method, Response};
use serde_json::Value;

use super::client::{Client, ServerArgs};
use super::output;

/// The format of the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One event a line, as it came
    Ndjson,
    /// One column a field, safe to open in a spreadsheet
    Csv,
    /// Parquet, one column a field
    Parquet,
    /// An Arrow IPC stream, one column a field
    Arrow,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
            Format::Arrow => "arrow",
        }
    }
}

/// What `export` can be told.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The query, such as `event.outcome:failure`; `*` is everything
    query: String,
    /// How events are written
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
    /// From when: RFC 3339, epoch milliseconds or now-15m
    #[arg(long)]
    from: Option<String>,
    /// Until when
    #[arg(long)]
    to: Option<String>,
    /// The file to write, which appears only when it is complete [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: ExportArgs) -> Result<ExitCode> {
    super::block_on(async {
        tokio::select! {
            done = export(&args) => done,
            _ = tokio::signal::ctrl_c() => bail!("interrupted; nothing was kept"),
        }
    })
}

async fn export(args: &ExportArgs) -> Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let mut query = vec![("q", args.query.clone())];
    query.extend(args.from.clone().map(|from| ("from", from)));
    query.extend(args.to.clone().map(|to| ("to", to)));
    let target = ProgressDrawTarget::stderr();
    let total = match args.format {
        Format::Ndjson if !target.is_hidden() => exact_total(&client, &query).await?,
        _ => None,
    };
    query.push(("format", args.format.name().to_owned()));
    let mut answer = client.send(Method::GET, "export", &query, None).await?;
    if answer.headers().contains_key("watchfire-partial") {
        output::error("a damaged segment is left out; see the server's status");
    }
    let progress = Progress::new(target, args.format, total);
    let copied = copy(&mut answer, args.output.as_deref(), &progress).await;
    progress.0.finish_and_clear();
    let Some(bytes) = copied? else {
        // Whoever read our stdout has seen enough.
        return Ok(ExitCode::SUCCESS);
    };
    if args.output.is_some() {
        output::error(&format!("{bytes} bytes written"));
    }
    Ok(ExitCode::SUCCESS)
}

/// How many events match, if a search can tell.
async fn exact_total(client: &Client, query: &[(&str, String)]) -> Result<Option<u64>> {
    let mut query = query.to_vec();
    query.push(("limit", "1".to_owned()));
    let found = client.json(Method::GET, "search", &query, None).await?;
    let exact = found.get("total_is_exact").and_then(Value::as_bool);
    let total = found.get("total").and_then(Value::as_u64);
    Ok(total.filter(|_| exact == Some(true)))
}

/// Copies the answer to where it belongs. None when stdout was closed before the end.
async fn copy(
    answer: &mut Response,
    output: Option<&Path>,
    progress: &Progress,
) -> Result<Option<u64>> {
    let mut target = Target::open(output)?;
    let mut bytes = 0;
    loop {
        // The server cuts the connection when it fails midway; it never ends such an answer.
        let piece = answer.chunk().await;
        let piece = piece.context("the export ended early and is not complete")?;
        let Some(piece) = piece else { break };
        match target.out.write_all(&piece) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe && output.is_none() => return Ok(None),
            written => written.context("cannot write")?,
        }
        bytes += piece.len() as u64;
        progress.add(&piece);
    }
    target.complete()?;
    Ok(Some(bytes))
}

/// Where an export goes.
struct Target {
    out: Box<dyn Write + Send>,
    /// What becomes what when all is written.
    part: Option<Part>,
}

/// A file under its temporary name, removed again unless it was completed.
struct Part {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        // After completion there is nothing of this name any more.
        let _ = fs::remove_file(&self.temporary);
    }
}

impl Target {
    fn open(path: Option<&Path>) -> Result<Target> {
        let Some(path) = path.filter(|p| *p != Path::new("-")) else {
            let out = Box::new(std::io::stdout());
            return Ok(Target { out, part: None });
        };
        // A link is followed, so that it stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let shown = path.display().to_string();
        if path.metadata().is_ok_and(|m| !m.is_file()) {
            // A pipe or a device is written to as it is.
            let out = fs::OpenOptions::new().write(true).open(&path);
            let out = Box::new(out.with_context(|| format!("cannot open {shown}"))?);
            return Ok(Target { out, part: None });
        }
        let mut temporary = path.clone().into_os_string();
        temporary.push(".part");
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary)
            .with_context(|| format!("cannot make {}", temporary.display()))?;
        let part = Part {
            file: file.try_clone()?,
            temporary,
            path,
        };
        Ok(Target {
            out: Box::new(file),
            part: Some(part),
        })
    }

    fn complete(mut self) -> Result<()> {
        self.out.flush().context("cannot write")?;
        let Some(part) = self.part.take() else {
            return Ok(());
        };
        part.file.sync_all().context("cannot write")?;
        let shown = part.path.display();
        fs::rename(&part.temporary, &part.path).with_context(|| format!("cannot make {shown}"))
    }
}

/// What is told on a terminal: events where lines are events, else bytes.
struct Progress(ProgressBar, bool);

impl Progress {
    fn new(target: ProgressDrawTarget, format: Format, total: Option<u64>) -> Progress {
        let counts_events = format == Format::Ndjson;
        let template = match (counts_events, total) {
            (true, Some(_)) => "{bar:30} {human_pos} of {human_len} events, {per_sec}, {eta} left",
            (true, None) => "{spinner} {human_pos} events, {per_sec}",
            (false, _) => "{spinner} {bytes}, {bytes_per_sec}",
        };
        let bar = ProgressBar::with_draw_target(total, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Progress(bar, counts_events)
    }

    fn add(&self, piece: &[u8]) {
        let ends = || piece.iter().filter(|b| **b == b'\n').count();
        let step = if self.1 { ends() } else { piece.len() };
        self.0.inc(step as u64);
    }
}
