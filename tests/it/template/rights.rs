//! Who may do what: each right is used, each call has its right, and a change of either is seen.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{Template, of_type};
use crate::process::checkout;

/// Where it is seen that a role needs an action: a file, and what stands in it.
type Evidence = (&'static str, &'static str);

/// Some actions, and what needs them.
type Right = (&'static [&'static str], Evidence);

const TEMPLATE: &str = "infra/template.yaml";
/// Lambda writes a function's output to its log group as the function.
const LOGS: Right = (
    &["logs:CreateLogStream", "logs:PutLogEvents"],
    (TEMPLATE, "LoggingConfig:"),
);

/// The rights of every role.
const NEEDED: &[(&str, &[Right])] = &[
    (
        "EventsRole",
        &[
            LOGS,
            (
                &["firehose:PutRecordBatch"],
                ("functions/events/src/firehose.rs", ".put_record_batch()"),
            ),
        ],
    ),
    ("LoaderRole", &[LOGS]),
    ("ActivityRole", &[LOGS]),
    ("SessionsRole", &[LOGS]),
    ("ExperimentsRole", &[LOGS]),
    ("RetentionRole", &[LOGS]),
    ("FunnelRole", &[LOGS]),
    ("DashboardRole", &[LOGS]),
    ("DocsRole", &[LOGS]),
    ("MigrateRole", &[LOGS]),
    ("DbtRole", &[LOGS]),
    (
        "ReplayRole",
        &[
            LOGS,
            (&["s3:GetObject"], ("functions/replay/src/s3.rs", ".get_object()")),
            // Lambda sends what failed as the function.
            (&["sqs:SendMessage"], (TEMPLATE, "OnFailure:")),
        ],
    ),
    (
        "DbtFunctionScheduleRole",
        &[(&["lambda:InvokeFunction"], (TEMPLATE, "ScheduleV2"))],
    ),
    (
        "StreamRole",
        &[
            (
                &["secretsmanager:GetSecretValue"],
                (TEMPLATE, "SecretsManagerConfiguration:"),
            ),
            // What the developer guide asks for a destination in S3.
            (
                &[
                    "s3:AbortMultipartUpload",
                    "s3:GetBucketLocation",
                    "s3:GetObject",
                    "s3:ListBucket",
                    "s3:ListBucketMultipartUploads",
                    "s3:PutObject",
                ],
                (TEMPLATE, "S3Configuration:"),
            ),
            (&["logs:PutLogEvents"], (TEMPLATE, "CloudWatchLoggingOptions:")),
        ],
    ),
    (
        "S3QueueRole",
        &[
            (
                &["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"],
                ("infra/s3queue.sql", "ENGINE = S3Queue("),
            ),
            (
                &["s3:DeleteObject", "s3:PutObject"],
                ("infra/s3queue.sql", "after_processing = 'move'"),
            ),
        ],
    ),
    // What each of the functions' roles may besides, with Tracing.
    (
        "TracePolicy",
        &[(
            &["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
            (TEMPLATE, "Tracing: !Ref Tracing"),
        )],
    ),
];

/// Calls of the SDK that are an operator's, made with the operator's own rights: the command `weir replay` lists a bucket.
const OPERATORS: &[&str] = &["list_objects_v2"];

/// Each role's statements; those of policies that are attached from outside too.
fn statements(template: &Value) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut add = |role: &str, document: &Value| {
        let statements = document["Statement"].as_array().cloned().unwrap_or_default();
        found.entry(role.to_owned()).or_default().extend(statements);
    };
    for (id, role) in of_type(template, "AWS::IAM::Role") {
        for policy in role["Properties"]["Policies"].as_array().into_iter().flatten() {
            add(id, &policy["PolicyDocument"]);
        }
    }
    for (_, policy) in of_type(template, "AWS::IAM::Policy") {
        let properties = &policy["Properties"];
        for role in properties["Roles"].as_array().into_iter().flatten() {
            add(role["Ref"].as_str().unwrap_or_default(), &properties["PolicyDocument"]);
        }
    }
    for (id, policy) in of_type(template, "AWS::IAM::ManagedPolicy") {
        add(id, &policy["Properties"]["PolicyDocument"]);
    }
    found
}

