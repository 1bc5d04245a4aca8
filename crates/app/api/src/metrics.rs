//! What this process counts, as Prometheus reads it.

use telemetry::{Counter, Exposition, Kind};

use crate::app::Shared;

/// Counters of the HTTP side.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connections: Counter,
    pub(crate) requests: Counter,
    pub(crate) joins: Counter,
    pub(crate) joins_refused: Counter,
    pub(crate) rooms_opened: Counter,
    pub(crate) messages_in: Counter,
    pub(crate) messages_out: Counter,
    pub(crate) messages_too_large: Counter,
    pub(crate) messages_undecodable: Counter,
    pub(crate) slow_clients: Counter,
    pub(crate) commands_held: Counter,
    pub(crate) commands_refused: Counter,
    pub(crate) passed_on_dropped: Counter,
    pub(crate) guest_tokens: Counter,
    pub(crate) data_refused: Counter,
    pub(crate) api_calls: Counter,
    pub(crate) api_errors: Counter,
}

/// A worker's numbers that go up and down; the others only grow.
const WORKER_GAUGES: [&str; 4] = ["busy_permille", "behind", "peers", "streams"];

pub(crate) fn page(shared: &Shared) -> String {
    let mut page = Exposition::default();
    let (rooms, participants) = shared.directory.census();
    let sessions = *shared.sessions.borrow();
    let strangers = shared.gate.connections();
    let (workers_registered, jobs) = shared.agents.census();
    let bytes_per_second = usize::try_from(shared.load.bytes_per_second()).unwrap_or(usize::MAX);
    let gauges = [
        ("millrace_agent_workers", "Agent workers that are registered.", workers_registered),
        ("millrace_agent_jobs", "Jobs of agents that run.", jobs),
        ("millrace_rooms", "Rooms that are open.", rooms),
        ("millrace_participants", "Participants in them.", participants),
        ("millrace_tracks", "Tracks that are published in them.", shared.directory.tracks()),
        ("millrace_subscriptions", "Tracks that are sent to subscribers.", shared.directory.subscriptions()),
        ("millrace_media_bytes_per_second", "Media of the last second, in and out.", bytes_per_second),
        ("millrace_media_workers", "Media workers that run.", usize::from(shared.engine.workers())),
        ("millrace_signal_sessions", "Signalling WebSockets that are open.", sessions),
        ("millrace_http_strangers", "Connections that are not sessions.", strangers.open),
    ];
    for (name, help, value) in gauges {
        page.family(name, Kind::Gauge, help).sample(&[], value as u64);
    }

    let m = &shared.metrics;
    let counters = [
        ("millrace_http_connections_total", "Connections accepted.", &m.connections),
        ("millrace_http_requests_total", "HTTP requests answered.", &m.requests),
        ("millrace_joins_total", "Joins that reached a room.", &m.joins),
        ("millrace_joins_refused_total", "Joins refused before a WebSocket opened.", &m.joins_refused),
        ("millrace_rooms_opened_total", "Rooms opened.", &m.rooms_opened),
        ("millrace_signal_messages_in_total", "Signal messages received.", &m.messages_in),
        ("millrace_signal_messages_out_total", "Signal messages sent.", &m.messages_out),
        (
            "millrace_signal_too_large_total",
            "Clients dropped for a message beyond the limit.",
            &m.messages_too_large,
        ),
        (
            "millrace_signal_undecodable_total",
            "Clients dropped for a malformed message.",
            &m.messages_undecodable,
        ),
        ("millrace_signal_slow_total", "Clients dropped because they did not read.", &m.slow_clients),
        (
            "millrace_media_commands_held_total",
            "Times a room waited because a media worker was behind.",
            &m.commands_held,
        ),
        (
            "millrace_media_commands_refused_total",
            "Commands for a media worker that has ended.",
            &m.commands_refused,
        ),
        (
            "millrace_rooms_passed_on_dropped_total",
            "Messages for participants who have moved, and forwards, dropped because their room is too far behind.",
            &m.passed_on_dropped,
        ),
        ("millrace_data_refused_total", "Data packets dropped for too many of one sender.", &m.data_refused),
        ("millrace_guest_tokens_total", "Guest tokens given out.", &m.guest_tokens),
        ("millrace_api_calls_total", "Requests to the server API.", &m.api_calls),
        ("millrace_api_errors_total", "Requests to the server API that were refused.", &m.api_errors),
        ("millrace_webhooks_sent_total", "Events delivered.", &shared.webhooks.counts.sent),
        ("millrace_webhooks_retried_total", "Deliveries tried again.", &shared.webhooks.counts.retried),
        ("millrace_webhooks_failed_total", "Events given up.", &shared.webhooks.counts.failed),
        ("millrace_webhooks_dropped_total", "Events beyond the queue.", &shared.webhooks.counts.dropped),
    ];
    for (name, help, counter) in counters {
        page.family(name, Kind::Counter, help).sample(&[], counter.get());
    }

    refused("millrace_http_connections_refused_total", strangers, &mut page);
    workers(shared, &mut page);
    let help = "Connections over TCP closed before a check told their worker.";
    page.family("millrace_tcp_refused_total", Kind::Counter, help);
    page.sample(&[], shared.engine.lobby_refused());
    media(shared, &mut page);
    as_livekit(shared, &mut page);
    if let Some(turn) = shared.turn.get() {
        relayed(&turn.stats(), &mut page);
    }
    if let Some(desk) = shared.desk.get() {
        crate::streams::metrics(desk, &mut page);
    }
    page.finish()
}

