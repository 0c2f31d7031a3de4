//! The arithmetic: what a million events cost, from how they are sent and what is asked for. No I/O.

use serde::Serialize;

use super::prices::{self, FIREHOSE_ROUNDS_TO_BYTES, GB};

/// How many events the costs are for.
pub(super) const EVENTS: u64 = 1_000_000;

/// Most bytes of a record that the `events` function fills.
pub(super) const MAX_RECORD_BYTES: u64 = 1_024_000;

/// With so many MB a function has a whole core (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>); with
/// less, that share of one.
pub(super) const CORE_MB: u64 = 1769;

/// How events come, and what each step takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Load {
    /// Bytes of an event as a line in the stream.
    pub(super) event_bytes: u64,
    /// Events a second, on average: with few of them, Firehose delivers by time.
    pub(super) events_per_second: f64,
    /// Memory of `events`, in MB.
    pub(super) events_memory_mb: u64,
    /// CPU time of a request of `events`, without its events, in milliseconds on a whole core.
    pub(super) request_cpu_ms: f64,
    /// CPU time of each of its events.
    pub(super) event_cpu_ms: f64,
    /// How long a request waits for Firehose, in milliseconds.
    pub(super) firehose_ms: f64,
    /// Memory of `loader`, in MB.
    pub(super) loader_memory_mb: u64,
    /// CPU time of a delivery to `loader`, without its rows, in milliseconds on a whole core.
    pub(super) delivery_cpu_ms: f64,
    /// CPU time of each of its rows.
    pub(super) row_cpu_ms: f64,
    /// How long a delivery waits for ClickHouse, in milliseconds.
    pub(super) clickhouse_ms: f64,
    /// After how many seconds Firehose delivers.
    pub(super) buffer_seconds: u64,
    /// After how many MB (1,048,576 bytes) Firehose delivers.
    pub(super) buffer_mb: u64,
    /// Bytes that CloudWatch Logs takes for an invocation of either.
    pub(super) log_bytes: u64,
    /// How many of a hundred deliveries end in the backup.
    pub(super) failed_percent: f64,
}

/// What a million events cost, in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Cost {
    /// Events a request.
    pub(crate) batch: u64,
    /// Requests to `events`.
    pub(crate) requests: u64,
    /// Deliveries to `loader`.
    pub(crate) deliveries: u64,
    /// What a request to `events` is billed, in milliseconds.
    pub(crate) request_ms: u64,
    /// What a delivery to `loader` is billed, in milliseconds.
    pub(crate) delivery_ms: u64,
    /// Bytes that Firehose bills.
    pub(crate) firehose_bytes: u64,
    pub(crate) events_requests: f64,
    pub(crate) events_compute: f64,
    pub(crate) firehose: f64,
    pub(crate) loader_requests: f64,
    pub(crate) loader_compute: f64,
    pub(crate) logs: f64,
    pub(crate) backup: f64,
    pub(crate) total: f64,
}

impl Load {
    /// What a million events cost that come in requests of `batch`.
    pub(super) fn cost(&self, batch: u64) -> Cost {
        let requests = EVENTS.div_ceil(batch);
        let firehose_bytes = EVENTS / batch * self.billed_bytes(batch) + self.billed_bytes(EVENTS % batch);
        let deliveries = self.deliveries();
        let failed = deliveries as f64 * self.failed_percent / 100.0;
        let failed_gb = self.bytes() as f64 * self.failed_percent / 100.0 / GB;
        let request_cpu_ms = self.request_cpu_ms + self.event_cpu_ms * batch.min(EVENTS) as f64;
        let request_ms = billed(request_cpu_ms, self.firehose_ms, self.events_memory_mb);
        let delivery_cpu_ms = self.delivery_cpu_ms + self.row_cpu_ms * EVENTS as f64 / deliveries as f64;
        let delivery_ms = billed(delivery_cpu_ms, self.clickhouse_ms, self.loader_memory_mb);
        let events_requests = invocations(requests);
        let events_compute = compute(requests, request_ms, self.events_memory_mb);
        let firehose = firehose_bytes as f64 / GB * prices::FIREHOSE.usd;
        let loader_requests = invocations(deliveries);
        let loader_compute = compute(deliveries, delivery_ms, self.loader_memory_mb);
        let logs = ((requests + deliveries) * self.log_bytes) as f64 / GB * prices::LOGS.usd;
        let backup = failed / 1e3 * prices::S3_PUTS.usd + failed_gb * prices::S3_STORAGE.usd;
        Cost {
            batch,
            requests,
            deliveries,
            request_ms,
            delivery_ms,
            firehose_bytes,
            events_requests,
            events_compute,
            firehose,
            loader_requests,
            loader_compute,
            logs,
            backup,
            total: events_requests + events_compute + firehose + loader_requests + loader_compute + logs + backup,
        }
    }

    fn bytes(&self) -> u64 {
        EVENTS * self.event_bytes
    }

    /// What Firehose bills for a request with so many events: they fill records, and each record is rounded up.
    fn billed_bytes(&self, events: u64) -> u64 {
        let fit = (MAX_RECORD_BYTES / self.event_bytes).max(1);
        let rounded = |events: u64| (events * self.event_bytes).next_multiple_of(FIREHOSE_ROUNDS_TO_BYTES);
        events / fit * rounded(fit) + rounded(events % fit)
    }

