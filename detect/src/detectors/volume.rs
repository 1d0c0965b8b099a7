//! Volume: an account takes much more than it, or its like, ever does, in a day or drop by drop.
//!
//! For every account the bytes and the requests of the day (UTC) so far are compared with its own
//! whole days before, working days with working days: the logarithm of the ratio, in units of the
//! spread that such ratios have among accounts that are about as busy. Excesses of one day after
//! the other add up (Page's CUSUM, Biometrika 1954, with a reference value of half a spread), so
//! that a little too much every day is seen as well.
//!
//! How rare a sum is, is read from the sums of these accounts ([`Tail`]), not from a
//! normal distribution: days have heavy tails.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::DetectorConfig;
use super::on_facts::{At, FactDetector};
use super::{About, Learned};
use crate::alert::grouped;
use crate::calibrate::rounded;
use crate::calibration::Calibration;
use crate::facts::Fact;
use crate::facts::recent::Recent;
use crate::finding::Finding;
use crate::silent::{self, Bound};
use crate::tail::{Crowd, Tail};

const HOUR_NS: i64 = 3_600 * 1_000_000_000;
const DAY_HOURS: i64 = 24;
/// Accounts of a generation.
const MAX_ACCOUNTS: usize = 25_000;
/// Roles of a generation.
const MAX_GROUPS: usize = 100;
/// Days of an account before it is judged.
const LEAST_DAYS: f64 = 3.0;
const DEFAULT_SCORE: f64 = 3.6;
/// One run of days is one story: it is told again when it has become a hundred times rarer.
const AGAIN: f64 = 2.0;
/// Days without a request after which excesses begin anew.
const AWAY: i64 = 4;
/// Weight of the newest day, once there are more than its inverse.
const FADE: f64 = 0.1;
/// Accounts that do the same every day, as programs do, still have days of a third more.
const LEAST_SPREAD: f64 = 0.3;
/// Excess of a day that is no reason for suspicion, in spreads.
const REFERENCE: f64 = 0.5;
/// One day counts no more than so many spreads.
const MOST: f64 = 5.0;

/// Bytes and requests.
type Amounts = [f64; 2];
/// The most of each that says nothing; `None` where it does not matter.
type Limits = [Option<u64>; 2];

/// What an account takes on one kind of day: mean logarithm.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Habit {
    days: f64,
    mean: Amounts,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Account {
    /// The hour that is counted now.
    hour: i64,
    /// Amounts of the day so far.
    amounts: Amounts,
    /// Of working days and of others.
    habits: [Habit; 2],
    /// Excess added up until yesterday, and of how many days.
    sum: Amounts,
    run: u32,
    /// Largest sum of today.
    today: Amounts,
    /// Score told last.
    told: f64,
    /// The most that would not have been told today, once something was.
    #[serde(default)]
    silent: Option<Limits>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Group {
    days: f64,
    /// Mean squared log ratio.
    squares: Amounts,
    tails: [Tail; 2],
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    accounts: Recent<Account>,
    groups: Recent<Group>,
    #[serde(default)]
    calibration: Calibration,
    #[serde(default)]
    crowd: Crowd,
}

/// See the module's documentation.
pub(crate) struct Volume {
    config: Arc<DetectorConfig>,
    state: State,
}

/// What is too much.
struct Excess {
    score: f64,
    /// 0 bytes, 1 requests.
    what: usize,
    amount: f64,
    usual: f64,
    run: u32,
    days: f64,
    /// See [`Account::silent`].
    silent: Limits,
}

impl Volume {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        Volume {
            config,
            state: State {
                accounts: Recent::new(MAX_ACCOUNTS),
                groups: Recent::new(MAX_GROUPS),
                calibration: Calibration::default(),
                crowd: Crowd::default(),
            },
        }
    }

    /// Counts a request, and judges the account when one of its hours begins.
    fn count(&mut self, fact: &Fact) -> Option<Excess> {
        let hour = fact.time_ns.div_euclid(HOUR_NS);
        let account = self.state.accounts.entry(fact.user, || Account {
            hour,
            ..Account::default()
        });
        let group = self.state.groups.entry(account.band(), Group::new);
        let mut excess = None;
        if hour > account.hour {
            if hour.div_euclid(DAY_HOURS) > account.hour.div_euclid(DAY_HOURS) {
                self.state.crowd.add(hour.div_euclid(DAY_HOURS));
            }
            let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
            let wanted = wanted + self.state.crowd.surplus();
            let judged = account.judge(group);
            excess = judged.filter(|e| account.is_news(e.score, wanted));
            if let Some(excess) = &mut excess {
                excess.silent = account.silent_at(group, wanted);
            }
            account.advance(hour, group, &mut self.state.calibration);
            if let Some(excess) = &excess {
                account.told = excess.score;
            }
        } else if hour.div_euclid(DAY_HOURS) < account.hour.div_euclid(DAY_HOURS) {
            // Too late for its day.
            return None;
        }
        account.amounts[0] += fact.bytes as f64;
        account.amounts[1] += 1.0;
        excess
    }
}

