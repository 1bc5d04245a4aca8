use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::*;
use crate::testbed::{PATIENCE, desk, limit, listener, picture, publish};

/// A certificate for localhost, and whoever trusts it; the server offers `server_offers` and the client `client_offers` (RFC 7301).
fn tls(server_offers: &[&str], client_offers: &[&str]) -> (TlsAcceptor, TlsConnector) {
    let list = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = ServerConfig::builder().with_no_client_auth();
    let mut server = server.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    server.alpn_protocols = list(server_offers);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = list(client_offers);
    (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)))
}

/// A player over HTTP, once it has the first bytes of its answer.
async fn player(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /live/demo.flv HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(socket.read(&mut [0; 64]).await.unwrap() > 0);
    socket
}

/// Whether a new connection is told that there is no room, whatever it has asked, and closed.
async fn is_turned_away(address: SocketAddr) -> bool {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /live/demo.flv HTTP/1.1\r\n\r\n").await.unwrap();
    let mut said = String::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_string(&mut said)).await;
    read.expect("closed").expect("not reset");
    said.starts_with("HTTP/1.1 503 ") && said.contains("\r\nRetry-After: 10\r\n")
}

#[tokio::test]
async fn connections_beyond_what_is_allowed_are_told_so_and_counted_and_who_leaves_makes_room() {
    let desk = desk(|_| {});
    limit(&desk, 10, 3);
    let publishing = publish(&desk, "demo").await;
    publishing.push([picture(0, 100)]).unwrap();
    let mut listeners = Vec::new();
    for _ in 0..2 {
        let (listener, address) = listener().await;
        tokio::spawn(crate::http::serve(desk.clone(), listener, None, std::future::pending()));
        listeners.push(address);
    }
    // Whichever listener they come to.
    let mut players =
        vec![player(listeners[0]).await, player(listeners[1]).await, player(listeners[0]).await];
    assert!(is_turned_away(listeners[1]).await);
    let connections = desk.connections();
    assert_eq!((connections.open, connections.strangers, connections.refused), (3, 0, [0, 1, 0]));
    let mut events = desk.events();
    players.pop();
    tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    players.push(player(listeners[1]).await);
    // A reload changes it for whoever comes next, and sends nobody away.
    limit(&desk, 2, 3);
    assert!(is_turned_away(listeners[0]).await);
    assert_eq!(desk.connections().refused, [1, 1, 0]);
    publishing.push([picture(1, 100)]).unwrap();
    for player in &mut players {
        let mut seen = Vec::new();
        while !seen.windows(8).any(|part| part == 1_i64.to_be_bytes()) {
            tokio::time::timeout(PATIENCE, player.read_buf(&mut seen)).await.unwrap().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_handshake_of_tls_is_closed_in_time() {
    let desk = desk(|_| {});
    let (listener, address) = listener().await;
    tokio::spawn(crate::rtmp::serve(desk.clone(), listener, Some(tls(&[], &[]).0), std::future::pending()));
    for hello in [&b""[..], b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(hello).await.unwrap();
        let closed = tokio::time::timeout(PATIENCE, socket.read(&mut [0; 16])).await;
        assert_eq!(closed.expect("closed in time").unwrap_or(0), 0);
    }
    assert_eq!(desk.connections().open, 0);
}

#[tokio::test]
async fn a_stream_over_tls_comes_whole_and_has_an_end() {
    let desk = desk(|_| {});
    let (listener, address) = listener().await;
    let (acceptor, connector) = tls(&["h2", "http/1.1"], &["http/1.1"]);
    tokio::spawn(crate::http::serve(desk.clone(), listener, Some(acceptor), std::future::pending()));
    let publishing = publish(&desk, "demo").await;
    // More than the socket and TLS hold between them.
    publishing.push((0..75).map(|n| picture(n, 200_000))).unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    let mut socket = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
    socket.write_all(b"GET /live/demo.flv HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(socket.read(&mut [0; 64]).await.unwrap() > 0);
    let mut seen = bytes::BytesMut::new();
    while seen.len() < 75 * 200_000 {
        tokio::time::timeout(PATIENCE, socket.read_buf(&mut seen)).await.unwrap().unwrap();
    }
    assert!(desk.kick_player(desk.streams()[0].players[0].id));
    let mut rest = Vec::new();
    // Without the end of TLS this would be an error: it might have been cut off by anybody.
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await.unwrap().unwrap();
}

#[tokio::test]
async fn http_2_is_spoken_to_whoever_chose_it_and_to_nobody_else() {
    let desk = desk(|_| {});
    for (offers, is_h2) in
        [(&["h2", "http/1.1"][..], true), (&["h2"], true), (&["http/1.1"], false), (&[], false)]
    {
        let (listener, address) = listener().await;
        let (acceptor, connector) = tls(&["h2", "http/1.1"], offers);
        tokio::spawn(crate::http::serve(desk.clone(), listener, Some(acceptor), std::future::pending()));
        let socket = TcpStream::connect(address).await.unwrap();
        let mut socket = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
        let hello: &[u8] = match is_h2 {
            true => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            false => b"OPTIONS / HTTP/1.1\r\n\r\n",
        };
        socket.write_all(hello).await.unwrap();
        let mut answer = [0; 12];
        tokio::time::timeout(PATIENCE, socket.read_exact(&mut answer)).await.unwrap().unwrap();
        // SETTINGS is of type 4, on stream 0.
        let is_settings = answer[3..9] == *b"\x04\0\0\0\0\0";
        assert_eq!((is_settings, answer == *b"HTTP/1.1 204"), (is_h2, !is_h2), "{offers:?}");
    }
}
