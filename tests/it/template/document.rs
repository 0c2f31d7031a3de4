//! DEPLOY.md and samconfig.toml against the template: what they name is there, and what is there is told.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Template;
use crate::process::checkout;

fn names(value: &Value) -> BTreeSet<String> {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(name, _)| name.clone()).collect()
}

/// The word at the beginning of a text.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[tokio::test]
async fn deploy_md_names_what_the_template_has() -> anyhow::Result<()> {
    let template = Template::main().await?.source;
    let text = std::fs::read_to_string(checkout().join("DEPLOY.md"))?;

    let outputs = names(&template["Outputs"]);
    let told: BTreeSet<String> = text
        .split("$(output ")
        .skip(1)
        .map(|rest| word(rest).to_owned())
        .collect();
    ensure!(
        told == outputs,
        "DEPLOY.md reads {told:?}, the template gives {outputs:?}"
    );

    let parameters = names(&template["Parameters"]);
    let (_, table) = text
        .split_once("| parameter | default | meaning |\n|---|---|---|\n")
        .context("no table of parameters")?;
    let mut told = BTreeSet::new();
    for row in table.lines().take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        for name in cells[1].split(", ").map(|name| name.trim_matches('`')) {
            let default = match &template["Parameters"][name]["Default"] {
                Value::Null => "required".to_owned(),
                Value::String(text) if text.is_empty() => "none".to_owned(),
                Value::String(text) => format!("`{text}`"),
                other => format!("`{other}`"),
            };
            ensure!(
                cells[2].split(", ").any(|told| told == default),
                "{name}: DEPLOY.md says {}, the template {default}",
                cells[2]
            );
            told.insert(name.to_owned());
        }
    }
    ensure!(
        told == parameters,
        "DEPLOY.md explains {told:?}, the template has {parameters:?}"
    );

    // Wherever else a parameter is set, as Name=value.
    for (at, _) in text.match_indices('=') {
        let before = text.get(..at).unwrap_or_default();
        let start = before
            .rfind(|c: char| !c.is_ascii_alphanumeric())
            .map_or(0, |start| start + 1);
        let name = before.get(start..).unwrap_or_default();
        let camel =
            name.starts_with(|c: char| c.is_ascii_uppercase()) && name.contains(|c: char| c.is_ascii_lowercase());
        // AWS's own fields in queries are no parameters.
        ensure!(
            !camel || parameters.contains(name) || ["OutputKey", "Key"].contains(&name),
            "DEPLOY.md sets {name}, which is no parameter"
        );
    }
    // Files that it names are there.
    for file in text.split("infra/").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !"._-/".contains(c))
            .unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().trim_end_matches('.')
    }) {
        ensure!(
            checkout().join("infra").join(file).exists(),
            "DEPLOY.md names infra/{file}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn samconfig_sets_what_must_be_set() -> anyhow::Result<()> {
    let template = Template::main().await?.source;
    let parameters = template["Parameters"].as_object().context("no parameters")?;
    let text = std::fs::read_to_string(checkout().join("samconfig.toml"))?;
    for environment in ["default", "staging", "prod"] {
        let section = |name: &str| {
            let (_, rest) = text
                .split_once(&format!("[{environment}.{name}.parameters]\n"))
                .with_context(|| format!("no {environment}.{name}"))?;
            anyhow::Ok(rest.split("\n[").next().unwrap_or_default().to_owned())
        };
        let build = section("build")?;
        ensure!(build.contains("template_file = \"infra/template.yaml\""), "{build}");
        let deploy = section("deploy")?;
        // The built template is deployed, not the one that was written.
        ensure!(!deploy.contains("template_file"), "{deploy}");
        ensure!(
            deploy.contains("CAPABILITY_IAM CAPABILITY_AUTO_EXPAND"),
            "roles, and a stack inside: {deploy}"
        );
        let set: BTreeSet<_> = deploy
            .lines()
            .filter_map(|line| line.trim().strip_prefix('"'))
            .map(word)
            .collect();
        for name in &set {
            ensure!(parameters.contains_key(*name), "{environment} sets {name}");
        }
        for (name, parameter) in parameters {
            ensure!(
                !parameter["Default"].is_null() || set.contains(name.as_str()),
                "{environment} does not set {name}"
            );
        }
    }
    Ok(())
}
