//! A flag and an environment variable for every key, made from the table of keys: `--rtc.udp_port` and
//! `LIVEKIT_RTC_UDP_PORT`, as livekit-server has them.
//!
//! Owns: their names, and how a text becomes a value of the file. Knows nothing of what a key means.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

use super::file::File;
use super::keys::{INSIDE, KEYS, Status};

/// Lists of maps: one flag takes the whole list, as YAML.
const LISTS: [&str; 3] = ["rtc.turn_servers", "room.enabled_codecs", "live.domains"];

/// Keys whose flags have names of their own.
const NAMED: [&str; 3] = ["keys", "key_file", "region"];

/// Names that livekit-server has beside those of its keys: flag, environment variable, key.
const ALIASES: [(&str, &str, &str); 6] = [
    ("redis-host", "REDIS_HOST", "redis.address"),
    ("redis-password", "REDIS_PASSWORD", "redis.password"),
    ("turn-cert", "LIVEKIT_TURN_CERT", "turn.cert_file"),
    ("turn-key", "LIVEKIT_TURN_KEY", "turn.key_file"),
    ("cpuprofile", "", "cpuprofile"),
    ("memprofile", "", "memprofile"),
];

/// What every environment variable for a key begins with.
const PREFIX: &str = "LIVEKIT_";

/// A value that was given outside of the file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Override {
    /// How it was given: `--rtc.udp_port` or `LIVEKIT_RTC_UDP_PORT`.
    pub(crate) given_as: String,
    path: &'static str,
    text: String,
}

impl fmt::Debug for Override {
    /// Its value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Override({})", self.given_as)
    }
}

/// The keys that have a flag made for them.
fn paths() -> BTreeSet<&'static str> {
    let listed = |path: &'static str| {
        let inside = |list: &&&str| path.strip_prefix(**list).is_some_and(|rest| rest.starts_with('.'));
        LISTS.iter().find(inside).copied().unwrap_or(path)
    };
    let known = KEYS.iter().map(|(path, _)| listed(path)).chain(INSIDE.iter().copied());
    known.filter(|path| !NAMED.contains(path)).collect()
}

/// Adds a flag for every key; they fill pages, so the usual help is silent about them.
pub(crate) fn add_to(command: Command, hidden: bool) -> Command {
    let flag = |name: &'static str| {
        // Without a value it switches on.
        Arg::new(name).long(name).num_args(0..=1).default_missing_value("true").global(true).hide(hidden)
    };
    let of_keys = paths().into_iter().map(|path| {
        let help = match status(path) {
            Status::Idle => "Accepted, without effect yet".to_owned(),
            Status::Works | Status::Free => {
                format!("Instead of {path} in the file [env: {}]", variable(path))
            }
        };
        flag(path).value_name("VALUE").allow_negative_numbers(true).help(help)
    });
    let of_aliases = ALIASES.into_iter().map(|(name, _, path)| {
        flag(name).value_name("VALUE").help(format!("The same as --{path}, as livekit-server calls it"))
    });
    command.args(of_keys.chain(of_aliases)).subcommand_precedence_over_arg(true)
}

/// Without a word about it in the table, a key does nothing.
fn status(path: &str) -> Status {
    let inside_list = LISTS.contains(&path);
    KEYS.iter()
        .find(|(known, _)| *known == path)
        .map_or(if inside_list { Status::Works } else { Status::Idle }, |(_, status)| *status)
}

fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

