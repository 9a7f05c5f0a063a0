//! The services that Lariat and the foreign peers speak with each other; the rules are in `README.md`.

pub mod flags;
pub mod payload;
pub mod test_service;

/// `helloworld.Greeter`.
pub mod helloworld {
    lariat::include_proto!("helloworld");
}

/// `routeguide.RouteGuide`.
pub mod routeguide {
    lariat::include_proto!("routeguide");
}

/// `grpc.testing.TestService`, the service of the gRPC interoperability tests.
pub mod testing {
    lariat::include_proto!("grpc.testing");
}
