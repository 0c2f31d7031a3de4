//! From a body to packed records, and, to compare with, the same body read by `serde_json` into a plain struct.
//! `cargo bench -p events --bench edge`

mod cases;
mod sample;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use crate::cases::{Case, NAMES};

fn edge(criterion: &mut Criterion) {
    measure(criterion, "edge", Case::edge);
}

fn serde(criterion: &mut Criterion) {
    measure(criterion, "serde", Case::serde);
}

fn measure(criterion: &mut Criterion, group: &str, run: fn(&Case) -> usize) {
    let mut group = criterion.benchmark_group(group);
    for name in NAMES {
        let Some(case) = Case::named(name) else { continue };
        assert!(case.edge() > 100 * case.events && case.serde() == case.events, "{name}");
        group.throughput(Throughput::Elements(case.events as u64));
        group.bench_function(name, |bencher| bencher.iter(|| run(black_box(&case))));
    }
    group.finish();
}

criterion_group!(benches, edge, serde);
criterion_main!(benches);