/// What flags and environment say, the weaker first. Variables that name no key are the second part.
pub(crate) fn given(
    matches: &ArgMatches,
    environment: impl Iterator<Item = (String, String)>,
) -> (Vec<Override>, Vec<String>) {
    let mut overrides = Vec::new();
    let mut warnings = Vec::new();
    let aliases = || ALIASES.iter().map(|(name, variable, path)| (*name, (*variable).to_owned(), *path));
    let flags: Vec<_> =
        paths().into_iter().map(|path| (path, variable(path), path)).chain(aliases()).collect();
    let sections: BTreeSet<_> =
        KEYS.iter().filter_map(|(path, _)| path.split_once('.')).map(|(s, _)| s).collect();
    for (name, text) in environment {
        if let Some((_, _, path)) = flags.iter().find(|(_, variable, _)| *variable == name) {
            if !text.is_empty() {
                overrides.push(Override { given_as: name, path, text });
            }
            continue;
        }
        // Others with this prefix belong to clients and agents: LIVEKIT_URL.
        let rest = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase).unwrap_or_default();
        let of_section =
            |section: &&&str| rest.strip_prefix(**section).is_some_and(|rest| rest.starts_with('_'));
        if sections.iter().any(|section| of_section(&section)) {
            warnings.push(format!("the environment variable {name} names no key"));
        }
    }
    for (name, _, path) in &flags {
        if let Ok(Some(text)) = matches.try_get_one::<String>(name) {
            overrides.push(Override { given_as: format!("--{name}"), path, text: text.clone() });
        }
    }
    (overrides, warnings)
}

/// Puts them over the file. Says which do nothing.
pub(super) fn apply(file: File, overrides: &[Override]) -> anyhow::Result<(File, Vec<String>)> {
    let mut idle = Vec::new();
    let mut file = file;
    for given in overrides {
        if status(given.path) == Status::Idle {
            let off = matches!(given.text.as_str(), "" | "0" | "0s" | "false");
            idle.extend((!off).then(|| format!("{} is accepted and does nothing yet", given.given_as)));
            continue;
        }
        file = set(&file, given).with_context(|| given.given_as.clone())?;
    }
    Ok((file, idle))
}

