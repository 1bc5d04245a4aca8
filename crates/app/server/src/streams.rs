//! The live side of the process: its desk, and what listens before it.

use live::Desk;
use tokio::sync::watch;

use crate::config::Live;

/// Opens the desk, where live streams are wanted.
pub(crate) fn start(settings: Option<&Live>, stopped: &watch::Receiver<bool>) -> Option<Desk> {
    let settings = settings?;
    let desk = Desk::new(settings.desk.clone());
    let until = || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    };
    tokio::spawn(desk.clone().run(until()));
    tokio::spawn(live::relay::run(desk.clone(), until()));
    Some(desk)
}

/// Domains, applications and keys take effect; whether there is a desk at all, and its ports, do not change.
pub(crate) fn apply(desk: Option<&Desk>, settings: Option<Live>) {
    if let (Some(desk), Some(settings)) = (desk, settings) {
        desk.apply(settings.desk);
    }
}
