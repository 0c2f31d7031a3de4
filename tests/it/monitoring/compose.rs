//! `infra/compose.yaml` and `infra/Dockerfile` against Compose, the code and the README.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::{members, names, ran, read, texts, yaml};
use crate::process::setting;

/// Functions that take no requests: an operator's `weir migrate` and `weir replay` do the same.
const WITHOUT_ADDRESS: [&str; 2] = ["migrate", "replay"];

/// Read by functions, and not for a container to set: there are no temporary credentials, and AWS's own addresses are not asked.
const NOT_SET: &[&str] = &["AWS_SESSION_TOKEN", "SSL_CERT_FILE"];

async fn compose() -> anyhow::Result<Value> {
    yaml("infra/compose.yaml").await
}

/// What a service mounts of the checkout, by its path there, and where.
pub(super) fn mounts(service: &Value) -> Vec<(String, String)> {
    texts(&service["volumes"])
        .filter_map(|volume| {
            let (from, to) = volume.strip_prefix("./")?.split_once(':')?;
            Some((format!("infra/{from}"), to.trim_end_matches(":ro").to_owned()))
        })
        .collect()
}

/// The function that a service runs, if it runs one.
fn function(service: &Value) -> Option<&str> {
    let command: Vec<_> = texts(&service["command"]).collect();
    let program = command.last()?.strip_prefix("/usr/local/bin/")?;
    command.starts_with(&["weir", "metrics"]).then_some(program)
}

/// What is run of a function's port, and what is published.
fn published(service: &Value) -> impl Iterator<Item = (&str, &str)> {
    texts(&service["ports"]).filter_map(|port| port.strip_prefix("127.0.0.1:")?.split_once(':'))
}

/// The names of the workspace's programs in that folder.
async fn programs(folder: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&ran(cargo).await?)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let within = packages.filter(|package| {
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        manifest.contains(&format!("/{folder}/"))
    });
    let targets = within.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let programs = targets.filter(|target| target["kind"][0] == "bin");
    Ok(programs
        .filter_map(|target| Some(target["name"].as_str()?.to_owned()))
        .collect())
}

/// Debian 12 has Compose 1.29, in Python; later ones are in Go. The file is for both.
#[tokio::test]
async fn compose_takes_the_file() -> anyhow::Result<()> {
    let program = setting("WEIR_DOCKER_COMPOSE");
    let libraries = program
        .parent()
        .context("no folder")?
        .join("../lib/python3/dist-packages");
    let mut docker_compose = Command::new(&program);
    docker_compose
        .args(["--file", "infra/compose.yaml", "--profile", "dbt", "config", "--quiet"])
        .env("PYTHONPATH", libraries)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    ran(docker_compose).await?;
    Ok(())
}

#[tokio::test]
async fn every_function_is_there_and_given_what_it_reads() -> anyhow::Result<()> {
    let readme = read("README.md")?;
    let (_, table) = readme
        .split_once("| variable | read by | default | meaning |\n|---|---|---|---|\n")
        .context("no table of variables")?;
    // The README's table is what the configurations read: a test of `weir` compares the two.
    let mut reads: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in table.lines().take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        for reader in cells[2].split(", ") {
            let names = cells[1].split(", ").map(|name| name.trim_matches('`').to_owned());
            reads.entry(reader.to_owned()).or_default().extend(names);
        }
    }
    let server = &reads["every HTTP function"];

    let compose = compose().await?;
    let mut run = BTreeSet::new();
    for (name, service) in members(&compose["services"]) {
        let Some(function) = function(service) else { continue };
        ensure!(function == name, "{name} runs {function}");
        let own = reads.get(name).into_iter().flatten();
        let mut expected: BTreeSet<_> = own.chain(server).cloned().collect();
        expected.retain(|variable| !NOT_SET.contains(&variable.as_str()));
        expected.insert("RUST_LOG".to_owned());
        let given = names(&service["environment"]);
        ensure!(given == expected, "{name} is given {given:?}, and reads {expected:?}");
        run.insert(name.to_owned());
    }
    let mut functions = programs("functions").await?;
    functions.retain(|name| !WITHOUT_ADDRESS.contains(&name.as_str()));
    ensure!(run == functions, "compose.yaml runs {run:?} of {functions:?}");

    // Firehose sends the key that the loader asks for, to where the loader is; the others share a warehouse.
    let services = &compose["services"];
    let variable = |service: &str, name: &str| services[service]["environment"][name].clone();
    ensure!(variable("firehose", "FIREHOSE_ACCESS_KEY") == variable("loader", "FIREHOSE_ACCESS_KEY"));
    let port = variable("loader", "PORT");
    let endpoint = format!("--endpoint-url=http://loader:{}/", port.as_str().unwrap_or_default());
    ensure!(texts(&services["firehose"]["command"]).any(|argument| argument == endpoint));
    ensure!(variable("events", "AWS_ENDPOINT_URL_FIREHOSE") == "http://firehose:4573");
    let stream = format!(
        "--stream={}",
        variable("events", "FIREHOSE_STREAM").as_str().unwrap_or_default()
    );
    ensure!(texts(&services["firehose"]["command"]).any(|argument| argument == stream));
    for (name, service) in members(services) {
        for (ours, theirs) in [
            ("CLICKHOUSE_USER", "CLICKHOUSE_USER"),
            ("CLICKHOUSE_PASSWORD", "CLICKHOUSE_PASSWORD"),
            ("CLICKHOUSE_DATABASE", "CLICKHOUSE_DB"),
        ] {
            let given = &service["environment"][ours];
            ensure!(
                given.is_null() || *given == variable("clickhouse", theirs),
                "{name}'s {ours} is {given}"
            );
        }
    }
    // `weir migrate` and `weir dbt` read these; dbt itself reads what its profile says.
    let migrate = names(&services["migrate"]["environment"]);
    ensure!(
        migrate.is_subset(&reads["migrate"]) && migrate.contains("CLICKHOUSE_URL"),
        "{migrate:?}"
    );
    let profile = read("dbt/profiles.yml")?;
    for name in names(&services["dbt"]["environment"]) {
        ensure!(
            profile.contains(&format!("env_var('{name}'")),
            "dbt does not read {name}"
        );
    }
    Ok(())
}

