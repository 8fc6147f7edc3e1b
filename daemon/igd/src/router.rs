//! A router: its services, and requests to the one service that has an outside address.

use crate::{
    description::{self, DESCRIPTION_MAX, Service},
    http,
    place::Place,
    soap::{self, ANSWER_MAX},
};
use fyteclub_proto::reaching::mapping::{Action, Refusal, Reply};
use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Time for one request; less than the machine in proto waits.
const ANSWER_TIME: Duration = Duration::from_secs(6);
/// Time for each service, if there are several.
const SERVICE_TIME: Duration = Duration::from_secs(3);
/// UPnP's code for an action that the service does not have.
const UNKNOWN_ACTION: u16 = 401;

#[derive(Debug)]
pub struct Router {
    local: Ipv4Addr,
    ip: Ipv4Addr,
    /// Never empty.
    services: Vec<Service>,
    /// The index of the service with an outside address.
    chosen: AtomicUsize,
}

impl Router {
    /// Reads the description at `place`. `None` if that fails or the device is no router.
    pub(crate) async fn read(local: Ipv4Addr, place: &Place) -> Option<Self> {
        let answer = match http::get(local, place, DESCRIPTION_MAX).await {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) => {
                tracing::debug!("the description at {place} is refused with {}", answer.status);
                return None;
            }
            Err(error) => {
                tracing::debug!("the description at {place} is not read: {error}");
                return None;
            }
        };
        let services = description::services(&answer.body, place);
        let (ip, chosen) = (place.ip(), AtomicUsize::new(0));
        (!services.is_empty()).then_some(Self { local, ip, services, chosen })
    }

    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// [`Action::Address`] asks all services and selects the one for later requests.
    ///
    /// # Errors
    /// No answer in time, one that cannot be read, or the router's refusal.
    pub async fn ask(&self, action: Action) -> Result<Reply, Refusal> {
        let asked = async {
            match action {
                Action::Address => self.address().await,
                other => self.service(other, self.services.get(self.chosen.load(Ordering::Relaxed))).await,
            }
        };
        tokio::time::timeout(ANSWER_TIME, asked).await.unwrap_or(Err(Refusal::Silent))
    }

    /// The first address that a service has; else the first answer.
    async fn address(&self) -> Result<Reply, Refusal> {
        let mut best = Err(Refusal::Silent);
        for (number, service) in self.services.iter().enumerate() {
            let asked = self.service(Action::Address, Some(service));
            let limit = if self.services.len() > 1 { SERVICE_TIME } else { ANSWER_TIME };
            let answer = tokio::time::timeout(limit, asked).await.unwrap_or(Err(Refusal::Silent));
            if matches!(answer, Ok(Reply::Address(Some(_)))) {
                self.chosen.store(number, Ordering::Relaxed);
                return answer;
            }
            if best == Err(Refusal::Silent) {
                best = answer;
            }
        }
        best
    }

    async fn service(&self, action: Action, service: Option<&Service>) -> Result<Reply, Refusal> {
        let service = service.ok_or(Refusal::Silent)?;
        if matches!(action, Action::AddAny { .. }) && !service.chooses() {
            return Err(Refusal::Code(UNKNOWN_ACTION));
        }
        let request = soap::write(action, service.kind(), self.local);
        match http::post(self.local, service.control(), request, ANSWER_MAX).await {
            Ok(answer) => soap::read(action, answer.status, &answer.body),
            Err(error) => {
                tracing::debug!("the router at {} does not answer: {error}", self.ip);
                Err(Refusal::Silent)
            }
        }
    }
}