/// The file with one value in the place of another.
fn set(file: &File, given: &Override) -> anyhow::Result<File> {
    let tree = serde_json::to_value(file)?;
    let with = |value: Value| {
        let mut tree = tree.clone();
        let mut place = &mut tree;
        for step in given.path.split('.') {
            if !place.is_object() {
                *place = Value::Object(serde_json::Map::new());
            }
            place = &mut place[step];
        }
        *place = value;
        serde_json::from_value::<File>(tree)
    };
    // A text where a text is wanted, so that a secret of digits keeps them all; else what YAML makes of it.
    if let Ok(file) = with(Value::String(given.text.clone())) {
        return Ok(file);
    }
    let value = serde_saphyr::from_str::<Value>(&given.text).map_err(|_| anyhow::anyhow!("not YAML"))?;
    let is_text = value.is_string();
    with(value).or_else(|error| {
        // A list of texts may be written with commas alone.
        let items = given.text.split(',').map(|item| Value::String(item.trim().to_owned()));
        let list = is_text.then(|| with(Value::Array(items.collect())).ok()).flatten();
        list.ok_or_else(|| anyhow::anyhow!("{error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given_by(arguments: &[&str], environment: &[(&str, &str)]) -> (Vec<Override>, Vec<String>) {
        let command = add_to(Command::new("millrace").subcommand(Command::new("ports")), true);
        let matches = command.try_get_matches_from([&["millrace"], arguments].concat()).unwrap();
        given(&matches, environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    fn file(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<(File, Vec<String>)> {
        apply(File::default(), &given_by(arguments, environment).0)
    }

    fn json(arguments: &[&str]) -> Value {
        serde_json::to_value(file(arguments, &[]).unwrap().0).unwrap()
    }

    /// No key is without a way to give it from outside, and none is lost on the way.
    #[test]
    fn every_key_has_a_flag_and_a_variable_that_reach_the_file_or_are_said_to_do_nothing() {
        for path in paths() {
            let values = ["7", "true", "open", "[]", "{}", "127.0.0.1"];
            let reached = values.iter().any(|value| {
                let by_flag = file(&[&format!("--{path}"), value], &[]);
                let by_variable = file(&[], &[(&variable(path), value)]);
                match (by_flag, by_variable) {
                    (Ok((flag, said)), Ok((variable, too))) => {
                        let same = format!("{flag:?}") == format!("{variable:?}");
                        let idle = said.len() == 1 && too.len() == 1;
                        let changed = format!("{flag:?}") != format!("{:?}", File::default());
                        // LIVEKIT_PROMETHEUS_PORT is the newer key's, which says the same.
                        assert!(same || path == "prometheus_port", "{path}");
                        // An empty map or list may be what there is by default.
                        assert_eq!(idle, status(path) == Status::Idle && !said.is_empty(), "{path}");
                        idle || changed || matches!(*value, "[]" | "{}")
                    }
                    _ => false,
                }
            });
            assert!(reached, "--{path} reaches nothing");
        }
    }

    #[test]
    fn values_have_the_type_that_the_key_wants() {
        let rtc = json(&["--rtc.udp_port", "7882-7885", "--rtc.tcp_port=0", "--rtc.force_tcp"]);
        assert_eq!((&rtc["rtc"]["udp_port"], &rtc["rtc"]["tcp_port"]), (&"7882-7885".into(), &0.into()));
        assert_eq!(rtc["rtc"]["force_tcp"], true);
        let lists = json(&["--webhook.urls", "http://a, http://b", "--rtc.stun_servers", "[s:1]"]);
        assert_eq!(lists["webhook"]["urls"], serde_json::json!(["http://a", "http://b"]));
        assert_eq!(lists["rtc"]["stun_servers"], serde_json::json!(["s:1"]));
        let turn = json(&["--rtc.turn_servers", "[{host: h, port: 1, secret: '012'}]"]);
        assert_eq!(turn["rtc"]["turn_servers"][0]["secret"], "012");
        assert_eq!(json(&["--prometheus.password", "007"])["prometheus"]["password"], "007");
        assert_eq!(json(&["--live.rtmp.port", "1935"])["live"]["rtmp"]["port"], 1935);
        let aliased = json(&["--turn-cert", "c.pem"]);
        assert_eq!(aliased["turn"]["cert_file"], "c.pem");
    }

    #[test]
    fn flags_win_over_variables_and_a_subcommand_is_no_value() {
        let env = [("LIVEKIT_ROOM_MAX_PARTICIPANTS", "5"), ("LIVEKIT_PORT", "1"), ("LIVEKIT_PORT_", "1")];
        let (file, _) = file(&["--port", "2", "--rtc.force_tcp", "ports"], &env).unwrap();
        assert_eq!((file.port, file.room.max_participants, file.rtc.force_tcp), (Some(2), 5, true));
    }

    #[test]
    fn what_is_wrong_is_named_and_what_does_nothing_too() {
        let wrong = file(&["--rtc.tcp_port", "99999"], &[]).unwrap_err();
        assert!(format!("{wrong:#}").starts_with("--rtc.tcp_port: "), "{wrong:#}");
        let wrong = file(&[], &[("LIVEKIT_ROOM_EMPTY_TIMEOUT", "soon")]).unwrap_err();
        assert!(format!("{wrong:#}").contains("LIVEKIT_ROOM_EMPTY_TIMEOUT: "), "{wrong:#}");
        let (_, idle) =
            file(&["--rtc.use_mdns", "--redis-host", "r:1", "--rtc.batch_io=false"], &[]).unwrap();
        assert_eq!(idle.len(), 2, "{idle:?}");
        let (none, warnings) = given_by(&[], &[("LIVEKIT_RTC_UPD_PORT", "1"), ("LIVEKIT_URL", "x")]);
        assert!(none.is_empty());
        assert_eq!(warnings, ["the environment variable LIVEKIT_RTC_UPD_PORT names no key"]);
    }

    /// A file that goes through here comes out as it went in.
    #[test]
    fn a_file_keeps_all_its_values() {
        let example = include_str!("../../../../../config.example.yaml");
        let lines = example
            .lines()
            .filter(|line| (!line.starts_with("# ") || line.starts_with("#  ")) && *line != "#");
        let text: String = lines.map(|line| format!("{}\n", line.replacen('#', "", 1))).collect();
        let before: File = serde_saphyr::from_str(&text).unwrap();
        let after =
            set(&before, &Override { given_as: String::new(), path: "port", text: "1".into() }).unwrap();
        assert_eq!(format!("{:?}", File { port: Some(1), ..before }), format!("{after:?}"));
    }
}
