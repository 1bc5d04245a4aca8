//! HTTP callbacks: an operator's own server is asked who may come, and told who has gone.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tracing::{debug, warn};
use vhost::{Callbacks, Place, Protocol, Query};

/// What a callback says; the JSON of its body.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Notice {
    action: &'static str,
    domain: String,
    app: String,
    stream: String,
    protocol: &'static str,
    address: Option<String>,
    /// The parameters of the address, tokens among them: they are what is to be judged.
    query: std::collections::BTreeMap<String, String>,
    /// Who it is, as a verified token says.
    identity: String,
    /// What was asked for in the notice of an end: `publish` or `play`.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'static str>,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    /// How long it lasted, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

impl Notice {
    pub(crate) fn new(
        action: &'static str,
        place: &Place,
        protocol: Protocol,
        address: Option<SocketAddr>,
        query: &Query,
        identity: &str,
    ) -> Self {
        Self {
            action,
            domain: place.name.domain().to_owned(),
            app: place.name.app().to_owned(),
            stream: place.name.stream().to_owned(),
            protocol: protocol.name(),
            address: address.map(|address| address.to_string()),
            query: query.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            identity: identity.to_owned(),
            what: None,
            why: None,
            seconds: None,
        }
    }

    /// The notice that it has ended.
    pub(crate) fn closed(self, why: &'static str, after: Duration) -> Self {
        let what = if self.action == "on_publish" { "publish" } else { "play" };
        Self {
            action: "on_close",
            what: Some(what),
            why: Some(why),
            seconds: Some(after.as_secs_f64()),
            query: Default::default(),
            ..self
        }
    }
}

/// Whether the operator's server allows it: with an answer of 2xx, in time.
pub(crate) async fn ask(url: &str, callbacks: &Callbacks, notice: &Notice) -> bool {
    let action = notice.action;
    match deliver(url, callbacks.timeout, notice).await {
        Ok(status) if (200..300).contains(&status) => true,
        Ok(status) => {
            debug!(action, status, "refused by callback");
            false
        }
        Err(error) => {
            warn!(action, %error, "no answer from callback: refused");
            false
        }
    }
}

/// Tells it; whether anybody listens does not matter.
pub(crate) async fn tell(url: String, limit: Duration, notice: Notice) {
    if let Err(error) = deliver(&url, limit, &notice).await {
        warn!(action = notice.action, %error, "callback not delivered");
    }
}

async fn deliver(url: &str, limit: Duration, notice: &Notice) -> Result<u16, fetch::Error> {
    // Strings and numbers only: writing them cannot fail.
    let body = serde_json::to_vec(notice).unwrap_or_default();
    fetch::post_json(url, body, limit).await
}
