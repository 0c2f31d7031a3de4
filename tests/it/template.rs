//! `infra/template.yaml`: what SAM and CloudFormation would say to it, as far as that can be asked without an account, and whether it
//! still says what the code does.

mod build;
mod document;
mod monitoring;
mod parity;
mod rights;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::process::{PATIENCE, checkout, scratch, setting};

/// A template, as it is written and as CloudFormation gets it.
struct Template {
    source: Value,
    transformed: Value,
}

impl Template {
    async fn read(path: &str) -> anyhow::Result<Self> {
        let script = ["tests/clients/transform_template.py", path];
        let printed = ran(program("python"), &script).await?;
        let mut both: Value = serde_json::from_str(&printed).context(printed)?;
        Ok(Self {
            source: both["source"].take(),
            transformed: both["transformed"].take(),
        })
    }

    async fn main() -> anyhow::Result<Self> {
        Self::read("infra/template.yaml").await
    }

    /// The functions as they are written, by their logical ids.
    fn functions(&self) -> impl Iterator<Item = (&str, &Value)> {
        of_type(&self.source, "AWS::Serverless::Function")
    }

    /// The function with that binary.
    fn function(&self, binary: &str) -> anyhow::Result<&Value> {
        let found = self.functions().find(|(_, it)| binary_of(it) == Some(binary));
        let (_, function) = found.with_context(|| format!("no function with the binary {binary}"))?;
        Ok(&function["Properties"])
    }
}

/// The resources of that type, by their logical ids.
fn of_type<'a>(template: &'a Value, wanted: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let resources = template["Resources"].as_object().into_iter().flatten();
    resources
        .filter(move |(_, resource)| resource["Type"] == wanted)
        .map(|(id, resource)| (id.as_str(), resource))
}

/// A function's name in the repository: `DbtFunction` is `dbt`.
fn name_of(id: &str) -> String {
    id.strip_suffix("Function").unwrap_or(id).to_lowercase()
}

/// The program that cargo-lambda builds for a function.
fn binary_of(function: &Value) -> Option<&str> {
    function["Metadata"]["BuildProperties"]["Binary"].as_str()
}

/// A program of the environment with SAM.
fn program(name: &str) -> Command {
    Command::new(setting("WEIR_SAM").join("bin").join(name))
}

/// Runs a command in the checkout; it must end well. Gives what it printed.
async fn ran(command: Command, args: &[&str]) -> anyhow::Result<String> {
    ran_within(PATIENCE * 3, command, args).await
}

async fn ran_within(limit: Duration, mut command: Command, args: &[&str]) -> anyhow::Result<String> {
    command
        .args(args)
        .current_dir(checkout())
        .env("SAM_CLI_TELEMETRY", "0")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output())
        .await
        .with_context(|| format!("{args:?} did not end"))??;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    ensure!(output.status.success(), "{args:?}: {}\n{out}\n{err}", output.status);
    Ok(out)
}

/// The files under a folder.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn sam_finds_nothing_in_the_templates() -> anyhow::Result<()> {
    for path in ["infra/template.yaml", "infra/monitoring.yaml"] {
        ran(program("sam"), &["validate", "--lint", "--template-file", path]).await?;
    }
    Ok(())
}

