//! How the variants are read.

use clickhouse::Client;
use clickhouse::query::Query;
use marts::Read;

use crate::Experiments;

/// The mart's rows.
const SELECT: &str = "SELECT toString(experiment) AS experiment, toString(variant) AS variant, toUInt8(is_control) AS is_control, \
                      toUInt64(users) AS users, toUInt64(switchers) AS switchers, toUInt64(conversions) AS conversions, \
                      toNullable(toFloat64(conversion_rate)) AS conversion_rate, toNullable(toFloat64(revenue)) AS revenue, \
                      toNullable(toFloat64(revenue_per_user)) AS revenue_per_user, \
                      toNullable(toFloat64(uplift)) AS uplift, \
                      toNullable(toFloat64(uplift_low)) AS uplift_low, \
                      toNullable(toFloat64(uplift_high)) AS uplift_high, \
                      toNullable(toFloat64(difference)) AS difference, \
                      toNullable(toFloat64(difference_low)) AS difference_low, \
                      toNullable(toFloat64(difference_high)) AS difference_high, \
                      toNullable(toFloat64(p_value)) AS p_value, \
                      toNullable(toFloat64(revenue_difference)) AS revenue_difference, \
                      toNullable(toFloat64(revenue_difference_low)) AS revenue_difference_low, \
                      toNullable(toFloat64(revenue_difference_high)) AS revenue_difference_high, \
                      toNullable(toFloat64(revenue_p_value)) AS revenue_p_value, \
                      toNullable(toFloat64(srm_p_value)) AS srm_p_value, toUInt8(srm_detected) AS srm_detected, \
                      toNullable(first_exposure) AS first_exposure, toNullable(last_exposure) AS last_exposure FROM experiments";

/// Those of one experiment.
const OF_ONE: &str = " WHERE experiment = {experiment: String}";

/// The control first.
const ORDER: &str = " ORDER BY experiment, is_control DESC, variant";

impl Read for Experiments {
    fn query(client: &Client, experiment: &Option<String>) -> Query {
        match experiment {
            None => client.query(&[SELECT, ORDER].concat()),
            Some(name) => client
                .query(&[SELECT, OF_ONE, ORDER].concat())
                .param("experiment", name),
        }
    }
}
