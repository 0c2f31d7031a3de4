//! The shop as a whole: order, repeatability, and that it behaves like a shop.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

fn plan(seed: u64, users: u64, days: u32) -> Plan {
    Plan::whole_days(seed, users, days, date(2026, 11, 22)).unwrap()
}

fn day_of(event: &Event) -> i64 {
    event.dt.as_second().div_euclid(DAY)
}

/// The days on which each user did something.
fn days_by_user(events: &[Event]) -> HashMap<u64, BTreeSet<i64>> {
    let mut days: HashMap<u64, BTreeSet<i64>> = HashMap::new();
    for event in events {
        days.entry(event.user_id).or_default().insert(day_of(event));
    }
    days
}

#[track_caller]
fn assert_between(low: f64, value: f64, high: f64) {
    assert!((low..=high).contains(&value), "{value} is not between {low} and {high}");
}

#[test]
fn the_first_events_of_a_seed_stay_the_same() {
    let lines: Vec<_> = Shop::new(plan(1, 50, 7))
        .take(2)
        .map(|event| serde_json::to_string(&event).unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            concat!(
                r#"{"dt":"2026-11-16T02:19:41Z","name":"view","user_id":3,"url":"http://shop.example/main","#,
                r#""obj":"page","obj_id":"main","product_id":0,"amount":0.0,"exp":{"checkout_button":"b","cart_style":"default"},"#,
                r#""event_id":"e1b39016-7f9a-483c-951c-582154ff11f0"}"#,
            ),
            concat!(
                r#"{"dt":"2026-11-16T02:19:59Z","name":"click","user_id":3,"url":"http://shop.example/main","#,
                r#""obj":"url","obj_id":"product","product_id":0,"amount":0.0,"exp":{"checkout_button":"b","cart_style":"default"},"#,
                r#""event_id":"5b6ed8ce-5181-4072-82c6-08e1a4edcc7f"}"#,
            ),
        ]
    );
}

#[test]
fn periods_that_do_not_fit_are_refused() {
    for (users, days, last_day, expected) in [
        (0, 1, date(2026, 1, 1), PlanError::Empty),
        (1, 0, date(2026, 1, 1), PlanError::Empty),
        (
            1,
            2,
            date(1970, 1, 1),
            PlanError::Period {
                days: 2,
                last_day: date(1970, 1, 1),
            },
        ),
        (
            1,
            u32::MAX,
            date(2026, 1, 1),
            PlanError::Period {
                days: u32::MAX,
                last_day: date(2026, 1, 1),
            },
        ),
        (
            1,
            1,
            date(2106, 2, 7),
            PlanError::Period {
                days: 1,
                last_day: date(2106, 2, 7),
            },
        ),
        (
            1,
            1,
            date(9999, 12, 31),
            PlanError::Period {
                days: 1,
                last_day: date(9999, 12, 31),
            },
        ),
        (
            1,
            1,
            date(-9999, 1, 1),
            PlanError::Period {
                days: 1,
                last_day: date(-9999, 1, 1),
            },
        ),
    ] {
        assert_eq!(Plan::whole_days(1, users, days, last_day), Err(expected));
    }
    for day in [date(1970, 1, 1), date(2106, 2, 6)] {
        assert!(Plan::whole_days(1, 1, 1, day).is_ok(), "{day}");
    }
}

#[test]
fn a_plan_is_sized_to_the_least_that_is_enough() {
    let (sized, total) = plan(1, 1_000_000, 30).sized(5_000);
    assert!(total >= 5_000);
    assert_eq!(sized.count(), total);
    assert_eq!(Shop::new(sized).count() as u64, total);
    assert!(
        Plan {
            users: sized.users - 1,
            ..sized
        }
        .count()
            < 5_000
    );
    assert_eq!(
        plan(1, 3, 5).sized(u64::MAX).0.users,
        3,
        "never above the users of the plan"
    );
}

#[test]
fn a_larger_shop_and_another_period_keep_what_they_share() {
    let base: Vec<_> = Shop::new(plan(3, 300, 20)).collect();
    let mut larger: Vec<_> = Shop::new(plan(3, 400, 20)).collect();
    larger.retain(|event| event.user_id <= 300);
    assert_eq!(larger, base);

    let mut cut: Vec<_> = base.clone();
    let noon = Timestamp::from_second(day_number(date(2026, 11, 22)) * DAY + DAY / 2).unwrap();
    cut.retain(|event| event.dt < noon);
    assert!(cut.len() < base.len());
    assert_eq!(Shop::new(plan(3, 300, 20).until(noon)).collect::<Vec<_>>(), cut);

    let ids: HashMap<_, _> = base.iter().map(|event| (event.event_id, event)).collect();
    assert_eq!(ids.len(), base.len(), "event ids are distinct");
    let other = Plan::whole_days(3, 300, 20, date(2026, 11, 28)).unwrap();
    let mut shared = 0;
    for event in Shop::new(other) {
        if let Some(before) = ids.get(&event.event_id) {
            assert_eq!(&&event, before);
            shared += 1;
        }
    }
    assert!(shared > 100, "{shared}");
    let other_seed: Vec<_> = Shop::new(plan(4, 300, 20)).collect();
    assert!(other_seed.iter().all(|event| !ids.contains_key(&event.event_id)));
}

