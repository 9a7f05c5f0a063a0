//! Load reports (ORCA), with calls and out of band, as a load balancing policy gets them.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lariat::Wait;
use lariat::client::balancer::{
    Balancer, BalancerBuilder, Controller, EndpointBalancer, EndpointPolicy, EndpointSharding,
};
use lariat::client::picker::{CallEnd, CallObserver, Pick, PickInfo, Picker};
use lariat::client::subchannel::{SubchannelEvent, SubchannelId, SubchannelState};
use lariat::services::LoadReport;
use lariat_interop::testing::{SimpleRequest, StreamingOutputCallRequest, TestOrcaReport};

use crate::Test;
use crate::check::{Checked, expect};
use crate::streaming::ask;

/// How often the policy asks for a report out of band.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a report may take.
const REPORT_TIME: Duration = Duration::from_secs(30);

pub(crate) fn orca_per_rpc(test: &Test) -> Checked {
    let report = asked(0.8210, 0.5847, 0.30499, Some(3456.32));
    let request = SimpleRequest { orca_per_query_report: Some(report.clone()), ..Default::default() };
    test.client.unary_call(test.request(request)?).wait()?;
    expect("load report", test.reports.take_of_call()?, expected(&report))
}

pub(crate) fn orca_oob(test: &Test) -> Checked {
    let (outbound, mut inbound) = test.client.full_duplex_call(test.request(())?);
    for report in [asked(0.8210, 0.5847, 0.30499, None), asked(0.29309, 0.2, 0.2039, None)] {
        let request = StreamingOutputCallRequest { orca_oob_report: Some(report.clone()), ..ask(0, 1)? };
        outbound.send(request).wait()?;
        expect("whether a message came", inbound.message().wait()?.is_some(), true)?;
        test.reports.await_out_of_band(&expected(&report))?;
    }
    outbound.finish();
    expect("whether more came", inbound.message().wait()?.is_some(), false)
}

fn asked(cpu: f64, memory: f64, utilization: f64, cost: Option<f64>) -> TestOrcaReport {
    TestOrcaReport {
        cpu_utilization: cpu,
        memory_utilization: memory,
        request_cost: cost.map(|cost| ("cost".to_owned(), cost)).into_iter().collect(),
        utilization: [("util".to_owned(), utilization)].into(),
    }
}

fn expected(asked: &TestOrcaReport) -> LoadReport {
    LoadReport {
        cpu_utilization: asked.cpu_utilization,
        mem_utilization: asked.memory_utilization,
        request_cost: asked.request_cost.clone(),
        utilization: asked.utilization.clone(),
        ..LoadReport::default()
    }
}

/// What the policy was told.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    of_call: Mutex<Option<LoadReport>>,
    out_of_band: Mutex<Option<LoadReport>>,
}

impl Reports {
    fn take_of_call(&self) -> Result<LoadReport, Box<dyn Error>> {
        let report = self.of_call.lock().unwrap_or_else(PoisonError::into_inner).take();
        report.ok_or_else(|| "the call carried no load report".into())
    }

    fn await_out_of_band(&self, expected: &LoadReport) -> Checked {
        let begin = Instant::now();
        loop {
            let latest = self.out_of_band.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if latest.as_ref() == Some(expected) {
                return Ok(());
            }
            if begin.elapsed() > REPORT_TIME {
                return Err(format!("load report: expected {expected:?}, found {latest:?}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl CallObserver for Reports {
    fn handle_end(&self, end: &CallEnd<'_>) {
        *self.of_call.lock().unwrap_or_else(PoisonError::into_inner) = end.load_report();
    }
}

/// Makes `test_backend_metrics_load_balancer`, which sends calls to any backend and keeps what it reports.
pub(crate) struct BackendMetrics(pub(crate) Arc<Reports>);

impl BalancerBuilder for BackendMetrics {
    fn name(&self) -> &str {
        "test_backend_metrics_load_balancer"
    }

    fn build(&self) -> Box<dyn Balancer> {
        Box::new(EndpointBalancer::new(KeepingReports(Arc::clone(&self.0))))
    }
}

struct KeepingReports(Arc<Reports>);

impl EndpointPolicy for KeepingReports {
    fn publish(&mut self, endpoints: &EndpointSharding, controller: &mut dyn Controller) {
        let picker = match endpoints.best_pickers().into_iter().next() {
            Some(picker) => picker,
            None => endpoints.waiting_picker(),
        };
        let observed = Observed { picker, reports: Arc::clone(&self.0) };
        controller.publish(endpoints.state(), Arc::new(observed));
    }

    fn handle_subchannel(
        &mut self,
        id: SubchannelId,
        event: &SubchannelEvent,
        controller: &mut dyn Controller,
    ) {
        if let SubchannelEvent::Load(report) = event {
            *self.0.out_of_band.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(LoadReport::clone(report));
        } else if controller.state(id) == SubchannelState::Ready {
            controller.watch_load(id, Some(INTERVAL));
        }
    }
}

/// Picks as another does, and has what the calls report kept.
struct Observed {
    picker: Arc<dyn Picker>,
    reports: Arc<Reports>,
}

impl Picker for Observed {
    fn pick(&self, info: &PickInfo<'_>) -> Pick {
        self.picker.pick(info).observed_by(Arc::clone(&self.reports) as Arc<dyn CallObserver>)
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observed").field(&self.picker).finish()
    }
}
