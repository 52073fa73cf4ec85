//! Faults of clients (F31 to F37): slow, huge, broken, too many, not who they say they are.
