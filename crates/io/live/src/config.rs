//! What the live side is told.

use auth::ApiKeys;
use vhost::Directory;

use crate::Limits;

/// One validated snapshot; [`crate::Desk::apply`] takes the next one.
#[derive(Debug, Clone)]
pub struct Config {
    /// Domains and applications.
    pub directory: Directory,
    /// Who may sign tokens.
    pub keys: ApiKeys,
    /// Streams that exist at once, published and awaited.
    pub max_streams: usize,
    /// Connections that are open at once.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: Directory::default(),
            keys: ApiKeys::new(),
            max_streams: 10_000,
            limits: Limits::default(),
        }
    }
}