impl Account {
    /// How busy it is: accounts of a band are about alike.
    fn band(&self) -> u64 {
        let [working, other] = &self.habits;
        (working.mean[1].max(other.mean[1]) / 0.8) as u64
    }

    /// Logarithms of the amounts of the day so far.
    fn so_far(&self) -> Amounts {
        self.amounts.map(f64::ln_1p)
    }

    /// Compares the day so far with what is usual.
    fn judge(&mut self, group: &Group) -> Option<Excess> {
        let habit = self.habits[kind_of(self.hour)];
        if habit.days < LEAST_DAYS || group.days < 20.0 {
            return None;
        }
        let now = self.so_far();
        let mut worst: Option<Excess> = None;
        for what in 0..2 {
            let sum = self.sum_with(now, &habit, group, what);
            self.today[what] = self.today[what].max(sum);
            let score = group.tails[what].rarity(sum);
            // Days before today do not make too much of a day that is like any other.
            if now[what] <= habit.mean[what] {
                continue;
            }
            if worst.as_ref().is_none_or(|w| score > w.score) {
                worst = Some(Excess {
                    score,
                    what,
                    amount: now[what].exp_m1(),
                    usual: habit.mean[what].exp_m1(),
                    run: self.run + 1,
                    days: habit.days,
                    silent: [None; 2],
                });
            }
        }
        worst
    }

    /// Is a score to be told?
    fn is_news(&self, score: f64, wanted: f64) -> bool {
        let again = self.told == 0.0 || score > self.told + AGAIN;
        score >= wanted && again
    }

    /// The greatest amounts that would not be told now: of bytes, requests or, if each alone is too
    /// much, both. Later in the day they are what held when the day was told first.
    fn silent_at(&mut self, group: &Group, wanted: f64) -> Limits {
        if let Some(silent) = self.silent {
            return silent;
        }
        let silent = self.limits(group, wanted).unwrap_or_default();
        self.silent = Some(silent);
        silent
    }

    /// See [`Account::silent_at`].
    fn limits(&self, group: &Group, wanted: f64) -> Option<Limits> {
        let habit = self.habits[kind_of(self.hour)];
        let now = self.so_far();
        let is_told = |what: usize, amount: u64| {
            let mut now = now;
            now[what] = (amount as f64).ln_1p();
            let sum = self.sum_with(now, &habit, group, what);
            let above = now[what] > habit.mean[what];
            above && self.is_news(group.tails[what].rarity(sum), wanted)
        };
        let mut silent = Limits::default();
        for (what, silent) in silent.iter_mut().enumerate() {
            // A day without a request is not judged.
            let (mut low, mut high) = (what as u64, self.amounts[what] as u64);
            if !is_told(what, high) {
                continue;
            }
            if is_told(what, low) {
                return None;
            }
            while low + 1 < high {
                let middle = low + (high - low) / 2;
                match is_told(what, middle) {
                    true => high = middle,
                    false => low = middle,
                }
            }
            *silent = Some(low);
        }
        Some(silent)
    }

