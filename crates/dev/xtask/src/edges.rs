//! Which crate may depend on which: the folder is the layer, and some libraries have one home.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::Finding;

/// Layers from the bottom up. A crate uses its own layer and those before it; `dev` crates may be used by
/// tests of any layer and use anything.
const LAYERS: [&str; 4] = ["wire", "proto", "io", "app"];

/// Libraries that only the named crates may use, so that replacing one touches one place.
const HOMES: [(&str, &[&str]); 12] = [
    ("is", &["peer"]),
    ("dimpl", &["peer"]),
    ("sctp-proto", &["peer"]),
    // Ciphers are `srtp`'s; the others take HMAC, digests or a TLS provider from the same library.
    ("aws-lc-rs", &["srtp", "peer", "turn", "rtmp", "auth", "api", "server"]),
    ("jsonwebtoken", &["auth"]),
    ("livekit-protocol", &["signal", "api", "client", "load"]),
    ("axum", &["api", "server"]),
    ("rust-embed", &["api"]),
    ("libc", &["net"]),
    ("anyhow", &["server", "load", "xtask", "floor"]),
    ("clap", &["server", "load", "floor"]),
    ("serde-saphyr", &["server"]),
];

/// What a pure crate must not reach for: the libraries that wait, or talk to the machine.
const IMPURE: [&str; 8] =
    ["tokio", "libc", "mio", "socket2", "tracing-subscriber", "axum", "nix", "async-std"];

pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let metadata = metadata(root)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut findings = Vec::new();
    for package in packages {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let Ok(relative) = manifest.strip_prefix(root.join("crates")) else { continue };
        let mut parts = relative.iter().filter_map(|p| p.to_str());
        let (Some(layer), Some(name)) = (parts.next(), parts.next()) else { continue };
        let place = format!("crates/{layer}/{name}/Cargo.toml");
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let is_dev = dependency["kind"] == "dev";
            check_dependency(root, (layer, name), dependency, is_dev, &place, &mut findings);
        }
    }
    Ok(findings)
}

fn check_dependency(
    root: &Path,
    (layer, name): (&str, &str),
    dependency: &Value,
    is_dev: bool,
    place: &str,
    findings: &mut Vec<Finding>,
) {
    let library = dependency["name"].as_str().unwrap_or_default();
    if let Some(path) = dependency["path"].as_str() {
        let to = Path::new(path).strip_prefix(root.join("crates")).ok();
        let to_layer = to.and_then(|p| p.iter().next()).and_then(|p| p.to_str()).unwrap_or_default();
        if !is_dev && !allowed(layer, to_layer) {
            findings.push(Finding::new(
                place,
                format!("{layer}/{name} uses {to_layer} crate {library}: direction goes the other way"),
            ));
        }
        return;
    }
    if is_dev {
        return;
    }
    if matches!(layer, "wire" | "proto") && IMPURE.contains(&library) {
        findings.push(Finding::new(place, format!("{layer}/{name} is pure and must not use {library}")));
    }
    if let Some((_, homes)) = HOMES.iter().find(|(l, _)| *l == library)
        && !homes.contains(&name)
    {
        findings.push(Finding::new(place, format!("only {} may use {library}", homes.join(", "))));
    }
}

/// Whether a crate of layer `from` may use one of layer `to`.
fn allowed(from: &str, to: &str) -> bool {
    if from == "dev" {
        return true;
    }
    let level = |name: &str| LAYERS.iter().position(|l| *l == name);
    matches!((level(from), level(to)), (Some(from), Some(to)) if to <= from)
}

fn metadata(root: &Path) -> Result<Value> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("reading cargo metadata")
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn a_crate_uses_its_own_layer_and_those_below() {
        assert!(allowed("wire", "wire"));
        assert!(allowed("app", "wire"));
        assert!(!allowed("wire", "proto"));
        assert!(!allowed("proto", "io"));
        assert!(!allowed("io", "app"));
        assert!(!allowed("app", "dev"), "a release contains no development tool");
        assert!(allowed("dev", "app"));
    }
}
