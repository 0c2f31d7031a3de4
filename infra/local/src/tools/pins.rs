//! The versions of everything that Weir fetches: the one place to change them.

/// The npm packages that carry `libchdb`, ClickHouse as a library.
pub(super) const ENGINE_VERSION: &str = "26.7.3-stable.1";
/// What npm downloads, in bytes: for the progress bar only.
pub(super) const ENGINE_DOWNLOAD_BYTES: u64 = 177_818_000;
/// What it unpacks to, in bytes: for the progress bar only.
pub(super) const ENGINE_UNPACKED_BYTES: u64 = 566_330_000;

/// The emulator of AWS Lambda. Its dependency ziglang is only for cross-compiling, so it is left out.
pub(super) const CARGO_LAMBDA: &[&str] = &["cargo-lambda==1.9.2"];
/// dbt, as in functions/dbt/requirements.txt. 1.11 on purpose: dbt-core 1.12 has a dependency that downloads from a code host while it installs.
pub(super) const DBT: &[&str] = &["dbt-core==1.11.16", "dbt-clickhouse==1.10.3"];

/// The clients that the tests put against the local stack.
pub(super) const PYTHON_CLIENTS: &[&str] = &[
    "boto3==1.44.5",
    "clickhouse-connect==1.12.0",
    "openapi-spec-validator==0.9.0",
    "moto[s3,server]==5.2.5",
];
/// ClickHouse's JavaScript client, for the same; what drives a browser; and what finds in a page that which bars people from it.
/// Puppeteer 24 is the last that runs on Node 20; `-core` is the one that downloads no browser.
pub(super) const JS_CLIENTS: &[&str] = &["@clickhouse/client@1.23.1", "puppeteer-core@24.43.1", "axe-core@4.14.1"];

/// Grafana's own types, of the version that `infra/compose.yaml` runs, and the compiler that checks the dashboard by them.
pub(super) const GRAFANA: &[&str] = &["@grafana/schema@13.2.3", "typescript@5.9.3"];

/// What sends the functions all that their OpenAPI document allows, and what it forbids. It has an environment of its own:
/// it brings much that the clients do without.
pub(super) const SCHEMATHESIS: &[&str] = &["schemathesis==4.32.5"];

/// What checks the template, and builds the functions for AWS, as DEPLOY.md says. sam finds cargo-lambda, and that finds zig, in the
/// environment of the `python3` on `PATH`.
pub(super) const SAM: &[&str] = &[
    "aws-sam-cli==1.170.0",
    "cargo-lambda==1.9.2",
    "ziglang==0.13.0.post1",
    "cfn-lint==1.58.0",
];

/// What computes the marts again, by their definitions, and reads the style of their SQL. The last that Python 3.10 runs.
pub(super) const MARTS: &[&str] = &[
    "clickhouse-connect==1.12.0",
    "numpy==2.2.6",
    "scipy==1.15.3",
    "statsmodels==0.14.6",
    "sqlfluff==4.5.0",
];

/// What the service is made of that `weir bench` compares Weir with: `tests/clients/fastapi_service`.
pub(super) const FASTAPI: &[&str] = &[
    "fastapi==0.165.0",
    "pydantic==2.14.4",
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "httptools==0.9.0",
    "clickhouse-connect==1.12.0",
];

/// The engine's npm package for a platform, by Rust's names of the system and the processor, and the library in it.
pub(super) fn engine_package(os: &str, arch: &str) -> Option<(&'static str, &'static str)> {
    match (os, arch) {
        ("linux", "x86_64") => Some(("@chdb/lib-linux-x64-gnu", "libchdb.so")),
        ("linux", "aarch64") => Some(("@chdb/lib-linux-arm64-gnu", "libchdb.so")),
        ("macos", "aarch64") => Some(("@chdb/lib-darwin-arm64", "libchdb.so")),
        ("macos", "x86_64") => Some(("@chdb/lib-darwin-x64", "libchdb.so")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is tested here is what Lambda gets.
    #[test]
    fn the_dbt_function_has_the_same_dbt() {
        let requirements = include_str!("../../../../functions/dbt/requirements.txt");
        let lines = requirements.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(lines.collect::<Vec<_>>(), DBT);
    }

    /// Nobody deploys with other versions than those that were tested.
    #[test]
    fn deploy_md_installs_the_same_sam() {
        let page = include_str!("../../../../DEPLOY.md");
        let line = page.lines().find_map(|line| line.trim().strip_prefix("pip install "));
        let told: Vec<_> = line.unwrap_or_default().split(' ').collect();
        let without_lint: Vec<_> = SAM.iter().filter(|pin| !pin.starts_with("cfn-lint")).copied().collect();
        assert_eq!(told, without_lint);
        assert!(SAM.contains(&CARGO_LAMBDA[0]));
    }

    /// The dashboard is checked by the types of the Grafana that shows it.
    #[test]
    fn compose_runs_the_same_grafana() {
        let compose = include_str!("../../../../infra/compose.yaml");
        let images = compose
            .lines()
            .filter_map(|line| line.trim().strip_prefix("image: grafana/grafana:"));
        let pinned = GRAFANA.iter().filter_map(|pin| pin.strip_prefix("@grafana/schema@"));
        assert_eq!(images.collect::<Vec<_>>(), pinned.collect::<Vec<_>>());
    }

    #[test]
    fn every_platform_that_rust_and_the_engine_share_has_a_package() {
        let check = |os, arch, expected: Option<&str>| {
            assert_eq!(
                engine_package(os, arch).map(|(package, _)| package),
                expected,
                "{os} {arch}"
            );
        };
        check("linux", "x86_64", Some("@chdb/lib-linux-x64-gnu"));
        check("linux", "aarch64", Some("@chdb/lib-linux-arm64-gnu"));
        check("macos", "aarch64", Some("@chdb/lib-darwin-arm64"));
        check("macos", "x86_64", Some("@chdb/lib-darwin-x64"));
        check("windows", "x86_64", None);
        check("linux", "riscv64", None);
    }
}
