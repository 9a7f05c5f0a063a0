//! An authority that a load balancing policy chose for a call.

use std::sync::Arc;

use bytes::Bytes;
use lariat::client::balancer::{
    BadResolution, Balancer, BalancerBuilder, Child, Controller, PickFirst, PolicyConfig, Update,
};
use lariat::client::picker::{Pick, PickInfo, Picker};
use lariat::client::resolver::ResolveError;
use lariat::client::subchannel::{SubchannelEvent, SubchannelId};
use lariat::credentials::{ChannelCredentials, ClientTls, ServerTls};
use lariat::{Channel, Code, Request, Wait};

use super::certificates::Authority;
use super::who::{serve, target};
use crate::support::EchoClient;

/// `pick_first`, whose calls have the authority that their metadata `want` names.
struct Obliging(Child);

struct ObligingBuilder;

impl BalancerBuilder for ObligingBuilder {
    fn name(&self) -> &str {
        "obliging"
    }
    fn build(&self) -> Box<dyn Balancer> {
        Box::new(Obliging(Child::new(Box::new(PickFirst::default()))))
    }
}

impl Obliging {
    fn publish(&self, controller: &mut dyn Controller) {
        controller.publish(self.0.state(), Arc::new(ObligingPicker(Arc::clone(self.0.picker()))));
    }
}

impl Balancer for Obliging {
    fn handle_resolution(
        &mut self,
        mut update: Update,
        controller: &mut dyn Controller,
    ) -> Result<(), BadResolution> {
        update.config = PolicyConfig::default();
        let result = self.0.handle_resolution(update, controller);
        self.publish(controller);
        result
    }
    fn handle_resolver_error(&mut self, error: &ResolveError, controller: &mut dyn Controller) {
        self.0.handle_resolver_error(error, controller);
        self.publish(controller);
    }
    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        if self.0.handle_subchannel(id, event, controller) {
            self.publish(controller);
        }
    }
    fn exit_idle(&mut self, controller: &mut dyn Controller) {
        self.0.exit_idle(controller);
    }
}

#[derive(Debug)]
struct ObligingPicker(Arc<dyn Picker>);

impl Picker for ObligingPicker {
    fn pick(&self, info: &PickInfo<'_>) -> Pick {
        let pick = self.0.pick(info);
        match info.metadata.get("want") {
            Some(authority) => pick.with_authority(authority),
            None => pick,
        }
    }
}

#[test]
fn a_policy_may_choose_an_authority_that_the_certificate_is_for() {
    let authority = Authority::new("authority");
    let server = serve(ServerTls::new(authority.issue(&["localhost", "*.lariat.example"]).identity()));
    let channel = Channel::builder(target(&server))
        .credentials(ChannelCredentials::tls(ClientTls::new().roots(authority.roots())))
        .balancer(ObligingBuilder)
        .default_service_config(r#"{"loadBalancingConfig": [{"obliging": {}}]}"#)
        .build()
        .unwrap();
    let client = EchoClient::new(channel);
    let ask = |wanted: &str| {
        let mut request = Request::new(Bytes::from("authority"));
        request.metadata_mut().insert("want", wanted).unwrap();
        client.request(request).wait()
    };
    assert_eq!(ask("other.lariat.example").unwrap().into_message(), "other.lariat.example");
    let status = ask("other.test").unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().ends_with("is not for the authority of the call, other.test"), "{status}");
}
