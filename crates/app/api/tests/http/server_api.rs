//! LiveKit's server API over HTTP: what is answered, what is refused and how, and what participants hear.

use auth::SipGrant;
use serde_json::{Value, json};

use super::*;

impl Server {
    /// Who may do everything about a room.
    pub(super) fn operator(&self, room: &str) -> String {
        self.token(|claims| {
            claims.video = Some(VideoGrant {
                room_create: true,
                room_list: true,
                room_admin: true,
                room_record: true,
                ingress_admin: true,
                room: room.into(),
                destination_room: "attic".into(),
                ..VideoGrant::default()
            });
            claims.sip = Some(SipGrant { admin: true, call: true });
        })
    }

    pub(super) async fn call(&self, token: &str, method: &str, body: Value) -> (u16, Value) {
        let path = if method.contains('/') { method.to_owned() } else { format!("RoomService/{method}") };
        let head = format!(
            "POST /twirp/livekit.{path} HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}"
        );
        let (status, head, body) = self.request(&head, &body.to_string()).await;
        assert!(head.contains("content-type: application/json"), "{head}");
        (status, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{method}: {e}: {body}")))
    }

    /// The answer to what must work.
    async fn ok(&self, method: &str, body: Value) -> Value {
        let (status, body) = self.call(&self.operator("garden"), method, body).await;
        assert_eq!(status, 200, "{method}: {body}");
        body
    }

    /// Status and code of what must not.
    async fn refusal(&self, method: &str, body: Value) -> (u16, String) {
        let (status, body) = self.call(&self.operator("garden"), method, body).await;
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}

fn error(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_room_is_made_listed_changed_and_deleted() {
    let server = Server::start_with(|config| config.rooms.auto_create = false).await;
    let wanted =
        json!({"name": "garden", "empty_timeout": 7, "maxParticipants": 3, "metadata": "m", "new": 1});
    let made = server.ok("CreateRoom", wanted).await;
    assert_eq!(
        (&made["name"], &made["emptyTimeout"], &made["metadata"]),
        (&json!("garden"), &json!(7), &json!("m"))
    );
    assert!(made["sid"].as_str().unwrap().starts_with("RM_"));
    let again = server.ok("CreateRoom", json!({"name": "garden", "emptyTimeout": 9})).await;
    assert_eq!((&again["sid"], &again["emptyTimeout"]), (&made["sid"], &json!(7)), "the same room");
    // Nobody may make rooms by joining here, but this one is there.
    let mut ann = server.join("ann").await;
    assert_eq!(until(&mut ann, as_join).await.room.unwrap().metadata, "m");

    server.ok("CreateRoom", json!({"name": "attic"})).await;
    let names = |rooms: &Value| -> Vec<String> {
        rooms["rooms"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&server.ok("ListRooms", json!({})).await), ["attic", "garden"]);
    let only = server.ok("ListRooms", json!({"names": ["garden", "nowhere"]})).await;
    assert_eq!(names(&only), ["garden"]);

    let changed = server.ok("UpdateRoomMetadata", json!({"room": "garden", "metadata": "n"})).await;
    assert_eq!(changed["metadata"], "n");
    let told = until(&mut ann, |m| match m {
        signal_response::Message::RoomUpdate(update) => update.room.map(|r| r.metadata),
        _ => None,
    });
    assert_eq!(told.await, "n");

    server.ok("DeleteRoom", json!({"room": "garden"})).await;
    assert_eq!(until(&mut ann, as_leave).await.reason(), proto::DisconnectReason::RoomDeleted);
    assert_eq!(server.refusal("DeleteRoom", json!({"room": "garden"})).await, error(404, "not_found"));
}

#[tokio::test]
async fn participants_are_seen_changed_and_removed() {
    let server = Server::start().await;
    let mut ann = server.join("ann").await;
    until(&mut ann, as_join).await;
    let all = server.ok("ListParticipants", json!({"room": "garden"})).await;
    assert_eq!(all["participants"][0]["identity"], "ann");
    assert_eq!(
        server.ok("GetParticipant", json!({"room": "garden", "identity": "ann"})).await["identity"],
        "ann"
    );
    let change = json!({
        "room": "garden", "identity": "ann", "metadata": "m", "name": "Ann", "attributes": {"mood": "good"},
        "permission": {"canSubscribe": true, "canPublishData": true}
    });
    let changed = server.ok("UpdateParticipant", change).await;
    assert_eq!((&changed["name"], &changed["attributes"]["mood"]), (&json!("Ann"), &json!("good")));
    let may = &changed["permission"];
    assert_eq!((may.get("canPublish"), &may["canSubscribe"]), (None, &json!(true)), "replaced as a whole");
    let too_large = json!({"room": "garden", "identity": "ann", "metadata": "x".repeat(512 * 1024 + 1)});
    assert_eq!(server.refusal("UpdateParticipant", too_large).await, error(400, "invalid_argument"));
    for change in [
        json!({"room": "garden", "identity": "ann", "name": "n".repeat(257)}),
        json!({"room": "garden", "identity": "ann", "attributes": {"a": "x".repeat(64 * 1024)}}),
    ] {
        assert_eq!(server.refusal("UpdateParticipant", change).await, error(400, "invalid_argument"));
    }
    let large = json!({"room": "garden", "metadata": "x".repeat(512 * 1024 + 1)});
    assert_eq!(server.refusal("UpdateRoomMetadata", large).await, error(400, "invalid_argument"));
    let large = json!({"name": "hall", "metadata": "x".repeat(512 * 1024 + 1)});
    assert_eq!(server.refusal("CreateRoom", large).await, error(400, "invalid_argument"));
    let large = json!({"room": "garden", "data": "eHh4".repeat(64_000 / 3 + 1), "kind": "RELIABLE"});
    assert_eq!(server.refusal("SendData", large).await, error(400, "invalid_argument"));

    let nobody = json!({"room": "garden", "identity": "nobody"});
    let nowhere = json!({"room": "garden", "identity": "ann", "trackSid": "TR_none"});
    for method in ["GetParticipant", "RemoveParticipant", "UpdateParticipant", "UpdateSubscriptions"] {
        assert_eq!(server.refusal(method, nobody.clone()).await, error(404, "not_found"), "{method}");
    }
    assert_eq!(server.refusal("MutePublishedTrack", nowhere).await, error(404, "not_found"));
    server.ok("RemoveParticipant", json!({"room": "garden", "identity": "ann"})).await;
    assert_eq!(until(&mut ann, as_leave).await.reason(), proto::DisconnectReason::ParticipantRemoved);
    // Her tokens are of no use there any more, elsewhere they are.
    let mine = server.token_for("ann");
    let target = format!("/rtc?access_token={mine}");
    assert_eq!(server.refused(&target).await, (401, "token has been revoked".into()));
    assert_eq!(server.get(&format!("/rtc/validate?access_token={mine}")).await.0, 401);
    let elsewhere = server.token(|claims| claims.video = Some(VideoGrant::to_join("orchard")));
    assert_eq!(server.get(&format!("/rtc/validate?access_token={elsewhere}")).await.0, 200);
    // With a time, tokens that are newer hold.
    let mut bob = server.join("bob").await;
    until(&mut bob, as_join).await;
    let then = now().unix.as_secs() - 5;
    let removal = json!({"room": "garden", "identity": "bob", "revokeTokenTs": then.to_string()});
    server.ok("RemoveParticipant", removal).await;
    until(&mut bob, as_leave).await;
    until(&mut server.join("bob").await, as_join).await;
    assert_eq!(server.ok("ListParticipants", json!({"room": "garden"})).await, json!({}));
}

#[tokio::test]
async fn what_is_sent_and_called_and_moved_has_to_make_sense() {
    let server = Server::start().await;
    let mut ann = server.join("ann").await;
    until(&mut ann, as_join).await;
    let data = |nonce: &str| json!({"room": "garden", "data": "aGk=", "kind": "LOSSY", "nonce": nonce});
    server.ok("SendData", data("")).await;
    server.ok("SendData", data("MDEyMzQ1Njc4OWFiY2RlZg==")).await;
    assert_eq!(server.refusal("SendData", data("MDEy")).await, error(400, "invalid_argument"));
    let call = json!({"room": "garden", "destinationIdentity": "nobody", "method": "m"});
    assert_eq!(server.refusal("PerformRpc", call).await, error(404, "not_found"));
    let call = json!({"room": "garden", "method": "m"});
    assert_eq!(server.refusal("PerformRpc", call).await, error(400, "invalid_argument"));
    let call = json!({"room": "garden", "destinationIdentity": "ann", "method": ""});
    assert_eq!(server.refusal("PerformRpc", call).await, error(400, "invalid_argument"));
    let call =
        json!({"room": "garden", "destinationIdentity": "ann", "method": "m", "responseTimeoutMs": 50});
    let (status, body) = server.call(&server.operator("garden"), "PerformRpc", call).await;
    assert_eq!(
        (status, &body["code"], &body["meta"]["rpc_code"]),
        (408, &json!("deadline_exceeded"), &json!("1501"))
    );

    let go = |to: &str| json!({"room": "garden", "identity": "ann", "destinationRoom": to});
    assert_eq!(server.refusal("MoveParticipant", go("cellar")).await, error(401, "unauthenticated"));
    server.ok("MoveParticipant", go("attic")).await;
    let token = until(&mut ann, |m| match m {
        signal_response::Message::RefreshToken(token) => {
            let claims = auth::verify(&token, &server.keys, now()).unwrap();
            claims.video.filter(|v| v.room == "attic").map(|_| token)
        }
        _ => None,
    })
    .await;
    assert_eq!(until(&mut ann, as_leave).await.action(), proto::leave_request::Action::Reconnect);
    let mut there = server.connect(&format!("/rtc?access_token={token}&protocol=16")).await.unwrap();
    assert_eq!(until(&mut there, as_join).await.room.unwrap().name, "attic");
    assert_eq!(server.refusal("MoveParticipant", go("attic")).await, error(404, "not_found"));
}

#[tokio::test]
async fn a_room_that_is_full_takes_nobody_from_another() {
    let server = Server::start().await;
    let mut ann = server.join("ann").await;
    until(&mut ann, as_join).await;
    server.ok("CreateRoom", json!({"name": "attic", "maxParticipants": 1})).await;
    let token = server.token(|claims| {
        claims.identity = "bob".into();
        claims.video = Some(VideoGrant::to_join("attic"));
    });
    let mut bob = server.connect(&format!("/rtc?access_token={token}&protocol=16")).await.unwrap();
    until(&mut bob, as_join).await;
    let go = json!({"room": "garden", "identity": "ann", "destinationRoom": "attic"});
    for method in ["MoveParticipant", "ForwardParticipant"] {
        assert_eq!(server.refusal(method, go.clone()).await, error(429, "resource_exhausted"), "{method}");
    }
    server.ok("GetParticipant", json!({"room": "garden", "identity": "ann"})).await;
}

#[tokio::test]
async fn nobody_gets_what_their_token_does_not_grant() {
    let server = Server::start().await;
    let joiner = server.token(|_| {});
    let of_another_room = server.operator("cellar");
    for method in [
        "ListParticipants",
        "GetParticipant",
        "RemoveParticipant",
        "MutePublishedTrack",
        "UpdateParticipant",
        "UpdateSubscriptions",
        "SendData",
        "UpdateRoomMetadata",
        "PerformRpc",
        "ForwardParticipant",
        "MoveParticipant",
    ] {
        for token in [&joiner, &of_another_room] {
            let body = json!({"room": "garden", "identity": "ann", "destinationRoom": "attic"});
            let (status, answer) = server.call(token, method, body).await;
            assert_eq!((status, &answer["code"]), (401, &json!("unauthenticated")), "{method}");
            assert_eq!(answer["msg"], "permissions denied", "{method}");
        }
    }
    for method in [
        "CreateRoom",
        "ListRooms",
        "DeleteRoom",
        "Egress/ListEgress",
        "Egress/StartWebEgress",
        "Ingress/CreateIngress",
        "SIP/ListSIPTrunk",
        "SIP/CreateSIPParticipant",
    ] {
        assert_eq!(server.call(&joiner, method, json!({"name": "x"})).await.0, 401, "{method}");
    }
    assert_eq!(server.call("x.y.z", "ListRooms", json!({})).await.0, 401);
    assert_eq!(server.call("", "ListRooms", json!({})).await.0, 401);
    assert!(!server.api.metrics().contains("millrace_rooms_opened_total 1"));
}

#[tokio::test]
async fn services_without_workers_answer_as_livekit_does_alone() {
    let server = Server::start().await;
    assert_eq!(server.ok("Egress/ListEgress", json!({})).await, json!({}));
    for method in ["Egress/StartRoomCompositeEgress", "Ingress/CreateIngress", "SIP/CreateSIPParticipant"] {
        let (status, answer) = server.call(&server.operator("garden"), method, json!({})).await;
        assert_eq!((status, &answer["code"]), (500, &json!("internal")), "{method}");
        assert!(answer["msg"].as_str().unwrap().contains("redis required"), "{method}");
    }
}

#[tokio::test]
async fn twirp_is_spoken_in_protobuf_and_only_as_it_should_be() {
    let server = Server::start_with(|config| config.limits.api_body = 1000).await;
    let auth = format!("Authorization: Bearer {}", server.operator("garden"));
    let post = |path: &str, kind: &str| format!("POST {path} HTTP/1.1\r\nContent-Type: {kind}\r\n{auth}");
    let create = "/twirp/livekit.RoomService/CreateRoom";
    // All of it is ASCII, so it can travel as text.
    let request = proto::CreateRoomRequest { name: "garden".into(), ..Default::default() }.encode_to_vec();
    let request = String::from_utf8(request).unwrap();
    let (status, head, _) = server.request(&post(create, "application/protobuf"), &request).await;
    assert!(status == 200 && head.contains("content-type: application/protobuf"), "{head}");
    for (head, body, status, code) in [
        (post(create, "text/plain"), "{}", 404, "bad_route"),
        (post(create, "application/protobuf"), "\u{7f}", 400, "malformed"),
        (post(create, "application/json"), "{\"name\": 5}", 400, "malformed"),
        (post(create, "application/json; charset=utf-8"), "{\"name\": \"\"}", 400, "invalid_argument"),
        (post("/twirp/livekit.RoomService/Nothing", "application/json"), "{}", 404, "bad_route"),
        (post("/twirp/livekit.Nothing/CreateRoom", "application/json"), "{}", 404, "bad_route"),
        (format!("GET {create} HTTP/1.1\r\n{auth}"), "", 404, "bad_route"),
        (post(create, "application/json"), &"x".repeat(1001), 413, "malformed"),
    ] {
        let (got, _, answer) = server.request(&head, body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{body:.40} gave {answer}");
    }
    // Who has no token is not even asked for the rest.
    let stranger =
        format!("POST {create} HTTP/1.1\r\nContent-Type: application/json\r\nExpect: 100-continue");
    let (status, _, _) = server.request(&stranger, "").await;
    assert_eq!(status, 401);
    let long = json!({"name": "r".repeat(65)});
    assert_eq!(server.refusal("CreateRoom", long).await, error(400, "invalid_argument"));
    assert_eq!(server.refusal("CreateRoom", json!({"name": "r", "roomPreset": "p"})).await.0, 400);
}

#[tokio::test]
async fn presets_are_for_tokens_and_for_the_api() {
    let server = Server::start_with(|config| {
        let small = api::Preset { max_participants: 2, metadata: "small".into(), ..Default::default() };
        config.rooms.presets.insert("small".into(), small);
    })
    .await;
    let made =
        server.ok("CreateRoom", json!({"name": "garden", "roomPreset": "small", "metadata": "mine"})).await;
    assert_eq!((&made["maxParticipants"], &made["metadata"]), (&json!(2), &json!("mine")));
    let token = server.token(|claims| {
        claims.video = Some(VideoGrant::to_join("attic"));
        claims.room_preset = "small".into();
    });
    let mut ann = server.connect(&format!("/rtc?access_token={token}&protocol=16")).await.unwrap();
    assert_eq!(until(&mut ann, as_join).await.room.unwrap().metadata, "small");
}
