//! What a supervisor can be told, and the ports to tell it.

use super::CallError;
use super::child::ChildSpec;
use super::control::Fault;
use super::port::Port;
use crate::domain::InstanceId;
use actix::Message;
use std::time::Duration;

/// Time for a constructor to finish, and the supervisor's own.
const START_LIMIT: Duration = Duration::from_secs(15);

/// Starts a child, or replaces the one of the same id: the new one runs before the old one stops.
/// Fails, and changes nothing, when the constructor panics or takes longer than 10 s; where `keep` is set, the child
/// stays nevertheless, and its policy decides when it is tried again.
#[derive(Message)]
#[rtype(result = "Result<(), StartError>")]
pub struct Supervise {
    pub spec: ChildSpec,
    pub keep: bool,
}

/// Ends a child for good once its calls are done.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Remove(pub InstanceId);

/// Starts a fresh incarnation of a child now, whatever state it is in. Answers false when there is no such child.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct Restart(pub InstanceId);

/// Makes a child fail on purpose. Answers false when there is no such child or it is not running.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct Inject(pub InstanceId, pub Fault);

/// The ways to command one supervisor.
#[derive(Clone)]
pub struct SupervisorPorts {
    pub supervise: Port<Supervise>,
    pub remove: Port<Remove>,
    pub restart: Port<Restart>,
    pub inject: Port<Inject>,
}

impl Default for SupervisorPorts {
    fn default() -> Self {
        Self {
            supervise: Port::new("Supervise", 16),
            remove: Port::new("Remove", 16),
            restart: Port::new("Restart", 16),
            inject: Port::new("Inject", 16),
        }
    }
}

impl SupervisorPorts {
    /// Starts a child, or replaces the one of the same id, and waits until it exists.
    pub async fn start(&self, spec: ChildSpec) -> Result<(), StartError> {
        self.supervise(Supervise { spec, keep: false }).await
    }

    /// Starts a child that stays even when it cannot be started now.
    pub async fn keep(&self, spec: ChildSpec) -> Result<(), StartError> {
        self.supervise(Supervise { spec, keep: true }).await
    }

    async fn supervise(&self, order: Supervise) -> Result<(), StartError> {
        let id = order.spec.id.clone();
        match self.supervise.ask(order, START_LIMIT).await {
            Ok(started) => started,
            Err(error) => Err(StartError(id, format!("its supervisor: {error}"))),
        }
    }

    /// Ends a child for good; its running calls end by themselves.
    pub async fn stop(&self, id: InstanceId) -> Result<(), CallError> {
        self.remove.ask(Remove(id), START_LIMIT).await
    }
}

/// A child could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} could not be started: {1}")]
pub struct StartError(pub InstanceId, pub String);
