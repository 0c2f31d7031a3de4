//! The `events` function: takes events over HTTP and puts them into Firehose.

fn main() -> std::process::ExitCode {
    edge::serve::<events::Context>()
}
