//! Log lines of known kind: how many of them land in a group that is exactly their kind (grouping
//! accuracy, Zhu et al., ICSE 2019), and how many groups are exactly a kind (F1 of grouping, Jiang
//! et al., ISSTA 2024). One setting for all systems.

use std::collections::HashMap;

use anyhow::{Context, Result};
use watchfire_detect::models::drain::Drain;

use super::{EvalArgs, Report, csv};

/// Templates that are kept, as for a service.
const MOST: usize = 10_000;

pub(super) fn run(args: &EvalArgs) -> Result<Report> {
    let mut sets = Vec::new();
    for file in args.files(&[".log_structured.csv"])? {
        let table = csv::Table::parse(&args.read(&file)?).with_context(|| file.clone())?;
        let (content, event) = (table.column("Content")?, table.column("EventId")?);
        let mut drain = Drain::new(MOST);
        let groups: Vec<u64> = table
            .rows
            .iter()
            .map(|r| drain.learn(&r[content]).id)
            .collect();
        let kinds: Vec<&str> = table.rows.iter().map(|r| r[event].as_str()).collect();
        let name = file.split('_').next().unwrap_or_default().to_owned();
        args.write(&format!("{name}.groups"), groups.iter().map(u64::to_string))?;
        sets.push((name, grouping(&kinds, &groups)));
    }
    let mut report = Report {
        columns: vec![
            "lines",
            "kinds",
            "groups",
            "grouping_accuracy",
            "grouping_f1",
        ],
        sets,
        all: Vec::new(),
    };
    report.all = vec![
        ("mean_grouping_accuracy", report.mean(3)),
        ("mean_grouping_f1", report.mean(4)),
    ];
    Ok(report)
}

/// Lines, kinds, groups, grouping accuracy and F1 of grouping.
fn grouping(kinds: &[&str], groups: &[u64]) -> Vec<f64> {
    let mut of_kind: HashMap<&str, usize> = HashMap::new();
    let mut of_group: HashMap<u64, Vec<&str>> = HashMap::new();
    for (kind, group) in kinds.iter().zip(groups) {
        *of_kind.entry(kind).or_default() += 1;
        of_group.entry(*group).or_default().push(kind);
    }
    let exact = of_group.values().filter(|inside| {
        let same = inside.windows(2).all(|w| w[0] == w[1]);
        same && inside.first().and_then(|k| of_kind.get(k)) == Some(&inside.len())
    });
    let (lines, exact): (Vec<usize>, Vec<()>) = exact.map(|inside| (inside.len(), ())).unzip();
    let both = (of_group.len() + of_kind.len()).max(1) as f64;
    vec![
        kinds.len() as f64,
        of_kind.len() as f64,
        of_group.len() as f64,
        lines.iter().sum::<usize>() as f64 / kinds.len().max(1) as f64,
        2.0 * exact.len() as f64 / both,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_kinds_count() {
        // a is whole, b is split, c and d are merged.
        let kinds = ["a", "a", "b", "b", "c", "d"];
        let figures = grouping(&kinds, &[1, 1, 2, 3, 4, 4]);
        assert_eq!(figures, [6.0, 4.0, 4.0, 2.0 / 6.0, 2.0 / 8.0]);
    }
}
