//! What the tests of this room share.

use crate::config::{self, Secret};

/// Never to be seen in any output.
pub const SECRET: &str = "canary-of-the-secret";

/// A section of a WeCom application, with the credentials of the recorded callbacks.
pub fn wecom_section() -> config::Platform {
    config::Platform {
        id: "sales".into(),
        kind: "wecom".into(),
        corp_id: "ww5823bf96d3bd56c7".into(),
        agent_id: 1_000_002,
        secret: Secret::new(SECRET),
        token: Secret::new("QDG6eK"),
        encoding_aes_key: Secret::new("CxIZICcuNTxDSlFYX2ZtdHuCiZCXnqWss7rByM/W3eQ"),
        ..config::Platform::default()
    }
}
