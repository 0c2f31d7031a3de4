//! What the runs say, as figures.

use std::time::Duration;

use super::load::Sent;
use super::procs::Cost;
use super::{Service, Setting};
use crate::bench::Part;
use crate::bench::figure::{Figure, median};

/// How many times as many events Weir is to acknowledge as the other service, one a request and in batches.
const GOALS: (f64, f64) = (10.0, 100.0);

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) setting: Setting,
    pub(super) service: Service,
    /// Events acknowledged a second.
    pub(super) rate: f64,
    /// Events that became rows a second, until the last one was; Weir's only.
    pub(super) landed: Option<f64>,
    /// Half of the requests, and all but a hundredth, took no longer; milliseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// From acknowledgement to row: half of the marked events, the slowest, and how many they were.
    pub(super) delay: Option<(Duration, Duration, usize)>,
    /// All events acknowledged, the warm-up's included: those that the costs are of.
    pub(super) events: u64,
    pub(super) costs: Vec<Cost>,
    /// Requests not answered with 200.
    pub(super) refused: u64,
}

/// The time that a share of the requests took at most, in milliseconds.
pub(super) fn percentile(sent: &Sent, share: f64) -> f64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = (sent.latencies.len().saturating_sub(1) as f64 * share).round() as usize;
    sent.latencies
        .get(at)
        .map_or(f64::NAN, |micros| f64::from(*micros) / 1e3)
}

fn listed(values: &[f64], decimals: usize) -> String {
    let all: Vec<_> = values.iter().map(|value| format!("{value:.decimals$}")).collect();
    all.join(", ")
}

/// The figures of all runs: those of each setting together.
pub(super) fn of(runs: &[Run]) -> Vec<Figure> {
    let mut settings: Vec<Setting> = Vec::new();
    for run in runs {
        if !settings.contains(&run.setting) {
            settings.push(run.setting);
        }
    }
    let mut figures = Vec::new();
    for setting in settings {
        let of = |service: Service| -> Vec<&Run> {
            let wanted = |run: &&Run| run.setting == setting && run.service == service;
            runs.iter().filter(wanted).collect()
        };
        figures.extend(of_service(setting, Service::Weir, &of(Service::Weir)));
        figures.extend(of_service(setting, Service::Other, &of(Service::Other)));
        // The other service takes one event a request.
        let single = Setting { batch: 1, ..setting };
        let rate = |wanted: Setting, service: Service| {
            let all = runs
                .iter()
                .filter(|run| run.setting == wanted && run.service == service);
            all.map(|run| run.rate).collect::<Vec<_>>()
        };
        let (weir, other) = (rate(setting, Service::Weir), rate(single, Service::Other));
        if !other.is_empty() && !weir.is_empty() {
            let goal = if setting.batch == 1 { GOALS.0 } else { GOALS.1 };
            let to = match setting.batch {
                1 => "Weir to the other service",
                _ => "Weir to the other service, single",
            };
            let figure = Figure::new(
                Part::EndToEnd,
                format!("{setting}: {to}"),
                median(&weir) / median(&other),
                "×",
            );
            let raw = format!("{} to {} events/s", listed(&weir, 0), listed(&other, 0));
            figures.push(figure.at_least(goal).of(raw));
        }
    }
    figures
}

