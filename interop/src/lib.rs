//! The services that Lariat and the foreign peers speak with each other; the rules are in `README.md`.

/// `helloworld.Greeter`.
pub mod helloworld {
    lariat::include_proto!("helloworld");
}

/// `routeguide.RouteGuide`.
pub mod routeguide {
    lariat::include_proto!("routeguide");
}
