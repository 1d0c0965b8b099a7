//! `watchfire serve`: everything in one process.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{ServeArgs, output};
use crate::pipeline::{FirstStart, Server};
use crate::telemetry;

pub(super) fn run(args: &ServeArgs) -> Result<ExitCode> {
    let config = args.load()?;
    telemetry::start_log();
    let metrics = telemetry::start_metrics()?;
    super::block_on(async {
        let server = Server::start(&config, metrics).await?;
        let address = server.address()?;
        output::line(&format!("Watchfire is listening on http://{address}"));
        if let Some(first) = server.first_start().await? {
            greet(&format!("http://{address}"), &first);
        }
        server.run(shutdown()?).await
    })?;
    Ok(ExitCode::SUCCESS)
}

fn greet(url: &str, first: &FirstStart) {
    output::line("");
    output::line("Nobody has signed in yet. This link works once, within 15 minutes:");
    output::line(&format!("  {url}{}", first.setup_link));
    if let Some(token) = &first.ingest_token {
        output::line("");
        output::line("Ship your first event with this token (scope ingest, shown only now):");
        output::line(&format!(
            "  curl {url}/api/v1/events -H 'Authorization: Bearer {token}' \\"
        ));
        output::line("    -d '{\"message\":\"hello\",\"service\":{\"name\":\"checkout\"}}'");
    }
    output::line("");
}

/// Completes on SIGINT or SIGTERM.
pub(super) fn shutdown() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for signals")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