/// With `weir up`'s numbers, and for this machine alone.
#[tokio::test]
async fn ports_are_the_readme_s_and_on_the_loopback() -> anyhow::Result<()> {
    let readme = read("README.md")?;
    let (_, table) = readme
        .split_once("| container | address |\n|---|---|\n")
        .context("no table of containers")?;
    let mut told = BTreeMap::new();
    for row in table.lines().take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let port = cells[2].rsplit(':').next().unwrap_or_default();
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        told.insert(cells[1].trim_matches('`').to_owned(), port);
    }
    for (name, variable) in [
        ("events", "WEIR_FUNCTIONS_PORT"),
        ("clickhouse", "WEIR_CLICKHOUSE_PORT"),
        ("firehose", "WEIR_FIREHOSE_PORT"),
    ] {
        let row = format!("| `{variable}` | {} |", told[name]);
        ensure!(readme.contains(&row), "{name} has another port than `weir up`'s: {row}");
    }

    let compose = compose().await?;
    let mut found = BTreeMap::new();
    for (name, service) in members(&compose["services"]) {
        let ports: Vec<_> = published(service).collect();
        ensure!(
            ports.len() == texts(&service["ports"]).count(),
            "{name} is published beyond the loopback: {}",
            service["ports"]
        );
        for (outside, inside) in ports {
            found.insert(name.to_owned(), outside.to_owned());
            let listens = &service["environment"]["PORT"];
            ensure!(
                function(service).is_none() || listens == inside && outside == inside,
                "{name} listens on {listens}"
            );
        }
    }
    ensure!(found == told, "published are {found:?}, and the README says {told:?}");
    Ok(())
}

/// Whether an image's tag names one version down to the patch.
fn is_pinned(image: &str) -> bool {
    let tag = image.split_once(':').map_or("", |(_, tag)| tag);
    let version = tag.trim_start_matches('v').split('-').next().unwrap_or_default();
    let numbers: Vec<_> = version.split('.').collect();
    let few = if image.starts_with("debian:") { 2 } else { 3 };
    numbers.len() >= few && numbers.iter().all(|number| number.parse::<u32>().is_ok())
}

