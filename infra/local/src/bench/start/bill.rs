//! What an invocation takes of a processor once its function has started, and what a million events then cost on AWS.
//!
//! Functions as they ship, asked by the runtime API of this bench: `events` puts into a stream behind TLS, `loader` inserts into
//! a ClickHouse of its own, without TLS. The processor's time is that of the function alone, on this machine's processor. How long
//! AWS and a ClickHouse on a network take to answer is not measured here: `weir cost` has allowances for both.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::runtime::RuntimeApi;
use super::stream::Stream;
use super::{EVENTS, Started, invocation};
use crate::bench::Part;
use crate::bench::figure::Figure;
use crate::cost::{self, Measured};
use crate::project::Project;
use crate::report::Step;
use crate::up::{self, throwaway};
use crate::{migrate, tools};

/// Invocations before the processor's time is read: the first ones load what later ones have.
const WARM: usize = 20;

/// Invocations over which it is read.
const INVOCATIONS: usize = 200;

/// Events of a batch.
const BATCH: usize = 100;

/// Rows of a small delivery, and of one of 2 MB.
const DELIVERIES: [usize; 2] = [100, 6000];

/// Measures it.
pub(in crate::bench) async fn run(project: &Project, library: Option<PathBuf>) -> anyhow::Result<Vec<Figure>> {
    let programs = up::build::programs_as_shipped(project.root(), &[EVENTS, "loader"]).await?;
    let [events, loader] = &programs[..] else {
        anyhow::bail!("cargo built something else")
    };
    let stream = Stream::open().await?;
    let mut runtime = RuntimeApi::open().await?;

    let step = Step::begin("measure what invocations of events take");
    let single = of_events(events, &mut runtime, &stream, 1).await?;
    let batch = of_events(events, &mut runtime, &stream, BATCH).await?;
    step.done();

    let step = Step::begin("measure what deliveries to loader take");
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let library = match library {
        Some(library) => library,
        None => tools::engine_library(project).await?,
    };
    let weir = std::env::current_exe().context("the path of weir itself is unknown")?;
    let engine = throwaway::clickhouse(&weir, &library, folder.path()).await?;
    let measured = of_loader(loader, &mut runtime, &stream, &engine.url).await;
    engine.stop().await;
    let [small, large] = measured?;
    step.done();

    let event_cpu_ms = (batch - single).max(0.0) / (BATCH - 1) as f64;
    let row_cpu_ms = (large - small).max(0.0) / (DELIVERIES[1] - DELIVERIES[0]) as f64;
    let measured = Measured {
        request_cpu_ms: (single - event_cpu_ms).max(0.0),
        event_cpu_ms,
        delivery_cpu_ms: (small - row_cpu_ms * DELIVERIES[0] as f64).max(0.0),
        row_cpu_ms,
    };
    let costs = cost::of(&measured)?;
    let figure = |what: &str, figure, unit| Figure::new(Part::Cost, what, figure, unit);
    let dollars = |at: usize, what: &str| {
        let raw = format!(
            "{} ms billed a request, {} ms a delivery",
            costs[at].request_ms, costs[at].delivery_ms
        );
        figure(what, costs[at].total, "$").of(raw)
    };
    Ok(vec![
        figure(
            "events: processor time of a request",
            measured.request_cpu_ms * 1e3,
            "µs",
        ),
        figure("events: of each event in it", measured.event_cpu_ms * 1e3, "µs"),
        figure(
            "loader: processor time of a delivery",
            measured.delivery_cpu_ms * 1e3,
            "µs",
        ),
        figure("loader: of each row in it", measured.row_cpu_ms * 1e3, "µs"),
        dollars(0, "a million events, one a request"),
        dollars(1, "a million events, 100 a request"),
        figure(
            "what packing 100 into a request saves",
            costs[0].total - costs[1].total,
            "$",
        )
        .of(format!(
            "of which ${:.4} at Firehose",
            costs[0].firehose - costs[1].firehose
        )),
    ])
}

