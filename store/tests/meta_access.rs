//! Tokens, users, sessions, the audit trail, the manifest and the file itself.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::Connection;
use watchfire_store::meta::{
    AuditEntry, Meta, MetaError, NewSession, NewToken, RewriteCause, Role, Scope, SegmentRow,
};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_760_000_000 * SECOND;

async fn open() -> (Meta, Arc<AtomicI64>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(START));
    let clock = Arc::clone(&now);
    let clock = Arc::new(move || clock.load(Ordering::SeqCst));
    let meta = Meta::open_with_clock(folder.path(), clock).await.unwrap();
    (meta, now, folder)
}

/// Changes the database behind the program's back.
async fn tamper(meta: &Meta, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(meta.path());
    let mut connection = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn new_token(name: &str, scopes: &[Scope], expires_ns: Option<i64>) -> NewToken {
    NewToken {
        name: name.into(),
        scopes: scopes.to_vec(),
        created_by: "kim".into(),
        expires_ns,
    }
}

#[tokio::test]
async fn tokens_work_until_they_expire_or_are_revoked() {
    let (meta, now, folder) = open().await;
    let expires = Some(START + 100 * SECOND);
    let (row, text) = meta
        .create_token(&new_token("shop", &[Scope::Ingest], expires))
        .await
        .unwrap();
    assert!(text.starts_with(&format!("wf_{}_", row.id)), "{text}");
    assert!(row.allows(Scope::Ingest) && !row.allows(Scope::Read) && !row.allows(Scope::Admin));
    let seen = meta.verify_token(&text).await.unwrap().unwrap();
    assert_eq!(
        (seen.name.as_str(), seen.last_used_ns),
        ("shop", Some(START))
    );
    for wrong in ["", "wf_", &text[..text.len() - 1], &text.to_uppercase()] {
        assert_eq!(meta.verify_token(wrong).await.unwrap(), None, "{wrong}");
    }
    now.store(START + 99 * SECOND, Ordering::SeqCst);
    assert!(meta.verify_token(&text).await.unwrap().is_some());
    now.store(START + 100 * SECOND, Ordering::SeqCst);
    assert_eq!(meta.verify_token(&text).await.unwrap(), None);

    let (admin, text) = meta
        .create_token(&new_token("ci", &[Scope::Admin], None))
        .await
        .unwrap();
    assert!(admin.allows(Scope::Ingest) && admin.allows(Scope::Read));
    assert!(meta.verify_token(&text).await.unwrap().is_some());
    meta.revoke_token(&admin.id).await.unwrap();
    assert_eq!(meta.verify_token(&text).await.unwrap(), None);
    meta.revoke_token(&admin.id).await.unwrap();
    assert!(matches!(
        meta.revoke_token("nope").await,
        Err(MetaError::NotFound(_))
    ));
    let wire = serde_json::to_string(&meta.list_tokens().await.unwrap()).unwrap();
    assert!(!wire.contains("hash") && !wire.contains(&text), "{wire}");
    meta.close().await;
    let secret = text.rsplit('_').next().unwrap().as_bytes();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(
            !bytes.windows(secret.len()).any(|w| w == secret),
            "a secret is on disk"
        );
    }
}

#[tokio::test]
async fn a_token_of_the_operators_choice_is_taken_once() {
    let (meta, _, _folder) = open().await;
    let new = new_token("automation", &[Scope::Admin], None);
    for weak in [
        "short",
        &"x".repeat(31),
        &format!("{} ", "x".repeat(40)),
        &"x".repeat(513),
    ] {
        let answer = meta.import_token(weak, &new).await;
        assert!(matches!(answer, Err(MetaError::Invalid(_))), "{weak}");
    }
    let text = "0123456789abcdef0123456789abcdef";
    let first = meta.import_token(text, &new).await.unwrap();
    let second = meta.import_token(text, &new).await.unwrap();
    assert_eq!(first.id, second.id);
    assert_eq!(
        meta.verify_token(text).await.unwrap().unwrap().name,
        "automation"
    );
    meta.revoke_token(&first.id).await.unwrap();
    meta.import_token(text, &new).await.unwrap();
    assert_eq!(
        meta.verify_token(text).await.unwrap(),
        None,
        "an import revives nothing"
    );
    let none = meta.create_token(&new_token("x", &[], None)).await;
    assert!(matches!(none, Err(MetaError::Invalid(_))));
}

