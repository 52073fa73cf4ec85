//! What the gateway must know of MCP itself.
