//! Keys that stand in a configuration: known, known but without effect, or misspelt.
//!
//! Owns: the list of LiveKit's keys and ours, and where in the text each one stands. Looks at no value
//! beyond asking whether it switches anything on.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::keys::{KEYS, Status};

/// What the text says about a key, apart from its value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Misspelt, or from a version that this one does not know.
    pub(crate) unknown: Vec<Unknown>,
    /// Known, set to something, and without effect.
    pub(crate) idle: Vec<String>,
}

/// A key that nobody reads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) path: String,
    pub(crate) line: u64,
    /// The known key that it is closest to, if any is close.
    pub(crate) nearest: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: unknown key {:?}", self.line, self.path)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest:?}?"),
            None => Ok(()),
        }
    }
}

/// Looks at every key of `text`, which must be YAML.
pub(crate) fn inspect(text: &str) -> Result<Findings, serde_saphyr::Error> {
    let root: Node = serde_saphyr::from_str(text)?;
    let mut findings = Findings::default();
    walk(&root, "", &mut findings);
    Ok(findings)
}

/// What a reader of `text` found wrong, in one line, with the key that it stands at. The text itself is not shown: what is
/// around the place may be secret.
pub(crate) fn explain(text: &str, error: &serde_saphyr::Error) -> String {
    let error = error.without_snippet();
    let key = error.location().and_then(|place| {
        let root: Node = serde_saphyr::from_str(text).ok()?;
        key_at(&root, "", (place.line(), place.column()))
    });
    key.map_or_else(|| error.to_string(), |(_, path)| format!("{path}: {error}"))
}

/// The last key that begins at `place` or before, and where.
fn key_at(node: &Node, parent: &str, place: (u64, u64)) -> Option<((u64, u64), String)> {
    match node {
        Node::Scalar { .. } => None,
        Node::List(items) => items.iter().filter_map(|item| key_at(item, parent, place)).max(),
        Node::Map(entries) => {
            let found = entries.iter().filter_map(|(key, value)| {
                let at = (key.referenced.line(), key.referenced.column());
                let path = join(parent, &key.value);
                let inside = key_at(value, &path, place);
                (at <= place).then_some((at, path)).max(inside)
            });
            found.max()
        }
    }
}

fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

fn walk(node: &Node, parent: &str, findings: &mut Findings) {
    match node {
        Node::Scalar { .. } => {}
        // A list of maps has the keys of its maps.
        Node::List(items) => items.iter().for_each(|item| walk(item, parent, findings)),
        Node::Map(entries) => {
            for (key, value) in entries {
                let path = join(parent, &key.value);
                match status(&path) {
                    Some(Status::Works) => walk(value, &path, findings),
                    Some(Status::Free) => {}
                    Some(Status::Idle) => {
                        if value.asks_for_something() {
                            findings.idle.push(path);
                        }
                    }
                    None => findings.unknown.push(Unknown {
                        nearest: nearest(&path),
                        path,
                        line: key.referenced.line(),
                    }),
                }
            }
        }
    }
}

fn status(path: &str) -> Option<Status> {
    if let Some((_, status)) = KEYS.iter().find(|(known, _)| *known == path) {
        return Some(*status);
    }
    // A section is known by what stands in it.
    let section = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    KEYS.iter().any(|(known, _)| section(known)).then_some(Status::Works)
}

/// The known key that needs the fewest changes to become `path`: first in its own section, then anywhere.
fn nearest(path: &str) -> Option<String> {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let siblings = KEYS.iter().filter_map(|(known, _)| {
        let rest = if parent.is_empty() { known } else { known.strip_prefix(parent)?.strip_prefix('.')? };
        Some(rest.split('.').next().unwrap_or(rest))
    });
    let near = |a: &str, b: &str| {
        let distance = distance(a, b);
        // A third of the letters wrong is another word.
        (distance * 3 <= b.len().max(3)).then_some(distance)
    };
    let sibling = siblings.filter_map(|known| Some((near(known, name)?, known))).min();
    if let Some((_, known)) = sibling {
        return Some(if parent.is_empty() { known.to_owned() } else { format!("{parent}.{known}") });
    }
    let moved = KEYS.iter().filter_map(|(known, _)| {
        let last = known.rsplit('.').next().unwrap_or(known);
        Some((near(last, name)?, *known))
    });
    moved.min().map(|(_, known)| known.to_owned())
}

