use super::*;

#[test]
fn strange_hours_alone_add_up_to_little_and_strange_work_to_much() {
    let (mut account, mut common) = (Account::default(), Common::default());
    for _ in 0..60 {
        for aspect in [ROUTES, 4] {
            account.habits[aspect].add(1, 1.0, MAX_VALUES);
        }
        common.add(1, 0);
        common.add(2, 0);
    }
    for _ in 0..200 {
        for aspect in [ROUTES, 4] {
            account.weigh(aspect, &[2], &common, 10 * YOUNG_NS);
        }
    }
    assert_eq!(account.parts[4], MOST_OF_OTHERS);
    assert!(account.parts[ROUTES] > 50.0, "{:?}", account.parts);
}
