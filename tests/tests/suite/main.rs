//! The integration suite: one program, every test against the real binary and real peers.

mod layering;
