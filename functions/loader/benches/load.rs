//! From the body of a delivery to blocks and tokens, rows a second: `cargo bench -p loader --bench load`.

#![allow(missing_docs, reason = "criterion's macros")]

mod cases;
mod sample;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn load(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("loader");
    for case in cases::CASES {
        let body = cases::body(case).unwrap_or_default();
        group.throughput(Throughput::Elements(cases::rows(case) as u64));
        group.bench_function(case, |bencher| bencher.iter(|| loader::blocks(black_box(&body))));
    }
    group.finish();
}

criterion_group!(benches, load);
criterion_main!(benches);
