//! How the days are read.

use clickhouse::Client;
use clickhouse::query::Query;
use marts::{Range, Read};

use crate::Activity;

/// The mart's rows. What it subtracts may have a sign there.
const QUERY: &str = "SELECT date, toUInt64(dau) AS dau, toUInt64(wau) AS wau, toUInt64(mau) AS mau, toFloat64(stickiness) AS stickiness, \
                     toUInt64(new_users) AS new_users, toUInt64(returning_users) AS returning_users, \
                     toUInt64(resurrected_users) AS resurrected_users \
                     FROM users_activity WHERE date BETWEEN {from: Date} AND {to: Date} ORDER BY date";

impl Read for Activity {
    fn query(client: &Client, range: &Range) -> Query {
        client
            .query(QUERY)
            .param("from", range.from.to_string())
            .param("to", range.to.to_string())
    }
}