/// What a gate has not let through.
pub(crate) fn refused(name: &str, connections: live::Connections, page: &mut Exposition) {
    page.family(name, Kind::Counter, "Connections closed at once.");
    for (why, count) in live::Full::ALL.iter().zip(connections.refused) {
        page.sample(&[("reason", &why.name())], count);
    }
}

fn workers(shared: &Shared, page: &mut Exposition) {
    let workers = shared.engine.stats();
    for (index, (name, _)) in workers.first().map(|w| w.named()).into_iter().flatten().enumerate() {
        let gauge = WORKER_GAUGES.contains(&name);
        let (kind, of) = if gauge { (Kind::Gauge, "gauge") } else { (Kind::Counter, "counter") };
        let family =
            if gauge { format!("millrace_worker_{name}") } else { format!("millrace_worker_{name}_total") };
        page.family(family, kind, &format!("Media worker {of}: {}.", name.replace('_', " ")));
        for (worker, stats) in workers.iter().enumerate() {
            let value = stats.named().nth(index).map_or(0, |(_, value)| value);
            page.sample(&[("worker", &worker)], value);
        }
    }
}

/// What the embedded TURN server does.
fn relayed(stats: &turn_net::Stats, page: &mut Exposition) {
    page.family("millrace_turn_allocations", Kind::Gauge, "Relay addresses in use.");
    page.sample(&[], stats.allocations as u64);
    page.family("millrace_turn_connections", Kind::Gauge, "TURN clients connected over TCP and TLS.");
    page.sample(&[], stats.connections as u64);
    page.family("millrace_turn_relayed_bytes_total", Kind::Counter, "Bytes relayed.");
    page.sample(&[("to", &"peer")], stats.turn.to_peers_bytes);
    page.sample(&[("to", &"client")], stats.turn.from_peers_bytes);
    page.family(
        "millrace_turn_refused_total",
        Kind::Counter,
        "TURN requests, datagrams and connections refused.",
    );
    let turn = &stats.turn;
    for (reason, value) in [
        ("unauthorized", turn.unauthorized),
        ("stale_nonce", turn.stale),
        ("quota", turn.quota),
        ("forbidden_peer", turn.forbidden),
        ("other", turn.refused),
        ("malformed", turn.malformed),
        ("no_permission", turn.unpermitted),
        ("slow", stats.dropped),
        ("connection", stats.refused),
    ] {
        page.sample(&[("reason", &reason)], value);
    }
}