fn actions(statements: &[Value]) -> BTreeSet<String> {
    let listed = statements.iter().flat_map(|statement| match &statement["Action"] {
        Value::Array(actions) => actions.clone(),
        one => vec![one.clone()],
    });
    listed.filter_map(|action| action.as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn every_right_is_used_and_every_call_has_its_right() -> anyhow::Result<()> {
    let template = Template::main().await?;
    let given: BTreeMap<String, BTreeSet<String>> = statements(&template.transformed)
        .into_iter()
        .map(|(role, statements)| (role, actions(&statements)))
        .collect();
    let mut needed = BTreeMap::new();
    for (role, rights) in NEEDED {
        let mut all = BTreeSet::new();
        for (actions, (file, text)) in *rights {
            let content = std::fs::read_to_string(checkout().join(file))?;
            ensure!(
                content.contains(text),
                "{role} needs {actions:?} for {text} in {file}, which is not there"
            );
            all.extend(actions.iter().map(|action| (*action).to_owned()));
        }
        needed.insert((*role).to_owned(), all);
    }
    ensure!(
        given == needed,
        "the template gives: {given:#?}\nwhat is needed: {needed:#?}"
    );

    // Every call of an SDK, by the code of the functions.
    let mut called = BTreeSet::new();
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(checkout().join("functions"))? {
        let sources = entry?.path().join("src");
        // Not dbt's: it is not Rust.
        folders.extend(sources.is_dir().then_some(sources));
    }
    for folder in folders {
        for file in super::files(&folder)? {
            let source = std::fs::read_to_string(&file)?;
            if source.contains("aws_sdk_") {
                called.extend(calls(&source));
            }
        }
    }
    let told: BTreeSet<String> = NEEDED
        .iter()
        .flat_map(|(_, rights)| *rights)
        .filter(|(_, (file, _))| file.ends_with(".rs"))
        .map(|(_, (_, call))| call.trim_matches(['.', '(', ')']).to_owned())
        .chain(OPERATORS.iter().map(|call| (*call).to_owned()))
        .collect();
    ensure!(called == told, "the code calls {called:?}, the rights are for {told:?}");
    Ok(())
}

/// The operations that are called on a client, wherever the line breaks.
fn calls(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String = code.split_whitespace().collect();
    // `client.get_or_init(…)` and its like have arguments; an operation is a builder, and has none.
    let names = code.split("client.").skip(1);
    names
        .filter_map(|rest| rest.split_once("()"))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .collect()
}

/// The whole of it, so that a change of a resource, a condition or a trust is seen in review.
#[tokio::test]
async fn the_policies_are_those_of_the_fixture() -> anyhow::Result<()> {
    let template = Template::main().await?;
    let mut rights = statements(&template.transformed);
    let mut found = BTreeMap::new();
    for (id, role) in of_type(&template.transformed, "AWS::IAM::Role") {
        let properties = &role["Properties"];
        found.insert(
            id.to_owned(),
            json!({
                "trusts": properties["AssumeRolePolicyDocument"]["Statement"],
                "managed": properties["ManagedPolicyArns"],
                "may": rights.remove(id),
            }),
        );
    }
    // What is left belongs to no role.
    found.extend(rights.into_iter().map(|(id, may)| (id, json!({ "may": may }))));
    let found = serde_json::to_string_pretty(&found)? + "\n";

    let path = checkout().join("tests/fixtures/policies.json");
    if std::env::var_os("WEIR_UPDATE_FIXTURES").is_some() {
        std::fs::write(&path, &found)?;
    }
    let kept = std::fs::read_to_string(&path).context("tests/fixtures/policies.json")?;
    let differs = found.lines().zip(kept.lines()).find(|(found, kept)| found != kept);
    ensure!(
        found == kept,
        "the template's policies are not those of tests/fixtures/policies.json, first here: {differs:?}\nIf that is meant, run \
         `WEIR_UPDATE_FIXTURES=1 cargo weir test --only e2e --filter the_policies_are_those` and commit the file."
    );
    Ok(())
}
