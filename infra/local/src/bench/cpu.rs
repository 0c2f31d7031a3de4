//! What the functions compute, without anything around it: the benches `edge` of `events` and `load` of `loader`.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::project::Project;
use crate::report::Step;
use crate::tools;

use super::Part;
use super::cargo::{self, Case, Measured};
use super::figure::Figure;
use super::server_cpu;

/// From a request's body to packed records, beside what `serde_json` takes to make plain structs of the same body.
pub(super) async fn edge(project: &Project) -> anyhow::Result<Vec<Figure>> {
    let measured = cargo::criterion(project.root(), "events", "edge", &project.bench()).await?;
    let mut figures = Vec::new();
    for (case, what) in [
        ("one", "one event a request"),
        ("array_500", "array of 500"),
        ("ndjson_5000", "NDJSON of 5,000"),
        ("gzip_5000", "NDJSON of 5,000, gzip"),
    ] {
        let ours = measured.case(&format!("edge/{case}"))?;
        let plain = measured.case(&format!("serde/{case}"))?;
        let figure = if case == "one" {
            Figure::new(Part::Edge, what, ours.each() / 1e3, "µs").at_most(3.0)
        } else {
            Figure::new(Part::Edge, what, ours.rate(), "events/s/core").at_least(1e6)
        };
        figures.push(figure.of(format!("{:.0} ns an event", ours.each())));
        let raw = format!("serde_json: {:.0} ns an event", plain.each());
        let ratio = ours.nanoseconds / plain.nanoseconds;
        figures.push(
            Figure::new(Part::Edge, format!("{what}, to serde_json"), ratio, "×")
                .at_most(1.5)
                .of(raw),
        );
    }
    Ok(figures)
}

/// From a delivery's bytes to the blocks of its inserts, and what these cost the server.
pub(super) async fn loader(project: &Project, library: Option<PathBuf>) -> anyhow::Result<Vec<Figure>> {
    let measured = cargo::criterion(project.root(), "loader", "load", &project.bench()).await?;
    let rows = |measured: &Measured, case: &str| measured.case(&format!("loader/{case}"));
    let figure = |what: &str, case: Case| {
        Figure::new(Part::Loader, what, case.rate(), "rows/s/core").of(format!("{:.0} ns a row", case.each()))
    };
    let library = match library {
        Some(library) => library,
        None => tools::engine_library(project).await?,
    };
    let weir = std::env::current_exe().context("this program has no path")?;
    let step = Step::begin("loader: insert its block and ClickHouse's own".to_owned());
    let server = server_cpu::run(&weir, &library).await?;
    step.done();
    Ok(vec![
        figure("delivery of 2 MB", rows(&measured, "delivery_2mb")?).at_least(1.5e6),
        figure("delivery over three months", rows(&measured, "three_months")?),
        figure("delivery of 100 rows", rows(&measured, "delivery_small")?),
        Figure::new(Part::Loader, "the server's part, to its own block", server.ratio, "×")
            .at_most(1.2)
            .of(format!(
                "{:.2} µs a row, {:.2} µs of its own",
                server.own, server.native
            )),
    ])
}
