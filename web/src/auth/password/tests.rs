//! What passwords are accepted, and how guessing is slowed down.
#![allow(clippy::unwrap_used)]

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

#[test]
fn which_passwords_are_accepted() {
    let table = [
        ("correct horse battery", true),
        ("twelve chars", true),
        ("short", false),
        ("elevenchars", false),
        ("aaaaaaaaaaaaaaaa", false),
        ("abcabcabcabc", false),
        ("123456789012", false),
        ("987654321098", false),
        ("Password2024!", false),
        ("!!administrator1", false),
        ("qwertyuiopas", false),
        ("1234-5678-9012", false),
        ("alice.smith99", false),
        ("größer als zwölf", true),
    ];
    for (password, ok) in table {
        let verdict = check_rules(password, "alice.smith");
        assert_eq!(verdict.is_ok(), ok, "{password}");
    }
    assert!(
        check_rules(&"x1 ".repeat(43), "a").is_err(),
        "129 characters"
    );
}

#[tokio::test]
async fn hashes_verify_and_nobody_never_does() {
    let hasher = Hasher::new();
    let hash = hasher.hash("correct horse battery").await.unwrap();
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    assert!(
        hasher
            .verify("correct horse battery", Some(&hash))
            .await
            .unwrap()
    );
    assert!(
        !hasher
            .verify("correct horse batter", Some(&hash))
            .await
            .unwrap()
    );
    assert!(!hasher.verify("anything", None).await.unwrap());
    assert!(
        PasswordHash::new(NOBODY).is_ok(),
        "the stand-in costs a real comparison"
    );
}

#[test]
fn guessing_gets_slower_and_the_owner_still_gets_in() {
    let guard = LoginGuard::default();
    let start = Instant::now();
    // One guess every 100 ms for 17 minutes.
    let tried = (0..10_000u64)
        .filter(|n| {
            guard
                .admit("alice", HERE, start + Duration::from_millis(100 * n))
                .is_ok()
        })
        .count();
    assert!(tried <= 100, "{tried} guesses were let through");
    let now = start + Duration::from_secs(1000);
    assert!(
        guard.admit("Alice", THERE, now).is_ok(),
        "the owner comes from elsewhere"
    );
    guard.succeeded("alice", THERE);
    assert!(guard.admit("alice", THERE, now).is_ok());
}

#[test]
fn one_address_cannot_try_many_accounts() {
    let guard = LoginGuard::default();
    let now = Instant::now();
    let tried = (0..1000)
        .filter(|n| guard.admit(&format!("user{n}"), HERE, now).is_ok())
        .count();
    assert_eq!(tried, 20);
    assert!(guard.admit("user0", THERE, now).is_ok());
}

#[test]
fn the_memory_of_failures_is_bounded() {
    let guard = LoginGuard::default();
    let start = Instant::now();
    for n in 0..30_000u32 {
        let address = IpAddr::from((n + 1).to_be_bytes());
        let now = start + Duration::from_millis(u64::from(n));
        guard.admit(&format!("user{n}"), address, now).unwrap();
    }
    assert!(guard.0.lock().unwrap().len() <= MAX_KEYS);
}
