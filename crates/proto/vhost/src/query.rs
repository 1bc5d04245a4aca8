//! What stands behind the question mark of a stream's address.

use std::fmt;
use std::time::Duration;

/// The parameters of an address. They may hold secrets, and are not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d`, with or without a question mark before it.
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix('?').unwrap_or(text);
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// Cuts a name as RTMP has it, `demo?token=t`, into name and parameters.
    pub fn split(name: &str) -> (&str, Self) {
        match name.split_once('?') {
            Some((name, query)) => (name, Self::parse(query)),
            None => (name, Self::default()),
        }
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// An access token: `token`, or `access_token` as the signalling path calls it.
    pub fn token(&self) -> Option<&str> {
        self.get("token").or_else(|| self.get("access_token")).filter(|token| !token.is_empty())
    }

    /// How far behind the live edge a player wants to begin, in milliseconds; what is not a number is not
    /// said.
    pub fn latency(&self) -> Option<Duration> {
        self.get("latency")?.parse().ok().map(Duration::from_millis)
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_kept_apart_from_the_name() {
        let (name, query) = Query::split("demo?token=a%2Eb&latency=0&x");
        assert_eq!(name, "demo");
        assert_eq!(query.token(), Some("a.b"));
        assert_eq!(query.latency(), Some(Duration::ZERO));
        assert_eq!((query.get("x"), query.get("y")), (Some(""), None));
        assert_eq!(format!("{query:?}"), r#"["token", "latency", "x"]"#);
        assert_eq!(Query::split("demo").1, Query::default());
        assert_eq!(Query::parse("?latency=soon&token=").latency(), None);
    }
}
