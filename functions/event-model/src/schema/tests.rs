use super::*;

#[test]
fn p() {
    println!("{}", range(0, 255, ""));
    println!("{}", range(1, u64::MAX, "_?"));
}
