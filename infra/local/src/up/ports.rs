//! Free ports and taken ones, before anything is started.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::bail;

use super::{processes, settings::Ports};

/// Which ports were asked for. 0 means any free one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) functions: u16,
    /// `None` when the ClickHouse server is not ours.
    pub(super) clickhouse: Option<u16>,
    pub(super) firehose: u16,
    /// `None` where nobody asks for metrics.
    pub(super) metrics: Option<u16>,
    /// Whether each function has a port of its own.
    pub(super) plain: bool,
}

/// Settles the ports. All are held at once while they are picked, so no two are the same; they are free when this
/// returns.
pub(super) fn settle(wanted: Wanted) -> anyhow::Result<Ports> {
    let mut held: Vec<(TcpListener, u16, &str)> = Vec::new();
    let mut take = |port: u16, what: &'static str, flag: &str| -> anyhow::Result<u16> {
        let variable = flag.replace('-', "_").to_uppercase();
        let choose = format!("choose another with --{flag} or WEIR_{variable}");
        if let Some((_, _, other)) = held.iter().find(|(_, taken, _)| *taken == port) {
            bail!("port {port} is wanted for {other} and for {what}: {choose}");
        }
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => listener,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                let holder = processes::listener(port).map_or_else(String::new, |pid| format!(" by process {pid}"));
                bail!("port {port} for {what} is taken{holder}: {choose}");
            }
            Err(error) => bail!("port {port} for {what} cannot be used: {error}"),
        };
        let port = listener.local_addr()?.port();
        held.push((listener, port, what));
        Ok(port)
    };
    let after = |offset: u16| -> anyhow::Result<u16> {
        match wanted.functions {
            0 => Ok(0),
            first => first
                .checked_add(offset)
                .ok_or_else(|| anyhow::anyhow!("--functions-port {first} is too high")),
        }
    };
    let functions = take(wanted.functions, "the functions", "functions-port")?;
    let mut own = |offset: u16, what: &'static str| match wanted.plain {
        true => take(after(offset)?, what, "functions-port"),
        false => Ok(functions),
    };
    let loader = own(1, "the function loader")?;
    let activity = own(2, "the function activity")?;
    let docs = own(3, "the function docs")?;
    let sessions = own(4, "the function sessions")?;
    let experiments = own(5, "the function experiments")?;
    let retention = own(6, "the function retention")?;
    let funnel = own(7, "the function funnel")?;
    let dashboard = own(8, "the function dashboard")?;
    let watch = match wanted.plain {
        true => None,
        false => Some(take(0, "cargo-lambda", "functions-port")?),
    };
    let clickhouse = wanted
        .clickhouse
        .map(|port| take(port, "ClickHouse", "clickhouse-port"))
        .transpose()?;
    let firehose = take(wanted.firehose, "Firehose", "firehose-port")?;
    let metrics = wanted
        .metrics
        .map(|port| take(port, "the metrics", "metrics-port"))
        .transpose()?;
    Ok(Ports {
        functions,
        watch,
        loader,
        activity,
        docs,
        sessions,
        experiments,
        retention,
        funnel,
        dashboard,
        clickhouse,
        firehose,
        metrics,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Wanted = Wanted {
        functions: 0,
        clickhouse: Some(0),
        firehose: 0,
        metrics: Some(0),
        plain: true,
    };

    #[test]
    fn any_free_ports_are_all_different() {
        let ports = settle(ANY).unwrap();
        let mut all = vec![
            ports.functions,
            ports.loader,
            ports.activity,
            ports.docs,
            ports.sessions,
            ports.experiments,
            ports.retention,
            ports.funnel,
            ports.dashboard,
            ports.clickhouse.unwrap(),
            ports.firehose,
            ports.metrics.unwrap(),
        ];
        assert!(!all.contains(&0));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 12);
        let watched = settle(Wanted {
            plain: false,
            clickhouse: None,
            ..ANY
        })
        .unwrap();
        assert_eq!(
            (watched.loader, watched.activity, watched.docs, watched.clickhouse),
            (watched.functions, watched.functions, watched.functions, None)
        );
    }

    #[test]
    fn a_taken_port_is_named_with_its_flag_and_variable() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let check = |wanted: Wanted, expected: &str| {
            let error = settle(wanted).unwrap_err().to_string();
            assert!(error.starts_with(&format!("port {port} for ")), "{error}");
            assert!(error.ends_with(expected), "{error}");
            if cfg!(target_os = "linux") {
                assert!(
                    error.contains(&format!("taken by process {}", std::process::id())),
                    "{error}"
                );
            }
        };
        check(
            Wanted { functions: port, ..ANY },
            "choose another with --functions-port or WEIR_FUNCTIONS_PORT",
        );
        check(
            Wanted {
                clickhouse: Some(port),
                ..ANY
            },
            "choose another with --clickhouse-port or WEIR_CLICKHOUSE_PORT",
        );
        check(
            Wanted { firehose: port, ..ANY },
            "choose another with --firehose-port or WEIR_FIREHOSE_PORT",
        );
        check(
            Wanted {
                metrics: Some(port),
                ..ANY
            },
            "choose another with --metrics-port or WEIR_METRICS_PORT",
        );
    }

    #[test]
    fn a_port_wanted_twice_is_not_called_taken() {
        let free = settle(ANY).unwrap().functions;
        let error = settle(Wanted {
            functions: free,
            clickhouse: None,
            firehose: free,
            metrics: None,
            plain: false,
        })
        .unwrap_err();
        let expected =
            format!("port {free} is wanted for the functions and for Firehose: choose another with --firehose-port");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}
