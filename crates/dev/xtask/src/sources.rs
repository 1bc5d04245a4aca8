//! Rules about the text of the sources: where `unsafe` stands, names, sizes, and what must not be in a
//! repository that others clone.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::Finding;

/// Lines of a source file without its tests. The habit is 400; this is where it stops.
const MAX_LINES: usize = 600;

/// Names that say nothing: a homeless function has not found its type yet.
const EMPTY_NAMES: [&str; 7] = ["common", "util", "utils", "core", "types", "helpers", "manager"];

pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in tracked(root)? {
        // A file removed but not yet committed is still listed.
        let Ok(bytes) = std::fs::read(root.join(&file)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        check_words(&file, &text, &mut findings);
        if file.starts_with("crates/") && file.ends_with(".rs") {
            check_rust(&file, &text, &mut findings);
        }
        check_name(&file, &mut findings);
    }
    Ok(findings)
}

fn check_rust(file: &str, text: &str, findings: &mut Vec<Finding>) {
    let is_test = file.contains("/tests/") || file.ends_with("tests.rs") || file.contains("/benches/");
    let own = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    let lines = own.lines().count();
    if !is_test && lines > MAX_LINES {
        findings.push(Finding::new(file, format!("{lines} lines; split it ({MAX_LINES} at most)")));
    }
    if file.starts_with("crates/io/net/") || file.starts_with("crates/dev/xtask/") {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("allow(unsafe_code)") {
            findings.push(Finding::new(format!("{file}:{}", number + 1), "unsafe belongs into io/net"));
        }
    }
}

fn check_name(file: &str, findings: &mut Vec<Finding>) {
    let Some(rest) = file.strip_prefix("crates/") else { return };
    let empty = |part: &str| EMPTY_NAMES.contains(&part.trim_end_matches(".rs"));
    if rest.split('/').any(empty) {
        findings.push(Finding::new(file, "name it after what it owns"));
    }
}

/// Nothing in the repository points outside it, or at the machine it was written on.
fn check_words(file: &str, text: &str, findings: &mut Vec<Finding>) {
    if file.starts_with("crates/dev/xtask/") {
        return;
    }
    let outside = ["../shared", "/work/main", "/work/wt-"];
    for (number, line) in text.lines().enumerate() {
        if outside.iter().any(|w| line.contains(w)) {
            findings.push(Finding::new(format!("{file}:{}", number + 1), "points outside the repository"));
        }
    }
    if file.ends_with("package-lock.json") && text.contains("\"resolved\": \"http") {
        findings.push(Finding::new(file, "names a registry: set omit-lockfile-registry-resolved in .npmrc"));
    }
}

fn tracked(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("running git ls-files")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output
        .stdout
        .split(|b| *b == 0)
        .filter(|f| !f.is_empty())
        .map(|f| String::from_utf8_lossy(f).into_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(file: &str, text: &str) -> usize {
        let mut findings = Vec::new();
        check_words(file, text, &mut findings);
        check_rust(file, text, &mut findings);
        check_name(file, &mut findings);
        findings.len()
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        assert_eq!(findings("crates/io/engine/src/worker.rs", "fn a() {}\n"), 0);
        assert_eq!(findings("crates/io/engine/src/worker.rs", "unsafe { b() }\n"), 1);
        assert_eq!(findings("crates/io/net/src/udp.rs", "unsafe { b() }\n"), 0);
        assert_eq!(findings("crates/wire/rtp/src/utils.rs", ""), 1);
        assert_eq!(findings("crates/wire/rtp/src/a.rs", &"\n".repeat(MAX_LINES + 1)), 1);
        assert_eq!(findings("docs/a.md", "see ../shared/data\n"), 1);
        assert_eq!(findings("web/package-lock.json", "\"resolved\": \"https://r/x.tgz\"\n"), 1);
    }
}