#[tokio::test]
async fn users_log_in_and_the_last_admin_stays() {
    let (meta, _, _folder) = open().await;
    let kim = meta.create_user(" Kim ", Role::Admin, None).await.unwrap();
    assert_eq!((kim.name.as_str(), kim.has_password), ("kim", false));
    let twice = meta.create_user("KIM", Role::Viewer, None).await;
    assert!(matches!(twice, Err(MetaError::Conflict(_))));
    meta.set_password(&kim.id, "$argon2id$...").await.unwrap();
    let (user, hash) = meta.user_credentials("Kim").await.unwrap().unwrap();
    assert_eq!(
        (user.id.as_str(), hash.as_deref()),
        (kim.id.as_str(), Some("$argon2id$..."))
    );
    assert!(meta.user_credentials("nobody").await.unwrap().is_none());
    let wire = serde_json::to_string(&meta.list_users().await.unwrap()).unwrap();
    assert!(!wire.contains("argon2"), "{wire}");
    for refused in [
        meta.update_user(&kim.id, Role::Viewer, false)
            .await
            .map(drop),
        meta.update_user(&kim.id, Role::Admin, true).await.map(drop),
        meta.delete_user(&kim.id).await,
    ] {
        assert!(matches!(refused, Err(MetaError::Conflict(_))));
    }
    let lee = meta.create_user("lee", Role::Admin, None).await.unwrap();
    meta.delete_user(&kim.id).await.unwrap();
    meta.note_login(&lee.id).await.unwrap();
    assert_eq!(
        meta.get_user(&lee.id).await.unwrap().unwrap().last_login_ns,
        Some(START)
    );
    assert!(matches!(
        meta.note_login(&kim.id).await,
        Err(MetaError::NotFound(_))
    ));
}

#[tokio::test]
async fn sessions_end_by_idling_by_age_and_by_hand() {
    let (meta, now, _folder) = open().await;
    let user = meta.create_user("kim", Role::Admin, None).await.unwrap();
    let new = NewSession {
        user_id: user.id.clone(),
        from_addr: Some("192.0.2.1".into()),
        idle: Duration::from_secs(600),
        absolute: Duration::from_secs(3_600),
    };
    let text = meta.create_session(&new).await.unwrap();
    assert_eq!(meta.session("forged").await.unwrap(), None);
    let at = |seconds: i64| now.store(START + seconds * SECOND, Ordering::SeqCst);
    for seconds in [0, 599, 1_100, 1_600, 2_100, 2_600, 3_100, 3_599] {
        at(seconds);
        assert!(meta.session(&text).await.unwrap().is_some(), "{seconds}");
    }
    at(3_600);
    assert_eq!(meta.session(&text).await.unwrap(), None, "absolute age");
    let idle = meta.create_session(&new).await.unwrap();
    at(3_600 + 600);
    assert_eq!(meta.session(&idle).await.unwrap(), None, "idle");
    let ended = meta.create_session(&new).await.unwrap();
    meta.delete_session(&ended).await.unwrap();
    assert_eq!(meta.session(&ended).await.unwrap(), None, "by hand");
    let open = meta.create_session(&new).await.unwrap();
    assert_eq!(meta.list_sessions(&user.id).await.unwrap().len(), 1);
    meta.set_password(&user.id, "new").await.unwrap();
    assert_eq!(
        meta.session(&open).await.unwrap(),
        None,
        "a new password ends all"
    );
    for _ in 0..60 {
        meta.create_session(&new).await.unwrap();
    }
    assert_eq!(meta.list_sessions(&user.id).await.unwrap().len(), 50);
}

#[tokio::test]
async fn the_setup_link_works_once_and_for_a_day() {
    let (meta, now, _folder) = open().await;
    let old = meta.create_setup_token().await.unwrap();
    let text = meta.create_setup_token().await.unwrap();
    assert!(
        !meta.take_setup_token(&old).await.unwrap(),
        "a new link ends the old one"
    );
    assert!(meta.take_setup_token(&text).await.unwrap());
    assert!(!meta.take_setup_token(&text).await.unwrap());
    let late = meta.create_setup_token().await.unwrap();
    now.fetch_add(24 * 3_600 * SECOND, Ordering::SeqCst);
    assert!(!meta.take_setup_token(&late).await.unwrap());
}

