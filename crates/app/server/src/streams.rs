//! The live side of the process: its desk, and what listens before it.

use std::sync::Arc;

use anyhow::Context as _;
use live::Desk;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::config::{Live, Settings};
use crate::run::listen;

/// Opens the desk and its listeners, where live streams are wanted; and the ports that are
/// listened on.
pub(crate) async fn start(
    settings: &Settings,
    tls: Option<&Arc<ServerConfig>>,
    stopped: &watch::Receiver<bool>,
) -> anyhow::Result<Option<(Desk, api::LivePorts)>> {
    let Some(live) = &settings.live else { return Ok(None) };
    let desk = Desk::new(live.desk.clone());
    let until = || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    };
    tokio::spawn(desk.clone().run(until()));
    tokio::spawn(live::relay::run(desk.clone(), until()));
    let mut ports = api::LivePorts { is_secure: tls.is_some(), ..api::LivePorts::default() };
    let acceptor = tls.map(|tls| TlsAcceptor::from(Arc::clone(tls)));
    // The certificate is the same, also when it is replaced.
    let for_http = tls.map(|tls| {
        let mut config = ServerConfig::clone(tls);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    });
    for listener in bind(settings, live, live.rtmp, "live.rtmp.port").await? {
        ports.rtmp = Some(listener.local_addr()?.port());
        info!(address = %listener.local_addr()?, "listening for rtmp");
        tokio::spawn(live::rtmp::serve(desk.clone(), listener, None, until()));
    }
    for listener in bind(settings, live, live.rtmps, "live.rtmps.port").await? {
        ports.rtmps = Some(listener.local_addr()?.port());
        info!(address = %listener.local_addr()?, "listening for rtmps");
        tokio::spawn(live::rtmp::serve(desk.clone(), listener, acceptor.clone(), until()));
    }
    for listener in bind(settings, live, live.http, "live.http.port").await? {
        ports.http = Some(listener.local_addr()?.port());
        info!(address = %listener.local_addr()?, "listening for FLV and HLS");
        tokio::spawn(live::http::serve(desk.clone(), listener, for_http.clone(), until()));
    }
    Ok(Some((desk, ports)))
}

async fn bind(
    settings: &Settings,
    live: &Live,
    port: Option<u16>,
    key: &'static str,
) -> anyhow::Result<Vec<TcpListener>> {
    let Some(port) = port else { return Ok(Vec::new()) };
    match listen(&settings.bind, port).await {
        Err(error) if !live.is_asked => {
            // A second server on this machine, and nobody said a word of live streams.
            warn!("{key}: {error:#}; live streams are not served there");
            Ok(Vec::new())
        }
        listeners => listeners.with_context(|| format!("{key}; 0 switches it off")),
    }
}

/// Domains, applications and keys take effect; whether there is a desk at all, and its ports, do not change.
pub(crate) fn apply(desk: Option<&Desk>, settings: Option<Live>) {
    if let (Some(desk), Some(settings)) = (desk, settings) {
        desk.apply(settings.desk);
    }
}
