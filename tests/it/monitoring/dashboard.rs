//! The dashboard against Grafana's own types, and against what provisions it.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{dashboard, members, ran, yaml};
use crate::process::{checkout, scratch, setting};

/// What Grafana's types say to a dashboard.
async fn checked(dashboard: &Value) -> anyhow::Result<()> {
    let folder = scratch();
    let modules = setting("WEIR_GRAFANA").join("node_modules");
    std::os::unix::fs::symlink(&modules, folder.path().join("node_modules"))?;
    std::fs::copy(
        checkout().join("tests/clients/dashboard.ts"),
        folder.path().join("dashboard.ts"),
    )?;
    let file = folder.path().join("check.ts");
    let text = format!(
        "import type {{ Dashboard }} from './dashboard';\nexport const dashboard: Dashboard = {dashboard:#};\n"
    );
    std::fs::write(&file, text)?;
    let mut node = Command::new("node");
    node.arg(modules.join("typescript/bin/tsc"))
        .args(["--noEmit", "--strict", "--skipLibCheck", "--pretty", "false"])
        .args([
            "--target",
            "es2022",
            "--module",
            "es2022",
            "--moduleResolution",
            "bundler",
        ])
        .arg(&file);
    ran(node).await?;
    Ok(())
}

#[tokio::test]
async fn grafana_knows_every_member() -> anyhow::Result<()> {
    checked(&dashboard()?).await
}

/// What the check is worth: each of these is a member or a value that Grafana does not know.
#[tokio::test]
async fn grafana_does_not_know_a_misspelt_one() -> anyhow::Result<()> {
    let good = dashboard()?;
    let all = good["panels"].as_array().context("no panels")?;
    let stat = all
        .iter()
        .position(|panel| panel["type"] == "stat")
        .context("no stat")?;
    let at = |place: &str| format!("/panels/{stat}{place}");
    for (place, member, value) in [
        (String::new(), "refreshh", json!("5s")),
        ("/panels/0".to_owned(), "titel", json!("x")),
        ("/panels/0/options/legend".to_owned(), "displayMode", json!("lists")),
        ("/panels/0/fieldConfig/defaults".to_owned(), "units", json!("s")),
        (
            "/panels/0/fieldConfig/defaults/custom".to_owned(),
            "fillOpacitiy",
            json!(1),
        ),
        ("/panels/0/targets/0".to_owned(), "expression", json!("up")),
        (at("/options"), "graphMod", json!("none")),
        (at("/options/reduceOptions"), "calculation", json!("max")),
    ] {
        let mut bad = good.clone();
        let object = bad.pointer_mut(&place).with_context(|| format!("no {place}"))?;
        object[member] = value;
        let said = checked(&bad)
            .await
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        ensure!(
            said.contains(member) || said.contains("lists"),
            "{place}/{member}: {said:?}"
        );
    }
    Ok(())
}

/// The panels that show something.
pub(super) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    panels.filter(|panel| panel["type"] != "row")
}

#[test]
fn it_is_where_its_address_says_and_every_panel_explains_itself() -> anyhow::Result<()> {
    let dashboard = dashboard()?;
    // Grafana makes the end of the address of the title: /d/q9Or1W0Nz/dashboard.
    ensure!(dashboard["uid"] == "q9Or1W0Nz" && dashboard["title"] == "Dashboard");
    ensure!(dashboard["refresh"] == "5s" && dashboard["time"] == json!({"from": "now-15m", "to": "now"}));
    let titles: Vec<_> = panels(&dashboard).filter_map(|panel| panel["title"].as_str()).collect();
    ensure!(
        titles.starts_with(&[
            "API requests per second",
            "INSERTs per second",
            "INSERTed rows per second"
        ]),
        "{titles:?}"
    );
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        ensure!(ids.insert(panel["id"].as_u64()), "two panels have the id of {panel}");
    }
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        ensure!(
            panel["description"].as_str().is_some_and(|it| it.ends_with('.')),
            "{title} is not described"
        );
        ensure!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title} has no unit"
        );
        let targets: Vec<_> = panel["targets"].as_array().into_iter().flatten().collect();
        ensure!(!targets.is_empty(), "{title} asks nothing");
        for target in targets {
            ensure!(
                target["legendFormat"].as_str().is_some_and(|it| !it.is_empty()),
                "{title} has no legend"
            );
            let expression = target["expr"].as_str().unwrap_or_default();
            // The same panel draws `weir up`, which is one job, and the containers, which are several.
            ensure!(
                !["job", "instance"].iter().any(|label| expression.contains(label)),
                "{title} hangs on a label of Prometheus's own: {expression}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_provisions_it_names_the_same_source_and_folder() -> anyhow::Result<()> {
    let sources = yaml("infra/monitoring/grafana/provisioning/datasources/prometheus.yml").await?;
    let [source] = &sources["datasources"].as_array().context("no data sources")?[..] else {
        anyhow::bail!("more than one data source: {sources}");
    };
    let used = json!({"type": source["type"], "uid": source["uid"]});
    let dashboard = dashboard()?;
    for panel in panels(&dashboard) {
        let targets = panel["targets"].as_array().into_iter().flatten();
        for asked in targets
            .map(|target| &target["datasource"])
            .chain([&panel["datasource"]])
        {
            ensure!(
                *asked == used,
                "{} asks {asked}, and {used} is provisioned",
                panel["title"]
            );
        }
    }

    let compose = yaml("infra/compose.yaml").await?;
    let services = &compose["services"];
    // Grafana asks the Prometheus of the same file, and knows how often that one scrapes.
    let url = source["url"].as_str().unwrap_or_default();
    let (host, port) = url
        .strip_prefix("http://")
        .and_then(|address| address.split_once(':'))
        .context("no address")?;
    ensure!(services[host]["ports"][0] == format!("127.0.0.1:9090:{port}"), "{url}");
    let scraped = &yaml("infra/monitoring/prometheus.yml").await?["global"]["scrape_interval"];
    ensure!(
        source["jsonData"]["timeInterval"] == *scraped,
        "Prometheus scrapes every {scraped}"
    );

    let providers = yaml("infra/monitoring/grafana/provisioning/dashboards/weir.yml").await?;
    let folder = providers["providers"][0]["options"]["path"]
        .as_str()
        .context("no path")?;
    let mounts = super::compose::mounts(&services["grafana"]);
    let mounted = |wanted: &str, path: &str| mounts.iter().any(|(from, to)| from == wanted && to == path);
    ensure!(mounted("infra/monitoring/grafana/dashboards", folder), "{mounts:?}");
    ensure!(
        mounted("infra/monitoring/grafana/provisioning", "/etc/grafana/provisioning"),
        "{mounts:?}"
    );
    let variables = &services["grafana"]["environment"];
    ensure!(variables["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == format!("{folder}/weir.json"));
    ensure!(members(variables).any(|(name, value)| name == "GF_SECURITY_ADMIN_USER" && value == "admin"));
    Ok(())
}
