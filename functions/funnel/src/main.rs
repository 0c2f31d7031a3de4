//! The `funnel` function: how far people get from a view to a purchase.

fn main() -> std::process::ExitCode {
    edge::serve::<marts::Context<funnel::Funnel>>()
}
