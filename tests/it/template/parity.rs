//! The template against the functions: where they are reached, what they read.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use edge::Function;

use super::{Template, binary_of, name_of, of_type};
use crate::process::checkout;

/// The functions that read marts.
const READING: [&str; 5] = ["activity", "sessions", "experiments", "retention", "funnel"];

/// Each function with an address, and what it answers.
fn routes() -> BTreeMap<&'static str, BTreeSet<String>> {
    let routes = [
        ("events", events::Context::routes()),
        ("loader", loader::Context::routes()),
        ("activity", marts::Context::<activity::Activity>::routes()),
        ("sessions", marts::Context::<sessions::Sessions>::routes()),
        ("experiments", marts::Context::<experiments::Experiments>::routes()),
        ("retention", marts::Context::<retention::Retention>::routes()),
        ("funnel", marts::Context::<funnel::Funnel>::routes()),
        ("dashboard", dashboard::Context::routes()),
        ("docs", docs::Context::routes()),
    ];
    routes
        .into_iter()
        .map(|(name, paths)| (name, paths.iter().map(|path| (*path).to_owned()).collect()))
        .collect()
}

/// The router of `cargo lambda watch` in `Cargo.toml`: its paths by function, without the slash at the end that each may have.
fn watched() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let manifest = std::fs::read_to_string(checkout().join("Cargo.toml"))?;
    let (_, router) = manifest
        .split_once("[workspace.metadata.lambda.watch.router]\n")
        .context("no router")?;
    let mut watched: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in router.lines().take_while(|line| !line.starts_with('[')) {
        if let Some((path, function)) = line.split_once(" = ") {
            let (path, function) = (path.trim_matches('"'), function.trim_matches('"'));
            let path = path.trim_end_matches('/').to_owned();
            watched.entry(function.to_owned()).or_default().insert(path);
        }
    }
    Ok(watched)
}

/// Whether the router sends that path on: as it is, or by `{*file}`.
fn sends(router: &BTreeSet<String>, path: &str) -> bool {
    router.iter().any(|it| match it.strip_suffix("{*file}") {
        Some(folder) => path.starts_with(folder),
        None => it == path,
    })
}

#[tokio::test]
async fn addresses_are_those_of_the_router_the_functions_and_the_document() -> anyhow::Result<()> {
    let template = Template::main().await?;
    let routes = routes();

    // A function URL has no paths: it sends everything. So an address there is one of a function that answers requests.
    let addressed: BTreeSet<_> = template
        .functions()
        .filter(|(_, function)| !function["Properties"]["FunctionUrlConfig"].is_null())
        .filter_map(|(_, function)| binary_of(function))
        .collect();
    ensure!(
        addressed == routes.keys().copied().collect(),
        "the template has addresses for {addressed:?}"
    );

    // The router has all that the functions answer, and nothing else; the loader's address there is cargo-lambda's own.
    let watched = watched()?;
    for (name, paths) in routes.iter().filter(|(name, _)| **name != "loader") {
        let router = watched.get(*name).with_context(|| format!("{name} is not watched"))?;
        let lost: Vec<_> = paths.iter().filter(|path| !sends(router, path)).collect();
        ensure!(lost.is_empty(), "the router does not send {lost:?} to {name}");
        let idle: Vec<_> = router
            .iter()
            .filter(|path| !paths.iter().any(|route| sends(&[(*path).clone()].into(), route)))
            .collect();
        ensure!(
            idle.is_empty(),
            "the router sends {idle:?} to {name}, which answers no such path"
        );
    }
    ensure!(watched.keys().all(|name| routes.contains_key(name.as_str())));

    // The document names what is for others: all of events, and what is read.
    let document = docs::openapi::document(&docs::Config::default());
    let told: BTreeSet<_> = document["paths"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(path, _)| path.clone())
        .collect();
    let answered: BTreeSet<_> = ["events"]
        .iter()
        .chain(&READING)
        .flat_map(|name| routes[name].clone())
        .collect();
    ensure!(
        told == answered,
        "the document has {told:?}, the functions answer {answered:?}"
    );

    // What a deploy prints leads somewhere, and the stream leads to the loader's one path.
    for (output, url, name) in [
        ("EventsEndpoint", "EventsUrl", "events"),
        ("ActivityEndpoint", "ActivityUrl", "activity"),
        ("SessionsEndpoint", "SessionsUrl", "sessions"),
        ("ExperimentsEndpoint", "ExperimentsUrl", "experiments"),
        ("RetentionEndpoint", "RetentionUrl", "retention"),
        ("FunnelEndpoint", "FunnelUrl", "funnel"),
        ("DashboardEndpoint", "DashboardUrl", "dashboard"),
        ("DocsEndpoint", "DocsUrl", "docs"),
    ] {
        let value = template.source["Outputs"][output]["Value"]["Fn::Sub"]
            .as_str()
            .unwrap_or_default();
        let path = value
            .strip_prefix(&format!("${{{url}.FunctionUrl}}"))
            .with_context(|| format!("{output} is {value}"))?;
        ensure!(
            routes[name].contains(&format!("/{path}")),
            "{output} leads to /{path}, which {name} does not answer"
        );
    }
    let url = template.source.pointer(
        "/Resources/Stream/Properties/HttpEndpointDestinationConfiguration/Fn::If/1/EndpointConfiguration/Url/Fn::GetAtt",
    );
    ensure!(
        url.is_some_and(|url| *url == serde_json::json!(["LoaderUrl", "FunctionUrl"])),
        "{url:?}"
    );
    ensure!(routes["loader"] == BTreeSet::from(["/".to_owned()]));
    Ok(())
}

