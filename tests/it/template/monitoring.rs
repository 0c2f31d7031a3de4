//! Alarms and the dashboard: a metric that nobody writes never rings.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{Template, name_of, of_type};
use crate::process::{scratch, weir_ok};

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
/// <https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html>,
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html>.
const THEIRS: &[(&str, &str, &[&str])] = &[
    (
        "AWS/Lambda",
        "FunctionName",
        &[
            "ConcurrentExecutions",
            "Duration",
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
    ("AWS/Logs", "LogGroupName", &["IncomingBytes"]),
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

/// What the dashboard's widgets draw: metrics, and expressions of them.
fn drawn(template: &Value) -> anyhow::Result<Vec<Value>> {
    let body = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
        .as_str()
        .context("no dashboard")?;
    let body: Value = serde_json::from_str(body).context("the dashboard is no JSON")?;
    let widgets = body["widgets"].as_array().into_iter().flatten();
    let drawn = widgets.flat_map(|widget| widget["properties"]["metrics"].as_array().into_iter().flatten());
    Ok(drawn.cloned().collect())
}

fn shown(template: &Value) -> anyhow::Result<Vec<Metric>> {
    let drawn = drawn(template)?;
    let metrics = drawn.iter().filter(|it| !it[0].is_object());
    let part = |metric: &Value, at: usize| text(&metric[at]);
    Ok(metrics
        .map(|it| (part(it, 0), part(it, 1), part(it, 2), part(it, 3)))
        .collect())
}

/// The dashboard's expressions, by their ids.
fn expressions(template: &Value) -> anyhow::Result<BTreeMap<String, String>> {
    let drawn = drawn(template)?;
    let expressions = drawn.iter().filter(|it| it[0].is_object());
    Ok(expressions
        .map(|it| (text(&it[0]["id"]), text(&it[0]["expression"])))
        .collect())
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
        let own = match dimension.as_str() {
            "FunctionName" | "function" => value.as_str(),
            "LogGroupName" => value.strip_prefix("/aws/lambda/").unwrap_or_default(),
            _ => continue,
        };
        ensure!(
            own.strip_prefix("${Stack}-")
                .is_some_and(|name| functions.contains(name)),
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
        // One rings because nothing happens, for those who ask for it.
        let (missing, condition) = match id {
            "EventsSilent" => ("breaching", json!("Listens")),
            _ => ("notBreaching", Value::Null),
        };
        ensure!(properties["TreatMissingData"] == missing, "{id} rings at night");
        ensure!(alarm["Condition"] == condition, "{id}: {}", alarm["Condition"]);
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

/// Prices and memory are written into the dashboard: CloudWatch cannot ask for them.
#[tokio::test]
async fn the_dashboards_cost_is_that_of_weir_cost() -> anyhow::Result<()> {
    let state = scratch();
    let prices: Value = serde_json::from_str(&weir_ok(state.path(), &["cost", "--prices", "--json"]).await?)?;
    let price = |what: &str| {
        let found = prices.as_array().into_iter().flatten().find(|it| it["what"] == what);
        found
            .and_then(|it| it["usd"].as_f64())
            .with_context(|| format!("no price of {what}"))
    };
    let main = Template::main().await?;
    let gigabytes = |binary: &str| -> anyhow::Result<f64> {
        let memory = &main.function(binary)?["MemorySize"];
        Ok(memory.as_f64().with_context(|| format!("{binary} has {memory}"))? / 1024.0)
    };
    let (request, memory) = (price("Lambda: invocations")?, price("Lambda: memory, arm64")?);
    let each = "/accepted*1000000";
    let invoked = |requests: &str, milliseconds: &str, gigabytes: f64| {
        format!("({requests}*{request}/1000000+{milliseconds}/1000*{gigabytes}*{memory:.10}){each}")
    };
    let (stream, logs) = (price("Firehose: records by 5 KB")?, price("CloudWatch: logs taken")?);
    let rounded = "IF(fr*5120>fb+fr*2560,fr*5120,fb+fr*2560)/1073741824";
    let expected: BTreeMap<String, String> = [
        ("events", invoked("er", "ed", gigabytes("events")?)),
        ("loader", invoked("lr", "ld", gigabytes("loader")?)),
        ("stream", format!("{rounded}*{stream}{each}")),
        ("logs", format!("(eb+FILL(lb,0))/1073741824*{logs}{each}")),
        ("total", "events+stream+FILL(loader,0)+logs".to_owned()),
    ]
    .map(|(id, expression)| (id.to_owned(), expression))
    .into();
    let found = expressions(&Template::read("infra/monitoring.yaml").await?.source)?;
    ensure!(found == expected, "{found:#?}\n{expected:#?}");
    Ok(())
}
