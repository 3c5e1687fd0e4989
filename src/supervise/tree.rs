//! The supervisors of the house by path: how an administrator's command finds the one that can carry it out.

use super::commands::{Inject, Restart, SupervisorPorts};
use super::port::Port;
use super::vitals::VitalsBoard;
use super::{CallError, Fault};
use crate::domain::{Family, InstanceId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Time for a supervisor to take a command.
const COMMAND_LIMIT: Duration = Duration::from_secs(5);

/// Every supervisor's ports, and the board that says who is whose child. Cheap to clone.
#[derive(Clone)]
pub struct Tree {
    supervisors: Arc<BTreeMap<InstanceId, SupervisorPorts>>,
    pub board: VitalsBoard,
    /// Filled by the dispatcher, the parent of conversations: they come and go too fast for a place on the board.
    pub conversations: Port<Inject>,
}

impl Tree {
    /// `supervisors` holds the root as well.
    pub fn new(supervisors: BTreeMap<InstanceId, SupervisorPorts>, board: VitalsBoard) -> Self {
        Self { supervisors: Arc::new(supervisors), board, conversations: Port::new("Inject", 16) }
    }

    /// The ports of one supervisor.
    pub fn supervisor(&self, id: &InstanceId) -> Option<&SupervisorPorts> {
        self.supervisors.get(id)
    }

    /// Starts a fresh incarnation of an actor. Answers false for a path that no supervisor knows, and for the root.
    pub async fn restart(&self, path: &str) -> Result<bool, CallError> {
        let Some((id, Some(ports))) = self.commander(path) else { return Ok(false) };
        ports.restart.ask(Restart(id), COMMAND_LIMIT).await
    }

    /// Makes an actor fail on purpose. Answers false for a path that nobody knows, or that is not running.
    pub async fn inject(&self, path: &str, fault: Fault) -> Result<bool, CallError> {
        let Some((id, port)) = self.injector(path) else { return Ok(false) };
        // A supervisor that blocks or panics at once cannot answer; the command was carried out all the same.
        match port.ask(Inject(id, fault), COMMAND_LIMIT).await {
            Err(CallError::Died | CallError::TimedOut) => Ok(true),
            answer => answer,
        }
    }

    /// Who can make the actor of this path fail: its parent, or the root itself.
    fn injector(&self, path: &str) -> Option<(InstanceId, &Port<Inject>)> {
        if let Some(key) = path.strip_prefix("conversation/") {
            return Some((InstanceId::new(Family::Conversation, key), &self.conversations));
        }
        let (id, ports) = self.commander(path)?;
        let ports = ports.or_else(|| self.supervisors.get(&id))?;
        Some((id, &ports.inject))
    }

    /// The actor of this path, and its parent's ports; the root has none.
    fn commander(&self, path: &str) -> Option<(InstanceId, Option<&SupervisorPorts>)> {
        let vitals = self.board.get(path)?;
        let ports = vitals.parent.as_ref().and_then(|parent| self.supervisors.get(parent));
        Some((vitals.id.clone(), ports))
    }
}
