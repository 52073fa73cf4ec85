//! Faults of containers: killed, out of memory, frozen, gone with their daemon.
