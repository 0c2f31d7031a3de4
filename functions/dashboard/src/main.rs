//! The `dashboard` function: the page with the numbers of the site.

fn main() -> std::process::ExitCode {
    edge::serve::<dashboard::Context>()
}