#[tokio::test]
async fn services_are_pinned_checked_and_built() -> anyhow::Result<()> {
    let compose = compose().await?;
    let dockerfile = read("infra/Dockerfile")?;
    let stages: Vec<_> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("FROM ")?.split_once(" AS "))
        .collect();
    for (image, stage) in &stages {
        ensure!(is_pinned(image), "{stage} is of {image}, which is no one version");
    }
    let toolchain = read("rust-toolchain.toml")?;
    let rust = stages
        .iter()
        .find_map(|(image, _)| image.strip_prefix("rust:")?.strip_suffix("-slim-bookworm"));
    ensure!(
        rust.is_some_and(|rust| toolchain.contains(&format!("channel = \"{rust}\""))),
        "the image has Rust {rust:?}, and the toolchain is {toolchain}"
    );

    for (name, service) in members(&compose["services"]) {
        let build = &service["build"];
        let image = service["image"].as_str().unwrap_or_default();
        match build["target"].as_str() {
            Some(target) => {
                ensure!(stages.iter().any(|(_, stage)| *stage == target), "no stage {target}");
                ensure!(
                    build["dockerfile"] == "infra/Dockerfile" && build["context"] == "..",
                    "{name}: {build}"
                );
            }
            None => ensure!(is_pinned(image), "{name} is {image}, which is no one version"),
        }
        let once = service["restart"] == "no";
        let checked = service["healthcheck"]["test"].is_array();
        ensure!(
            once != checked,
            "{name} has no health check, or is run once and has one"
        );
        for (after, _) in members(&service["depends_on"]) {
            let condition = service["depends_on"][after]["condition"].as_str().unwrap_or_default();
            let once = compose["services"][after]["restart"] == "no";
            let wanted = if once {
                "service_completed_successfully"
            } else {
                "service_healthy"
            };
            ensure!(condition == wanted, "{name} waits for {after} by {condition}");
        }
        for (from, _) in mounts(service) {
            ensure!(
                crate::process::checkout().join(&from).exists(),
                "{name} mounts {from}, which is not there"
            );
        }
    }

    // What is run is built and copied, and what is copied is a program of the workspace.
    let mut built = programs("functions").await?;
    built.extend(programs("infra").await?);
    let copied: BTreeSet<_> = dockerfile
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("/weir/target/local/"))
        .map(str::to_owned)
        .collect();
    ensure!(copied.is_subset(&built), "copied are {copied:?}, and built {built:?}");
    let mut run: BTreeSet<_> = members(&compose["services"])
        .filter_map(|(_, service)| Some(function(service)?.to_owned()))
        .collect();
    run.insert("weir".to_owned());
    ensure!(run == copied, "run are {run:?}, and copied {copied:?}");
    ensure!(dockerfile.contains("cargo build --locked --profile local --workspace --bins"));
    ensure!(dockerfile.contains("\nUSER 10001:10001\n"));
    Ok(())
}

/// cargo builds nothing of a workspace of which it does not see every member.
#[test]
fn the_build_sees_the_whole_workspace() -> anyhow::Result<()> {
    let ignore = read(".dockerignore")?;
    let seen: Vec<_> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let sees = |path: &str| seen.iter().any(|it| path == *it || path.starts_with(&format!("{it}/")));
    let manifest = read("Cargo.toml")?;
    let (_, rest) = manifest.split_once("members = [").context("no members")?;
    let (list, _) = rest.split_once(']').context("no end of the members")?;
    for member in list
        .split(',')
        .map(|it| it.trim().trim_matches('"'))
        .filter(|it| !it.is_empty())
    {
        ensure!(sees(&format!("{member}/Cargo.toml")), "{member} is left out");
    }
    for path in [
        "Cargo.toml",
        "Cargo.lock",
        "migrations/0001_create_events.sql",
        "dbt/dbt_project.yml",
        "tests/it/main.rs",
    ] {
        ensure!(sees(path), "{path} is left out");
    }
    for path in [".weir/data", "target/debug", ".git/config", "rust-toolchain.toml"] {
        ensure!(!sees(path), "{path} is sent to the builder");
    }
    Ok(())
}

/// Prometheus scrapes the containers that there are, as the user that there is.
#[tokio::test]
async fn prometheus_finds_every_container() -> anyhow::Result<()> {
    let compose = compose().await?;
    let services = &compose["services"];
    let config = yaml("infra/monitoring/prometheus.yml").await?;
    let mut targets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for scrape in config["scrape_configs"].as_array().into_iter().flatten() {
        let job = scrape["job_name"].as_str().unwrap_or_default().to_owned();
        let found = texts(&scrape["static_configs"][0]["targets"]).map(str::to_owned);
        targets.entry(job).or_default().extend(found);
        if let Some(username) = scrape["basic_auth"]["username"].as_str() {
            let environment = &services["clickhouse"]["environment"];
            ensure!(environment["CLICKHOUSE_USER"] == username);
            ensure!(environment["CLICKHOUSE_PASSWORD"] == scrape["basic_auth"]["password"]);
        }
    }
    let functions: BTreeSet<_> = members(services)
        .filter_map(|(name, service)| {
            let port = texts(&service["command"]).find_map(|argument| argument.strip_prefix("--port="))?;
            Some(format!("{}:{port}", function(service).map(|_| name)?))
        })
        .collect();
    ensure!(targets["functions"] == functions, "{targets:?}");
    ensure!(targets["firehose"] == BTreeSet::from(["firehose:4573".to_owned()]));
    let opened = read("infra/monitoring/clickhouse/weir.xml")?;
    ensure!(targets["clickhouse"] == BTreeSet::from(["clickhouse:9363".to_owned()]));
    ensure!(opened.contains("<port>9363</port>"), "{opened}");
    // Whatever it names beside it is mounted beside it.
    let mounts = mounts(&services["prometheus"]);
    for file in texts(&config["rule_files"]).chain(["prometheus.yml"]) {
        let wanted = (format!("infra/monitoring/{file}"), format!("/etc/prometheus/{file}"));
        ensure!(mounts.contains(&wanted), "{file} is not mounted");
    }
    Ok(())
}
