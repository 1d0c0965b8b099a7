//! `watchfire demo`: the server with traffic to look at; also its two halves on their own, a
//! traffic generator and a webhook catcher, for containers.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use clap::Args;
use tokio::net::TcpListener;
use watchfire_store::meta::Scope;

use super::{ServeArgs, output, serve};
use crate::demo;
use crate::pipeline::Server;
use crate::telemetry;

/// What `demo` can be told.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Address to listen on [default: 127.0.0.1:7700]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Listen in plain HTTP on other addresses than loopback
    #[arg(long)]
    insecure: bool,
    /// Only send the traffic, to this server
    #[arg(long, value_name = "URL", requires = "token")]
    target: Option<String>,
    /// The ingest token for --target
    #[arg(long, env = "WATCHFIRE_INGEST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Only catch webhooks on this address and print them
    #[arg(long, value_name = "ADDR", conflicts_with = "target")]
    catch: Option<SocketAddr>,
}

pub(super) fn run(args: DemoArgs) -> Result<ExitCode> {
    telemetry::start_log();
    match (args.catch, args.target.clone().zip(args.token.clone())) {
        (Some(address), _) => super::block_on(catch(address))?,
        (None, Some((url, token))) => {
            super::block_on(async {
                demo::run(demo::Options::new(url, token), serve::shutdown()?).await
            })?;
        }
        (None, None) => whole(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Server and traffic in one process, on a folder that is removed at the end.
fn whole(args: &DemoArgs) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("watchfire-demo-{}", std::process::id()));
    let config = ServeArgs {
        data: Some(folder.clone()),
        listen: args.listen,
        insecure: args.insecure,
        ..ServeArgs::default()
    }
    .load()?;
    let metrics = telemetry::start_metrics()?;
    let result = super::block_on(async {
        let server = Server::start(&config, metrics).await?;
        let token = server.make_token("demo", Scope::Ingest).await?;
        let url = format!("http://{}", server.address()?);
        output::line(&format!("Watchfire demo is running on {url}"));
        if let Some(first) = server.first_start().await? {
            output::line("Sign in with this link (works once, within 15 minutes):");
            output::line(&format!("  {url}{}", first.setup_link));
        }
        output::line("Simulated shop traffic with attacks is coming in; the first alerts appear");
        output::line("within a minute. Ctrl-C stops the demo and removes its data.");
        let traffic = demo::spawn(url, token, serve::shutdown()?);
        let served = server.run(serve::shutdown()?).await;
        if let Err(error) = traffic.await.context("the traffic generator panicked")? {
            tracing::warn!("the demo traffic stopped: {error:#}");
        }
        served
    });
    let removed = std::fs::remove_dir_all(&folder);
    result.and_then(|()| {
        removed.with_context(|| format!("cannot remove the demo's data {}", folder.display()))
    })
}

/// Answers 200 to every POST and prints its headers' webhook id and its body.
async fn catch(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    output::line(&format!(
        "Catching webhooks on http://{}",
        listener.local_addr()?
    ));
    let show = |headers: HeaderMap, body: Bytes| async move {
        let id = headers
            .get("webhook-id")
            .and_then(|v| v.to_str().ok())
            .unwrap_or("-");
        let body = String::from_utf8_lossy(&body);
        output::line(&output::printable(&format!("{id} {body}")));
        StatusCode::OK
    };
    let router = axum::Router::new().fallback(show);
    watchfire_web::serve(listener, router, serve::shutdown()?).await?;
    Ok(())
}
