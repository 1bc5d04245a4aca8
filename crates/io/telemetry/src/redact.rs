//! What must not stand in a log line.

use std::fmt;

/// A request target as it may be logged: the path, and of the query only which parameters there were.
/// Queries carry access tokens, and a `join_request` carries ICE passwords.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a>(pub &'a str);

/// A path beyond this is cut: a hostile one has 64 KB.
const LONGEST_PATH: usize = 128;
/// Names beyond these are not listed.
const MOST_NAMES: usize = 16;
const LONGEST_NAME: usize = 32;

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = self.0.split_once('?').unwrap_or((self.0, ""));
        write_clipped(f, path, LONGEST_PATH)?;
        for (i, pair) in query.split('&').filter(|p| !p.is_empty()).enumerate() {
            if i == MOST_NAMES {
                return f.write_str("&…");
            }
            f.write_str(if i == 0 { "?" } else { "&" })?;
            match pair.split_once('=') {
                Some((name, _)) => write_clipped(f, name, LONGEST_NAME)?,
                // Without a name it may be the secret itself.
                None => f.write_str("…")?,
            }
        }
        Ok(())
    }
}

fn write_clipped(f: &mut fmt::Formatter<'_>, text: &str, longest: usize) -> fmt::Result {
    for c in text.chars().take(longest) {
        // A line break or an escape sequence in a log line says what an attacker wants it to.
        fmt::Write::write_char(f, if c.is_control() { '\u{fffd}' } else { c })?;
    }
    if text.chars().nth(longest).is_some() { f.write_str("…") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(target: &str) -> String {
        Target(target).to_string()
    }

    #[test]
    fn names_of_parameters_stay_and_values_go() {
        assert_eq!(shown("/rtc?access_token=eyJ.a.b&protocol=17"), "/rtc?access_token&protocol");
        assert_eq!(shown("/rtc/v1?join_request=CgA=&&x="), "/rtc/v1?join_request&x");
        assert_eq!(shown("/"), "/");
        assert_eq!(shown("/rtc?eyJ.a.b"), "/rtc?…", "a value without a name is a value");
    }

    #[test]
    fn hostile_targets_stay_short_and_on_one_line() {
        let long = shown(&format!("/{}?{}", "a".repeat(60_000), "b=c&".repeat(10_000)));
        assert!(long.len() < 300, "{}", long.len());
        assert!(!shown("/a\nERROR\u{1b}[31m?x\r=1").chars().any(char::is_control));
    }
}
