//! The gateway: everything of wasmgate that touches the world.
//!
//! `app` builds and runs it; `gateway` is the life of one call; `front` faces clients, `upstream` and `launch` face
//! servers, `config` and `catalog` say which servers there are. The layering test in `tests/` holds the map.

pub mod egress;
pub mod gateway;
pub mod launch;
pub mod shutdown;
pub mod upstream;
