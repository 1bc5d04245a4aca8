//! What a client's datagrams travel over.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use net::{Message, Options, Receiver, Sender, Socket, push_frame, split_frame};
use peer::Carrier;

pub(crate) enum Line {
    Udp { socket: Socket, receiver: Box<Receiver>, sender: Sender },
    Tcp { socket: TcpStream, held: Vec<u8> },
}

impl Line {
    pub(crate) fn udp(ip: IpAddr) -> Self {
        let options = Options { reuse_port: false, buffer: 1 << 20, gro: false };
        let socket = Socket::bind(SocketAddr::new(ip, 0), options).unwrap();
        Self::Udp { socket, receiver: Box::new(Receiver::new(64, false)), sender: Sender::new(true) }
    }

    pub(crate) fn tcp(server: SocketAddr) -> Self {
        let socket = TcpStream::connect(server).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
        Self::Tcp { socket, held: Vec::new() }
    }

    pub(crate) fn carrier(&self) -> Carrier {
        match self {
            Self::Udp { .. } => Carrier::Udp,
            Self::Tcp { .. } => Carrier::Tcp,
        }
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        match self {
            Self::Udp { socket, .. } => socket.local_addr(),
            Self::Tcp { socket, .. } => socket.local_addr().unwrap(),
        }
    }

    /// Everything that has arrived, with where it came from.
    pub(crate) fn receive(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut all = Vec::new();
        match self {
            Self::Udp { socket, receiver, .. } => loop {
                let more = receiver.receive(socket).unwrap();
                all.extend(receiver.datagrams().map(|d| (d.remote, d.payload.to_vec())));
                if !more {
                    return all;
                }
            },
            Self::Tcp { socket, held } => {
                let Ok(from) = socket.peer_addr() else { return all };
                let mut room = vec![0; 1 << 16];
                while let Ok(count @ 1..) = socket.read(&mut room) {
                    held.extend_from_slice(&room[..count]);
                }
                let mut rest = &mut held[..];
                while let Some((datagram, _)) = split_frame(rest, 1 << 16).unwrap() {
                    let used = 2 + datagram.len();
                    all.push((Carrier::Tcp.mark(from), datagram.to_vec()));
                    rest = &mut rest[used..];
                }
                *held = rest.to_vec();
                all
            }
        }
    }

    pub(crate) fn send(&mut self, remote: SocketAddr, payload: &[u8]) {
        match self {
            Self::Udp { socket, sender, .. } => {
                let message = Message { remote, local: None, payload, segment: payload.len() };
                sender.send(socket, [message]);
            }
            Self::Tcp { socket, .. } => {
                let mut frame = Vec::new();
                assert!(push_frame(&mut frame, payload));
                // A server that has closed is noticed by what does not come.
                let _ = socket.write_all(&frame);
            }
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp { socket, .. } => socket.as_fd(),
            Self::Tcp { socket, .. } => socket.as_fd(),
        }
    }
}
