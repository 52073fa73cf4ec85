//! Faults of remotes (F20 to F29): names that lead nowhere, connections that break, answers that never end.
