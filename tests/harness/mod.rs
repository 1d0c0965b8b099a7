//! Starts the real binary on a data folder of its own and talks to it.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub const TOKEN: &str = "test-0123456789abcdef0123456789abcdef";

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
    pub data: PathBuf,
    pub http: reqwest::Client,
}

/// How a server is started.
#[derive(Default)]
pub struct Options {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
}

impl Server {
    pub async fn start(data: &Path) -> Server {
        Self::start_with(data, &Options::default()).await
    }

    pub async fn start_with(data: &Path, options: &Options) -> Server {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut child = Command::new(env!("CARGO_BIN_EXE_watchfire"))
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(&options.args)
            .env("WATCHFIRE_ADMIN_TOKEN", TOKEN)
            .env("WATCHFIRE_WEBHOOK_ALLOW", "127.0.0.0/8")
            .envs(options.env.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|l| l.split_once("listening on ").map(|(_, url)| url.to_owned()))
            .expect("the server did not start");
        // Somebody has to read on, or the server's writes fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let http = reqwest::Client::new();
        let server = Server {
            child,
            url,
            data: data.to_owned(),
            http,
        };
        server.wait("/readyz", |status, _| status == 200).await;
        server
    }

    /// Asks until `good` says so.
    pub async fn wait(&self, path: &str, good: impl Fn(u16, &Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let request = self
                .http
                .get(format!("{}{path}", self.url))
                .bearer_auth(TOKEN);
            if let Ok(response) = request.send().await {
                let status = response.status().as_u16();
                let body = response.json().await.unwrap_or(Value::Null);
                if good(status, &body) {
                    return body;
                }
                assert!(Instant::now() < end, "{path} stayed {status} {body}");
            }
            assert!(Instant::now() < end, "{path} did not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every reader of the log has nothing left to do.
    pub async fn caught_up(&self) {
        self.wait("/api/v1/status", |status, body| {
            let head = body["log"]["head"].as_u64();
            status == 200
                && body["readers"]
                    .as_object()
                    .is_some_and(|r| r.values().all(|seq| seq.as_u64() >= head))
        })
        .await;
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        self.post_with(path, body, &[("content-type", "application/json")])
            .await
    }

    pub async fn post_with(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let mut request = self
            .http
            .post(format!("{}{path}", self.url))
            .bearer_auth(TOKEN)
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.url), query).unwrap();
        let response = self.http.get(url).bearer_auth(TOKEN).send().await.unwrap();
        let status = response.status();
        let body = response.json().await.unwrap_or(Value::Null);
        assert!(status.is_success(), "{path} {query:?}: {status} {body}");
        body
    }

    /// Kills without warning, as `kill -9` does.
    pub fn kill(mut self) -> PathBuf {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.data.clone()
    }

    /// Asks politely and expects a clean exit.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "the server ended with {status}");
                return;
            }
            assert!(Instant::now() < end, "the server did not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
