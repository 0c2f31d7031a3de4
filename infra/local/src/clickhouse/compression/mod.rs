//! The two kinds of compression that ClickHouse's HTTP interface speaks.

pub(crate) mod http;
pub(crate) mod native;