/// A number of a worker's router, by the kind that it is shown as.
type Reading = (&'static str, fn(&sfu::Counters) -> u64);

const PACKETS: [Reading; 4] = [
    ("rtp_in", |c| c.traffic.rtp_in),
    ("rtp_out", |c| c.traffic.rtp_out),
    ("data_in", |c| c.traffic.data_in),
    ("data_out", |c| c.traffic.data_out),
];
const LOSSES: [Reading; 4] = [
    ("asked_of_publishers", |c| c.repair.nacks_out),
    ("asked_by_subscribers", |c| c.repair.nacks_in),
    ("resent", |c| c.repair.resent),
    ("gone", |c| c.repair.not_cached),
];
const KEY_FRAMES: [Reading; 2] =
    [("from_subscribers", |c| c.repair.key_frames_in), ("to_publishers", |c| c.repair.key_frames_out)];

/// What the media workers carried, what was lost on the way, and what they refused, by reason.
fn media(shared: &Shared, page: &mut Exposition) {
    let workers = shared.engine.router_counters();
    let families: [(_, _, &[Reading]); 3] = [
        (
            "millrace_media_packets_total",
            "RTP packets from publishers and to subscribers, and messages of data channels.",
            &PACKETS,
        ),
        (
            "millrace_media_losses_total",
            "Packets asked of publishers and by subscribers again; of these sent again, or not there any more.",
            &LOSSES,
        ),
        (
            "millrace_media_key_frame_requests_total",
            "Key frames that subscribers asked for, and that publishers were asked for.",
            &KEY_FRAMES,
        ),
    ];
    for (name, help, readings) in families {
        page.family(name, Kind::Counter, help);
        for (worker, counters) in workers.iter().enumerate() {
            for (kind, read) in readings {
                page.sample(&[("worker", &worker), ("kind", kind)], read(counters));
            }
        }
    }
    page.family("millrace_media_drops_total", Kind::Counter, "Datagrams, packets and messages dropped.");
    for (worker, counters) in workers.iter().enumerate() {
        for (reason, value) in counters.drops.by_reason() {
            page.sample(&[("worker", &worker), ("reason", &reason)], value);
        }
    }
}

/// A number of a worker's router by its direction, with another label where it has one.
type Directed = (&'static str, Option<(&'static str, &'static str)>, fn(&sfu::Counters) -> u64);

/// What LiveKit's server counts too, under its names, for dashboards that know those.
fn as_livekit(shared: &Shared, page: &mut Exposition) {
    let (rooms, participants) = shared.directory.census();
    for (name, value) in [
        ("livekit_room_total", rooms),
        ("livekit_participant_total", participants),
        ("livekit_track_published_total", shared.directory.tracks()),
        ("livekit_track_subscribed_total", shared.directory.subscriptions()),
    ] {
        page.family(name, Kind::Gauge, "As LiveKit's server has it.").sample(&[], value as u64);
    }
    let (initial, again) = (("transmission", "initial"), ("transmission", "retransmit"));
    let families: [(_, &[Directed]); 3] = [
        (
            "livekit_packet_total",
            &[
                ("incoming", Some(initial), |c| c.traffic.rtp_in),
                ("outgoing", Some(initial), |c| c.traffic.rtp_out),
                ("outgoing", Some(again), |c| c.repair.resent),
            ],
        ),
        (
            "livekit_nack_total",
            &[("incoming", None, |c| c.repair.nacks_in), ("outgoing", None, |c| c.repair.nacks_out)],
        ),
        (
            "livekit_pli_total",
            &[
                ("incoming", None, |c| c.repair.key_frames_in),
                ("outgoing", None, |c| c.repair.key_frames_out),
            ],
        ),
    ];
    let workers = shared.engine.router_counters();
    for (name, readings) in families {
        page.family(name, Kind::Counter, "As LiveKit's server has it.");
        for (direction, transmission, read) in readings {
            let mut labels: Vec<(&str, &dyn std::fmt::Display)> = vec![("direction", direction)];
            labels
                .extend(transmission.iter().map(|(label, value)| (*label, value as &dyn std::fmt::Display)));
            page.sample(&labels, workers.iter().map(read).sum());
        }
    }
}
