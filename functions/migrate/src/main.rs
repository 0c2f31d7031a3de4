//! The function that a deploy invokes to bring the warehouse's tables up to date.

fn main() -> std::process::ExitCode {
    edge::serve_invocations(
        "migrate",
        migrate::handler::Context::from_lookup,
        migrate::handler::handle,
    )
}
