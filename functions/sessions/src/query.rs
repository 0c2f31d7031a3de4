//! How a page is read.

use clickhouse::Client;
use clickhouse::query::Query;
use marts::Read;

use crate::{Question, Sessions};

/// The mart's rows.
const SELECT: &str = "SELECT toString(session_id) AS session_id, user_id, date, started_at, ended_at, \
                      toUInt32(duration_seconds) AS duration_seconds, toUInt64(events) AS events, toUInt64(pages) AS pages, \
                      toString(entry_url) AS entry_url, toString(exit_url) AS exit_url, toNullable(toFloat64(revenue)) AS revenue \
                      FROM sessions WHERE date BETWEEN {from: Date} AND {to: Date}";

/// Those of one user.
const OF_USER: &str = " AND user_id = {user_id: UInt64}";

/// Those after the page before.
const AFTER: &str = " AND (started_at, user_id) > (toDateTime({after_time: UInt32}, 'UTC'), {after_user: UInt64})";

/// Their order, and how many.
const ORDER: &str = " ORDER BY started_at, user_id LIMIT {limit: UInt64}";

impl Read for Sessions {
    fn query(client: &Client, question: &Question) -> Query {
        let mut text = SELECT.to_owned();
        if question.user_id.is_some() {
            text.push_str(OF_USER);
        }
        if question.after.is_some() {
            text.push_str(AFTER);
        }
        text.push_str(ORDER);
        let mut query = client
            .query(&text)
            .param("from", question.days.from.to_string())
            .param("to", question.days.to.to_string())
            // One more says that there is a next page.
            .param("limit", question.limit + 1);
        if let Some(user_id) = question.user_id {
            query = query.param("user_id", user_id);
        }
        if let Some(after) = question.after {
            query = query
                .param("after_time", after.started_at)
                .param("after_user", after.user_id);
        }
        query
    }
}
