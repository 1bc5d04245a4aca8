//! What a stream is called.

use std::fmt;
use std::sync::Arc;

/// Bytes of a whole name: three parts that fit a file name and a request line.
const MAX_LEN: usize = 512;

/// `domain/app/stream`; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// None if a part is empty, is `.` or `..`, holds a slash, a backslash or a control character, or if all
    /// is longer than 512 bytes.
    pub fn new(domain: &str, app: &str, stream: &str) -> Option<Self> {
        let parts = [domain, app, stream];
        let len: usize = parts.iter().map(|part| part.len() + 1).sum();
        (len <= MAX_LEN && parts.iter().all(|part| is_part(part)))
            .then(|| Self(format!("{domain}/{app}/{stream}").into()))
    }

    /// All three parts, with slashes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn domain(&self) -> &str {
        self.part(0)
    }

    pub fn app(&self) -> &str {
        self.part(1)
    }

    pub fn stream(&self) -> &str {
        self.part(2)
    }

    fn part(&self, at: usize) -> &str {
        self.0.split('/').nth(at).unwrap_or_default()
    }
}

/// Whether `text` can be one part of a name.
pub(crate) fn is_part(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.chars().any(|c| c.is_control() || matches!(c, '/' | '\\'))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_three_parts_and_none_leads_elsewhere() {
        let name = Name::new("example.org", "live", "demo").unwrap();
        assert_eq!((name.domain(), name.app(), name.stream()), ("example.org", "live", "demo"));
        assert_eq!(name.to_string(), "example.org/live/demo");
        for (app, stream) in [("live", ".."), ("", "a"), ("live", "a/b"), ("live", "a\\b"), ("li\0ve", "a")] {
            assert_eq!(Name::new("d", app, stream), None, "{app} {stream}");
        }
        assert_eq!(Name::new("d", "live", &"x".repeat(600)), None);
        assert!(Name::new("d", "live", "..hidden").is_some());
    }
}
