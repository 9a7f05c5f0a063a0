//! Where certificates come from when they may change while the process runs.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::{Identity, RevocationLists, RootCertificates};
use crate::error::CredentialsError;
use crate::net::clock;

/// How often files are looked at. Certificates are replaced hours before they expire; a look costs a system call.
const INTERVAL: Duration = Duration::from_secs(10);

/// Brings the current value of something that may change: an [`Identity`], [`RootCertificates`] or
/// [`RevocationLists`]. It is asked at each handshake, on the thread of the connection. Cheap to clone; a value alone
/// becomes one that never changes, by `into()`.
pub struct Provider<T> {
    source: Arc<Source<T>>,
}

enum Source<T> {
    Fixed(Arc<T>),
    Files(Files<T>),
    Function(Box<dyn Fn() -> Arc<T> + Send + Sync>),
}

struct Files<T> {
    paths: Vec<PathBuf>,
    load: fn(&[PathBuf]) -> Result<T, CredentialsError>,
    interval: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Arc<T>,
    stamps: Vec<Stamp>,
    looked: Instant,
    error: Option<CredentialsError>,
}

/// What tells a file from the one that was there before: a new one in its place, even with an old time, is another.
type Stamp = Option<(SystemTime, u64, u64)>;

impl<T> Provider<T> {
    /// Asks a function. It must be fast, and return the same `Arc` for as long as the value has not changed: for a new
    /// one, what was made of the old is made anew.
    pub fn from_fn(current: impl Fn() -> Arc<T> + Send + Sync + 'static) -> Self {
        Provider { source: Arc::new(Source::Function(Box::new(current))) }
    }

    /// Why the files could not be loaded when they had changed, if the latest attempt failed. The value from before is
    /// used meanwhile, and they are tried again.
    pub fn last_error(&self) -> Option<CredentialsError> {
        match &*self.source {
            Source::Files(files) => files.lock().error.clone(),
            _ => None,
        }
    }

    pub(super) fn current(&self) -> Arc<T> {
        match &*self.source {
            Source::Fixed(value) => Arc::clone(value),
            Source::Files(files) => files.current(),
            Source::Function(current) => current(),
        }
    }

    fn files(
        paths: Vec<PathBuf>,
        interval: Duration,
        load: fn(&[PathBuf]) -> Result<T, CredentialsError>,
    ) -> Result<Self, CredentialsError> {
        let stamps = stamps(&paths);
        let state = State { current: Arc::new(load(&paths)?), stamps, looked: clock::now(), error: None };
        Ok(Provider {
            source: Arc::new(Source::Files(Files { paths, load, interval, state: Mutex::new(state) })),
        })
    }
}

impl Provider<Identity> {
    /// The identity in two PEM files, which are loaded again when they have changed. They are looked at every ten
    /// seconds, at a handshake; see [`watch_every`](Self::watch_every) for another time.
    ///
    /// # Errors
    ///
    /// As [`Identity::from_pem_files`]. Later errors are found by [`last_error`](Self::last_error).
    pub fn watch(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, CredentialsError> {
        Self::watch_every(INTERVAL, chain, key)
    }

    /// [`watch`](Self::watch), where the files are looked at no more often than this. Zero: at every handshake.
    ///
    /// # Errors
    ///
    /// As `watch`.
    pub fn watch_every(
        interval: Duration,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, CredentialsError> {
        let paths = vec![chain.as_ref().to_owned(), key.as_ref().to_owned()];
        Provider::files(paths, interval, |paths| Identity::from_pem_files(&paths[0], &paths[1]))
    }
}

impl Provider<RootCertificates> {
    /// The roots in a PEM file, which is loaded again when it has changed. It is looked at every ten seconds, at a
    /// handshake; see [`watch_every`](Self::watch_every) for another time.
    ///
    /// # Errors
    ///
    /// As [`RootCertificates::from_pem_file`]. Later errors are found by [`last_error`](Self::last_error).
    pub fn watch(path: impl AsRef<Path>) -> Result<Self, CredentialsError> {
        Self::watch_every(INTERVAL, path)
    }

    /// [`watch`](Self::watch), where the file is looked at no more often than this. Zero: at every handshake.
    ///
    /// # Errors
    ///
    /// As `watch`.
    pub fn watch_every(interval: Duration, path: impl AsRef<Path>) -> Result<Self, CredentialsError> {
        let paths = vec![path.as_ref().to_owned()];
        Provider::files(paths, interval, |paths| RootCertificates::from_pem_file(&paths[0]))
    }
}

impl Provider<RevocationLists> {
    /// The lists in a PEM file, which is loaded again when it has changed. It is looked at every ten seconds, at a
    /// handshake; see [`watch_every`](Self::watch_every) for another time.
    ///
    /// # Errors
    ///
    /// As [`RevocationLists::from_pem_file`]. Later errors are found by [`last_error`](Self::last_error).
    pub fn watch(path: impl AsRef<Path>) -> Result<Self, CredentialsError> {
        Self::watch_every(INTERVAL, path)
    }

    /// [`watch`](Self::watch), where the file is looked at no more often than this. Zero: at every handshake.
    ///
    /// # Errors
    ///
    /// As `watch`.
    pub fn watch_every(interval: Duration, path: impl AsRef<Path>) -> Result<Self, CredentialsError> {
        let paths = vec![path.as_ref().to_owned()];
        Provider::files(paths, interval, |paths| RevocationLists::from_pem_file(&paths[0]))
    }
}

impl<T> Files<T> {
    fn current(&self) -> Arc<T> {
        let now = clock::now();
        let mut state = self.lock();
        if now.saturating_duration_since(state.looked) >= self.interval {
            state.looked = now;
            let found = stamps(&self.paths);
            if found != state.stamps {
                match (self.load)(&self.paths) {
                    Ok(value) => {
                        state.current = Arc::new(value);
                        state.stamps = found;
                        state.error = None;
                    }
                    // Perhaps a file is only half written, or its partner not yet there: the next look tells.
                    Err(error) => state.error = Some(error),
                }
            }
        }
        Arc::clone(&state.current)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The state is consistent at every point where a panic could have happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    paths.iter().map(stamp).collect()
}

impl<T> From<T> for Provider<T> {
    fn from(value: T) -> Self {
        Provider { source: Arc::new(Source::Fixed(Arc::new(value))) }
    }
}

impl<T> Clone for Provider<T> {
    fn clone(&self) -> Self {
        Provider { source: Arc::clone(&self.source) }
    }
}

impl<T> fmt::Debug for Provider<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.source {
            Source::Fixed(_) => f.write_str("Provider(fixed)"),
            Source::Files(files) => write!(f, "Provider({:?})", files.paths),
            Source::Function(_) => f.write_str("Provider(function)"),
        }
    }
}
