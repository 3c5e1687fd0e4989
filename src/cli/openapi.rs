//! `mindbot openapi`: prints the OpenAPI document.

use super::FAILED;
use crate::http::openapi::document;
use std::process::ExitCode;

pub(super) fn run() -> ExitCode {
    match document().to_pretty_json() {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(FAILED)
        }
    }
}
