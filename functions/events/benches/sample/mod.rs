//! Events as clients send them, the same ones in every run: about 200 bytes each.

/// The words that paths are made of.
const WORDS: [&str; 16] = [
    "catalog", "shoes", "running", "trail", "summer", "sale", "mens", "womens", "outdoor", "jackets", "rain", "light",
    "classic", "new", "offers", "gear",
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

/// An event has at least so many bytes; two dozen more at most.
const LEAST_BYTES: usize = 190;

/// That many events, each as compact JSON.
pub(crate) fn events(count: usize) -> Vec<String> {
    (0..count as u64).map(event).collect()
}

/// The event of that number.
fn event(number: u64) -> String {
    let mut state = number;
    let mut below = |limit: u64| {
        // SplitMix64: a number has nothing to do with the one before it.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    };
    let (name, obj, obj_id) = DEEDS[below(6) as usize];
    let product = below(50_000);
    let front = format!(
        "{{\"dt\":\"2024-05-{:02}T{:02}:{:02}:{:02}Z\",\"name\":\"{name}\",\"user_id\":{},\"url\":\"https://shop.example",
        1 + below(28),
        below(24),
        below(60),
        below(60),
        1 + below(9_999_999),
    );
    let mut back = format!("\",\"obj\":\"{obj}\",\"obj_id\":\"{obj_id}\",\"product_id\":{product}");
    if number.is_multiple_of(3) {
        back.push_str(&format!(",\"amount\":{}.{:02}", below(300), below(100)));
    }
    if number.is_multiple_of(2) {
        let variant = ["control", "new"][below(2) as usize];
        back.push_str(&format!(",\"exp\":{{\"cart_style\":\"{variant}\"}}"));
    }
    back.push('}');
    let mut path = format!("/{}", WORDS[below(16) as usize]);
    let has_query = below(4) == 0 && front.len() + path.len() + back.len() < LEAST_BYTES - 10;
    let query = if has_query { "?utm_source=mail&page=2" } else { "" };
    while front.len() + path.len() + query.len() + back.len() < LEAST_BYTES {
        path.push(if below(3) == 0 { '/' } else { '-' });
        path.push_str(WORDS[below(16) as usize]);
    }
    format!("{front}{path}{query}{back}")
}
