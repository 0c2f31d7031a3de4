//! What is told of each mart.

use activity::Activity;
use experiments::Experiments;
use funnel::Funnel;
use marts::{Day, Instant, Mart, Number};
use retention::Retention;
use serde_json::{Value, json};
use sessions::{DEFAULT_LIMIT, MAX_LIMIT, Sessions};

use super::{parameter, range};

/// Monday, the 23rd of November 2026.
const MONDAY: Day = Day::since_1970(20_780);

/// The same day, at ten.
const TEN: u32 = 20_780 * 86_400 + 10 * 3_600;

/// A mart, as the document tells of it.
pub(in crate::openapi) trait Documented: Mart {
    /// The operation's id.
    const OPERATION: &'static str;
    /// What it gives, in a few words.
    const SUMMARY: &'static str;
    /// What it gives.
    const DESCRIPTION: &'static str;
    /// Parameters that are wrong.
    const WRONG: &'static str = "from=23.11.2026";

    /// The parameters.
    fn parameters() -> Vec<Value>;

    /// Rows for the examples.
    fn rows() -> Vec<Self::Row>;

    /// The cursor of the example, where there are pages.
    fn next() -> Option<String> {
        Self::rows().last().and_then(Self::cursor)
    }
}

impl Documented for Activity {
    const OPERATION: &'static str = "readActivity";
    const SUMMARY: &'static str = "Daily, weekly and monthly active users";
    const DESCRIPTION: &'static str = "One entry a day: distinct users of the day (`dau`), of the seven days up to it (`wau`), of the \
        thirty days up to it (`mau`), and which of the day's users are new, returning or resurrected.";

    fn parameters() -> Vec<Value> {
        range("The first day.", "The last day.").into()
    }

    fn rows() -> Vec<activity::Row> {
        let day = |day, dau, wau, mau, stickiness, new_users, resurrected_users| activity::Row {
            date: Day::since_1970(day),
            dau,
            wau,
            mau,
            stickiness,
            new_users,
            returning_users: dau - new_users - resurrected_users,
            resurrected_users,
        };
        vec![
            day(20_779, 120, 468, 1200, 0.1, 20, 1),
            day(20_780, 126, 471, 1008, 0.125, 26, 0),
        ]
    }
}

impl Documented for Sessions {
    const OPERATION: &'static str = "readSessions";
    const SUMMARY: &'static str = "Sessions";
    const DESCRIPTION: &'static str = "One entry a session, by when it started, then by user. A session is a user's events without a long \
        pause between them. When there are more than `limit`, or more than an answer holds, `next` (with CSV the header `X-Next-After`) \
        is what `after` has to be for the next page; the other parameters stay as they are.";
    const WRONG: &'static str = "from=23.11.2026&limit=0";

    fn parameters() -> Vec<Value> {
        let mut all = Vec::from(range(
            "The first day on which they start.",
            "The last day on which they start.",
        ));
        all.extend([
            parameter(
                "user_id",
                "Only those of this user.",
                json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
            ),
            parameter(
                "limit",
                "How many at most.",
                json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT }),
            ),
            parameter(
                "after",
                "What the page before gave as `next`.",
                json!({ "type": "string", "pattern": "^[0-9a-f]{24}$" }),
            ),
        ]);
        all
    }

    fn rows() -> Vec<sessions::Row> {
        vec![sessions::Row {
            session_id: "6ba7b810-9dad-51d1-80b4-00c04fd430c8".into(),
            user_id: 42,
            date: MONDAY,
            started_at: Instant::since_1970(TEN),
            ended_at: Instant::since_1970(TEN + 90),
            duration_seconds: 90,
            events: 5,
            pages: 3,
            entry_url: "https://shop.example/".into(),
            exit_url: "https://shop.example/paid".into(),
            revenue: Number(Some(19.5)),
        }]
    }
}

impl Documented for Experiments {
    const OPERATION: &'static str = "readExperiments";
    const SUMMARY: &'static str = "What each variant of an experiment did";
    const DESCRIPTION: &'static str = "One entry a variant, the control of each experiment first. A user belongs to the variant that they saw \
        first, and counts as a conversion when they bought something after that. The others are compared with the control; what is not \
        defined is null.";
    // Any text may be a name, but no bytes.
    const WRONG: &'static str = "experiment=%ff";

