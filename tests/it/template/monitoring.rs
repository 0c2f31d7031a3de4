//! Alarms and the dashboard: a metric that nobody writes never rings.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Template, name_of, of_type};

/// What the functions write to their logs as metrics, in the namespace `Weir` with the dimension `function`.
const OURS: &[&str] = &[
    "Accepted",
    "Bytes",
    "DataAgeMilliseconds",
    "DbtFailures",
    "DurationMilliseconds",
    "FirehoseRetries",
    "InsertMilliseconds",
    "NotStored",
    "Quarantined",
    "Rejected",
    "Stored",
];

/// AWS's, and the dimension by which each is found:
/// <https://docs.aws.amazon.com/lambda/latest/dg/urls-monitoring.html>,
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>,
/// <https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html>.
const THEIRS: &[(&str, &str, &[&str])] = &[
    (
        "AWS/Lambda",
        "FunctionName",
        &[
            "ConcurrentExecutions",
            "Errors",
            "Invocations",
            "Throttles",
            "Url4xxCount",
            "Url5xxCount",
        ],
    ),
    (
        "AWS/Firehose",
        "DeliveryStreamName",
        &[
            "DeliveryToHttpEndpoint.DataFreshness",
            "DeliveryToHttpEndpoint.Success",
            "DeliveryToS3.DataFreshness",
            "DeliveryToS3.Success",
            "IncomingBytes",
            "IncomingRecords",
            "ThrottledRecords",
        ],
    ),
    ("AWS/SQS", "QueueName", &["ApproximateNumberOfMessagesVisible"]),
];

/// A metric: its namespace, its name, a dimension and its value.
type Metric = (String, String, String, String);

fn known((namespace, name, dimension, _): &Metric) -> bool {
    match namespace.as_str() {
        "Weir" => OURS.contains(&name.as_str()) && dimension == "function",
        _ => THEIRS
            .iter()
            .any(|(space, by, names)| space == namespace && by == dimension && names.contains(&name.as_str())),
    }
}

/// A value as it is written: itself, or what stands in `!Sub` or `!Ref`.
fn text(value: &Value) -> String {
    let inner = [&value["Fn::Sub"], &value["Ref"], value];
    let found = inner.into_iter().find_map(Value::as_str).unwrap_or_default();
    found.to_owned()
}

fn alarmed(template: &Value) -> Vec<Metric> {
    let mut found = Vec::new();
    for (_, alarm) in of_type(template, "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        let dimension = &properties["Dimensions"][0];
        let names = match properties["MetricName"]["Fn::If"].as_array() {
            Some(choice) => choice.iter().skip(1).map(text).collect(),
            None => vec![text(&properties["MetricName"])],
        };
        found.extend(names.into_iter().map(|name| {
            (
                text(&properties["Namespace"]),
                name,
                text(&dimension["Name"]),
                text(&dimension["Value"]),
            )
        }));
    }
    found
}

fn shown(template: &Value) -> anyhow::Result<Vec<Metric>> {
    let body = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
        .as_str()
        .context("no dashboard")?;
    let body: Value = serde_json::from_str(body).context("the dashboard is no JSON")?;
    let mut found = Vec::new();
    for widget in body["widgets"].as_array().into_iter().flatten() {
        for metric in widget["properties"]["metrics"].as_array().into_iter().flatten() {
            let part = |at: usize| text(&metric[at]);
            found.push((part(0), part(1), part(2), part(3)));
        }
    }
    Ok(found)
}

#[tokio::test]
async fn every_metric_is_written_by_somebody() -> anyhow::Result<()> {
    let monitoring = Template::read("infra/monitoring.yaml").await?;
    let main = Template::main().await?;
    let functions: BTreeSet<String> = main.functions().map(|(id, _)| name_of(id)).collect();
    let (alarmed, shown) = (alarmed(&monitoring.source), shown(&monitoring.source)?);
    ensure!(alarmed.len() > 12 && shown.len() > 30, "{alarmed:?}\n{shown:?}");
    for metric in alarmed.iter().chain(&shown) {
        ensure!(known(metric), "nobody writes {metric:?}");
        let (_, _, dimension, value) = metric;
        // AWS knows the function by its whole name, the functions know themselves by their own.
        let function = match dimension.as_str() {
            "FunctionName" => value.strip_prefix("${Stack}-").unwrap_or_default(),
            "function" => value,
            _ => continue,
        };
        ensure!(
            functions.contains(function),
            "{metric:?} is no function of the template"
        );
    }
    // And what is written is seen.
    for name in OURS {
        ensure!(
            alarmed
                .iter()
                .chain(&shown)
                .any(|(space, it, ..)| space == "Weir" && it == name),
            "nobody sees {name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_alarm_tells_and_is_calm_when_nothing_happens() -> anyhow::Result<()> {
    let monitoring = Template::read("infra/monitoring.yaml").await?;
    for (id, alarm) in of_type(&monitoring.source, "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        for kind in ["AlarmActions", "OKActions"] {
            ensure!(
                properties[kind]["Fn::If"][1][0]["Ref"] == "AlarmTopicArn",
                "{id} has no {kind}"
            );
        }
        ensure!(properties["TreatMissingData"] == "notBreaching", "{id} rings at night");
        ensure!(
            !text(&properties["AlarmDescription"]).is_empty(),
            "{id} says not what is wrong"
        );
    }
    // It is a part of the deploy, with all that it asks for.
    let main = Template::main().await?;
    let given = &main.source["Resources"]["Monitoring"]["Properties"];
    ensure!(given["TemplateURL"] == "monitoring.yaml");
    let names = |value: &Value| -> BTreeSet<String> {
        value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect()
    };
    let (given, asked) = (names(&given["Parameters"]), names(&monitoring.source["Parameters"]));
    ensure!(given == asked, "{given:?}, {asked:?}");
    Ok(())
}
