//! What an origin sends, published here from its first frame on.

use flv::Item;
use media::Name;
use vhost::{AddressError, Place, Protocol, Query};

use super::Failure;
use crate::feed::feed;
use crate::{Desk, Publishing, Visit};

/// Tracks that come before the first frame; more than a stream can have.
const MAX_EARLY: usize = 64;

/// One attempt's stream.
pub(super) struct Intake {
    desk: Desk,
    name: Name,
    protocol: Protocol,
    publishing: Option<Publishing>,
    /// What came before the first frame.
    early: Vec<Item>,
    on_frame: Box<dyn Fn() + Send>,
}

impl Intake {
    /// `on_frame` hears of the first frame.
    pub(super) fn new(
        desk: Desk,
        name: Name,
        protocol: Protocol,
        on_frame: impl Fn() + Send + 'static,
    ) -> Self {
        Self { desk, name, protocol, publishing: None, early: Vec::new(), on_frame: Box::new(on_frame) }
    }

    /// Takes what came together.
    pub(super) fn take(&mut self, items: &mut Vec<Item>) -> Result<(), Failure> {
        if self.publishing.is_none() {
            let Some(first) = items.iter().position(|item| matches!(item, Item::Frame(_))) else {
                self.early.append(items);
                self.early.truncate(MAX_EARLY);
                return Ok(());
            };
            self.early.extend(items.drain(..first));
            self.begin()?;
        }
        let Some(publishing) = &self.publishing else { return Ok(()) };
        feed(publishing, items.drain(..)).map_err(|_| self.over())
    }

    /// Waits until the stream is called away; for ever before it began.
    pub(super) async fn ended(&mut self) -> Failure {
        match &mut self.publishing {
            Some(publishing) => Failure::Over(publishing.ended().await.name()),
            None => std::future::pending().await,
        }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let app = self.desk.config().directory.app(&self.name).cloned();
        let app = app.ok_or(crate::Refused::Address(AddressError::UnknownApp))?;
        let place = Place { name: self.name.clone(), app };
        let visit = Visit { place, query: Query::default(), protocol: self.protocol, address: None };
        let publishing = self.desk.adopt(visit)?;
        feed(&publishing, self.early.drain(..)).map_err(|_| Failure::Over("replaced"))?;
        self.publishing = Some(publishing);
        (self.on_frame)();
        Ok(())
    }

    fn over(&self) -> Failure {
        let why = self.publishing.as_ref().and_then(Publishing::over);
        Failure::Over(why.map_or("replaced", media::Why::name))
    }
}