    fn parameters() -> Vec<Value> {
        let schema = json!({ "type": "string" });
        vec![parameter("experiment", "Only this experiment. Default: all.", schema)]
    }

    fn rows() -> Vec<experiments::Row> {
        let none = Number(None);
        let some = |number| Number(Some(number));
        let control = experiments::Row {
            experiment: "button".into(),
            variant: "control".into(),
            is_control: 1,
            users: 1000,
            switchers: 3,
            conversions: 100,
            conversion_rate: some(0.1),
            revenue: some(2000.0),
            revenue_per_user: some(2.0),
            uplift: none,
            uplift_low: none,
            uplift_high: none,
            difference: none,
            difference_low: none,
            difference_high: none,
            p_value: none,
            revenue_difference: none,
            revenue_difference_low: none,
            revenue_difference_high: none,
            revenue_p_value: none,
            srm_p_value: some(1.0),
            srm_detected: 0,
            first_exposure: Some(Instant::since_1970(TEN)),
            last_exposure: Some(Instant::since_1970(TEN + 3_600)),
        };
        let green = experiments::Row {
            variant: "green".into(),
            is_control: 0,
            switchers: 2,
            conversions: 125,
            conversion_rate: some(0.125),
            revenue: some(2500.0),
            revenue_per_user: some(2.5),
            uplift: some(0.25),
            uplift_low: some(-0.024),
            uplift_high: some(0.601),
            difference: some(0.025),
            difference_low: some(-0.0027),
            difference_high: some(0.0527),
            p_value: some(0.077),
            revenue_difference: some(0.5),
            revenue_difference_low: some(-0.1),
            revenue_difference_high: some(1.1),
            revenue_p_value: some(0.1),
            ..control.clone()
        };
        vec![control, green]
    }
}

impl Documented for Retention {
    const OPERATION: &'static str = "readRetention";
    const SUMMARY: &'static str = "How many of a cohort came back";
    const DESCRIPTION: &'static str = "One entry a cohort and period: of the users whose first active day, or week, was the cohort's, how many \
        were active in the n-th day, or week, after it. Periods that have not begun have none, nor have those after the thirtieth day or the \
        twelfth week, unless dbt's vars say otherwise.";
    const WRONG: &'static str = "period=month";

    fn parameters() -> Vec<Value> {
        let [default, other] = retention::PERIODS;
        let periods = json!({ "type": "string", "enum": [other, default], "default": default });
        let mut all = vec![parameter("period", "Days, or weeks from Monday.", periods)];
        all.extend(range(
            "The first cohort: its day, or its Monday.",
            "The last cohort: its day, or its Monday.",
        ));
        all
    }

    fn rows() -> Vec<retention::Row> {
        let week = |n, users, rate| retention::Row {
            period: "week".into(),
            cohort: Day::since_1970(20_773),
            n,
            cohort_size: 200,
            users,
            rate,
        };
        vec![week(0, 200, 1.0), week(1, 50, 0.25)]
    }
}

impl Documented for Funnel {
    const OPERATION: &'static str = "readFunnel";
    const SUMMARY: &'static str = "How far people get from a view to a purchase";
    const DESCRIPTION: &'static str = "One entry a day and step: how many users whose way began on that day got to the step. With `total`, \
        one entry a step, the days added up.";
    const WRONG: &'static str = "total=maybe";

    fn parameters() -> Vec<Value> {
        let total = json!({ "type": "boolean", "default": false });
        let mut all = vec![parameter("total", "Whether the days are added up.", total)];
        all.extend(range("The first day.", "The last day."));
        all
    }

    fn rows() -> Vec<funnel::Row> {
        let step = |step, name: &str, users, first, previous| funnel::Row {
            date: Some(MONDAY),
            step,
            step_name: name.into(),
            users,
            conversion_from_first: Number(Some(first)),
            conversion_from_previous: Number(previous),
        };
        vec![
            step(1, "view", 400, 1.0, None),
            step(2, "add_to_cart", 100, 0.25, Some(0.25)),
            step(3, "checkout", 50, 0.125, Some(0.5)),
            step(4, "paid", 25, 0.0625, Some(0.5)),
        ]
    }
}
