//! The function that S3 invokes for what Firehose gave up on.

fn main() -> std::process::ExitCode {
    edge::serve_invocations("replay", replay::handler::Context::from_lookup, replay::handler::handle)
}
