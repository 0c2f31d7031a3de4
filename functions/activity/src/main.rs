//! The `activity` function: daily, weekly and monthly active users.

fn main() -> std::process::ExitCode {
    edge::serve::<marts::Context<activity::Activity>>()
}
