//! The `retention` function: how many of a cohort came back.

fn main() -> std::process::ExitCode {
    edge::serve::<marts::Context<retention::Retention>>()
}