    /// The excess added up, today included.
    fn sum_with(&self, now: Amounts, habit: &Habit, group: &Group, what: usize) -> f64 {
        let spread = (group.squares[what] / group.days.max(1.0))
            .sqrt()
            .max(LEAST_SPREAD);
        let excess = (now[what] - habit.mean[what]) / spread;
        (self.sum[what] + excess.min(MOST) - REFERENCE).max(0.0)
    }

    /// Goes on to `hour`; a day that ends is a lesson.
    fn advance(&mut self, hour: i64, group: &mut Group, calibration: &mut Calibration) {
        let days = hour.div_euclid(DAY_HOURS) - self.hour.div_euclid(DAY_HOURS);
        if days > 0 {
            self.note_day(group, calibration);
            self.end_day(self.hour, group);
            self.amounts = [0.0; 2];
        }
        if days > AWAY {
            // What came before is no run.
            (self.sum, self.run) = ([0.0; 2], 0);
        }
        self.hour = hour;
    }

    /// How rare the day was: the rarer of bytes and requests, as the alert says it.
    fn note_day(&self, group: &Group, calibration: &mut Calibration) {
        let (now, habit) = (self.so_far(), self.habits[kind_of(self.hour)]);
        if habit.days < LEAST_DAYS {
            return;
        }
        let chances = (0..2).filter_map(|what| {
            let sum = self.sum_with(now, &habit, group, what);
            group.tails[what].chances(self.today[what].max(sum))
        });
        if let Some((low, high)) = chances.min_by(|a, b| a.1.total_cmp(&b.1)) {
            calibration.rank(low, high, self.told > 0.0);
        }
    }

    fn end_day(&mut self, hour: i64, group: &mut Group) {
        let now = self.so_far();
        let habit = self.habits[kind_of(hour)];
        let mut lesson = now;
        if habit.days >= LEAST_DAYS {
            for (what, lesson) in lesson.iter_mut().enumerate() {
                let sum = self.sum_with(now, &habit, group, what);
                group.tails[what].add(self.today[what].max(sum));
                let spread = (group.squares[what] / group.days.max(1.0))
                    .sqrt()
                    .max(LEAST_SPREAD);
                // Too much must not become what is usual.
                *lesson = now[what].min(habit.mean[what] + 2.0 * spread);
                self.sum[what] = sum;
            }
            self.run = if self.sum == [0.0; 2] {
                0
            } else {
                self.run + 1
            };
        }
        if habit.days >= 1.0 {
            group.learn(now, &habit);
        }
        if let Some(habit) = self.habits.get_mut(kind_of(hour)) {
            habit.days += 1.0;
            let rate = FADE.max(1.0 / habit.days);
            for (mean, lesson) in habit.mean.iter_mut().zip(lesson) {
                *mean += rate * (lesson - *mean);
            }
        }
        (self.today, self.silent) = ([0.0; 2], None);
        if self.sum == [0.0; 2] {
            self.told = 0.0;
        }
    }
}

impl Group {
    fn new() -> Self {
        Group {
            days: 0.0,
            squares: [0.0; 2],
            tails: [Tail::new(0.5), Tail::new(0.5)],
        }
    }

    fn learn(&mut self, now: Amounts, habit: &Habit) {
        self.days += 1.0;
        for (what, squares) in self.squares.iter_mut().enumerate() {
            let off = (now[what] - habit.mean[what]).clamp(-3.0, 3.0);
            *squares += off * off;
        }
        if self.days > 4_000.0 {
            self.days *= 0.5;
            self.squares.iter_mut().for_each(|s| *s *= 0.5);
        }
    }
}

