//! The `loader` function: takes Firehose's deliveries and inserts them into ClickHouse.

fn main() -> std::process::ExitCode {
    edge::serve::<loader::Context>()
}
