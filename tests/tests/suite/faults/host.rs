//! Faults of plugins, of the configuration and of the machine (F38 to F42).
