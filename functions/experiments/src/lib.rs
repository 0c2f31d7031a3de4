//! `GET /experiments?experiment=`: the mart `experiments`.
//!
//! With the feature `serve`, which is on by default, it is the function. Without it, it is what others may know of the function,
//! and brings no client of ClickHouse.

use marts::{Instant, Mart, Number, Parameters};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "serve")]
mod query;

/// The function.
pub struct Experiments;

/// One variant of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "serve", derive(clickhouse::Row))]
#[schemars(rename = "Variant")]
pub struct Row {
    /// The experiment's name.
    pub experiment: String,
    /// The variant's name.
    pub variant: String,
    /// 1 for the variant that the others are compared with, else 0.
    pub is_control: u8,
    /// Users who saw the variant first.
    pub users: u64,
    /// Those of them who saw another variant too.
    pub switchers: u64,
    /// Those of them who bought something after they first saw it.
    pub conversions: u64,
    /// `conversions` of `users`.
    pub conversion_rate: Number,
    /// What they spent.
    pub revenue: Number,
    /// `revenue` for each of `users`.
    pub revenue_per_user: Number,
    /// How much larger the conversion rate is than the control's, in parts of that; null for the control.
    pub uplift: Number,
    /// The lower end of the uplift's confidence interval.
    pub uplift_low: Number,
    /// The upper end of it.
    pub uplift_high: Number,
    /// The conversion rate minus the control's; null for the control.
    pub difference: Number,
    /// The lower end of the difference's confidence interval.
    pub difference_low: Number,
    /// The upper end of it.
    pub difference_high: Number,
    /// How likely such a difference is by chance: a two-sided z-test of two proportions.
    pub p_value: Number,
    /// The revenue per user minus the control's; null for the control.
    pub revenue_difference: Number,
    /// The lower end of its confidence interval.
    pub revenue_difference_low: Number,
    /// The upper end of it.
    pub revenue_difference_high: Number,
    /// How likely such a difference is by chance: Welch's t-test.
    pub revenue_p_value: Number,
    /// How likely the variants' numbers of users are by chance: a chi-square test. The same for all variants of an experiment.
    pub srm_p_value: Number,
    /// 1 when they are so unlikely that the experiment is broken, else 0.
    pub srm_detected: u8,
    /// When the first user saw it; null when none did.
    pub first_exposure: Option<Instant>,
    /// When the last user first saw it; null when none did.
    pub last_exposure: Option<Instant>,
}

/// The JSON answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Experiments")]
pub struct Answer<'a> {
    /// One entry a variant, by experiment; the control comes first.
    pub variants: &'a [Row],
}

impl Mart for Experiments {
    const NAME: &'static str = "experiments";
    const PATH: &'static str = "/experiments";
    const TABLE: &'static str = "experiments";
    const COLUMNS: &'static [&'static str] = &[
        "experiment",
        "variant",
        "is_control",
        "users",
        "switchers",
        "conversions",
        "conversion_rate",
        "revenue",
        "revenue_per_user",
        "uplift",
        "uplift_low",
        "uplift_high",
        "difference",
        "difference_low",
        "difference_high",
        "p_value",
        "revenue_difference",
        "revenue_difference_low",
        "revenue_difference_high",
        "revenue_p_value",
        "srm_p_value",
        "srm_detected",
        "first_exposure",
        "last_exposure",
    ];
    /// The experiment; `None`: all.
    type Question = Option<String>;
    type Row = Row;
    type Answer<'a> = Answer<'a>;

    fn question(parameters: &mut Parameters<'_>) -> Option<String> {
        parameters.text("experiment")
    }

    fn answer(variants: &[Row], _: Option<String>) -> Answer<'_> {
        Answer { variants }
    }
}

#[cfg(test)]
#[cfg(feature = "serve")]
mod tests;
