//! Who may reach what. A [`Permit`] is the proof, and only [`Policy::permit`] makes one, so that a forgotten check
//! does not compile: the pool wants a permit for every call.

use std::collections::HashMap;

use crate::catalog::ToolFilter;
use crate::index::{Subject, Target};
use crate::name::ServerName;

/// Proof that this target may be reached.
#[derive(Debug, Clone)]
pub struct Permit(Target);

/// The target is not for this caller; to a client it looks exactly like one that does not exist.
#[derive(Debug, Clone, thiserror::Error)]
#[error("denied")]
pub struct Denied(pub Target);

/// The rules of one generation of configuration.
#[derive(Debug, Default)]
pub struct Policy {
    tools: HashMap<ServerName, ToolFilter>,
}

impl Policy {
    /// Rules from each server's list of allowed tools.
    pub fn new(tools: impl IntoIterator<Item = (ServerName, ToolFilter)>) -> Self {
        Self { tools: tools.into_iter().collect() }
    }

    /// Whether `target` may be reached.
    ///
    /// # Errors
    /// [`Denied`] when no rule allows it: an unknown server, or a tool that is not on its server's list.
    pub fn permit(&self, target: Target) -> Result<Permit, Denied> {
        let allowed = match (self.tools.get(&target.server), &target.subject) {
            (None, _) => false,
            (Some(filter), Subject::Tool(tool)) => filter.allows(tool),
            (Some(_), _) => true,
        };
        if allowed { Ok(Permit(target)) } else { Err(Denied(target)) }
    }
}

impl Permit {
    /// The server that may be asked.
    pub fn server(&self) -> &ServerName {
        &self.0.server
    }

    /// What may be asked for there.
    pub fn target(&self) -> &Target {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_off_the_list_and_a_server_off_the_map_are_denied() {
        let files = ServerName::new("files").unwrap();
        let only = ToolFilter::Only(["read".to_owned()].into());
        let policy = Policy::new([(files.clone(), only)]);
        let tool = |server: &str, tool: &str| Target {
            server: ServerName::new(server).unwrap(),
            subject: Subject::Tool(tool.into()),
        };
        assert_eq!(policy.permit(tool("files", "read")).unwrap().server(), &files);
        assert!(policy.permit(tool("files", "delete")).is_err());
        assert!(policy.permit(tool("other", "read")).is_err());
    }
}