impl FactDetector for Volume {
    type State = State;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let fact = at.fact;
        if fact.user == 0 || !fact.is_outer() || !fact.served() {
            return;
        }
        let Some(excess) = self.count(fact) else {
            return;
        };
        let user = at.name(fact.user);
        let mut says = at.says("user", user, excess.score);
        let (amount, usual) = match excess.what {
            0 => (bytes(excess.amount), bytes(excess.usual)),
            _ => (
                format!("{} requests", grouped(excess.amount as u64)),
                grouped(excess.usual as u64),
            ),
        };
        says.summary = format!(
            "{user} took {amount} today, usual on such a day is {usual}; above it for {} \
             days in a row",
            excess.run,
        );
        let kinds = ["bytes on the day", "requests on the day"].into_iter();
        let bounds = kinds.zip(excess.silent);
        let bounds = bounds.filter_map(|(what, most)| Some(Bound::at_most(most?, what)));
        let bounds: Vec<Bound> = bounds.collect();
        says.since_ns = fact.time_ns - i64::from(excess.run) * DAY_HOURS * HOUR_NS;
        says.baseline = json!({
            "count": excess.amount.round(), "mean": rounded(excess.usual),
            "what": if excess.what == 0 { "bytes" } else { "requests" },
            "window": "day", "days": excess.days, "days_above": excess.run,
            "silent_at": silent::told(&bounds),
        });
        out.extend(at.finding(&self.config, says));
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }

    fn calibration(&self) -> Option<&Calibration> {
        Some(&self.state.calibration)
    }

    fn learning(&self, about: &About<'_>) -> Option<Learned> {
        let known = self.state.accounts.peek(about.hash);
        let account = known.filter(|_| about.kind == "user")?;
        let kind = kind_of(account.hour);
        let days = account.habits.get(kind)?.days;
        (days < LEAST_DAYS).then_some(Learned {
            seen: days as u64,
            needed: LEAST_DAYS as u64,
            unit: if kind == 0 {
                "working days"
            } else {
                "days of weekends"
            },
        })
    }

    fn state_bytes(&self) -> usize {
        let tail = |group: &Group| group.tails.iter().map(Tail::bytes).sum::<usize>();
        let groups: usize = self.state.groups.values().map(tail).sum();
        self.state.accounts.bytes() + groups + self.state.calibration.bytes()
    }
}

/// 0 for a working day, 1 for Saturday and Sunday (UTC).
fn kind_of(hour: i64) -> usize {
    // The epoch began on a Thursday.
    let day = (hour.div_euclid(24) + 3).rem_euclid(7);
    usize::from(day >= 5)
}

/// `4.1 MB`
fn bytes(amount: f64) -> String {
    let (mut amount, mut unit) = (amount, "B");
    for next in ["kB", "MB", "GB", "TB"] {
        if amount < 1_000.0 {
            break;
        }
        (amount, unit) = (amount / 1_000.0, next);
    }
    format!("{amount:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_days_is_told_once_and_on_no_day_that_is_as_usual() {
        let mut group = Group::new();
        (group.days, group.squares) = (100.0, [9.0; 2]);
        for i in 0..500 {
            let sum = f64::from(i % 10) / 10.0;
            group.tails.iter_mut().for_each(|tail| tail.add(sum));
        }
        let usual = Habit {
            days: 9.0,
            mean: [25f64.ln_1p(); 2],
        };
        let mut account = Account {
            habits: [usual; 2],
            sum: [9.0; 2],
            ..Account::default()
        };
        account.amounts = [17.0; 2];
        assert!(account.judge(&group).is_none());
        account.amounts = [60.0, 17.0];
        let excess = account.judge(&group);
        assert!(excess.is_some_and(|e| e.what == 0 && account.is_news(e.score, 3.6)));
        account.told = 4.0;
        assert!(!account.is_news(5.5, 3.6) && account.is_news(6.1, 3.6));
    }
}