/// Circles, and names that the transform gives twice, are only seen in what it makes.
#[tokio::test]
async fn cfn_lint_finds_nothing_in_what_cloudformation_gets() -> anyhow::Result<()> {
    let template = Template::main().await?;
    let folder = scratch();
    let file = folder.path().join("transformed.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&template.transformed)?)?;
    ran(program("cfn-lint"), &[&file.to_string_lossy()]).await?;
    Ok(())
}

#[tokio::test]
async fn every_function_is_built_and_named_alike() -> anyhow::Result<()> {
    let template = Template::main().await?;
    let metadata = ran(
        Command::new("cargo"),
        &["metadata", "--no-deps", "--offline", "--format-version", "1"],
    )
    .await?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let folder = checkout().join("functions");
    let mut programs: Vec<_> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|package| Path::new(package["manifest_path"].as_str().unwrap_or_default()).starts_with(&folder))
        .flat_map(|package| package["targets"].as_array().into_iter().flatten())
        .filter(|target| target["kind"][0] == "bin")
        .filter_map(|target| target["name"].as_str())
        .collect();
    programs.sort_unstable();
    let mut built: Vec<_> = template.functions().filter_map(|(_, it)| binary_of(it)).collect();
    built.sort_unstable();
    ensure!(
        built == programs,
        "the template: {built:?}\nthe workspace: {programs:?}"
    );

    let globals = &template.source["Globals"]["Function"];
    ensure!(globals["Runtime"] == "provided.al2023" && globals["Architectures"][0] == "arm64");
    ensure!(globals["CodeUri"] == "..", "the workspace is where cargo runs");
    for (id, function) in template.functions() {
        let properties = &function["Properties"];
        let name = name_of(id);
        if let Some(binary) = binary_of(function) {
            ensure!(binary == name, "{id} runs {binary}");
            ensure!(function["Metadata"]["BuildMethod"] == "rust-cargolambda", "{id}");
            ensure!(
                properties["Runtime"].is_null() && properties["CodeUri"].is_null(),
                "{id} differs"
            );
        }
        // Alarms, the dashboard and log groups go by this.
        ensure!(
            properties["FunctionName"]["Fn::Sub"] == format!("${{AWS::StackName}}-{name}"),
            "{id}: {}",
            properties["FunctionName"]
        );
    }
    Ok(())
}

/// What is kept, for how long, from whom; and what holds when things go wrong.
#[tokio::test]
async fn what_is_stored_is_closed_and_limited() -> anyhow::Result<()> {
    let template = Template::main().await?;
    let parts = &template.transformed;
    let expectations: &[(&str, &str, Value)] =
        &serde_json::from_str::<Vec<(String, String, Value)>>(include_str!("../fixtures/template_settings.json"))?
            .into_iter()
            .map(|(id, pointer, value)| (&*id.leak(), &*pointer.leak(), value))
            .collect::<Vec<_>>();
    for (id, pointer, expected) in expectations {
        let found = parts["Resources"][*id]["Properties"].pointer(pointer);
        ensure!(found == Some(expected), "{id}{pointer} is {found:?}, not {expected}");
    }
    let groups: Vec<_> = of_type(parts, "AWS::Logs::LogGroup").collect();
    for (id, group) in &groups {
        ensure!(
            group["Properties"]["RetentionInDays"]["Ref"] == "LogRetentionDays",
            "{id} is kept for ever"
        );
    }
    for (id, function) in of_type(parts, "AWS::Lambda::Function") {
        let group = &function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"];
        let own = format!("{}Logs", id.strip_suffix("Function").unwrap_or(id));
        ensure!(*group == own, "{id} logs to {group}");
        ensure!(groups.iter().any(|(name, _)| group == name), "there is no {group}");
    }
    for (id, _) in of_type(parts, "AWS::S3::Bucket") {
        let guarded = of_type(parts, "AWS::S3::BucketPolicy").any(|(_, policy)| {
            let statement = &policy["Properties"]["PolicyDocument"]["Statement"][0];
            policy["Properties"]["Bucket"]["Ref"] == id
                && statement["Effect"] == "Deny"
                && statement["Principal"] == "*"
                && statement["Condition"]["Bool"]["aws:SecureTransport"] == false
        });
        ensure!(guarded, "{id} answers without TLS");
    }
    // They answer CORS themselves: edge::cors.
    for (id, url) in of_type(parts, "AWS::Lambda::Url") {
        ensure!(url["Properties"]["Cors"].is_null(), "{id} answers CORS too");
    }
    // A migration that fails ends the deploy before these.
    for id in ["Loader", "Stream", "Replay", "DbtFunction"] {
        ensure!(
            parts["Resources"][id]["DependsOn"] == "Migrations",
            "{id} does not wait for the migrations"
        );
    }
    let code = parts["Resources"]["Migrations"]["Properties"]["Code"]["Ref"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        parts["Resources"][code]["Type"] == "AWS::Lambda::Version",
        "Migrations do not follow the code: {code}"
    );
    Ok(())
}
