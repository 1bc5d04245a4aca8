//! Figures with their names and units, as a table or as JSON: what every report is.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// What is wrong where everybody was in, and nobody is any more.
pub(crate) const ALL_GONE: &str = "everybody fell out; the report says why";

/// The figures of one run.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// What was asked for.
    options: Value,
    seconds: Vec<Value>,
    summary: Vec<(String, Value, &'static str)>,
    failures: Vec<(String, usize)>,
    /// Why the run as a whole has failed.
    trouble: Option<String>,
}

impl Sheet {
    pub(crate) fn new(options: Value) -> Self {
        Self { options, seconds: Vec::new(), summary: Vec::new(), failures: Vec::new(), trouble: None }
    }

    /// A second of the run.
    pub(crate) fn second(&mut self, figures: Value) {
        self.seconds.push(figures);
    }

    /// A figure of the whole run; null where it is not known.
    pub(crate) fn put(&mut self, name: &str, value: Value, unit: &'static str) {
        self.summary.push((name.to_owned(), value, unit));
    }

    /// Why somebody was not there, each reason with its count.
    pub(crate) fn fail(&mut self, failures: &HashMap<String, usize>) {
        self.failures = failures.clone().into_iter().collect();
        self.failures.sort();
    }

    /// Makes the run one that has failed: so its end says, once the report is written.
    pub(crate) fn trouble(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// A table on standard output, or JSON: into a file, or instead of the table where that is `-`. An error where the
    /// run has failed.
    pub(crate) fn write(&self, json: Option<&Path>) -> anyhow::Result<()> {
        self.print(json)?;
        self.trouble.as_ref().map_or(Ok(()), |why| bail!("{why}"))
    }

    fn print(&self, json: Option<&Path>) -> anyhow::Result<()> {
        let to_stdout = json.is_some_and(|path| path == Path::new("-"));
        if !to_stdout {
            let mut out = std::io::stdout().lock();
            for (name, value, unit) in self.summary.iter().filter(|(_, value, _)| !value.is_null()) {
                // Nobody reading is no error.
                let _ = writeln!(out, "{name:<29} {:>14} {unit}", value.to_string());
            }
            for (why, count) in &self.failures {
                let _ = writeln!(out, "{count} did not get in or fell out: {why}");
            }
        }
        let Some(path) = json else { return Ok(()) };
        let text = serde_json::to_string_pretty(&self.whole()).context("the report")?;
        if to_stdout {
            let _ = writeln!(std::io::stdout().lock(), "{text}");
            return Ok(());
        }
        std::fs::write(path, text + "\n").with_context(|| format!("--json {}", path.display()))
    }

    fn whole(&self) -> serde_json::Map<String, Value> {
        let summary = self.summary.iter().map(|(name, value, _)| (name.clone(), value.clone()));
        let mut whole: serde_json::Map<String, Value> = summary.collect();
        whole.insert("options".into(), self.options.clone());
        whole.insert("seconds".into(), json!(self.seconds));
        let failures = self.failures.iter().map(|(why, count)| json!({"why": why, "count": count}));
        whole.insert("failures".into(), failures.collect());
        whole.insert("trouble".into(), json!(self.trouble));
        whole
    }
}

/// To the hundredth.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
