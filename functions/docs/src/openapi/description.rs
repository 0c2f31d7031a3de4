//! `info.description`: what concerns more than one operation, as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use edge::Problem;

/// The text. Every code of the catalogues is in its table.
pub(super) fn markdown() -> String {
    let mut text = String::from(
        "Weir takes events from sites, and gives what they add up to: users, sessions, experiments, retention, a funnel. An event that was answered 200 is durable; one that is sent \
         again with the same `event_id` is counted once.\n\n\
         ## Retries\n\n\
         After 503, or no answer at all, send the request again: with the same `event_id`s, or with the same \
         `Idempotency-Key`. Wait as long as `Retry-After` says. Everything else will not get better by itself.\n\n\
         ## Pages\n\n\
         Pages of every origin may send unless the service lists some. A preflight (`OPTIONS`) is answered 204. Cookies \
         are never looked at. Pages of other origins cannot read numbers.\n\n\
         ## Numbers\n\n\
         JSON, or CSV when `Accept` names `text/csv` first: the same columns, null is empty. All days and times are UTC. The numbers \
         are as new as the last run of dbt, and an answer may be kept for a minute.\n\n\
         ## Refusals\n\n\
         `{\"detail\": \"a sentence\", \"code\": \"a_stable_name\"}`, except 422, where `detail` lists what is wrong.\n\n\
         | code | status | meaning |\n|---|---|---|\n",
    );
    for problem in catalogue() {
        let (code, status, message) = (problem.code, problem.status.as_u16(), problem.message);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{code}` | {status} | {message} |");
    }
    text
}

/// Every refusal of the functions, once, by status and code.
fn catalogue() -> impl Iterator<Item = Problem> {
    let all = events::CATALOGUE.into_iter().chain(marts::CATALOGUE);
    let by_code: BTreeMap<_, _> = all
        .map(|problem| ((problem.status.as_u16(), problem.code), problem))
        .collect();
    by_code.into_values()
}
