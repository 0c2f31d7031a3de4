//! The plot of the growth, as SVG: a panel a measure, over the rows that are stored.

use std::fmt::Write as _;

/// One measure, at each number of rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    /// What it is, with its unit.
    pub(super) title: &'static str,
    /// Rows stored, and the number measured with them. The first is what the others are compared with.
    pub(super) points: Vec<(u64, f64)>,
}

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 240.0;
const GAP: f64 = 24.0;
/// Inside of a panel: left, right, top, bottom.
const MARGINS: [f64; 4] = [16.0, 16.0, 44.0, 34.0];

const STYLE: &str = "\
  <style>
    .back { fill: #ffffff }
    .panel { fill: none; stroke: #b8c4d0; stroke-width: 1 }
    .band { fill: #dbe7f5 }
    .line { fill: none; stroke: #37516e; stroke-width: 2 }
    .dot { fill: #37516e }
    .t { fill: #14202e; font-weight: 600 }
    .s { fill: #45586d; font-size: 11px; text-anchor: middle }
    @media (prefers-color-scheme: dark) {
      .back { fill: #0d1117 }
      .panel { stroke: #43505e }
      .band { fill: #1c2b3d }
      .line { stroke: #7fa3c8 }
      .dot { fill: #7fa3c8 }
      .t { fill: #e6edf3 }
      .s { fill: #a9b8c6 }
    }
  </style>
";

/// The panels side by side. The band is what is within 20 % of the first point; each axis begins at zero.
pub(super) fn svg(panels: &[Panel]) -> String {
    let width = panels.len() as f64 * (WIDTH + GAP) + GAP;
    let height = HEIGHT + 2.0 * GAP;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-sans-serif, system-ui, \
         sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"{}\">\n{STYLE}  <rect class=\"back\" width=\"{width:.0}\" \
         height=\"{height:.0}\"/>\n",
        described(panels)
    );
    for (at, panel) in panels.iter().enumerate() {
        let left = GAP + at as f64 * (WIDTH + GAP);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  <g transform=\"translate({left:.0} {GAP:.0})\">");
        draw(&mut out, panel);
        out.push_str("  </g>\n");
    }
    out.push_str("</svg>\n");
    out
}

/// The same in words, for who does not see it.
fn described(panels: &[Panel]) -> String {
    let of = |panel: &Panel| {
        let points = panel
            .points
            .iter()
            .map(|(rows, value)| format!("{} with {}", short(*value), rows_read(*rows)));
        format!("{}: {}", panel.title, points.collect::<Vec<_>>().join(", "))
    };
    panels.iter().map(of).collect::<Vec<_>>().join(". ")
}

fn draw(out: &mut String, panel: &Panel) {
    let [left, right, top, bottom] = MARGINS;
    let (plot_width, plot_height) = (WIDTH - left - right, HEIGHT - top - bottom);
    let first = panel.points.first().map_or(0.0, |(_, value)| *value);
    let most = panel.points.iter().map(|(_, value)| *value).fold(first * 1.2, f64::max) * 1.15;
    let decade = |rows: u64| (rows.max(1) as f64).log10();
    let (from, to) = panel.points.iter().fold((f64::MAX, f64::MIN), |(from, to), (rows, _)| {
        (from.min(decade(*rows)), to.max(decade(*rows)))
    });
    let x = |rows: u64| left + 24.0 + (decade(rows) - from) / (to - from).max(f64::MIN_POSITIVE) * (plot_width - 48.0);
    let y = |value: f64| top + plot_height * (1.0 - value / most.max(f64::MIN_POSITIVE));
    let points: Vec<String> = panel
        .points
        .iter()
        .map(|(rows, value)| format!("{:.1},{:.1}", x(*rows), y(*value)))
        .collect();
    let _ = writeln!(
        out,
        "    <text class=\"t\" x=\"{left:.0}\" y=\"24\">{}</text>",
        panel.title
    );
    let _ = writeln!(
        out,
        "    <rect class=\"band\" x=\"{left:.0}\" y=\"{:.1}\" width=\"{plot_width:.0}\" height=\"{:.1}\"/>",
        y(first * 1.2),
        y(first * 0.8) - y(first * 1.2),
    );
    let _ = writeln!(
        out,
        "    <path class=\"panel\" d=\"M{left:.0} {top:.0}v{plot_height:.0}h{plot_width:.0}\"/>"
    );
    let _ = writeln!(out, "    <polyline class=\"line\" points=\"{}\"/>", points.join(" "));
    for (rows, value) in &panel.points {
        let (x, y) = (x(*rows), y(*value));
        let _ = writeln!(out, "    <circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>");
        let _ = writeln!(
            out,
            "    <text class=\"s\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            y - 9.0,
            short(*value)
        );
        let _ = writeln!(
            out,
            "    <text class=\"s\" x=\"{x:.1}\" y=\"{:.0}\">{}</text>",
            HEIGHT - 14.0,
            rows_read(*rows)
        );
    }
}

/// `1 M`, `100 M` or `10,000`.
fn rows_read(rows: u64) -> String {
    match rows {
        1_000_000.. => format!("{} M", rows / 1_000_000),
        1000.. => format!("{},{:03}", rows / 1000, rows % 1000),
        _ => rows.to_string(),
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{:.1} k", value / 1000.0),
        10.0.. => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_its_numbers_and_stays_inside() {
        let panels = [
            Panel {
                title: "events/s",
                points: vec![(1_000_000, 50_000.0), (10_000_000, 10_000.0), (100_000_000, 90_000.0)],
            },
            Panel {
                title: "nothing",
                points: vec![(1000, 0.0)],
            },
        ];
        let svg = svg(&panels);
        for expected in [
            "50.0 k",
            "90.0 k",
            ">1 M<",
            ">100 M<",
            ">1,000<",
            "aria-label=\"events/s: 50.0 k with 1 M, ",
        ] {
            assert!(svg.contains(expected), "{expected}: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let inside = svg
            .lines()
            .filter_map(|line| line.split("cy=\"").nth(1)?.split('"').next()?.parse().ok());
        assert!(inside.clone().all(|y: f64| (0.0..=HEIGHT).contains(&y)));
        assert_eq!(inside.count(), 4);
    }
}
