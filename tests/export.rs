//! `watchfire export` against the real server, and against one that breaks off.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use harness::{Server, TOKEN};

fn export(url: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watchfire"))
        .args(["export", "--url", url, "--token", TOKEN])
        .args(args)
        .output()
        .unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = files
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_comes_whole_to_a_file_and_to_stdout() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(data.path()).await;
    let line = |n: u32| format!("{{\"n\":{n},\"user\":{{\"id\":\"u{}\"}}}}\n", n % 3);
    let body: String = (0..3_000).map(line).collect();
    let (status, answer) = server.post("/api/v1/events", body).await;
    assert_eq!(status, 200, "{answer}");

    let lines = export(&server.url, &["n:<1000"]);
    assert!(lines.status.success(), "{lines:?}");
    let expected: String = (0..1_000).map(line).collect();
    assert_eq!(String::from_utf8(lines.stdout).unwrap(), expected);
    let old = out.path().join("e.csv");
    std::fs::write(&old, "what was here before").unwrap();
    for (format, start) in [
        ("ndjson", "{\"n\":0"),
        ("csv", "_seq,@timestamp,_received,"),
        ("parquet", "PAR1"),
        ("arrow", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
    ] {
        let file = out.path().join(format!("e.{format}"));
        let path = file.to_str().unwrap();
        let done = export(&server.url, &["*", "--format", format, "-o", path]);
        assert!(done.status.success() && done.stdout.is_empty(), "{done:?}");
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with(start), "{format}: {}", &text[..40]);
        let said = format!("{} bytes written\n", bytes.len());
        assert_eq!(String::from_utf8(done.stderr).unwrap(), said);
    }
    let wrong = export(
        &server.url,
        &["a:(", "-o", out.path().join("x").to_str().unwrap()],
    );
    assert_eq!(wrong.status.code(), Some(1));
    let text = String::from_utf8(wrong.stderr).unwrap();
    assert!(text.contains("400 invalid_query"), "{text}");
    assert_eq!(
        names(out.path()),
        ["e.arrow", "e.csv", "e.ndjson", "e.parquet"]
    );
    server.stop();
}

#[test]
fn an_answer_that_breaks_off_fails_and_leaves_nothing_behind() {
    let out = tempfile::tempdir().unwrap();
    let kept = out.path().join("kept.ndjson");
    std::fs::write(&kept, "what was here before").unwrap();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n";
    for rest in [
        "transfer-encoding: chunked\r\n\r\n8\r\n{\"n\":1}\n\r\n",
        "transfer-encoding: chunked\r\n\r\n8\r\n{\"n\":",
        "content-length: 800\r\n\r\n{\"n\":1}\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            socket
                .write_all(format!("{head}{rest}").as_bytes())
                .unwrap();
        });
        let broken = export(&url, &["*", "-o", kept.to_str().unwrap()]);
        server.join().unwrap();
        assert_eq!(broken.status.code(), Some(1), "{rest:?}");
        let text = String::from_utf8(broken.stderr).unwrap();
        assert!(text.contains("the export ended early"), "{text}");
        let left = std::fs::read_to_string(&kept).unwrap();
        assert_eq!(left, "what was here before");
        assert_eq!(names(out.path()), ["kept.ndjson"]);
    }
}
