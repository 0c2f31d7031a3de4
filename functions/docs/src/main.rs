//! The `docs` function: the interface's documentation.

fn main() -> std::process::ExitCode {
    edge::serve::<docs::Context>()
}
