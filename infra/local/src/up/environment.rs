//! Which variables each process may see: a function is given what its configuration reads, and no other one's secrets.

/// What the configuration of each function reads, as the README's table says.
const READS: [(&str, &[&str]); 9] = [
    (
        "events",
        &[
            "FIREHOSE_STREAM",
            "AWS_REGION",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_ENDPOINT_URL_FIREHOSE",
            "SSL_CERT_FILE",
            "WRITE_KEYS",
            "ALLOWED_ORIGINS",
        ],
    ),
    (
        "loader",
        &[
            "FIREHOSE_ACCESS_KEY",
            "CLICKHOUSE_URL",
            "CLICKHOUSE_USER",
            "CLICKHOUSE_PASSWORD",
            "CLICKHOUSE_DATABASE",
        ],
    ),
    ("activity", READING),
    ("sessions", READING),
    ("experiments", READING),
    ("retention", READING),
    ("funnel", READING),
    ("dashboard", READING),
    (
        "docs",
        &[
            "EVENTS_URL",
            "ACTIVITY_URL",
            "SESSIONS_URL",
            "EXPERIMENTS_URL",
            "RETENTION_URL",
            "FUNNEL_URL",
        ],
    ),
];

/// What each function that reads a mart does.
const READING: &[&str] = &[
    "CLICKHOUSE_URL",
    "CLICKHOUSE_USER",
    "CLICKHOUSE_PASSWORD",
    "CLICKHOUSE_DATABASE",
    "READ_KEYS",
];

/// Of all functions' environment, what one of them reads: no function is given another one's secrets.
pub(super) fn of(function: &str, environment: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let reads = reads(function);
    let read = |(name, _): &&(&'static str, String)| reads.contains(name);
    environment.iter().filter(read).cloned().collect()
}

/// Variables that the process of that name must not inherit from the shell: those that functions read, and it does not.
pub(super) fn withheld(process: &str) -> Vec<&'static str> {
    let reads = reads(process);
    let all = READS.iter().flat_map(|(_, names)| names.iter().copied());
    all.filter(|name| !reads.contains(name)).collect()
}

fn reads(process: &str) -> &'static [&'static str] {
    let found = READS.iter().find(|(function, _)| *function == process);
    found.map_or(&[], |(_, names)| names)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::settings::FUNCTIONS;
    use super::*;

    /// What each configuration asks for, with nothing set and with everything.
    fn asked(read: impl Fn(&edge::config::Lookup<'_>)) -> BTreeSet<String> {
        let asked = RefCell::new(BTreeSet::new());
        for value in [None, Some("http://x.example".to_owned())] {
            read(&|name: &str| {
                asked.borrow_mut().insert(name.to_owned());
                value.clone()
            });
        }
        asked.into_inner()
    }

    fn configurations() -> [(&'static str, BTreeSet<String>); 11] {
        [
            ("events", asked(|lookup| drop(events::Config::from_lookup(lookup)))),
            ("loader", asked(|lookup| drop(loader::Config::from_lookup(lookup)))),
            (
                "activity",
                asked(|lookup| {
                    drop(<marts::Context<activity::Activity> as edge::Function>::from_lookup(
                        lookup,
                    ))
                }),
            ),
            (
                "sessions",
                asked(|lookup| {
                    drop(<marts::Context<sessions::Sessions> as edge::Function>::from_lookup(
                        lookup,
                    ))
                }),
            ),
            (
                "experiments",
                asked(|lookup| drop(<marts::Context<experiments::Experiments> as edge::Function>::from_lookup(lookup))),
            ),
            (
                "retention",
                asked(|lookup| {
                    drop(<marts::Context<retention::Retention> as edge::Function>::from_lookup(
                        lookup,
                    ))
                }),
            ),
            (
                "funnel",
                asked(|lookup| drop(<marts::Context<funnel::Funnel> as edge::Function>::from_lookup(lookup))),
            ),
            (
                "dashboard",
                asked(|lookup| drop(<dashboard::Context as edge::Function>::from_lookup(lookup))),
            ),
            ("docs", asked(|lookup| drop(docs::Config::from_lookup(lookup)))),
            (
                "migrate",
                asked(|lookup| drop(::migrate::handler::Context::from_lookup(lookup))),
            ),
            (
                "replay",
                asked(|lookup| drop(replay::handler::Context::from_lookup(lookup))),
            ),
        ]
    }

    #[test]
    fn a_function_is_given_what_it_reads() {
        let (given, asked): (BTreeMap<_, BTreeSet<String>>, BTreeMap<_, _>) = (
            READS
                .iter()
                .map(|(name, reads)| (*name, reads.iter().map(|name| (*name).to_owned()).collect()))
                .collect(),
            configurations()
                .into_iter()
                .filter(|(name, _)| FUNCTIONS.contains(name))
                .collect(),
        );
        assert_eq!(given, asked);
        let all = [
            ("FIREHOSE_ACCESS_KEY", String::new()),
            ("AWS_SECRET_ACCESS_KEY", String::new()),
            ("CLICKHOUSE_PASSWORD", String::new()),
        ];
        let names = |name| -> Vec<_> { of(name, &all).into_iter().map(|(name, _)| name).collect() };
        assert_eq!(names("events"), ["AWS_SECRET_ACCESS_KEY"]);
        assert_eq!(names("loader"), ["FIREHOSE_ACCESS_KEY", "CLICKHOUSE_PASSWORD"]);
        assert_eq!(names("activity"), ["CLICKHOUSE_PASSWORD"]);
        assert!(names("docs").is_empty() && names("clickhouse").is_empty());
        assert!(withheld("loader").contains(&"WRITE_KEYS") && !withheld("events").contains(&"WRITE_KEYS"));
        assert!(withheld("firehose").contains(&"CLICKHOUSE_PASSWORD"));
    }

    #[test]
    fn the_readme_says_what_each_function_reads() {
        let readme = include_str!("../../../../README.md");
        let (_, table) = readme
            .split_once("| variable | read by | default | meaning |\n|---|---|---|---|\n")
            .unwrap();
        let mut told: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for row in table.lines().take_while(|line| line.starts_with('|')) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            for reader in cells[2].split(", ").filter(|reader| *reader != "all") {
                let names = cells[1].split(", ").map(|name| name.trim_matches('`').to_owned());
                told.entry(reader).or_default().extend(names);
            }
        }
        let server = asked(|lookup| drop(edge::server::ServerConfig::from_lookup(lookup)));
        // Of CLICKHOUSE_URL the dbt function makes what the profile wants.
        let profile = include_str!("../../../../dbt/profiles.yml");
        let names = profile
            .split("env_var('")
            .skip(1)
            .filter_map(|rest| rest.split('\'').next());
        let dbt = names
            .map(|name| match name {
                "CLICKHOUSE_HOST" | "CLICKHOUSE_PORT" | "CLICKHOUSE_SECURE" => "CLICKHOUSE_URL".to_owned(),
                name => name.to_owned(),
            })
            .collect();
        let others = [("every HTTP function", server), ("dbt", dbt)];
        let expected = configurations().into_iter().chain(others);
        assert_eq!(told, expected.collect());
    }
}
