//! One socket of a worker, and which of its addresses the router knows.
//!
//! Owns: the translation between the address a datagram came to and the one clients were told, which differ
//! behind a 1:1 NAT.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use net::{Message, Outcome, Queue, Sender, Socket};
use peer::{Carrier, Path};
use sfu::{Run, Shed};

/// For how long video is given up, and the kernel's buffer stays as full as that, before sound is too.
const SOUND_AFTER: Duration = Duration::from_millis(250);

/// Where a port is, from inside and from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local {
    bound: SocketAddr,
    /// The public address clients were told, which no interface has.
    public: Option<IpAddr>,
}

/// A socket with what sends through it.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) socket: Socket,
    sender: Sender,
    local: Local,
    /// Datagrams of the outbox that this port is done with.
    pub(crate) done: usize,
    /// The kernel's buffer is full.
    pub(crate) blocked: bool,
    /// There is something to take: the poller said so, or it was more than one batch could take.
    pub(crate) more: bool,
    /// Datagrams come faster than they are taken, and this is to be given up of them.
    pub(crate) shed: Shed,
    /// Since when.
    shed_since: Option<Instant>,
    /// Datagrams that had found no room in it when it was last asked.
    overflow: u32,
}

impl Local {
    pub(crate) fn new(bound: SocketAddr, public: Option<IpAddr>) -> Self {
        Self { bound, public }
    }

    /// The local address of a datagram that was sent to `ip`, as clients know it.
    pub(crate) fn told(&self, ip: Option<IpAddr>) -> SocketAddr {
        let ip = ip.unwrap_or(self.bound.ip());
        let ip = self.public.filter(|_| !ip.is_loopback()).unwrap_or(ip);
        SocketAddr::new(ip, self.bound.port())
    }

    /// Whether what goes over `path` leaves through this port.
    pub(crate) fn carries(&self, path: &Path) -> bool {
        let (bound, local) = (self.bound, path.local);
        Carrier::of(path.remote) == Carrier::Udp
            && local.is_ipv4() == bound.is_ipv4()
            && local.port() == bound.port()
            && (bound.ip().is_unspecified() || bound.ip() == local.ip() || self.public == Some(local.ip()))
    }

    /// The address to ask the kernel to leave from: a socket on one address needs no telling, and a public
    /// address cannot be left from.
    fn source(&self, local: SocketAddr) -> Option<IpAddr> {
        Some(local.ip()).filter(|ip| self.bound.ip().is_unspecified() && self.public != Some(*ip))
    }
}

impl Port {
    pub(crate) fn new(socket: Socket, gso: bool, public: Option<IpAddr>) -> Self {
        let local = Local::new(socket.local_addr(), public);
        Self {
            socket,
            sender: Sender::new(gso),
            local,
            done: 0,
            blocked: false,
            more: false,
            shed: Shed::Nothing,
            shed_since: None,
            overflow: 0,
        }
    }

    /// Where it is.
    pub(crate) fn local(&self) -> Local {
        self.local
    }

    /// How many datagrams a run should have here.
    pub(crate) fn max_segments(&self) -> usize {
        self.sender.max_segments()
    }

    /// Asks the kernel how full its buffer is; datagrams that it has dropped since the last time.
    pub(crate) fn gauge(&mut self, now: Instant) -> u64 {
        // Before Linux 4.12 nobody knows.
        let queue = self.socket.receive_queue().unwrap_or_default();
        let shed_for = self.shed_since.map(|since| now.saturating_duration_since(since));
        self.shed = shed(self.shed, shed_for.unwrap_or_default(), &queue);
        self.shed_since = self.shed_since.or(Some(now)).filter(|_| self.shed > Shed::Nothing);
        let before = std::mem::replace(&mut self.overflow, queue.dropped);
        queue.dropped.wrapping_sub(before).into()
    }

    /// Sends `runs`, which lie in `bytes`.
    pub(crate) fn send(&mut self, bytes: &[u8], runs: impl Iterator<Item = Run>) -> Outcome {
        let local = self.local;
        let messages = runs.map(|run| Message {
            remote: run.path.remote,
            local: local.source(run.path.local),
            payload: bytes.get(run.offset..run.offset + run.len).unwrap_or_default(),
            segment: run.segment,
        });
        self.sender.send(&self.socket, messages)
    }
}

