//! What CloudWatch's embedded metric format asks of a line, for the tests of every function
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).

use serde_json::{Map, Value};

/// The units that the functions use, of those that CloudWatch knows.
const UNITS: [&str; 3] = ["Bytes", "Count", "Milliseconds"];

/// The longest event of CloudWatch Logs, in bytes, by the oldest of its limits.
const MAX_BYTES: usize = 256 * 1024;

/// A line that keeps to the specification.
pub(crate) struct Line {
    /// The instant of the metrics, in milliseconds since 1970.
    pub(crate) timestamp: u64,
    /// What CloudWatch makes metrics of, by name.
    pub(crate) metrics: Map<String, Value>,
    /// Everything else but the dimension.
    pub(crate) properties: Map<String, Value>,
}

/// Reads a line, and panics where it does not keep to the specification or to what all functions share.
pub(crate) fn read(line: &[u8]) -> Line {
    let text = std::str::from_utf8(line).unwrap();
    let json = text.strip_suffix('\n').unwrap();
    assert!(!json.contains('\n') && json.len() <= MAX_BYTES, "{text}");
    let Value::Object(mut members) = serde_json::from_str(json).unwrap() else {
        panic!("no object: {text}");
    };
    let aws = members.remove("_aws").unwrap();
    let timestamp = aws["Timestamp"].as_u64().unwrap();
    let directives = aws["CloudWatchMetrics"].as_array().unwrap();
    let [directive] = &directives[..] else {
        panic!("{} directives: {text}", directives.len());
    };
    let names: Vec<_> = directive.as_object().unwrap().keys().collect();
    assert_eq!(names, ["Dimensions", "Metrics", "Namespace"], "{text}");
    assert_eq!(directive["Namespace"], "Weir", "{text}");
    assert_eq!(directive["Dimensions"], serde_json::json!([["function"]]), "{text}");
    let function = members.remove("function").unwrap();
    assert!(function.as_str().is_some_and(|name| !name.is_empty()), "{text}");
    let mut metrics = Map::new();
    let declared = directive["Metrics"].as_array().unwrap();
    assert!((1..=100).contains(&declared.len()), "{text}");
    for metric in declared {
        let name = metric["Name"].as_str().unwrap();
        assert!(UNITS.contains(&metric["Unit"].as_str().unwrap()), "{name}: {text}");
        // Also: none is declared twice.
        let value = members
            .remove(name)
            .unwrap_or_else(|| panic!("{name} has no value: {text}"));
        assert!(value.as_f64().is_some_and(|value| value >= 0.0), "{name}: {text}");
        metrics.insert(name.to_owned(), value);
    }
    Line {
        timestamp,
        metrics,
        properties: members,
    }
}
