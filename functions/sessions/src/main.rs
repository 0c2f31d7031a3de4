//! The `sessions` function: visits, one after the other.

fn main() -> std::process::ExitCode {
    edge::serve::<marts::Context<sessions::Sessions>>()
}
