//! Templates of small sources, and what must hold for any lines.

use proptest::prelude::*;

use super::*;

#[test]
fn what_varies_is_masked() {
    let cases = [
        ("took 15ms at 10:02:11", "took <*> at <*>"),
        ("from 10.0.0.1:443, to fe80::1", "from <*>, to <*>"),
        ("rhost=a.b.c  user=root", "rhost=a.b.c user=root"),
        ("uid=0 [12] {x: 7}", "uid=<*> [<*>] {x: <*>}"),
        ("id 550e8400-e29b-41d4-a716-446655440000!", "id <*>!"),
        ("Fri Jun 17 2005", "<*> <*> <*> <*>"),
        ("blk_-123 /var/log/x1/y", "<*> <*>"),
        ("no digits at all", "no digits at all"),
        ("", ""),
        ("  a\t b ", "a b"),
        ("ü1 ü", "<*> ü"),
    ];
    for (line, want) in cases {
        assert_eq!(mask(line), want, "{line}");
    }
}

#[test]
fn lines_of_one_kind_share_a_template() {
    let mut drain = Drain::new(100);
    let first = drain.learn("session opened for user alice by uid=0");
    let second = drain.learn("session opened for user bob by uid=1000");
    let other = drain.learn("connection refused by 10.0.0.1");
    assert!(first.new && !second.new && other.new);
    assert_eq!(first.id, second.id);
    assert_ne!(first.id, other.id);
}

#[test]
fn a_new_template_is_the_less_likely_the_longer_none_came() {
    let mut drain = Drain::new(100);
    assert_eq!(drain.learn("first line").unseen, 1.0);
    for i in 0..1_000 {
        drain.learn(&format!("request {i} served"));
        drain.learn(&format!("cache {i} missed again"));
        drain.learn("first line");
    }
    let parsed = drain.learn("kernel panic");
    assert!(parsed.new && parsed.unseen < 1e-3, "{parsed:?}");
    // A source where every other line is new is not surprised by one.
    for word in (b'a'..=b'z').flat_map(|a| (b'a'..=b'z').map(move |b| [a, b])) {
        drain.learn(&format!("{} x", String::from_utf8_lossy(&word)));
    }
    assert!(drain.unseen() > 0.02, "{}", drain.unseen());
}

#[test]
fn what_was_forgotten_does_not_look_new() {
    let mut drain = Drain::new(3);
    for line in ["a a", "b b b", "c c c c"] {
        assert!(drain.learn(line).new);
    }
    drain.learn("a a");
    drain.learn("d d d d d");
    assert_eq!((drain.len(), drain.forgotten()), (3, 1));
    // "b b b" was longest unseen; its return is no news.
    assert!(!drain.learn("b b b").new);
    assert_eq!(drain.len(), 3);
    assert!(!drain.learn("e").new);
}

#[test]
fn hostile_lines_take_bounded_room() {
    let mut drain = Drain::new(5);
    let long = "x".repeat(1 << 20);
    let many = "word ".repeat(100_000);
    for i in 0..50u8 {
        let letter = char::from(b'a' + i % 26);
        drain.learn(&format!("{letter}{long}"));
        drain.learn(&format!("{letter} {many}"));
    }
    assert!(drain.len() <= 5);
    assert!(drain.save().len() < Drain::max_bytes(5));
    let mut crowded = Drain::new(10_000);
    for a in b'a'..=b'z' {
        for b in b'a'..=b'z' {
            let (a, b) = (char::from(a), char::from(b));
            crowded.learn(&format!("same words {a}{b} {b}{a} {a} {b}"));
        }
    }
    assert!(crowded.len() <= CROWDED, "{}", crowded.len());
}

proptest! {
    #[test]
    fn any_lines_survive_a_restore(
        lines in prop::collection::vec("[abc01 =:/]{0,12}|\\PC{0,20}", 1..80),
        cut in 0usize..80,
        most in 1usize..20,
    ) {
        let mut one = Drain::new(most);
        let mut two = None;
        for (i, line) in lines.iter().enumerate() {
            if i == cut.min(lines.len() - 1) {
                two = Some(Drain::restore(&one.save()).unwrap());
            }
            let parsed = one.learn(line);
            prop_assert!(parsed.unseen > 0.0 && parsed.unseen <= 1.0);
            prop_assert!(one.len() <= most);
            if let Some(two) = &mut two {
                prop_assert_eq!(parsed, two.learn(line));
            }
        }
        prop_assert_eq!(one.save(), two.unwrap().save());
    }
}
