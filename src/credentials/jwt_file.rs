//! A token in a file that something else keeps fresh.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::bearer::authorization;
use crate::blocking::blocking;
use crate::call::{CallCredentials, CallTarget, MetadataFuture};
use crate::net::clock;
use crate::rpc::{Metadata, Status};

/// A token counts as expired this long before it is, for clocks that differ and calls that are under way (gRFC A97).
const SLACK: Duration = Duration::from_secs(30);
/// One that expires so soon is read again while it still serves.
const EARLY: Duration = Duration::from_secs(60);
/// After a failure the file is left alone for this long, doubled up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(120);

/// Sends the JSON Web Token in a file as `authorization: Bearer <token>` (gRFC A97). The file is read with the first
/// call, and again when the token is about to expire. Calls end with UNAVAILABLE while the file cannot be read, and
/// with UNAUTHENTICATED while it holds no valid token.
#[derive(Clone)]
pub struct JwtTokenFile {
    file: Arc<File>,
}

struct File {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// Why the latest attempt failed, and until when the next one waits.
    failure: Option<(Status, Instant)>,
    backoff: Duration,
}

#[derive(Clone)]
struct Token {
    metadata: Metadata,
    expires: SystemTime,
}

impl JwtTokenFile {
    /// The token in this file.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let file = File { path: path.as_ref().to_owned(), state: Mutex::default() };
        JwtTokenFile { file: Arc::new(file) }
    }
}

impl CallCredentials for JwtTokenFile {
    fn metadata(&self, _: &CallTarget) -> MetadataFuture {
        let file = Arc::clone(&self.file);
        Box::pin(async move { file.metadata().await })
    }
}

impl File {
    async fn metadata(self: Arc<Self>) -> Result<Metadata, Status> {
        if let Some(known) = self.lock().known(clock::now(), SystemTime::now()) {
            return known;
        }
        let path = self.path.clone();
        let read = blocking(move || read(&path)).await;
        self.lock().learn(clock::now(), SystemTime::now(), read)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent at every point where a panic could have happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What a call gets without looking at the file; `None` if it has to.
    fn known(&self, now: Instant, time: SystemTime) -> Option<Result<Metadata, Status>> {
        let waits = self.failure.as_ref().filter(|(_, until)| now < *until);
        match (&self.token, waits) {
            (Some(token), None) if token.is_valid(time + EARLY) => Some(Ok(token.metadata.clone())),
            (Some(token), Some(_)) if token.is_valid(time) => Some(Ok(token.metadata.clone())),
            (_, Some((status, _))) => Some(Err(status.clone())),
            (_, None) => None,
        }
    }

    /// Takes up what was in the file.
    fn learn(
        &mut self,
        now: Instant,
        time: SystemTime,
        read: Result<Token, Status>,
    ) -> Result<Metadata, Status> {
        match read {
            Ok(token) if token.is_valid(time) => {
                *self = State { token: Some(token.clone()), ..State::default() };
                Ok(token.metadata)
            }
            read => {
                let expired = || Status::unauthenticated("the JSON Web Token in the file has expired");
                let status = read.err().unwrap_or_else(expired);
                self.backoff = (self.backoff * 2).clamp(MIN_BACKOFF, MAX_BACKOFF);
                self.failure = Some((status.clone(), now + self.backoff));
                let token = self.token.as_ref().filter(|token| token.is_valid(time));
                token.map(|token| token.metadata.clone()).ok_or(status)
            }
        }
    }
}

impl Token {
    fn is_valid(&self, time: SystemTime) -> bool {
        time + SLACK < self.expires
    }
}

fn read(path: &Path) -> Result<Token, Status> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Status::unavailable(format!("the JSON Web Token in {} cannot be read: {error}", path.display()))
    })?;
    let text = text.trim();
    let invalid =
        |why: &str| Status::unauthenticated(format!("{} holds no JSON Web Token: {why}", path.display()));
    let [_, claims, _] = text.split('.').collect::<Vec<_>>()[..] else {
        return Err(invalid("it has not three parts with dots between them"));
    };
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('='));
    let claims = claims.map_err(|_| invalid("its second part is not base64url"))?;
    let claims: serde_json::Value =
        serde_json::from_slice(&claims).map_err(|_| invalid("its second part is not JSON"))?;
    let expires = claims.get("exp").and_then(serde_json::Value::as_f64);
    let expires = expires.filter(|seconds| (0.0..1e11).contains(seconds));
    let expires = expires.ok_or_else(|| invalid("it does not say by a number \"exp\" when it expires"))?;
    let expires = UNIX_EPOCH + Duration::from_secs(expires as u64);
    Ok(Token { metadata: authorization(text)?, expires })
}

impl fmt::Debug for JwtTokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwtTokenFile({})", self.file.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, expires: SystemTime) -> Token {
        Token { metadata: authorization(name).unwrap(), expires }
    }

    fn text(result: Result<Metadata, Status>) -> String {
        result.unwrap().get("authorization").unwrap().to_owned()
    }

    #[test]
    fn a_token_serves_until_shortly_before_it_expires_and_is_read_anew_before() {
        let (now, time) = (Instant::now(), UNIX_EPOCH + Duration::from_secs(1_000_000));
        let mut state = State::default();
        assert!(state.known(now, time).is_none());
        let expires = time + Duration::from_secs(300);
        assert_eq!(text(state.learn(now, time, Ok(token("one", expires)))), "Bearer one");
        assert_eq!(
            text(state.known(now, expires - SLACK - EARLY - Duration::from_secs(1)).unwrap()),
            "Bearer one"
        );
        // It still serves, but the file is looked at; when that fails, it goes on to serve.
        let late = expires - SLACK - Duration::from_secs(1);
        assert!(state.known(now, late).is_none());
        assert_eq!(text(state.learn(now, late, Err(Status::unavailable("gone")))), "Bearer one");
        assert_eq!(text(state.known(now, late).unwrap()), "Bearer one");
        // Then no more.
        let status = state.known(now, expires).unwrap().unwrap_err();
        assert_eq!(status.message(), "gone");
        assert!(state.known(now + MIN_BACKOFF, expires).is_none());
    }

    #[test]
    fn failures_are_repeated_with_back_off_and_forgotten_with_success() {
        let (mut now, time) = (Instant::now(), UNIX_EPOCH + Duration::from_secs(1_000_000));
        let mut state = State::default();
        for seconds in [1, 2, 4, 8, 16, 32, 64, 120, 120] {
            state.learn(now, time, Err(Status::unavailable("gone"))).unwrap_err();
            now += Duration::from_secs(seconds);
            assert!(state.known(now - Duration::from_millis(1), time).is_some(), "{seconds}");
            assert!(state.known(now, time).is_none(), "{seconds}");
        }
        state.learn(now, time, Ok(token("one", time + Duration::from_secs(3600)))).unwrap();
        assert_eq!(text(state.known(now, time).unwrap()), "Bearer one");
        let status = State::default().learn(now, time, Ok(token("old", time))).unwrap_err();
        assert!(status.message().contains("has expired"), "{status}");
    }
}