/// Milliseconds of a processor that a request with so many events takes.
async fn of_events(program: &Path, runtime: &mut RuntimeApi, stream: &Stream, batch: usize) -> anyhow::Result<f64> {
    let mut started = Started::begin(EVENTS, program, runtime, stream, true, &[]).await?;
    let events: Vec<String> = (0..batch).map(event).collect();
    let body = match &events[..] {
        [only] => only.clone(),
        many => format!("[{}]", many.join(",")),
    };
    let call = invocation("/events", &json!({"content-type": "application/json"}), &body);
    let mut begun = 0.0;
    for number in 0..WARM + INVOCATIONS {
        if number == WARM {
            begun = started.processor_ms()?;
        }
        started.invoke(runtime, call.clone()).await?;
    }
    let taken = started.processor_ms()? - begun;
    started.end().await?;
    Ok(taken / INVOCATIONS as f64)
}

/// The same of deliveries, of each of [`DELIVERIES`].
async fn of_loader(
    program: &Path,
    runtime: &mut RuntimeApi,
    stream: &Stream,
    clickhouse: &str,
) -> anyhow::Result<[f64; 2]> {
    migrate::embedded(
        &::clickhouse::Client::default().with_url(clickhouse),
        clickhouse,
        "analytics",
    )
    .await?;
    let variables = [
        ("CLICKHOUSE_URL", clickhouse.to_owned()),
        ("CLICKHOUSE_USER", "default".to_owned()),
        ("CLICKHOUSE_PASSWORD", String::new()),
    ];
    let mut taken = [0.0; 2];
    for (rows, taken) in DELIVERIES.into_iter().zip(&mut taken) {
        let mut started = Started::begin("loader", program, runtime, stream, false, &variables).await?;
        let mut begun = 0.0;
        for number in 0..WARM + INVOCATIONS {
            if number == WARM {
                begun = started.processor_ms()?;
            }
            started.invoke(runtime, delivery(rows)).await?;
        }
        *taken = (started.processor_ms()? - begun) / INVOCATIONS as f64;
        started.end().await?;
    }
    Ok(taken)
}

/// An event of about 200 bytes.
fn event(number: usize) -> String {
    format!(
        "{{\"dt\":\"2026-06-01T10:{:02}:{:02}Z\",\"name\":\"view\",\"user_id\":{},\"url\":\"https://shop.example/products/{}?ref=mail\",\
         \"obj\":\"product\",\"obj_id\":\"{}\",\"product_id\":{},\"exp\":{{\"checkout\":\"b\"}}}}",
        number / 60 % 60,
        number % 60,
        100_000 + number,
        number % 5000,
        number % 5000,
        number % 5000,
    )
}

/// A delivery of so many rows in one record, none of which was there before.
fn delivery(rows: usize) -> Vec<u8> {
    let lines: String = (0..rows)
        .map(|number| {
            let event = event(number);
            let fields = event
                .trim_start_matches('{')
                .replace(",\"exp\"", ",\"amount\":0.0,\"exp\"");
            let id = uuid::Uuid::now_v7();
            format!("{{\"event_id\":\"{id}\",\"received_at\":\"2026-06-01T10:59:59.250Z\",{fields}\n")
        })
        .collect();
    let id = uuid::Uuid::now_v7().to_string();
    let body = json!({"requestId": id, "timestamp": 1, "records": [{"data": STANDARD.encode(lines)}]});
    let headers = json!({
        "content-type": "application/json",
        "x-amz-firehose-access-key": super::ACCESS_KEY,
        "x-amz-firehose-request-id": id,
        "x-amz-firehose-protocol-version": "1.0",
    });
    invocation("/", &headers, &body.to_string())
}

/// The time on processors of a process, all its threads, in milliseconds: the first number of `schedstat`, in nanoseconds
/// (<https://docs.kernel.org/scheduler/sched-stats.html>).
pub(super) fn processor_ms(pid: u32) -> anyhow::Result<f64> {
    let mut nanoseconds = 0_u64;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let first = text
            .split_whitespace()
            .next()
            .and_then(|first| first.parse::<u64>().ok());
        nanoseconds += first.context("schedstat has no numbers")?;
    }
    ensure!(nanoseconds > 0, "this kernel does not count processor time by thread");
    Ok(nanoseconds as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_made_of_lines() {
        let call: serde_json::Value = serde_json::from_slice(&delivery(2)).unwrap();
        let body: serde_json::Value = serde_json::from_str(call["body"].as_str().unwrap()).unwrap();
        let lines = STANDARD.decode(body["records"][0]["data"].as_str().unwrap()).unwrap();
        let read = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        assert_eq!(read.filter(|line| event_model::Row::from_line(line).is_ok()).count(), 2);
    }
}
