//! Prometheus's text format (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{TEXT_FORMAT, TextEncoder};

/// What kind of figure a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// The figures of one name, each with the value of a label; without one when `label` is `None`.
#[derive(Debug)]
pub(crate) struct Figures<'n> {
    pub(crate) name: &'n str,
    pub(crate) help: &'n str,
    pub(crate) kind: Kind,
    pub(crate) label: Option<&'static str>,
    pub(crate) values: Vec<(String, f64)>,
}

impl Figures<'_> {
    /// As the encoder takes it.
    pub(crate) fn family(self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(valid_name(self.name));
        family.set_help(self.help.to_owned());
        family.set_field_type(match self.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
        });
        let metric = |(of, value): (String, f64)| {
            let label = self.label.map(|name| {
                let mut label = LabelPair::default();
                label.set_name(name.to_owned());
                label.set_value(of);
                label
            });
            let mut metric = Metric::from_label(label.into_iter().collect());
            match self.kind {
                Kind::Counter => {
                    let mut counter = Counter::default();
                    counter.set_value(value);
                    metric.set_counter(counter);
                }
                Kind::Gauge => {
                    let mut gauge = Gauge::default();
                    gauge.set_value(value);
                    metric.set_gauge(gauge);
                }
            }
            metric
        };
        family.set_metric(self.values.into_iter().map(metric).collect());
        family
    }
}

/// The name with an underscore for whatever no name holds, as ClickHouse's own endpoint writes its names.
fn valid_name(name: &str) -> String {
    let held = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    name.chars().map(|c| if held(c) { c } else { '_' }).collect()
}

/// The families as text. Those without a figure are left out.
pub(crate) fn text(families: &[MetricFamily]) -> Result<String, prometheus::Error> {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.get_metric().is_empty()) {
        TextEncoder.encode_utf8(std::slice::from_ref(family), &mut text)?;
    }
    Ok(text)
}

/// The answer to `GET /metrics`.
pub(crate) fn response(text: Result<String, prometheus::Error>) -> Response<Body> {
    match text {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            let format = HeaderValue::from_static(TEXT_FORMAT);
            response.headers_mut().insert(header::CONTENT_TYPE, format);
            response
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_prometheus_reads_them() {
        let figures = |name, help, kind, label, values: &[(&str, f64)]| {
            let values = values.iter().map(|(of, value)| ((*of).to_owned(), *value)).collect();
            Figures {
                name,
                help,
                kind,
                label,
                values,
            }
            .family()
        };
        for (family, expected) in [
            (
                figures(
                    "a_total",
                    "What.",
                    Kind::Counter,
                    Some("part"),
                    &[("x", 1.0), ("y\"\n", 2.5)],
                ),
                "# HELP a_total What.\n# TYPE a_total counter\na_total{part=\"x\"} 1\na_total{part=\"y\\\"\\n\"} 2.5\n",
            ),
            (
                figures("b.c", "One\nline \\.", Kind::Gauge, None, &[("", -3.0)]),
                "# HELP b_c One\\nline \\\\.\n# TYPE b_c gauge\nb_c -3\n",
            ),
            (figures("empty", "None.", Kind::Gauge, None, &[]), ""),
        ] {
            assert_eq!(text(&[family]).unwrap(), expected);
        }
    }
}
