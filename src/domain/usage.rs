//! The bill of one model call.

use serde::{Deserialize, Serialize};

/// Tokens and outcome of one call, as the provider reported them (zero where it does not say).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// `provider/model` that answered.
    pub answered_by: String,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// The provider's own word for why it stopped (`stop`, `length`, `content_filter`, …).
    pub finish_reason: String,
}
