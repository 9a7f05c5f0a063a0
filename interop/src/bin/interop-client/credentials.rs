//! Who makes a call, shown by a token.

use lariat::credentials::BearerToken;
use lariat::{Code, Wait};
use lariat_interop::test_service::{TOKEN_PREFIX, TOKEN_SCOPE};
use lariat_interop::testing::SimpleRequest;

use crate::Test;
use crate::check::{Checked, expect, expect_status};

/// Two calls on one channel, each with a token of its own, and one without.
pub(crate) fn per_rpc_creds(test: &Test) -> Checked {
    let asking = || SimpleRequest { fill_username: true, fill_oauth_scope: true, ..Default::default() };
    for name in ["alice", "bob"] {
        let token = BearerToken::new(format!("{TOKEN_PREFIX}{name}"));
        let response = test.client.unary_call(test.request(asking())?.with_call_credentials(token)).wait()?;
        expect("username", response.message().username.as_str(), name)?;
        expect("scope", response.message().oauth_scope.as_str(), TOKEN_SCOPE)?;
    }
    expect_status(test.client.unary_call(test.request(asking())?).wait(), Code::Unauthenticated, None)
}