/// Read by functions, and not the template's to set: Lambda sets them, and AWS's own addresses and certificates are the default.
const NOT_SET: &[&str] = &[
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL_FIREHOSE",
    "AWS_ENDPOINT_URL_S3",
    "SSL_CERT_FILE",
];

/// The README's table is what the configurations read: a test of `weir` compares the two. So the template is compared with it.
#[tokio::test]
async fn variables_are_what_each_function_reads() -> anyhow::Result<()> {
    let readme = std::fs::read_to_string(checkout().join("README.md"))?;
    let (_, table) = readme
        .split_once("| variable | read by | default | meaning |\n|---|---|---|---|\n")
        .context("no table of variables")?;
    let mut read: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in table.lines().take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        for reader in cells[2].split(", ") {
            let names = cells[1].split(", ").map(|name| name.trim_matches('`'));
            read.entry(reader.to_owned()).or_default().extend(
                names
                    .filter(|name| !NOT_SET.contains(name))
                    .map(|name| (*name).to_owned()),
            );
        }
    }
    let template = Template::main().await?;
    for (id, function) in template.functions() {
        let given: BTreeSet<String> = function["Properties"]["Environment"]["Variables"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        let expected = read.get(&name_of(id)).cloned().unwrap_or_default();
        ensure!(given == expected, "{id} is given {given:?}, and reads {expected:?}");
    }
    // Each has a user and a password of its own, but those that read, which are one user. Only the loader has the stream's key.
    let mut passwords = BTreeSet::new();
    for (id, function) in of_type(&template.source, "AWS::Serverless::Function") {
        let variables = &function["Properties"]["Environment"]["Variables"];
        if let Some(user) = variables["CLICKHOUSE_USER"]["Ref"].as_str() {
            let function = name_of(id);
            let reads = READING.contains(&function.as_str()) || function == "dashboard";
            let name = if reads { "activity" } else { &function };
            ensure!(
                user.eq_ignore_ascii_case(&format!("ClickHouse{name}User")),
                "{id} is {user}"
            );
            let password = variables["CLICKHOUSE_PASSWORD"]["Fn::Sub"].as_str().unwrap_or_default();
            let key = format!(":SecretString:{name}}}}}");
            ensure!(
                password.starts_with("{{resolve:secretsmanager:${ClickHousePasswordsArn}") && password.ends_with(&key),
                "{id}'s password is {password}"
            );
            ensure!(
                passwords.insert(password.to_owned()) || reads,
                "{password} is two functions'"
            );
        }
    }
    let key = template.function("loader")?["Environment"]["Variables"]["FIREHOSE_ACCESS_KEY"]["Fn::Sub"].clone();
    ensure!(
        key == "{{resolve:secretsmanager:${AccessKey}:SecretString:api_key}}",
        "{key}"
    );
    Ok(())
}
