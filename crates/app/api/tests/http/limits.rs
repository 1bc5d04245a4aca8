//! A room that is full, and a server that is.

use super::*;

#[tokio::test]
async fn a_full_room_is_told_over_the_websocket() {
    let server = Server::start_with(|config| config.rooms.rules.max_participants = 1).await;
    let mut ann = server.join("ann").await;
    until(&mut ann, as_join).await;
    let mut bob = server.join("bob").await;
    let leave = until(&mut bob, as_leave).await;
    assert_eq!(leave.reason(), proto::DisconnectReason::JoinFailure);
    assert_eq!(leave.action(), proto::leave_request::Action::Disconnect);
    assert_eq!(close_code(&mut bob).await, Some(1000));
}

/// Somebody publishes a sound.
async fn publish_over_whip(server: &Server) {
    let fingerprint = ["AB"; 32].join(":");
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n\
         a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef01234567\r\na=fingerprint:sha-256 {fingerprint}\r\n\
         a=setup:actpass\r\na=rtpmap:111 opus/48000/2\r\na=ssrc:4711 cname:x\r\n"
    );
    let token = server.token_for("whip");
    let head =
        format!("POST /whip/v1 HTTP/1.1\r\nContent-Type: application/sdp\r\nAuthorization: Bearer {token}");
    let (status, _, body) = server.request(&head, &offer).await;
    assert_eq!(status, 201, "{body}");
}

#[tokio::test]
async fn a_server_over_its_limits_takes_nobody_more_and_keeps_whom_it_has() {
    let server = Server::start_with(|config| config.limits.tracks = 1).await;
    let mut ann = server.join("ann").await;
    let me = until(&mut ann, as_join).await.participant.unwrap();
    let create = |name: &str| serde_json::json!({ "name": name });
    // An announced track is none yet; WHIP publishes without an SDK.
    assert_eq!(server.call(&server.operator("garden"), "CreateRoom", create("shed")).await.0, 200);
    publish_over_whip(&server).await;
    let join = format!("access_token={}&protocol=16", server.token_for("bob"));
    let full = (503, "node has exceeded its configured limit".to_owned());
    assert_eq!(server.refused(&format!("/rtc?{join}")).await, full);
    assert_eq!(server.get(&format!("/rtc/validate?{join}")).await.0, 503);
    let (status, answer) = server.call(&server.operator("garden"), "CreateRoom", create("cellar")).await;
    assert_eq!((status, &answer["code"]), (429, &"resource_exhausted".into()));
    assert_eq!(server.call(&server.operator("garden"), "CreateRoom", create("garden")).await.0, 200);
    answers_pings(&mut ann).await;
    // Whoever is in may resume.
    let resume =
        format!("/rtc?access_token={}&protocol=16&reconnect=1&sid={}", server.token_for("ann"), me.sid);
    let mut again = server.connect(&resume).await.unwrap();
    answers_pings(&mut again).await;
}

#[tokio::test]
async fn strangers_for_whom_no_place_becomes_free_are_told_so() {
    let server = Server::start_with(|config| config.limits.connections = 2).await;
    let mut ann = server.join("ann").await;
    until(&mut ann, as_join).await;
    // Given: as many as there may be, who say nothing. Whoever has joined is none of them.
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        idle.push(stream);
    }
    let (status, head, body) = server.get("/healthz").await;
    assert_eq!((status, body.as_str()), (503, "too many connections that were not let in\n"));
    assert!(head.contains("retry-after: 10"), "{head}");
    answers_pings(&mut ann).await;
    drop(idle);
    tokio::time::timeout(PATIENCE, async { while server.get("/healthz").await.0 != 200 {} }).await.unwrap();
    let page = server.api.metrics();
    for line in
        ["millrace_http_connections_refused_total{reason=\"strangers\"} 1", "livekit_participant_total 1"]
    {
        assert!(page.contains(&format!("\n{line}\n")), "{page}");
    }
}
