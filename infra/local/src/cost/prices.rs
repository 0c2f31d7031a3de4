//! What AWS asks for in us-east-1, first tier, without the free tier. Read on 2026-11-26.
//!
//! AWS's own pages were there without their numbers, so each price is as others repeat it. Compare them with
//! <https://calculator.aws> before you count on them.

use serde::Serialize;

/// One price.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Price {
    /// For what.
    pub(super) what: &'static str,
    /// In US dollars.
    pub(super) usd: f64,
    /// For how much of it.
    pub(super) unit: &'static str,
    /// Who says so.
    pub(super) source: &'static str,
}

/// An invocation.
pub(super) const LAMBDA_REQUESTS: Price = Price {
    what: "Lambda: invocations",
    usd: 0.20,
    unit: "million",
    source: "cloudchipr.com/blog/aws-lambda-pricing",
};

/// Memory over billed time, on arm64.
pub(super) const LAMBDA_COMPUTE: Price = Price {
    what: "Lambda: memory, arm64",
    usd: 0.000_013_333_4,
    unit: "GB-second",
    source: "cloudchipr.com/blog/aws-lambda-pricing",
};

/// Records, each rounded up to [`FIREHOSE_ROUNDS_TO_BYTES`].
pub(super) const FIREHOSE: Price = Price {
    what: "Firehose: records by 5 KB",
    usd: 0.029,
    unit: "GB",
    source: "many pages; the rounding is in AWS's developer guide",
};

/// What an object costs to write.
pub(super) const S3_PUTS: Price = Price {
    what: "S3: objects written",
    usd: 0.005,
    unit: "thousand",
    source: "c3x.dev/blog/s3-request-fees-explained",
};

/// What is kept for a month.
pub(super) const S3_STORAGE: Price = Price {
    what: "S3: kept for a month",
    usd: 0.023,
    unit: "GB",
    source: "from memory",
};

/// Bytes that CloudWatch Logs takes.
pub(super) const LOGS: Price = Price {
    what: "CloudWatch: logs taken",
    usd: 0.50,
    unit: "GB",
    source: "factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards",
};

/// A custom metric, as long as it is sent.
pub(super) const METRICS: Price = Price {
    what: "CloudWatch: a metric, a month",
    usd: 0.30,
    unit: "metric",
    source: "signoz.io/guides/cloudwatch-pricing",
};

/// Every price.
pub(super) const ALL: [Price; 7] = [
    LAMBDA_REQUESTS,
    LAMBDA_COMPUTE,
    FIREHOSE,
    S3_PUTS,
    S3_STORAGE,
    LOGS,
    METRICS,
];

/// Firehose bills each record as a multiple of so many bytes.
pub(super) const FIREHOSE_ROUNDS_TO_BYTES: u64 = 5 * 1024;

/// How AWS counts a GB: in its examples 1,048,576 KB.
pub(super) const GB: f64 = 1_073_741_824.0;
