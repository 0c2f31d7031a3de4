//! How the steps are read.

use clickhouse::Client;
use clickhouse::query::Query;
use marts::Read;

use crate::{Funnel, Question};

/// The mart's rows.
const BY_DAY: &str = "SELECT toNullable(date) AS date, toUInt8(step) AS step, toString(step_name) AS step_name, toUInt64(users) AS users, \
                      toNullable(toFloat64(conversion_from_first)) AS conversion_from_first, \
                      toNullable(toFloat64(conversion_from_previous)) AS conversion_from_previous \
                      FROM funnel WHERE date BETWEEN {from: Date} AND {to: Date} ORDER BY date, step";

/// The users of all days added up. Of the step before the first there are none.
const TOTAL: &str = "SELECT CAST(NULL AS Nullable(Date)) AS date, number AS step, name AS step_name, reached AS users, \
                     reached / nullIf(first_value(reached) OVER (ORDER BY number), 0) AS conversion_from_first, \
                     reached / nullIf(lagInFrame(reached) OVER (ORDER BY number), 0) AS conversion_from_previous \
                     FROM (SELECT toUInt8(step) AS number, any(toString(step_name)) AS name, toUInt64(sum(users)) AS reached \
                     FROM funnel WHERE date BETWEEN {from: Date} AND {to: Date} GROUP BY number) ORDER BY number";

impl Read for Funnel {
    fn query(client: &Client, question: &Question) -> Query {
        let query = if question.total { TOTAL } else { BY_DAY };
        client
            .query(query)
            .param("from", question.days.from.to_string())
            .param("to", question.days.to.to_string())
    }
}
