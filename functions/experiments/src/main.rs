//! The `experiments` function: what each variant of an experiment did.

fn main() -> std::process::ExitCode {
    edge::serve::<marts::Context<experiments::Experiments>>()
}
