//! The command line.

use super::*;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Result<Args, clap::Error> {
    let words = std::iter::once("generate").chain(line.split_whitespace());
    <Cli as clap::Parser>::try_parse_from(words).map(|cli| cli.args)
}

#[test]
fn sizes() {
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let midnight: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
    for (line, users, least, until) in [
        ("--days 7 --users 20", Some(20), 1, now),
        ("--days 7 --users 20 --to 2026-11-23", Some(20), 1, midnight),
        ("--days 7 --events 500", None, 500, now),
        ("--days 1 --events 1 --seed 18446744073709551615", None, 1, now),
    ] {
        let (plan, events) = parse(line).unwrap().plan(now).unwrap();
        assert_eq!(plan.users, users.unwrap_or(plan.users), "{line}");
        assert!(events >= least && events < least + 500, "{line}: {events}");
        assert_eq!(plan.until, until, "{line}");
        assert_eq!(Shop::new(plan).count() as u64, events, "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "--users 0",
        "--users 5 --events 5",
        "--events -1",
        "--days 0",
        "--to tomorrow",
        "--rate 0",
        "--rate inf",
        "--late-percent 101",
        "--duplicate-percent nan",
        "--url ftp://site/",
        "--url nowhere",
        "--connections 0",
        "--attempts 0",
        "--backfill --rate 5",
        "--backfill --connections 5",
        "--unknown",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
    for line in [
        "",
        "--backfill",
        "--rate 0.5 --connections 1",
        "--url https://site/events",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
    assert!(
        parse("--to 1970-01-01").unwrap().plan(Timestamp::UNIX_EPOCH).is_err(),
        "60 days before 1970"
    );
}