/// What is given up with this in the kernel's buffer, where `shed` was until now, for so long: from half full on video,
/// until nearly all is taken. Sound too where that has not helped for [`SOUND_AFTER`], before the kernel drops checks and
/// feedback with the rest: what came at once, or while this worker had no turn, is taken sooner without its video.
fn shed(shed: Shed, shed_for: Duration, queue: &Queue) -> Shed {
    let &Queue { waiting, room, .. } = queue;
    if waiting <= room / 8 {
        Shed::Nothing
    } else if shed_for >= SOUND_AFTER && waiting > room / 4 * 3 {
        Shed::Media
    } else if waiting > room / 2 {
        shed.max(Shed::Video)
    } else {
        shed
    }
}

#[cfg(test)]
mod tests {
    use net::Options;

    use super::*;

    fn port(bound: &str, public: Option<&str>) -> Port {
        let options = Options { reuse_port: false, buffer: 0, gro: false };
        let socket = Socket::bind(bound.parse().unwrap(), options).unwrap();
        Port::new(socket, true, public.map(|ip| ip.parse().unwrap()))
    }

    fn carries(port: &Port, local: SocketAddr) -> bool {
        let path = |remote| Path { local, remote };
        let connection = Carrier::Tcp.mark(([192, 0, 2, 1], 5).into());
        assert!(!port.local.carries(&path(connection)), "connections are not this socket's");
        port.local.carries(&path(([192, 0, 2, 1], 5).into()))
    }

    #[test]
    fn behind_a_nat_the_router_sees_the_public_address() {
        let port = port("0.0.0.0:0", Some("203.0.113.9"));
        let number = port.local.bound.port();
        assert_eq!(port.local.told(Some([10, 0, 0, 5].into())), SocketAddr::from(([203, 0, 113, 9], number)));
        assert_eq!(port.local.told(Some([127, 0, 0, 1].into())), SocketAddr::from(([127, 0, 0, 1], number)));
        assert!(carries(&port, SocketAddr::from(([203, 0, 113, 9], number))));
    }

    #[test]
    fn a_port_that_is_not_emptied_is_behind_until_it_nearly_is() {
        let options = Options { reuse_port: false, buffer: 20_000, gro: false };
        let mut port = Port::new(Socket::bind(([127, 0, 0, 1], 0).into(), options).unwrap(), true, None);
        let began = Instant::now();
        assert_eq!((port.gauge(began), port.shed), (0, Shed::Nothing));
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..200 {
            sender.send_to(&[0; 1000], port.socket.local_addr()).unwrap();
        }
        let dropped = port.gauge(began);
        assert!(dropped > 0 && port.shed == Shed::Video, "{dropped}");
        let later = began + SOUND_AFTER;
        assert_eq!((port.gauge(later), port.shed), (0, Shed::Media), "nothing was taken since");
        let mut receiver = net::Receiver::new(64, false);
        while receiver.receive(&port.socket).unwrap() {}
        assert_eq!((port.gauge(later), port.shed), (0, Shed::Nothing));
        for _ in 0..200 {
            sender.send_to(&[0; 1000], port.socket.local_addr()).unwrap();
        }
        port.gauge(later + SOUND_AFTER);
        assert_eq!(port.shed, Shed::Video, "each time begins with video");
    }

    #[test]
    fn video_is_given_up_first_and_sound_where_that_does_not_suffice() {
        use Shed::{Media, Nothing, Video};
        let (soon, late) = (SOUND_AFTER / 2, SOUND_AFTER);
        let steps = [
            (Duration::ZERO, 400, Nothing),
            (Duration::ZERO, 800, Video),
            (soon, 800, Video),
            (soon, 101, Video),
            (late, 600, Video),
            (late, 601, Media),
            (late, 101, Media),
            (late, 100, Nothing),
            (Duration::ZERO, 401, Video),
            (late, 90, Nothing),
        ];
        let mut now = Nothing;
        for (shed_for, waiting, expected) in steps {
            now = shed(now, shed_for, &Queue { waiting, room: 800, dropped: 0 });
            assert_eq!(now, expected, "{waiting} after {shed_for:?}");
        }
        assert_eq!(shed(Nothing, late, &Queue::default()), Nothing, "a kernel that does not say");
    }

    #[test]
    fn a_port_carries_its_own_family_and_number() {
        let any = port("0.0.0.0:0", None);
        let number = any.local.bound.port();
        assert!(carries(&any, SocketAddr::from(([10, 0, 0, 5], number))));
        assert!(!carries(&any, SocketAddr::from(([10, 0, 0, 5], number ^ 1))));
        assert!(!carries(&any, SocketAddr::new("::1".parse().unwrap(), number)));
        let one = port("127.0.0.1:0", None);
        assert!(!carries(&one, SocketAddr::from(([127, 0, 0, 2], one.local.bound.port()))));
        assert_eq!(one.local.told(None), one.local.bound);
    }
}