#[tokio::test]
async fn tampering_with_the_trail_is_found_and_named() {
    let cases: &[(&'static str, Option<u64>)] = &[
        ("SELECT 1", None),
        ("UPDATE audit SET who = 'eve' WHERE seq = 7", Some(7)),
        ("UPDATE audit SET at_ns = at_ns + 1 WHERE seq = 1", Some(1)),
        (
            "UPDATE audit SET who = 'kim' || what, what = '' WHERE seq = 3",
            Some(3),
        ),
        ("UPDATE audit SET from_addr = '' WHERE seq = 4", Some(4)),
        ("UPDATE audit SET detail = '{}' WHERE seq = 20", Some(20)),
        ("DELETE FROM audit WHERE seq = 12", Some(12)),
        ("DELETE FROM audit WHERE seq > 15", Some(16)),
        ("DELETE FROM audit", Some(1)),
        (
            "UPDATE audit SET seq = 100 - seq WHERE seq IN (5, 6)",
            Some(5),
        ),
    ];
    for (sql, expected) in cases {
        let (meta, _, _folder) = open().await;
        for n in 0..20 {
            let entry = AuditEntry {
                who: "kim".into(),
                what: "token.create".into(),
                object: format!("t{n}"),
                from_addr: None,
                detail: serde_json::json!({"n": n, "z": 1, "a": [2]}),
            };
            meta.audit(&entry).await.unwrap();
        }
        let head = meta.audit_head().await.unwrap();
        assert_eq!(head.seq, 20);
        tamper(&meta, sql).await;
        let report = meta.verify_audit(Some(&head)).await.unwrap();
        assert_eq!(report.broken.map(|(seq, _)| seq), *expected, "{sql}");
    }
}

#[tokio::test]
async fn a_rewritten_trail_does_not_fit_a_head_kept_elsewhere() {
    let (one, _, _a) = open().await;
    let (other, _, _b) = open().await;
    let entry = |who: &str| AuditEntry {
        who: who.into(),
        what: "rule.disable".into(),
        object: "r1".into(),
        from_addr: Some("192.0.2.1".into()),
        detail: serde_json::Value::Null,
    };
    let head = one.audit(&entry("eve")).await.unwrap();
    other.audit(&entry("kim")).await.unwrap();
    assert_eq!(other.verify_audit(None).await.unwrap().broken, None);
    let report = other.verify_audit(Some(&head)).await.unwrap();
    assert_eq!(report.broken, Some((1, "rewritten".into())));
    let rows = one.list_audit(None, 10).await.unwrap();
    assert_eq!((rows[0].who.as_str(), rows[0].seq), ("eve", 1));
    assert!(one.list_audit(Some(1), 10).await.unwrap().is_empty());
}

fn segment(id: &str, first: u64, last: u64) -> SegmentRow {
    SegmentRow {
        id: id.into(),
        first_seq: first,
        last_seq: last,
        rows: last - first + 1,
        min_time_ns: i64::MIN,
        max_time_ns: i64::MAX,
        min_received_ns: START,
        max_received_ns: START + 5,
        bytes: 1_000,
        created_ns: START,
    }
}

#[tokio::test]
async fn sealing_moves_segment_position_and_keys_together() {
    let (meta, now, folder) = open().await;
    assert_eq!(meta.store_position().await.unwrap(), 0);
    let keys: Vec<([u8; 16], i64)> = (0..1_000_u32)
        .map(|n| {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&n.to_le_bytes());
            (key, START + i64::from(n))
        })
        .collect();
    meta.commit_seal(&segment("a", 1, 10), &keys).await.unwrap();
    meta.commit_seal(&segment("b", 11, 20), &[]).await.unwrap();
    let twice = meta.commit_seal(&segment("b", 21, 30), &keys[..1]).await;
    assert!(matches!(twice, Err(MetaError::Conflict(_))));
    meta.close().await;
    let clock = Arc::clone(&now);
    let clock = Arc::new(move || clock.load(Ordering::SeqCst));
    let meta = Meta::open_with_clock(folder.path(), clock).await.unwrap();
    assert_eq!(meta.store_position().await.unwrap(), 20);
    assert_eq!(
        meta.segments().await.unwrap(),
        [segment("a", 1, 10), segment("b", 11, 20)]
    );
    assert_eq!(meta.recent_keys(START).await.unwrap(), keys);
    assert_eq!(meta.recent_keys(START + 990).await.unwrap(), &keys[990..]);
    now.fetch_add(25 * 3_600 * SECOND, Ordering::SeqCst);
    meta.commit_seal(&segment("c", 21, 30), &[]).await.unwrap();
    assert!(
        meta.recent_keys(0).await.unwrap().is_empty(),
        "forgotten after a day"
    );
    let merged = segment("ab", 1, 20);
    meta.replace_segments(
        &["a".into(), "b".into()],
        Some(&merged),
        &RewriteCause::Compaction,
    )
    .await
    .unwrap();
    let gone = meta
        .remove_segments(&["ab".into(), "nope".into()], "retention")
        .await;
    assert!(matches!(gone, Err(MetaError::NotFound(_))));
    assert_eq!(meta.segments().await.unwrap().len(), 2, "all or nothing");
    meta.remove_segments(&["ab".into()], "retention")
        .await
        .unwrap();
    assert_eq!(meta.segments().await.unwrap(), [segment("c", 21, 30)]);
    assert_eq!(
        meta.list_audit(None, 1).await.unwrap()[0].detail["reason"],
        "retention"
    );
}

#[tokio::test]
async fn the_file_is_private_sound_and_can_be_backed_up() {
    let (meta, _, folder) = open().await;
    meta.create_user("kim", Role::Admin, None).await.unwrap();
    #[cfg(unix)]
    for file in std::fs::read_dir(folder.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", file.path());
    }
    assert!(meta.verify_file().await.unwrap().is_empty());
    let copy = folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    meta.backup(&copy.join("meta.sqlite")).await.unwrap();
    assert!(
        meta.backup(&copy.join("meta.sqlite")).await.is_err(),
        "never overwrites"
    );
    let restored = Meta::open(&copy).await.unwrap();
    assert_eq!(
        restored.list_users().await.unwrap(),
        meta.list_users().await.unwrap()
    );
}

#[tokio::test]
async fn what_is_not_our_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("meta.sqlite"),
        b"this is no database, whatever",
    )
    .unwrap();
    assert!(Meta::open(folder.path()).await.is_err());
}