/// Letters to insert, remove, replace or swap with their neighbour to make `a` of `b` (optimal string
/// alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                replace.min(swap).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}

/// YAML of any shape.
#[derive(Debug)]
enum Node {
    Scalar {
        /// Neither null, false, zero nor empty.
        on: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl Node {
    /// A key set to its "off" needs no warning that it does nothing.
    fn asks_for_something(&self) -> bool {
        match self {
            Self::Scalar { on } => *on,
            Self::List(items) => items.iter().any(Self::asks_for_something),
            Self::Map(entries) => entries.iter().any(|(_, value)| value.asks_for_something()),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyShape)
    }
}

struct AnyShape;

impl<'de> Visitor<'de> for AnyShape {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Node, E> {
        Ok(Node::Scalar { on })
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar { on: value != 0 })
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar { on: value != 0 })
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar { on: value != 0.0 })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Scalar { on: !matches!(text, "" | "0" | "0s") })
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar { on: false })
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar { on: false })
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        Node::deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(text: &str) -> Vec<String> {
        inspect(text).unwrap().unknown.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn known_keys_pass() {
        let text = "port: 7880\nkeys:\n  anything: goes\nrtc:\n  udp_port: 7882\n  turn_servers:\n  - host: a\n    port: 3478\n";
        assert_eq!(inspect(text).unwrap(), Findings::default());
        assert_eq!(inspect("").unwrap(), Findings::default());
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_the_nearest_one() {
        assert_eq!(unknown("port: 1\nprot: 2\n"), [r#"line 2: unknown key "prot"; did you mean "port"?"#]);
        assert_eq!(
            unknown("rtc:\n  udp_prot: 7882\n  turn_servers:\n    - hots: x\n"),
            [
                r#"line 2: unknown key "rtc.udp_prot"; did you mean "rtc.udp_port"?"#,
                r#"line 4: unknown key "rtc.turn_servers.hots"; did you mean "rtc.turn_servers.host"?"#
            ]
        );
    }

    #[test]
    fn a_key_in_the_wrong_section_is_found_in_its_own() {
        assert_eq!(
            unknown("udp_port: 7882"),
            [r#"line 1: unknown key "udp_port"; did you mean "rtc.udp_port"?"#]
        );
        assert_eq!(unknown("xylophone: 1"), [r#"line 1: unknown key "xylophone""#]);
    }

    #[test]
    fn keys_without_effect_are_found_unless_they_are_off() {
        let idle = |text: &str| inspect(text).unwrap().idle;
        assert_eq!(
            idle("redis:\n  address: localhost:6379\nrtc:\n  use_mdns: true"),
            ["redis", "rtc.use_mdns"]
        );
        assert!(
            idle("sip:\n  enabled: false\nrtc:\n  use_mdns: false\n  strict_acks: no\nredis:\n").is_empty()
        );
    }

    #[test]
    fn what_is_wrong_is_told_in_a_line_with_its_key_and_without_what_stands_around_it() {
        let told = |text: &str| {
            #[derive(Debug, Deserialize)]
            struct File {
                #[expect(dead_code, reason = "only its type counts")]
                rtc: std::collections::BTreeMap<String, u16>,
            }
            explain(text, &serde_saphyr::from_str::<File>(text).unwrap_err())
        };
        let wrong = told("keys:\n  name: hidden\nrtc:\n  udp_port: 1\n  tcp_port: many\nport: 1\n");
        assert!(wrong.starts_with("rtc.tcp_port: ") && wrong.contains("line 5"), "{wrong}");
        let broken = told("keys: {name: hidden\nrtc: 1");
        assert!(broken.contains("line "), "{broken}");
        for text in [wrong, broken] {
            assert!(text.lines().count() == 1 && !text.contains("hidden"), "{text}");
        }
    }

    #[test]
    fn distances_count_letters() {
        assert_eq!((distance("", "abc"), distance("port", "prot"), distance("a", "a")), (3, 1, 0));
    }
}