#[test]
fn sixty_days_look_like_a_shop() {
    let plan = plan(1, 4_000, 60);
    let events: Vec<_> = Shop::new(plan).collect();
    let count = |keep: &dyn Fn(&Event) -> bool| events.iter().filter(|event| keep(event)).count() as f64;
    assert_between(40.0, events.len() as f64 / 4_000.0, 52.0);

    // A day's rhythm: the evening's peak, the quiet night, every hour used.
    let hour = |hour: i64| count(&|event| event.dt.as_second().rem_euclid(DAY) / 3_600 == hour);
    assert!(hour(20) > 8.0 * hour(4), "{} {}", hour(20), hour(4));
    assert!((0..24).all(|each| hour(each) > 0.0));
    // A week's: Sundays (22 November is one) over Fridays.
    let weekday = |weekday: i64| count(&|event| (day_of(event) + 3).rem_euclid(7) == weekday);
    assert_between(1.1, weekday(6) / weekday(4), 1.7);

    // Visits: every day busy; a user's day of plausible length.
    let days = days_by_user(&events);
    let mut dau: BTreeMap<i64, u32> = BTreeMap::new();
    for day in days.values().flatten() {
        *dau.entry(*day).or_default() += 1;
    }
    assert_eq!(dau.len(), 60);
    assert!(dau.values().all(|users| (150..900).contains(users)), "{dau:?}");
    let user_days: usize = days.values().map(BTreeSet::len).sum();
    assert_between(5.0, events.len() as f64 / user_days as f64, 12.0);
    let mut per_day: HashMap<(u64, i64), u32> = HashMap::new();
    for event in &events {
        *per_day.entry((event.user_id, day_of(event))).or_default() += 1;
    }
    assert!(per_day.values().all(|events| *events < 300));

    // Retention: some come on one day only, some come back the day after, some after weeks away.
    let gaps = |users: &BTreeSet<i64>| {
        users
            .iter()
            .zip(users.iter().skip(1))
            .map(|(a, b)| b - a)
            .collect::<Vec<_>>()
    };
    let share = |keep: &dyn Fn(&BTreeSet<i64>) -> bool| {
        days.values().filter(|days| keep(days)).count() as f64 / days.len() as f64
    };
    assert_between(0.2, share(&|days| days.len() == 1), 0.6);
    assert_between(0.1, share(&|days| gaps(days).contains(&1)), 0.5);
    assert_between(0.05, share(&|days| gaps(days).iter().any(|gap| *gap > 21)), 0.4);
    assert_between(0.01, share(&|days| days.len() > 25), 0.2);

    // Money: every order has an amount, nothing else has.
    assert!(events.iter().all(|event| (event.name == "pay") == (event.amount > 0.0)));
    assert!(
        events
            .iter()
            .filter(|event| event.name == "pay")
            .all(|event| (1..=4).contains(&event.product_id))
    );
    assert_eq!(
        events.iter().map(|event| event.product_id).collect::<BTreeSet<_>>(),
        BTreeSet::from([0, 1, 2, 3, 4])
    );
}

#[test]
fn the_checkout_button_works_and_the_cart_style_does_not() {
    let events: Vec<_> = Shop::new(plan(1, 8_000, 60)).collect();
    let mut seen: HashMap<u64, [(&str, &str); 2]> = HashMap::new();
    let mut paid = HashSet::new();
    for event in &events {
        assert_eq!(
            *seen.entry(event.user_id).or_insert(event.exp),
            event.exp,
            "variants never change"
        );
        if event.name == "pay" {
            paid.insert(event.user_id);
        }
    }
    // z of the difference of two proportions: users who paid, by variant.
    let z = |experiment: usize, control: &str| {
        let (mut users, mut payers) = ([0.0; 2], [0.0; 2]);
        for (user, exp) in &seen {
            let side = usize::from(exp[experiment].1 != control);
            users[side] += 1.0;
            payers[side] += f64::from(u8::from(paid.contains(user)));
        }
        assert_between(0.45, users[0] / (users[0] + users[1]), 0.55);
        let rates = [payers[0] / users[0], payers[1] / users[1]];
        let pooled = (payers[0] + payers[1]) / (users[0] + users[1]);
        (rates[1] - rates[0]) / (pooled * (1.0 - pooled) * (1.0 / users[0] + 1.0 / users[1])).sqrt()
    };
    assert_between(2.0, z(0, "a"), 8.0);
    assert_between(-2.0, z(1, "default"), 2.0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_gives_ordered_distinct_repeatable_events(
        seed: u64, users in 1_u64..60, days in 1_u32..20, last in 30_i64..49_000, cut in 0_i64..(2 * DAY),
    ) {
        let last_day = Offset::UTC.to_datetime(Timestamp::from_second(last * DAY).unwrap()).date();
        let whole = Plan::whole_days(seed, users, days, last_day).unwrap();
        let plan = whole.until(Timestamp::from_second((last + 1) * DAY - cut).unwrap());
        let events: Vec<_> = Shop::new(plan).collect();
        prop_assert_eq!(&Shop::new(plan).collect::<Vec<_>>(), &events);
        prop_assert_eq!(plan.count(), events.len() as u64);
        prop_assert!(events.is_sorted_by_key(|event| (event.dt, event.user_id)));
        prop_assert_eq!(events.iter().map(|event| event.event_id).collect::<HashSet<_>>().len(), events.len());
        for event in &events {
            prop_assert!((last - i64::from(days) < day_of(event)) && event.dt < plan.until);
            prop_assert!((1..=users).contains(&event.user_id));
            let body = serde_json::to_vec(event).unwrap();
            let delay = SignedDuration::from_millis(1_250);
            let received_at = event.dt + delay;
            let read = event_model::Event::from_json(&body).unwrap();
            prop_assert_eq!(read.event_id(), Some(event.event_id));
            let record = event_model::Record { event_id: event.event_id, received_at, request_id: "".into(), event: read };
            // Posting and inserting store the same row.
            prop_assert_eq!(event.clone().into_row(delay), Row::from(record));
        }
    }
}
