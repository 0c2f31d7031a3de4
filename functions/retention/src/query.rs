//! How the cohorts are read.

use clickhouse::Client;
use clickhouse::query::Query;
use marts::Read;

use crate::{Question, Retention};

/// The mart's rows.
const QUERY: &str = "SELECT toString(period) AS period, cohort, toUInt16(n) AS n, toUInt64(cohort_size) AS cohort_size, \
                     toUInt64(users) AS users, toFloat64(rate) AS rate \
                     FROM retention WHERE period = {period: String} AND cohort BETWEEN {from: Date} AND {to: Date} ORDER BY cohort, n";

impl Read for Retention {
    fn query(client: &Client, question: &Question) -> Query {
        client
            .query(QUERY)
            .param("period", question.period)
            .param("from", question.cohorts.from.to_string())
            .param("to", question.cohorts.to.to_string())
    }
}
