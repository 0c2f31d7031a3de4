//! What the tests of `infra/monitoring` and of `infra/compose.yaml` ask: Prometheus, and Docker's Compose, which needs no
//! Docker to read a file.

use std::path::{Path, PathBuf};

use super::debian::Wanted;

const PROMETHEUS: Wanted = Wanted {
    name: "Prometheus",
    variable: "WEIR_PROMETHEUS",
    programs: &["prometheus"],
    needs: "install prometheus, or name one with WEIR_PROMETHEUS",
};

const PROMTOOL: Wanted = Wanted {
    name: "promtool",
    variable: "WEIR_PROMTOOL",
    programs: &["promtool"],
    needs: "install prometheus (it brings promtool), or name one with WEIR_PROMTOOL",
};

const DOCKER_COMPOSE: Wanted = Wanted {
    name: "Compose",
    variable: "WEIR_DOCKER_COMPOSE",
    programs: &[
        "docker-compose",
        // As a plugin of Docker's, which can be called by itself.
        "/usr/libexec/docker/cli-plugins/docker-compose",
        "/usr/lib/docker/cli-plugins/docker-compose",
        "/usr/local/lib/docker/cli-plugins/docker-compose",
    ],
    needs: "install docker-compose, or name one with WEIR_DOCKER_COMPOSE",
};

/// Where they are.
#[derive(Debug, Clone)]
pub(crate) struct Monitoring {
    pub(crate) prometheus: PathBuf,
    pub(crate) promtool: PathBuf,
    /// Where Debian's Compose is written in Python and was unpacked, its libraries are beside it, in `../lib/python3/dist-packages`.
    pub(crate) docker_compose: PathBuf,
}

/// The programs: this machine's, or on Debian from their packages.
pub(super) async fn programs(tools: &Path) -> anyhow::Result<Monitoring> {
    Ok(Monitoring {
        prometheus: PROMETHEUS.unpacked(tools, "prometheus", "usr/bin/prometheus").await?,
        promtool: PROMTOOL.unpacked(tools, "prometheus", "usr/bin/promtool").await?,
        docker_compose: DOCKER_COMPOSE
            .unpacked(tools, "docker-compose", "usr/bin/docker-compose")
            .await?,
    })
}
