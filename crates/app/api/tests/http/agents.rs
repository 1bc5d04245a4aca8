//! A worker on `/agent`, as LiveKit's agents are.

use proto::server_message::Message as Tell;
use proto::worker_message::Message as Say;
use serde_json::json;

use super::*;

fn say(message: Say) -> Message {
    Message::Binary(proto::WorkerMessage { message: Some(message) }.encode_to_vec().into())
}

async fn told(socket: &mut Socket) -> Tell {
    loop {
        match next(socket).await {
            Some(Message::Binary(bytes)) => {
                return proto::ServerMessage::decode(bytes).unwrap().message.unwrap();
            }
            Some(Message::Ping(_) | Message::Pong(_)) => {}
            other => panic!("ended with {other:?}"),
        }
    }
}

impl Server {
    async fn agent(&self, token: &str) -> Result<Socket, tungstenite::Error> {
        let mut request = format!("ws://{}/agent", self.address).into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
    }
}

#[tokio::test]
async fn a_worker_registers_takes_a_job_and_its_token_lets_an_agent_in() {
    let server = Server::start().await;
    let token = server.token(|c| c.video = Some(VideoGrant { agent: true, ..VideoGrant::default() }));
    let mut worker = server.agent(&token).await.unwrap();
    let hello = proto::RegisterWorkerRequest { agent_name: "helper".into(), ..Default::default() };
    worker.send(say(Say::Register(hello))).await.unwrap();
    let Tell::Register(registered) = told(&mut worker).await else { panic!() };
    assert!(registered.worker_id.starts_with("AW_") && registered.server_info.is_some());

    let operator = server.operator("garden");
    let wanted = json!({"room": "garden", "agentName": "helper", "metadata": "m"});
    let (status, made) = server.call(&operator, "AgentDispatchService/CreateDispatch", wanted).await;
    assert_eq!((status, &made["agentName"]), (200, &json!("helper")), "{made}");
    let Tell::Availability(asked) = told(&mut worker).await else { panic!() };
    let job = asked.job.unwrap();
    let answer = proto::AvailabilityResponse {
        job_id: job.id.clone(),
        available: true,
        participant_identity: "robot".into(),
        participant_name: "Robot".into(),
        ..Default::default()
    };
    worker.send(say(Say::Availability(answer))).await.unwrap();
    let Tell::Assignment(assignment) = told(&mut worker).await else { panic!() };
    let target = format!("/rtc?access_token={}&protocol=16", assignment.token);
    let mut agent = server.connect(&target).await.unwrap();
    let join = until(&mut agent, as_join).await;
    let own = join.participant.unwrap();
    assert_eq!((own.identity.as_str(), own.name.as_str()), ("robot", "Robot"));
    assert_eq!(own.kind(), proto::participant_info::Kind::Agent);
    assert!(server.api.metrics().contains("millrace_agent_jobs 1"));

    let list = json!({"room": "garden"});
    let (_, listed) = server.call(&operator, "AgentDispatchService/ListDispatch", list).await;
    assert_eq!(listed["agentDispatches"][0]["state"]["jobs"][0]["state"]["status"], "JS_RUNNING", "{listed}");
    let delete = json!({"room": "garden", "dispatchId": made["id"]});
    assert_eq!(server.call(&operator, "AgentDispatchService/DeleteDispatch", delete.clone()).await.0, 200);
    let Tell::Termination(end) = told(&mut worker).await else { panic!() };
    assert_eq!(end.job_id, job.id);
    assert_eq!(server.call(&operator, "AgentDispatchService/DeleteDispatch", delete).await.0, 404);
    let elsewhere = server.operator("cellar");
    let list = json!({"room": "garden"});
    assert_eq!(server.call(&elsewhere, "AgentDispatchService/ListDispatch", list).await.0, 401);
}

#[tokio::test]
async fn strangers_and_those_who_make_no_sense_are_no_workers() {
    let server = Server::start().await;
    for token in [String::new(), "x.y.z".into(), server.token(|_| {})] {
        match server.agent(&token).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 401),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.get("/agent").await.0, 404);
    let token = server.token(|c| c.video = Some(VideoGrant { agent: true, ..VideoGrant::default() }));
    let ping = say(Say::Ping(proto::WorkerPing { timestamp: 1 }));
    for (bad, code) in
        [(ping, 1008), (Message::Binary(vec![0xff; 9].into()), 1008), (Message::Text("x".into()), 1008)]
    {
        let mut worker = server.agent(&token).await.unwrap();
        worker.send(bad).await.unwrap();
        assert_eq!(close_code(&mut worker).await, Some(code));
    }
    assert!(server.api.metrics().contains("millrace_agent_workers 0"));
}