fn of_service(setting: Setting, service: Service, runs: &[&Run]) -> Vec<Figure> {
    if runs.is_empty() {
        return Vec::new();
    }
    let name = |what: &str| match service {
        Service::Weir => format!("{setting}: {what}"),
        Service::Other => format!("{setting}: the other service: {what}"),
    };
    let values = |of: &dyn Fn(&Run) -> f64| -> Vec<f64> { runs.iter().map(|run| of(run)).collect() };
    let figure = |what: &str, values: &[f64], unit| Figure::new(Part::EndToEnd, name(what), median(values), unit);
    let mut figures = Vec::new();
    let rates = values(&|run| run.rate);
    let refused: u64 = runs.iter().map(|run| run.refused).sum();
    let refused = match refused {
        0 => String::new(),
        some => format!("; {some} requests refused"),
    };
    figures.push(figure("acknowledged", &rates, "events/s").of(listed(&rates, 0) + &refused));
    for (what, of) in [
        ("p50 of a request", (&|run: &Run| run.p50) as &dyn Fn(&Run) -> f64),
        ("p99 of a request", &|run: &Run| run.p99),
    ] {
        let all = values(of);
        figures.push(figure(what, &all, "ms").of(listed(&all, 2)));
    }
    let landed: Vec<f64> = runs.iter().filter_map(|run| run.landed).collect();
    if !landed.is_empty() {
        figures.push(figure("landed", &landed, "events/s").of(listed(&landed, 0)));
    }
    let delays: Vec<_> = runs.iter().filter_map(|run| run.delay).collect();
    if !delays.is_empty() {
        let (half, most): (Vec<f64>, Vec<f64>) = delays
            .iter()
            .map(|(half, most, _)| (half.as_secs_f64(), most.as_secs_f64()))
            .unzip();
        let marked: usize = delays.iter().map(|(.., marked)| marked).sum();
        let raw = format!("of {marked} marked events; {}", super::buffered());
        figures.push(figure("from 200 to a row, p50", &half, "s").of(raw));
        figures.push(figure("from 200 to a row, longest", &most, "s").of(listed(&most, 2)));
    }
    // Of all processes together, then of each beside it.
    let cost = |run: &Run, of: &dyn Fn(&Cost) -> f64| -> Vec<(&'static str, f64)> {
        run.costs.iter().map(|cost| (cost.name, of(cost))).collect()
    };
    for (what, unit, per_thousand, decimals) in [("CPU a 1,000 events", "s", true, 4), ("peak memory", "MB", false, 0)]
    {
        let mut totals = Vec::new();
        let mut raw = Vec::new();
        for run in runs {
            #[allow(clippy::cast_precision_loss, reason = "a figure")]
            let each = cost(run, &|cost| match per_thousand {
                true => cost.cpu.as_secs_f64() * 1000.0 / run.events.max(1) as f64,
                false => cost.peak as f64 / 1e6,
            });
            // The load's own is no cost of the service.
            totals.push(
                each.iter()
                    .filter(|(name, _)| *name != super::LOAD)
                    .map(|(_, it)| it)
                    .sum(),
            );
            let each: Vec<_> = each
                .iter()
                .map(|(name, it)| format!("{name} {it:.decimals$}"))
                .collect();
            raw.push(each.join(", "));
        }
        if raw.iter().any(|text| !text.is_empty()) {
            figures.push(figure(what, &totals, unit).of(raw.join("; ")));
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(batch: usize, service: Service, rate: f64) -> Run {
        Run {
            setting: Setting { connections: 8, batch },
            service,
            rate,
            landed: (service == Service::Weir).then_some(rate / 2.0),
            p50: 1.0,
            p99: 2.0,
            delay: None,
            events: 2000,
            costs: vec![
                Cost {
                    name: "events",
                    cpu: Duration::from_secs(1),
                    peak: 5_000_000,
                },
                Cost {
                    name: super::super::LOAD,
                    cpu: Duration::from_secs(9),
                    peak: 1_000_000,
                },
            ],
            refused: 0,
        }
    }

    #[test]
    fn ratios_are_of_the_same_connections() {
        let runs = [
            run(1, Service::Weir, 50_000.0),
            run(100, Service::Weir, 300_000.0),
            run(1, Service::Other, 4000.0),
            run(1, Service::Weir, 30_000.0),
            run(1, Service::Other, 4000.0),
        ];
        let figures = of(&runs);
        let ratio = |what: &str| {
            let found = figures.iter().find(|figure| figure.what == what).unwrap();
            (found.figure, found.met())
        };
        assert_eq!(
            ratio("8 connections, single: Weir to the other service"),
            (10.0, Some(true))
        );
        assert_eq!(
            ratio("8 connections, by 100: Weir to the other service, single"),
            (75.0, Some(false))
        );
        let cpu = figures
            .iter()
            .find(|figure| figure.what.ends_with("single: CPU a 1,000 events"));
        assert_eq!(cpu.unwrap().figure, 0.5);
        assert!(cpu.unwrap().raw.contains("the load 4.5000"));
    }

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        let sent = Sent {
            latencies: (1..=101).map(|at| at * 1000).collect(),
            ..Sent::default()
        };
        assert_eq!((percentile(&sent, 0.5), percentile(&sent, 0.99)), (51.0, 100.0));
    }
}
