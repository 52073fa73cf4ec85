//! The faults of a gateway's life, one test each, named for its row: `f01_server_exits_mid_call`. Real processes, real
//! containers, real sockets. The table in the README is made from the names.

mod clients;
mod clock;
mod configuration;
mod containers;
mod drain;
mod floods;
mod hangups;
mod messages;
mod plugins;
mod processes;
mod registries;
mod remotes;
mod smuggling;
mod table;
