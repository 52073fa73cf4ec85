//! Sealed tokens: everything a client keeps for us.
