//! Hands the arguments over to [`mindbot::cli`], and is the only place that may end the process.

use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    mindbot::cli::run(Arc::new(end))
}

#[expect(clippy::print_stderr, clippy::disallowed_methods, reason = "nothing is left that could do either for us")]
fn end(reason: &str) {
    tracing::error!(alert = true, reason, "the process ends");
    eprintln!("mindbot: {reason}");
    std::process::exit(1);
}
