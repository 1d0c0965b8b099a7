//! A metadata store whose clock is moved by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use watchfire_event::{Alert, AlertKind, AlertStatus, Evidence, Severity};
use watchfire_store::meta::{DetectionCommit, Meta, NewChannel};

pub const SECOND: i64 = 1_000_000_000;
pub const START: i64 = 1_760_000_000 * SECOND;

pub struct Bench {
    pub meta: Meta,
    pub now: Arc<AtomicI64>,
    pub folder: tempfile::TempDir,
}

impl Bench {
    pub async fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(START));
        let meta = open(&folder, &now).await;
        Bench { meta, now, folder }
    }

    pub async fn reopen(mut self) -> Bench {
        self.meta.close().await;
        self.meta = open(&self.folder, &self.now).await;
        self
    }

    pub fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds * SECOND, Ordering::SeqCst);
    }

    pub async fn commit(&self, alerts: &[Alert], position: u64) {
        let commit = DetectionCommit {
            alerts,
            position,
            snapshot: None,
        };
        self.meta.commit_detection(&commit).await.unwrap();
    }

    pub async fn channel(&self, name: &str, query: Option<&str>) -> String {
        let new = NewChannel {
            name: name.into(),
            kind: "webhook".into(),
            url: "https://hooks.example.com/x".into(),
            query: query.map(str::to_owned),
        };
        self.meta.create_channel(&new).await.unwrap().0.id
    }

    /// What the channel was told, oldest first.
    pub async fn told(&self, channel: &str) -> Vec<(String, Option<String>)> {
        let page = self
            .meta
            .list_deliveries(Some(channel), None, 500, None)
            .await
            .unwrap();
        assert!(page.cursor.is_none());
        let mut told = page.deliveries;
        told.sort_by_key(|d| (d.created_ns, d.alert_id.clone()));
        told.into_iter().map(|d| (d.kind, d.alert_id)).collect()
    }
}

pub async fn open(folder: &tempfile::TempDir, now: &Arc<AtomicI64>) -> Meta {
    let now = Arc::clone(now);
    let clock = Arc::new(move || now.load(Ordering::SeqCst));
    Meta::open_with_clock(folder.path(), clock).await.unwrap()
}

pub fn alert(id: &str, severity: Severity, count: u64) -> Alert {
    Alert {
        id: id.into(),
        ts: 1_760_000_000.0,
        t0: 1_759_999_900.0,
        t1: 1_760_000_000.0 + count as f64,
        status: AlertStatus::Open,
        severity,
        score: 5.0,
        detector: "rate.requests".into(),
        kind: AlertKind::Statistic,
        title: "Many requests".into(),
        summary: format!("{count} requests"),
        entities: BTreeMap::from([
            (
                "ip".to_owned(),
                vec!["2001:db8::1".to_owned(), "203.0.113.9".to_owned()],
            ),
            ("user".to_owned(), vec![format!("user-of-{id}")]),
        ]),
        evidence: Evidence::default(),
        tags: vec!["attack.t1110.003".into()],
        rule: None,
        count,
        risk: 0.0,
        held: false,
    }
}

pub fn ids(told: &[(String, Option<String>)]) -> Vec<(&str, &str)> {
    told.iter()
        .map(|(k, id)| (k.as_str(), id.as_deref().unwrap_or("-")))
        .collect()
}
