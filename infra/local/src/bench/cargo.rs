//! The bench targets of the functions' crates, built and run by cargo.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::process::Command;

use crate::report::Step;
use crate::up;

/// Runs the bench `name` of `package`, which criterion measures, and gives what it found. `folder` is where criterion
/// keeps its numbers.
pub(super) async fn criterion(root: &Path, package: &str, name: &str, folder: &Path) -> anyhow::Result<Measured> {
    let mut cargo = cargo(root);
    cargo
        .args([
            "bench",
            "--locked",
            "--package",
            package,
            "--bench",
            name,
            "--",
            "--noplot",
            "--quiet",
        ])
        .env("CRITERION_HOME", folder)
        .stdout(Stdio::null());
    let step = Step::begin(format!("{package}: build and run the bench {name} (minutes)"));
    up::build::ended_well(&mut cargo, "the bench").await?;
    step.done();
    Ok(Measured {
        folder: folder.to_owned(),
    })
}

/// Builds the bench `name` of `package`, and gives the path of its program.
pub(super) async fn built(root: &Path, package: &str, name: &str) -> anyhow::Result<PathBuf> {
    let mut cargo = cargo(root);
    cargo
        .args([
            "bench",
            "--locked",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ])
        .args(["--package", package, "--bench", name])
        .stdout(Stdio::piped());
    let step = Step::begin(format!("{package}: build the bench {name} (minutes)"));
    let messages = up::build::ended_well(&mut cargo, "the bench").await?;
    step.done();
    up::build::executable(&messages, name).with_context(|| format!("cargo built no bench {name} of {package}"))
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    for name in up::WITHHELD {
        cargo.env_remove(name);
    }
    cargo
}

/// What criterion measured.
pub(super) struct Measured {
    folder: PathBuf,
}

/// One case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// The median time of one iteration, in nanoseconds.
    pub(super) nanoseconds: f64,
    /// How many events or rows an iteration has.
    pub(super) elements: f64,
}

impl Measured {
    /// The case of that id, such as `edge/one`.
    pub(super) fn case(&self, id: &str) -> anyhow::Result<Case> {
        #[derive(Deserialize)]
        struct Estimates {
            median: Estimate,
        }
        #[derive(Deserialize)]
        struct Estimate {
            point_estimate: f64,
        }
        #[derive(Deserialize)]
        struct About {
            throughput: Option<Throughput>,
        }
        #[derive(Deserialize)]
        struct Throughput {
            #[serde(rename = "Elements")]
            elements: u64,
        }
        let estimates: Estimates = self.read(id, "estimates.json")?;
        let about: About = self.read(id, "benchmark.json")?;
        Ok(Case {
            nanoseconds: estimates.median.point_estimate,
            elements: about.throughput.map_or(1.0, |throughput| throughput.elements as f64),
        })
    }

    fn read<T: serde::de::DeserializeOwned>(&self, id: &str, file: &str) -> anyhow::Result<T> {
        let path = self.folder.join(id).join("new").join(file);
        let text = std::fs::read(&path).with_context(|| format!("criterion left no {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not criterion's", path.display()))
    }
}

impl Case {
    /// Events or rows a second.
    pub(super) fn rate(&self) -> f64 {
        self.elements * 1e9 / self.nanoseconds
    }

    /// Nanoseconds an event or row.
    pub(super) fn each(&self) -> f64 {
        self.nanoseconds / self.elements
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criterion_s_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("edge/one/new");
        std::fs::create_dir_all(&new).unwrap();
        let estimates =
            r#"{"mean":{"point_estimate":9.0},"median":{"confidence_interval":{},"point_estimate":2000.0}}"#;
        std::fs::write(new.join("estimates.json"), estimates).unwrap();
        let about = r#"{"group_id":"edge","throughput":{"Elements":4}}"#;
        std::fs::write(new.join("benchmark.json"), about).unwrap();
        let measured = Measured {
            folder: folder.path().to_owned(),
        };
        let case = measured.case("edge/one").unwrap();
        assert_eq!((case.rate(), case.each()), (2e6, 500.0));
        let error = measured.case("edge/two").err().unwrap().to_string();
        assert!(error.starts_with("criterion left no "), "{error}");
    }
}
