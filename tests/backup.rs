//! An encrypted server backed up while it runs, restored, checked, its master key exchanged, and
//! started again: all with the real binary.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::{Options, Server, TOKEN};
use serde_json::{Value, json};

const MARKER: &str = "purpleelephant";

fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watchfire"))
        .args(args)
        .envs(env.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn key_file(dir: &Path, name: &str) -> (PathBuf, String) {
    use std::os::unix::fs::PermissionsExt;
    let made = run(&["key", "new"], &[]);
    let key = text(&made.stdout).trim().to_owned();
    let path = dir.join(name);
    std::fs::write(&path, &key).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    (path, key)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

async fn hits(server: &Server) -> u64 {
    let answer = server.get("/api/v1/search", &[("q", MARKER)]).await;
    answer["total"].as_u64().unwrap()
}

fn options_with_config(dir: &Path, key_path: &Path) -> Options {
    let (config, backups) = (dir.join("watchfire.toml"), dir.join("backups"));
    std::fs::create_dir(&backups).unwrap();
    let text = format!("[encryption]\nkey_file = {key_path:?}\n[backup]\ndir = {backups:?}\n");
    std::fs::write(&config, text).unwrap();
    Options {
        args: vec!["--config".into(), config.display().to_string()],
        ..Options::default()
    }
}

fn to(repository: &str) -> String {
    json!({ "to": repository, "keep": 2 }).to_string()
}

/// Fills a server, backs it up while it runs, stops it. Nothing can be read in either folder.
async fn back_up(dir: &Path, key_path: &Path) {
    let options = options_with_config(dir, key_path);
    let server = Server::start_with(&dir.join("data"), &options).await;
    let lines: String = (0..500)
        .map(|i| format!("{{\"message\":\"{MARKER} number {i}\"}}\n"))
        .collect();
    let (status, answer) = server.post("/api/v1/events", lines + "{bad").await;
    assert_eq!((status, answer["accepted"].as_u64()), (200, Some(500)));
    let receipt = answer["receipt"].as_str().unwrap().to_owned();
    std::fs::write(dir.join("receipts"), receipt + "\n").unwrap();

    let (status, refused) = server.post("/api/v1/backups", to("../elsewhere")).await;
    assert_eq!(
        (status, &refused["code"]),
        (422, &json!("backup_path_refused"))
    );
    let backup = run(
        &["backup", "nightly", "--keep", "2", "--url", &server.url],
        &[("WATCHFIRE_TOKEN", TOKEN)],
    );
    assert!(backup.status.success(), "{}", text(&backup.stderr));
    assert!(text(&backup.stdout).contains("events up to 500"));
    let audit = server.get("/api/v1/audit", &[]).await;
    let rows = audit["rows"].as_array().unwrap().iter();
    assert_eq!(rows.filter(|row| row["what"] == "backup.create").count(), 1);
    server.stop();
    let mut all = files(&dir.join("data"));
    all.extend(files(&dir.join("backups")));
    for path in all {
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(MARKER.len()).any(|w| w == MARKER.as_bytes());
        assert!(!found, "{} can be read", path.display());
    }
}

/// Restores, exchanges the master key for the new one, verifies.
fn restore(dir: &Path, old_key: &str, new_path: &Path, new_key: &str) {
    let at = |name: &str| dir.join(name).display().to_string();
    let (new, receipts) = (at("new"), at("receipts"));
    let restored = run(&["restore", &at("backups/nightly"), "--data", &new], &[]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    let none = run(&["verify", "--data", &new], &[]);
    let said = text(&none.stderr);
    assert!(!none.status.success(), "{said}");
    assert_eq!(said.matches("no master key").count(), 1, "{said}");
    let new_path = new_path.display().to_string();
    let rotated = run(
        &["key", "rotate", "--data", &new, "--new-key-file", &new_path],
        &[("WATCHFIRE_MASTER_KEY", old_key)],
    );
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    let verify = ["verify", "--data", &new, "--receipts", &receipts];
    let wrong = run(&verify, &[("WATCHFIRE_MASTER_KEY", old_key)]);
    assert!(text(&wrong.stderr).contains("not the one of this data folder"));
    let right = run(&verify, &[("WATCHFIRE_MASTER_KEY", new_key)]);
    let report: Value = serde_json::from_slice(&right.stdout).unwrap();
    assert!(right.status.success(), "{report}");
    assert_eq!(report["receipts"][0]["found"], "kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_server_is_backed_up_restored_and_given_another_key() {
    let dir = tempfile::tempdir().unwrap();
    let (old_path, old_key) = key_file(dir.path(), "master.key");
    let (new_path, new_key) = key_file(dir.path(), "new.key");
    back_up(dir.path(), &old_path).await;
    restore(dir.path(), &old_key, &new_path, &new_key);
    let options = Options {
        env: vec![("WATCHFIRE_MASTER_KEY".into(), new_key)],
        ..Options::default()
    };
    let server = Server::start_with(&dir.path().join("new"), &options).await;
    assert_eq!(hits(&server).await, 500);
    let letters = server.get("/api/v1/dead-letters", &[]).await;
    assert_eq!(letters["letters"].as_array().map(Vec::len), Some(1));
    let status = server.get("/api/v1/status", &[]).await;
    assert_eq!(status["store"]["encrypted"], true);
    // Without the setting nobody can make the server write anywhere.
    let (status, refused) = server.post("/api/v1/backups", to("nightly")).await;
    assert_eq!(
        (status, &refused["code"]),
        (409, &json!("backup_not_configured"))
    );
}