    /// How often Firehose delivers: by size or by time, whichever comes first, and never less than the other alone would.
    fn deliveries(&self) -> u64 {
        let by_size = self.bytes().div_ceil(self.buffer_mb * 1_048_576);
        let seconds = EVENTS as f64 / self.events_per_second;
        let by_time = (seconds / self.buffer_seconds as f64).ceil() as u64;
        // No delivery is empty.
        by_size.max(by_time).min(EVENTS)
    }
}

fn invocations(count: u64) -> f64 {
    count as f64 / 1e6 * prices::LAMBDA_REQUESTS.usd
}

/// What Lambda bills: the CPU time on that memory's share of a core, and the wait, as whole milliseconds.
fn billed(cpu_ms: f64, wait_ms: f64, memory_mb: u64) -> u64 {
    let share = memory_mb.min(CORE_MB) as f64 / CORE_MB as f64;
    (cpu_ms / share + wait_ms).ceil() as u64
}

fn compute(count: u64, billed_ms: u64, memory_mb: u64) -> f64 {
    let gb_seconds = count as f64 * billed_ms as f64 / 1e3 * memory_mb as f64 / 1024.0;
    gb_seconds * prices::LAMBDA_COMPUTE.usd
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are easy by hand.
    fn load() -> Load {
        Load {
            event_bytes: 512,
            events_per_second: 1000.0,
            events_memory_mb: 512,
            request_cpu_ms: 0.2,
            event_cpu_ms: 0.0,
            firehose_ms: 1.0,
            loader_memory_mb: 1024,
            delivery_cpu_ms: 10.0,
            row_cpu_ms: 0.0,
            clickhouse_ms: 82.0,
            buffer_seconds: 10,
            buffer_mb: 1,
            log_bytes: 1000,
            failed_percent: 0.0,
        }
    }

    /// To a millionth of a dollar.
    fn check(what: &str, found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{what}: {found}, not {expected}");
    }

    #[test]
    fn costs_are_those_by_hand() {
        // 512 MB by 1 MiB is 488.28 deliveries, and 1,000 s by 10 s only 100.
        let deliveries = 489;
        for (batch, requests, firehose_bytes) in [
            // A record of 5,120 bytes each.
            (1, 1_000_000, 5_120_000_000),
            // Exactly one multiple for ten.
            (10, 100_000, 512_000_000),
            // Eleven events are 5,632 bytes, hence 10,240; 90,909 of them, and one event alone.
            (11, 90_910, 90_909 * 10_240 + 5_120),
            // 2,000 events a record are 1,024,000 bytes, exactly; the third holds 500.
            (4_500, 223, 222 * (2 * 1_024_000 + 256_000) + 512_000),
            (1_000_000, 1, 512_000_000),
        ] {
            let cost = load().cost(batch);
            assert_eq!(
                (cost.requests, cost.firehose_bytes, cost.deliveries),
                (requests, firehose_bytes, deliveries),
                "{batch}"
            );
        }
        let cost = load().cost(1);
        // 0.2 / (512 / 1769) + 1 = 1.69, and 10 / (1024 / 1769) + 82 = 99.3.
        assert_eq!((cost.request_ms, cost.delivery_ms), (2, 100));
        check("invocations", cost.events_requests, 0.20);
        // 1,000,000 × 0.002 s × 0.5 GB = 1,000 GB-s.
        check("memory", cost.events_compute, 0.013_333);
        // 5.12e9 / 2^30 = 4.768372 GB.
        check("Firehose", cost.firehose, 0.138_283);
        check("deliveries", cost.loader_requests, 0.000_098);
        // 489 × 0.1 s × 1 GB = 48.9 GB-s.
        check("the loader's memory", cost.loader_compute, 0.000_652);
        // 1,000,489 × 1,000 bytes = 0.931778 GB.
        check("logs", cost.logs, 0.465_889);
        check("the backup", cost.backup, 0.0);
        check("total", cost.total, 0.818_255);
    }

    #[test]
    fn firehose_delivers_by_size_or_by_time() {
        for (events_per_second, buffer_seconds, buffer_mb, deliveries) in [
            (1000.0, 10, 1, 489),
            (1000.0, 1, 1, 1000),
            (1.0, 60, 64, 16_667),
            (0.001, 1, 1, EVENTS),
            (1e6, 900, 64, 8),
        ] {
            let load = Load {
                events_per_second,
                buffer_seconds,
                buffer_mb,
                ..load()
            };
            assert_eq!(load.cost(1).deliveries, deliveries, "{events_per_second}/s");
        }
    }

    #[test]
    fn time_is_billed_by_the_share_of_a_core() {
        let load = Load {
            request_cpu_ms: 1.0,
            event_cpu_ms: 0.01,
            row_cpu_ms: 0.01,
            ..load()
        };
        // 1.01 ms and 2 ms on 512 / 1769 of a core, and 1 ms of waiting; 489 deliveries of 2,045 rows.
        let billed = |batch| (load.cost(batch).request_ms, load.cost(batch).delivery_ms);
        assert_eq!((billed(1), billed(100)), ((5, 135), (8, 135)));
        // More than a core does not help.
        assert_eq!(
            (super::billed(10.0, 0.0, 1769), super::billed(10.0, 0.0, 10_240)),
            (10, 10)
        );
    }

    #[test]
    fn what_fails_is_kept() {
        let load = Load {
            failed_percent: 100.0,
            ..load()
        };
        // 489 objects, and 512e6 / 2^30 = 0.476837 GB for a month.
        check("the backup", load.cost(1).backup, 0.002_445 + 0.010_967);
    }
}
