//! Lines as `events` writes them, the same ones in every run: of events of about 200 bytes, in the order of their arrival.

/// The words that paths are made of.
const WORDS: [&str; 8] = [
    "catalog", "shoes", "running", "trail", "summer", "jackets", "outdoor", "offers",
];

/// What is done, and to what.
const DEEDS: [(&str, &str, &str); 6] = [
    ("view", "page", "product"),
    ("click", "button", "add_to_cart"),
    ("view", "page", "category"),
    ("click", "link", "size-guide"),
    ("purchase", "order", "2024-118842"),
    ("scroll", "page", "reviews"),
];

/// A request brings so many events.
const EVENTS_A_REQUEST: u64 = 20;

/// 2024-05-17T10:00:00Z, in milliseconds since 1970.
const START_MS: u64 = 1_715_940_000_000;

/// That many lines, each with its line feed, which happened within an hour of one of these days.
pub(crate) fn lines(count: usize, days: &[&str]) -> Vec<String> {
    (0..count as u64)
        .map(|number| line(number, days[number as usize % days.len()]))
        .collect()
}

/// The line of that number.
fn line(number: u64, day: &str) -> String {
    let mut below = random(number);
    let mut of_request = random(!(number / EVENTS_A_REQUEST));
    let (name, obj, obj_id) = DEEDS[below(6) as usize];
    // A fraction of a millisecond an event: some arrive together.
    let received_ms = START_MS + number / 3;
    let path: Vec<_> = (0..2 + below(3)).map(|_| WORDS[below(8) as usize]).collect();
    let query = ["?utm_source=mail&page=2", "", "", ""][below(4) as usize];
    let amount = match number % 3 {
        0 => format!("{}.{:02}", below(300), 1 + below(9)),
        _ => "0.0".to_owned(),
    };
    let exp = match number % 2 {
        0 => ["{\"cart_style\":\"control\"}", "{\"cart_style\":\"new\"}"][below(2) as usize],
        _ => "{}",
    };
    format!(
        concat!(
            "{{\"event_id\":\"{}\",\"received_at\":\"2024-05-17T10:{:02}:{:02}.{:03}Z\",\"dt\":\"{}T09:{:02}:{:02}Z\",\"name\":\"{}\",",
            "\"user_id\":{},\"url\":\"https://shop.example/{}/{}{}\",\"obj\":\"{}\",\"obj_id\":\"{}\",\"product_id\":{},",
            "\"amount\":{},\"exp\":{},\"request_id\":\"{}\"}}\n"
        ),
        uuid(
            received_ms << 16 | 0x7000 | below(1 << 12),
            0x8000_0000_0000_0000 | below(1 << 62)
        ),
        received_ms / 60_000 % 60,
        received_ms / 1000 % 60,
        received_ms % 1000,
        day,
        below(60),
        below(60),
        name,
        1 + below(9_999_999),
        path.join("/"),
        below(100_000),
        query,
        obj,
        obj_id,
        below(50_000),
        amount,
        exp,
        uuid(
            of_request(u64::MAX) & !0xf000 | 0x4000,
            0x8000_0000_0000_0000 | of_request(1 << 62)
        ),
    )
}

fn uuid(high: u64, low: u64) -> String {
    uuid::Uuid::from_u64_pair(high, low).to_string()
}

/// Numbers below a limit. SplitMix64: those of one seed have nothing to do with those of the next.
fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x2545_F491_4F6C_DD1D);
    move |limit| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}
