//! Days and dates of the proleptic Gregorian calendar, by arithmetic
//! (<https://howardhinnant.github.io/date_algorithms.html>).

/// Days in a month of a year.
pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years start in March here, so that a leap day is the last of its year.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
pub(crate) fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    // Narrow from here on: 32 bits are divided in half the time.
    let day_of_era = days.rem_euclid(146_097) as u32;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (era * 400 + i64::from(year_of_era) + i64::from(month <= 2), month, day)
}

/// Bytes of [`seconds_text`].
pub(crate) const SECONDS_BYTES: usize = 19;

/// `YYYY-MM-DDTHH:MM:SS` of seconds since 1970 (years 0 to 9999).
pub(crate) fn seconds_text(seconds: i64) -> [u8; SECONDS_BYTES] {
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let second_of_day = seconds.rem_euclid(86_400) as u32;
    let [y1, y2, y3, y4] = four_digits(year.unsigned_abs() as u32);
    let [mo1, mo2] = two_digits(month);
    let [d1, d2] = two_digits(day);
    let [h1, h2] = two_digits(second_of_day / 3600);
    let [mi1, mi2] = two_digits(second_of_day / 60 % 60);
    let [s1, s2] = two_digits(second_of_day % 60);
    [
        y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T', h1, h2, b':', mi1, mi2, b':', s1, s2,
    ]
}

/// The last three digits of a number.
pub(crate) fn three_digits(number: u32) -> [u8; 3] {
    let [_, hundreds, tens, ones] = four_digits(number);
    [hundreds, tens, ones]
}

fn four_digits(number: u32) -> [u8; 4] {
    let ([a, b], [c, d]) = (two_digits(number / 100), two_digits(number));
    [a, b, c, d]
}

fn two_digits(number: u32) -> [u8; 2] {
    let number = (number % 100) as u8;
    [b'0' + number / 10, b'0' + number % 10]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_there_and_back() {
        for days in -800_000..800_000 {
            let (year, month, day) = civil_from_days(days);
            let (month, day) = (i64::from(month), i64::from(day));
            assert_eq!(days_from_civil(year, month, day), days);
            assert!((1..=days_in_month(year, month)).contains(&day), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn writes_iso() {
        assert_eq!(&seconds_text(1_715_941_230), b"2024-05-17T10:20:30");
        assert_eq!(&seconds_text(-62_167_219_200), b"0000-01-01T00:00:00");
        assert_eq!(&seconds_text(253_402_300_799), b"9999-12-31T23:59:59");
        assert_eq!(&three_digits(42), b"042");
    }
}
