//! Counters, and the text in which Prometheus reads them (text exposition format, version 0.0.4).

use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// Something that only grows, counted from any thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many until now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a family's numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A page of metrics under construction.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    family: String,
}

impl Exposition {
    /// The content type that belongs to [`Exposition::finish`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Starts a family; its samples follow. `help` is one line.
    pub fn family(&mut self, name: impl Into<String>, kind: Kind, help: &str) -> &mut Self {
        self.family = name.into();
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let name = &self.family;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self
    }

    /// One number of the family that was started last.
    pub fn sample(&mut self, labels: &[(&str, &dyn Display)], value: u64) -> &mut Self {
        self.text.push_str(&self.family);
        for (i, (name, text)) in labels.iter().enumerate() {
            let text = text.to_string().replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(self.text, "{}{name}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
        self
    }

    /// The page.
    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_families_with_escaped_labels() {
        let joins = Counter::default();
        joins.add_one();
        joins.add(2);
        let mut page = Exposition::default();
        page.family("joins_total", Kind::Counter, "Joins.").sample(&[], joins.get());
        page.family("drops", Kind::Gauge, "Drops.").sample(&[("worker", &0), ("why", &"a\"b\\c\nd")], 7);
        assert_eq!(
            page.finish(),
            "# HELP joins_total Joins.\n# TYPE joins_total counter\njoins_total 3\n\
             # HELP drops Drops.\n# TYPE drops gauge\ndrops{worker=\"0\",why=\"a\\\"b\\\\c\\nd\"} 7\n"
        );
    }
}
