//! Checks that neither rustc nor clippy can make: which crate may use which, where `unsafe` may stand, how
//! things may be called. Run by `make check` as `cargo run -p xtask -- check`.

mod edges;
mod sources;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

/// A broken rule: where, and what to do about it.
struct Finding {
    place: String,
    message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

fn main() -> ExitCode {
    match run(std::env::args().nth(1).as_deref()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Option<&str>) -> Result<bool> {
    if command != Some("check") {
        bail!("usage: cargo run -p xtask -- check");
    }
    let root = root()?;
    let mut findings = edges::check(&root)?;
    findings.extend(sources::check(&root)?);
    for finding in &findings {
        eprintln!("{}: {}", finding.place, finding.message);
    }
    Ok(findings.is_empty())
}

/// The repository's root: two folders above this crate's layer.
fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(3)
        .map(Path::to_path_buf)
        .context("xtask is not where it belongs: crates/dev/xtask")
}
