//! The driver of relays: what [`relay::Relay`] asks for, done with sockets.
//!
//! Owns: one task for each attempt at an origin, and what becomes of it. Decides nothing: when which address
//! is tried is the machine's.

mod http;
mod intake;
mod rtmp;

use std::collections::HashMap;

use media::{Event, Name, Source};
use relay::{Action, Attempt, Relay};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::AbortHandle;
use tracing::{debug, info};
use vhost::Protocol;

use crate::Desk;
use intake::Intake;

/// What becomes of an attempt.
#[derive(Debug)]
enum Report {
    Connected(Attempt),
    Lost(Attempt),
}

/// Why an attempt has ended. Never the address, which may hold a token.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    #[error("the origin answers {0}")]
    Status(u16),
    #[error(transparent)]
    Flv(#[from] container::flv::DemuxError),
    #[error("the connection has ended")]
    Ended,
    #[error("the address is not an rtmp URL with application and stream")]
    Address,
    #[error(transparent)]
    Rtmp(#[from] ::rtmp::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the other server says {code}: {description}")]
    Said { code: String, description: String },
    #[error("not let in: {0}")]
    Refused(#[from] crate::Refused),
    #[error("called away: {0}")]
    Over(&'static str),
    #[error("{0} is not relayed yet")]
    Protocol(&'static str),
}

/// How an attempt is ended.
enum Task {
    /// There is nobody to say anything to.
    Abort(AbortHandle),
    /// The other server is told, when this is dropped.
    Stop { _stop: oneshot::Sender<()> },
}

impl Task {
    fn end(self) {
        if let Self::Abort(task) = self {
            task.abort();
        }
    }
}

struct Driver {
    desk: Desk,
    relay: Relay,
    tasks: HashMap<Attempt, Task>,
    reports: mpsc::UnboundedSender<Report>,
}

/// Fetches and forwards what the desk's applications say, until `stop` ends.
pub async fn run(desk: Desk, stop: impl Future<Output = ()>) {
    let (reports, mut inbox) = mpsc::unbounded_channel();
    let mut events = desk.events();
    let relay = Relay::new(crate::now().mono);
    let mut driver = Driver { desk, relay, tasks: HashMap::new(), reports };
    // Streams that began before anybody listened.
    driver.survey();
    tokio::pin!(stop);
    loop {
        driver.act();
        let due = driver.relay.poll_timeout();
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut stop => break,
            event = events.recv() => match event {
                Ok(event) => driver.event(&event),
                Err(broadcast::error::RecvError::Lagged(_)) => driver.survey(),
                Err(broadcast::error::RecvError::Closed) => break,
            },
            Some(report) = inbox.recv() => driver.report(report),
            () = sleep => driver.relay.handle_timeout(crate::now()),
        }
    }
    driver.tasks.into_values().for_each(Task::end);
}

impl Driver {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Wanted { name } => self.wanted(name),
            Event::Started { name, .. } => self.started(name),
            Event::Stopped { name, .. } => self.relay.stopped(crate::now(), name),
            Event::Ended { name } => self.relay.ended(name),
            Event::Left { .. } => {}
        }
    }

    /// Looks at all there is, because events were missed.
    fn survey(&mut self) {
        let streams = self.desk.streams();
        self.relay.retain(|name| streams.iter().any(|stream| stream.name == *name));
        for stream in &streams {
            match &stream.publisher {
                Some(_) => self.started(&stream.name),
                None if !stream.players.is_empty() => self.wanted(&stream.name),
                None => self.relay.stopped(crate::now(), &stream.name),
            }
        }
    }

    fn wanted(&mut self, name: &Name) {
        let config = self.desk.config();
        let origins = config.directory.app(name).map(|app| app.pull.as_slice()).unwrap_or_default();
        self.relay.wanted(crate::now(), name, origins);
    }

    fn started(&mut self, name: &Name) {
        let Some(publisher) = self.desk.stream(name).and_then(|stream| stream.publisher) else { return };
        let config = self.desk.config();
        let pushes = config.directory.app(name).map(|app| app.push.as_slice()).unwrap_or_default();
        let is_pulled = publisher.offer.source == Source::Pulled;
        self.relay.started(crate::now(), name, is_pulled, pushes);
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Connected(attempt) => self.relay.connected(crate::now(), attempt),
            Report::Lost(attempt) => {
                self.tasks.remove(&attempt);
                self.relay.lost(crate::now(), attempt);
            }
        }
    }

    /// Does what is to be done.
    fn act(&mut self) {
        while let Some(action) = self.relay.poll_action() {
            match action {
                Action::Pull { attempt, name, protocol, url } => self.pull(attempt, name, protocol, url),
                Action::Push { attempt, name, url } => self.push(attempt, name, url),
                Action::End { attempt } => {
                    if let Some(task) = self.tasks.remove(&attempt) {
                        task.end();
                    }
                }
                Action::GiveUp { name } => {
                    info!(stream = %name, "no origin has it");
                    self.desk.give_up(&name);
                }
            }
        }
    }

    fn pull(&mut self, attempt: Attempt, name: Name, protocol: Protocol, url: String) {
        let reports = self.reports.clone();
        let intake = Intake::new(self.desk.clone(), name.clone(), protocol, move || {
            // Nobody listens any more when the server is going down.
            let _ = reports.send(Report::Connected(attempt));
        });
        match protocol {
            Protocol::Flv => self.start(attempt, name, None, http::pull(url, intake)),
            Protocol::Rtmp => self.start(attempt, name, None, rtmp::pull(url, intake)),
            other => self.start(attempt, name, None, async move { Err(Failure::Protocol(other.name())) }),
        }
    }

    fn push(&mut self, attempt: Attempt, name: Name, url: String) {
        let reports = self.reports.clone();
        let following = self.desk.follow(&name);
        let (stop, stopped) = oneshot::channel();
        self.start(attempt, name, Some(stop), async move {
            let following = following.ok_or(Failure::Ended)?;
            let on_start = move || {
                let _ = reports.send(Report::Connected(attempt));
            };
            rtmp::push(url, following, on_start, stopped).await
        });
    }

    fn start(
        &mut self,
        attempt: Attempt,
        name: Name,
        stop: Option<oneshot::Sender<()>>,
        work: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) {
        let reports = self.reports.clone();
        let task = tokio::spawn(async move {
            debug!(stream = %name, "relay begins");
            if let Err(error) = work.await {
                info!(stream = %name, %error, "relay ended");
            }
            let _ = reports.send(Report::Lost(attempt));
        });
        let task = match stop {
            None => Task::Abort(task.abort_handle()),
            Some(stop) => Task::Stop { _stop: stop },
        };
        self.tasks.insert(attempt, task);
    }
}

#[cfg(test)]
mod tests;
